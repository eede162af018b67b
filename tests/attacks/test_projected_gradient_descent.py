"""Projected gradient descent against its definition, closed-form optima and its own invariants."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial

from jax_bioadv.attacks import fgsm, pgd
from jax_bioadv.attacks.projected_gradient_descent import published_step_size

WEIGHTS = np.array([[0.5, -2.0, 0.25, 1.0], [-1.0, 0.1, 1.5, 0.3]], np.float32).T
run = jax.jit(lambda attack, *arguments: attack(*arguments))


def _linear(images):
    return images @ WEIGHTS


@jax.jit
def _loss(logits_function, images, labels):
    return optax.softmax_cross_entropy_with_integer_labels(logits_function(images), labels)


def _length(perturbation, norm):
    return np.linalg.norm(np.asarray(perturbation, np.float64), ord=norm, axis=1)


@pytest.mark.parametrize(("norm", "targeted"), [(1, False), (2, False), (3, True), (math.inf, False), (math.inf, True)])
def test_on_a_linear_model_it_finds_the_closed_form_optimum(norm, targeted, key):
    """The margin w·x of two classes falls most along the maximiser of the dual norm, by ε ‖w‖_q."""
    images = jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)
    labels = jnp.array([0, 1, 0, 1, 1])
    epsilon = 0.3
    result = run(pgd(norm, 20, 0.05, None, targeted=targeted), key, Partial(_linear), images, labels, epsilon)
    margin = WEIGHTS[:, 0].astype(np.float64) - WEIGHTS[:, 1]
    dual = {1: math.inf, math.inf: 1}.get(norm) or norm / (norm - 1)
    expected = epsilon * np.linalg.norm(margin, ord=dual) * np.where(labels == 0, -1, 1) * (-1 if targeted else 1)
    moved = (np.asarray(result.images, np.float64) - images) @ margin
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


def test_published_protocol_is_twenty_steps_from_the_image_clipped_at_the_end(network, images, labels, key):
    """A plain loop over the definition, with gradients image by image."""
    gradient = jax.jit(jax.vmap(jax.grad(lambda image, label: _loss(network, image[None], label[None])[0])))
    for epsilon, step in ((0.004, 0.0004), (0.03, 0.01)):
        perturbation = jnp.zeros_like(images)
        for _ in range(20):
            move = step * jnp.sign(gradient(images + perturbation, labels))
            perturbation = jnp.clip(perturbation + move, -epsilon, epsilon)
        expected = jnp.clip(images + perturbation, 0.25, 0.75)
        result = run(pgd(bounds=(0.25, 0.75)), key, network, images, labels, epsilon)
        # Rounding alone: a gradient whose sign is in doubt would show as a difference of a step.
        np.testing.assert_allclose(result.images, expected, atol=2e-7)


def test_published_step_size():
    epsilons = jnp.array([1e-6, 0.005, 0.01, 0.0316])
    np.testing.assert_allclose(published_step_size(epsilons), [1e-7, 0.0005, 0.01, 0.01], rtol=1e-6)


def test_it_ends_at_no_lower_loss_than_one_signed_step(network, images, labels, key):
    epsilon = 0.05
    one = _loss(network, run(fgsm(), key, network, images, labels, epsilon).images, labels)
    many = _loss(network, run(pgd(step_size=0.005), key, network, images, labels, epsilon).images, labels)
    assert np.mean(many) > np.mean(one)
    # The network is piecewise linear: in an odd image the last iterate may oscillate below the single step.
    assert np.mean(np.asarray(many) >= np.asarray(one) - 1e-5) >= 0.9


@pytest.mark.parametrize("norm", [2, math.inf])
def test_one_full_step_is_the_steepest_ascent_step(norm, network, images, labels, key):
    """In L-infinity that is the fast gradient sign method, in L2 the normalized gradient."""
    epsilon = 0.1
    attack = pgd(norm, 1, lambda epsilon: epsilon, None)
    gradient = jax.grad(lambda x: jnp.sum(_loss(network, x, labels)))(images)
    step = np.sign(gradient) if norm == math.inf else gradient / np.linalg.norm(gradient, axis=1, keepdims=True)
    result = run(attack, key, network, images, labels, epsilon)
    np.testing.assert_allclose(result.images, images + epsilon * step, atol=3e-7)


def test_more_restarts_never_do_worse(network, images, labels, key):
    """Restart i starts from the same point whatever their number, so the best of more is at least as good."""
    successes, losses = [], []
    for restarts in (1, 4):
        attack = pgd(steps=3, step_size=0.02, random_start=True, restarts=restarts)
        result = run(attack, key, network, images, labels, 0.06)
        successes.append(np.asarray(result.success))
        losses.append(np.asarray(_loss(network, result.images, labels)))
    assert (successes[1] >= successes[0]).all()
    kept = successes[1] == successes[0]
    assert (losses[1][kept] >= losses[0][kept] - 1e-6).all()
    assert (losses[1] > losses[0]).any()


def test_random_starts_scale_with_epsilon_and_differ_between_images(images, key):
    """Without a gradient the start is all that is left of the attack."""
    flat = Partial(lambda x: jnp.zeros((len(x), 2)) + 0 * x[:, :1])
    attack = pgd(bounds=None, random_start=True)
    starts = [
        run(attack, key, flat, images, jnp.zeros(20, int), e, i).images - images for i, e in enumerate((0.5, 2.0))
    ]
    np.testing.assert_allclose(4 * starts[0], starts[1], atol=2e-6)
    assert len(np.unique(np.asarray(starts[1]), axis=0)) == len(images)


def test_it_costs_one_forward_and_one_backward_product_a_step(network, images, labels, key):
    """Counts matrix products in the traced program: two with the first layer in the loop of 19 steps."""
    jaxpr = str(jax.make_jaxpr(run)(pgd(), key, network, images, labels, 0.1))
    loop = jaxpr[jaxpr.index("scan[") :]
    first_layer = [line for line in loop.splitlines() if "dot_general" in line]
    # Encoder and decoder, forward and backward; then encoder and decoder of the verdict.
    assert len(first_layer) == 4 + 2
