"""The smallest perturbation against closed forms, a general optimizer, other attacks and its own invariants."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial
from scipy import optimize

from jax_bioadv import models
from jax_bioadv.analysis.critical import critical_search, epsilon_lattice
from jax_bioadv.attacks import Attack, minimum_norm, minimum_norm_perturbations, pgd

NORMS = [2, math.inf]
ATTACKS = {norm: minimum_norm(norm) for norm in NORMS}
# The length is bisected to 2^-10 of itself.
BISECTION = 2e-3
run = jax.jit(lambda attack, *arguments: attack(*arguments))
norms = pytest.mark.parametrize("norm", NORMS)


def _linear(weights, images):
    return images @ weights


def _network(seed, power=1.0, scale=1.0):
    network = models.Network(12, 16, 4, power=power, rngs=nnx.Rngs(seed))
    network.encoder.kernel[...] *= 5
    network.decoder.kernel[...] *= scale
    network.decoder.bias[...] *= scale
    return models.logits_function(network)


def _length(perturbation, norm):
    return np.linalg.norm(np.asarray(perturbation, np.float64), ord=norm, axis=1)


def _linear_case(bounds):
    random = np.random.default_rng(0)
    weights = random.normal(size=(10, 4)).astype(np.float32)
    images = random.uniform(0, 1, size=(40, 10)) if bounds else random.normal(size=(40, 10))
    images = images.astype(np.float32)
    return weights, images, np.argmax(images @ weights, axis=1)


@norms
@pytest.mark.parametrize("steps", [1, 5])
def test_of_a_linear_classifier_it_finds_the_smallest_margin_over_the_dual_norm(norm, steps, key):
    weights, images, labels = _linear_case(None)
    logits = images.astype(np.float64) @ weights
    slopes = weights[:, labels].T[:, :, None] - weights[None]
    dual = np.linalg.norm(slopes, ord=2 if norm == 2 else 1, axis=1)
    margins = logits.max(axis=1, keepdims=True) - logits
    expected = np.min(np.where(margins > 0, margins / np.where(dual > 0, dual, 1), np.inf), axis=1)
    attack = minimum_norm(norm, steps, 1, None)
    found = minimum_norm_perturbations(attack, key, Partial(_linear, weights), images, labels)
    np.testing.assert_allclose(found.length, expected, rtol=BISECTION)
    assert (np.argmax(found.images @ weights, axis=1) != labels).all()


def _smallest_in_the_box(image, slope, margin, norm):
    """By linear and by quadratic programming: least ‖δ‖ with slope · δ ≥ margin and 0 ≤ x + δ ≤ 1; infinity if none."""
    box = list(zip(-image, 1 - image, strict=True))
    if norm == math.inf:
        ones = np.ones((len(image), 1))
        above = np.vstack([np.hstack([np.eye(len(image)), -ones]), np.hstack([-np.eye(len(image)), -ones])])
        reach = np.append(-slope, 0)[None]
        result = optimize.linprog(
            np.append(np.zeros(len(image)), 1), np.vstack([above, reach]), np.append(np.zeros(2 * len(image)), -margin),
            bounds=[*box, (0, None)],
        )  # fmt: skip
        return result.fun if result.success else np.inf
    if np.sum(np.maximum(-image * slope, (1 - image) * slope)) < margin:
        return np.inf
    reach = {"type": "ineq", "fun": lambda delta: slope @ delta - margin, "jac": lambda delta: slope}
    start = np.zeros(len(image))
    result = optimize.minimize(
        lambda d: d @ d, start, jac=lambda d: 2 * d, bounds=box, constraints=reach, options={"ftol": 1e-12}
    )
    return math.sqrt(result.fun)


@norms
def test_within_bounds_it_finds_what_an_optimizer_finds(norm, key):
    weights, images, labels = _linear_case((0, 1))
    wide = weights.astype(np.float64)
    expected = [
        min(
            _smallest_in_the_box(
                image, wide[:, other] - wide[:, label], image @ (wide[:, label] - wide[:, other]), norm
            )
            for other in range(4)
            if other != label
        )
        for image, label in zip(images.astype(np.float64), labels, strict=True)
    ]
    attack = minimum_norm(norm, 20, 3)
    found = minimum_norm_perturbations(attack, key, Partial(_linear, weights), images, labels)
    # Twenty damped steps between three classes and the bounds leave up to one per cent.
    np.testing.assert_allclose(found.length, expected, rtol=0.01)
    assert found.images.min() >= 0
    assert found.images.max() <= 1


@norms
def test_what_it_finds_is_misclassified_and_as_long_as_it_says(norm, network, images, labels, key):
    found = minimum_norm_perturbations(ATTACKS[norm], key, network, images, labels)
    assert (np.argmax(network(jnp.asarray(found.images)), axis=1) != labels).all()
    np.testing.assert_allclose(_length(found.images - images, norm), found.length, rtol=1e-5)
    assert found.images.min() >= 0
    assert found.images.max() <= 1
    # On the boundary: a little nearer to the image the label is right again.
    nearer = images + (1 - BISECTION) * (found.images - images)
    np.testing.assert_array_equal(np.argmax(network(nearer), axis=1), labels)


@norms
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_no_perturbation_of_descent_in_the_ball_is_shorter(norm, power, images, key):
    """A search with 60 gradients at every radius; in two images of 20 it may end in another, better local minimum."""
    network = _network(4, power)
    labels = jnp.argmax(network(images), axis=1)
    search = critical_search(
        pgd(norm, 60, lambda epsilon: epsilon / 10, clip_each_step=True), key, network, images, labels,
        epsilon_lattice(1e-3, 3, 0.005), coarse=8,
    )  # fmt: skip
    found = minimum_norm_perturbations(minimum_norm(norm, 60), key, network, images, labels)
    assert np.isfinite(search.critical_epsilon).all()
    ratio = found.length / search.critical_epsilon
    assert np.mean(ratio > 1.01) <= 0.1
    assert np.max(ratio) < 1.05
    # A lattice of half a per cent is a quarter above the boundary on average.
    assert np.median(ratio) < 1


@norms
def test_at_epsilon_it_succeeds_exactly_where_the_perturbation_fits(norm, network, images, labels, key):
    found = minimum_norm_perturbations(ATTACKS[norm], key, network, images, labels)
    for epsilon in np.quantile(found.length, [0.0, 0.5, 0.9]) + np.float32(1e-7):
        result = run(ATTACKS[norm], key, network, images, labels, np.float32(epsilon))
        length = _length(result.images - images, norm)
        np.testing.assert_array_equal(result.success, found.length <= epsilon)
        np.testing.assert_allclose(length, np.minimum(found.length, epsilon), rtol=1e-4)
    np.testing.assert_array_equal(run(ATTACKS[norm], key, network, images, labels, np.float32(0)).images, images)


def test_a_search_over_epsilon_finds_its_length(network, images, labels, key):
    """One image at a time, where products of other shapes round otherwise; the lattice is one per cent fine."""
    found = minimum_norm_perturbations(ATTACKS[2], key, network, images, labels)
    lattice = epsilon_lattice(1e-4, 2, 0.01)
    search = critical_search(ATTACKS[2], key, network, images, labels, lattice)
    ratio = search.critical_epsilon / found.length
    assert np.all((ratio > 1 - BISECTION) & (ratio < 1.012))
    np.testing.assert_allclose(search.l2, found.length, rtol=BISECTION)


@norms
def test_an_image_that_is_wrong_already_needs_nothing(norm, network, images, labels, key):
    wrong = labels.at[::2].set((labels[::2] + 1) % 4)
    found = minimum_norm_perturbations(ATTACKS[norm], key, network, images, wrong)
    np.testing.assert_array_equal(found.images[::2], images[::2])
    np.testing.assert_array_equal(found.length == 0, np.arange(20) % 2 == 0)


@norms
def test_blocks_do_not_matter(norm, network, images, labels, key):
    found = [
        minimum_norm_perturbations(ATTACKS[norm], key, network, images, labels, image_block=block) for block in (20, 7)
    ]
    np.testing.assert_allclose(found[0].length, found[1].length, rtol=BISECTION)


def test_the_size_of_the_logits_does_not_matter(images, labels, key):
    """By powers of two, which leave no rounding."""
    lengths = [
        minimum_norm_perturbations(ATTACKS[2], key, _network(3, scale=scale), images, labels).length
        for scale in (1.0, 2.0**-80, 2.0**80)
    ]
    np.testing.assert_array_equal(lengths[1], lengths[0])
    np.testing.assert_array_equal(lengths[2], lengths[0])


@pytest.mark.parametrize("fewer", [minimum_norm(2, steps=4), minimum_norm(2, targets=1)], ids=["steps", "targets"])
def test_more_steps_or_targets_are_no_worse_on_the_whole(fewer, images, key):
    network = _network(6)  # whose nearest boundary is not always the one that looks so from the image
    labels = jnp.argmax(network(images), axis=1)
    lengths = [
        minimum_norm_perturbations(attack, key, network, images, labels).length for attack in (fewer, ATTACKS[2])
    ]
    assert np.mean(lengths[1]) < np.mean(lengths[0]) * (1 + BISECTION)
    assert (lengths[1] < lengths[0] * (1 - BISECTION)).any()


@norms
def test_where_no_gradient_is_nothing_is_claimed(norm, dead_network, images, key):
    labels = jnp.argmax(dead_network(images), axis=1)
    found = minimum_norm_perturbations(ATTACKS[norm], key, dead_network, images, labels)
    assert found.gradient_vanished.all()
    assert np.isinf(found.length).all()
    np.testing.assert_array_equal(found.images, images)


def _plateau(middle, images):
    """Flat around the middle of the first pixel, then a slope that soon flips the class."""
    steep = jnp.maximum(jnp.abs(images[:, 0] - middle) - 0.1, 0)
    return jnp.stack([jnp.full(len(images), 0.05), steep, jnp.full(len(images), -1.0)], axis=1)


def _from_the_plateau(middle, key, block=10):
    images, attack = np.full((10, 3), middle, np.float32), minimum_norm(2, 60, bounds=(-1.0, 1.0))
    network = Partial(_plateau, middle)
    return minimum_norm_perturbations(attack, key, network, images, np.zeros(10, int), image_block=block)


@pytest.mark.parametrize("middle", [0.5, 0.0])
def test_from_a_plateau_random_points_lead_on(middle, key):
    found = _from_the_plateau(middle, key)
    assert found.gradient_vanished.all()
    assert np.isfinite(found.length).mean() >= 0.7
    assert found.length[np.isfinite(found.length)].min() >= 0.15 * (1 - 1e-5)


def test_blocks_do_not_matter_to_random_points(key):
    whole, parts = (_from_the_plateau(0.5, key, block).length for block in (10, 4))
    np.testing.assert_allclose(parts, whole, rtol=BISECTION)


def test_epsilon_costs_no_gradient(network, images, labels, key):
    keys = jax.random.split(key, 20)
    prepared = jax.eval_shape(ATTACKS[2].prepare, keys, network, images, labels)
    program = jax.make_jaxpr(ATTACKS[2].at_epsilon)(prepared, keys, network, images, labels, jnp.float32(0.1), 0)
    assert str(program).count("dot_general") == 2  # encoder and decoder, of the verdict


@pytest.mark.parametrize("other", [pgd(), Attack(lambda *_: None, lambda *_: None)])
def test_other_attacks_are_refused(other, network, images, labels, key):
    with pytest.raises(ValueError, match="must be of minimum_norm"):
        minimum_norm_perturbations(other, key, network, images, labels)


def test_images_that_make_no_batch_are_refused(network, images, labels, key):
    for wrong in (images[0], images[:0]):
        with pytest.raises(ValueError, match="image"):
            minimum_norm_perturbations(ATTACKS[2], key, network, wrong, labels[: len(wrong)])
    with pytest.raises(ValueError, match="image_block"):
        minimum_norm_perturbations(ATTACKS[2], key, network, images, labels, image_block=0)
    for wrong, message in ((images * np.nan, "not finite"), (images + 1.0, "images span")):
        with pytest.raises(ValueError, match=message):
            minimum_norm_perturbations(ATTACKS[2], key, network, wrong, labels)
    with pytest.raises(ValueError, match="labels must be in 0"):
        minimum_norm_perturbations(ATTACKS[2], key, network, images, labels + 4)
