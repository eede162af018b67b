"""Gradients by the pixels, marked where they vanish, and the hyperplanes that they take decision boundaries for."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.attacks import gradient, linearised_boundary
from jax_bioadv.attacks.attack import lead_of, log_odds_against

WEIGHTS = np.random.default_rng(0).normal(size=(5, 3))
IMAGES = np.random.default_rng(1).uniform(size=(4, 5))
LABELS = np.array([0, 1, 2, 0])
# As in attacks, which jit them.
loss_gradient = jax.jit(gradient.loss_gradient, static_argnums=0)
ascend = jax.jit(gradient.ascend, static_argnums=(0, 1, 4))
nearest_classes = jax.jit(linearised_boundary.nearest_classes, static_argnums=(0, 3, 4))
closest_on_hyperplane = jax.jit(linearised_boundary.closest_on_hyperplane, static_argnums=(3, 4))


def linear(images):
    return images @ jnp.asarray(WEIGHTS, jnp.float32)


def test_the_gradient_has_the_direction_of_that_of_the_cross_entropy():
    found = loss_gradient(linear, np.float32(IMAGES), LABELS)
    exponentials = np.exp(IMAGES @ WEIGHTS)
    error = exponentials / exponentials.sum(axis=1, keepdims=True) - np.eye(3)[LABELS]
    expected = error @ WEIGHTS.T
    lengths = [np.linalg.norm(each, axis=1, keepdims=True) for each in (found.gradient, expected)]
    np.testing.assert_allclose(found.gradient / lengths[0], expected / lengths[1], atol=1e-6)  # sums of three products
    assert not found.vanished.any()


@pytest.mark.parametrize("factor", [0.0, np.nan, np.inf])
def test_a_gradient_that_says_nothing_is_zero_and_marked_where_the_image_is_not_wrong_already(factor):
    def logits(images):
        return images * jnp.array([[factor], [1.0]])

    images, labels = np.array([[1.0, 0.0, 0.0]] * 2, np.float32), jnp.zeros(2, int)
    found = loss_gradient(logits, images, labels)
    np.testing.assert_array_equal(found.vanished, [True, False])
    np.testing.assert_array_equal(found.gradient[0], 0)
    loss = partial(log_odds_against, labels=labels)
    for verdict, vanished in ((jnp.zeros, True), (jnp.ones, False)):
        here = ascend(loss, logits, images, labels, lambda logits, labels, v=verdict: v(2, bool))
        np.testing.assert_array_equal(here.vanished, [vanished, False])
        np.testing.assert_array_equal(here.gradient, found.gradient)
        assert not np.isnan(here.loss).any()


@pytest.mark.parametrize("norm", [2.0, np.inf])
def test_the_nearest_classes_are_those_of_the_nearest_hyperplanes(norm):
    images, labels = np.float32(IMAGES), np.argmax(IMAGES @ WEIGHTS, axis=1)
    classes, without = nearest_classes(linear, images, labels, norm, 2)
    for image, label, found in zip(IMAGES, labels, np.asarray(classes).T, strict=True):
        normals = WEIGHTS - WEIGHTS[:, [label]]
        lengths = np.linalg.norm(normals, axis=0, ord=2 if norm == 2 else 1)
        distances = -image @ normals / np.where(lengths > 0, lengths, 1)
        distances[label] = np.inf
        np.testing.assert_array_equal(found, np.argsort(distances)[:2])
    assert not without.any()
    np.testing.assert_array_equal(nearest_classes(lambda x: 0 * linear(x), images, labels, norm, 2)[1], True)


@pytest.mark.parametrize("norm", [2.0, np.inf])
@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
def test_the_closest_point_is_on_the_hyperplane_and_no_other_is_closer(norm, bounds):
    random = np.random.default_rng(0)
    origin, normal = np.float32(random.uniform(size=(6, 5))), np.float32(random.normal(size=(6, 5)))
    rise = 0.3 * np.sum(np.maximum(normal * (1 - origin), -normal * origin), axis=1)
    found = np.asarray(closest_on_hyperplane(origin, normal, rise, norm, bounds))
    reached = np.sum(normal * (found - origin), axis=1)
    # Three steps of Newton's method may leave it short of where many pixels meet their bounds; never beyond.
    np.testing.assert_allclose(reached, rise, rtol=2e-5 if bounds is None else 0.02)
    length = np.linalg.norm(found - origin, ord=norm, axis=1)
    steps = 0.1 * random.normal(size=(50, *found.shape))
    along = steps - (np.sum(steps * normal, axis=2) / np.sum(normal**2, axis=1))[..., None] * normal
    others = found + along
    within = np.ones(others.shape[:2], bool) if bounds is None else np.all((others >= 0) & (others <= 1), axis=2)
    assert within.any()
    assert np.all((np.linalg.norm(others - origin, ord=norm, axis=2) >= length - 1e-5) | ~within)


def test_the_lead_of_a_class_is_its_logit_less_the_labels():
    logits = jnp.array([[1.0, 5.0, 2.0], [4.0, 0.0, -1.0]])
    np.testing.assert_array_equal(lead_of(logits, jnp.array([1, 2]), jnp.array([0, 0])), [4, -5])
