"""Sweeps against a plain loop, and what is read off a sweep against closed forms and hand-made cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial
from scipy import stats

from jax_bioadv import models
from jax_bioadv.analysis.robustness import (
    Sweep,
    censored_share,
    correctly_classified,
    critical_perturbations,
    epsilon_grid,
    epsilon_sweep,
    median_interval,
    median_with_censoring,
    relative_accuracy,
)
from jax_bioadv.attacks import fgsm, gaussian, pgd

INPUTS = 12
GRID = epsilon_grid(0.01, 0.6, 5)
KEY = jax.random.key(5)


def _network(seed=3, power=1.0):
    network = models.Network(INPUTS, 16, 4, power=power, rngs=nnx.Rngs(seed))
    network.encoder.kernel.set_value(5 * network.encoder.kernel.get_value())
    return models.logits_function(network)


@pytest.fixture(scope="module")
def network():
    return _network()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(0.2, 0.8, (11, INPUTS)).astype(np.float32)


@pytest.fixture(scope="module")
def labels(network, images):
    return np.asarray(jnp.argmax(network(jnp.asarray(images)), axis=1))


@pytest.mark.parametrize(
    "attack",
    [gaussian(), gaussian(protocol="published"), fgsm(), pgd(steps=3), pgd(steps=2, random_start=True, restarts=2)],
    ids=["gaussian", "gaussian_published", "fgsm", "pgd", "pgd_random"],
)
def test_a_sweep_is_a_loop_over_epsilon_whatever_the_blocks(attack, network, images, labels):
    sweep = epsilon_sweep(attack, KEY, network, images, labels, GRID, epsilon_block=2, image_block=4)
    once = jax.jit(lambda *arguments: attack(*arguments))
    for index, epsilon in enumerate(GRID):
        expected = once(KEY, network, images, labels, np.float32(epsilon), index)
        perturbation = np.asarray(expected.images, np.float64) - images
        np.testing.assert_array_equal(sweep.success[index], expected.success)
        # Roundings of x + δ near 1; blocks of another shape round their products differently.
        np.testing.assert_allclose(sweep.l2[index], np.linalg.norm(perturbation, axis=1), atol=1e-6)
        np.testing.assert_allclose(sweep.linf[index], np.abs(perturbation).max(axis=1), atol=1e-6)
    assert 0 < sweep.success.mean() < 1
    assert not sweep.gradient_vanished.any()


def test_models_of_one_shape_share_one_trace(images, labels):
    traces = []

    def counted(logits_function, images):
        traces.append(images.shape)
        return logits_function(images)

    def sweep_once(seed, epsilons):
        function = Partial(counted, _network(seed))
        epsilon_sweep(pgd(steps=2), KEY, function, images, labels, epsilons, epsilon_block=3)
        correctly_classified(function, images, labels)

    sweep_once(0, GRID)
    first = len(traces)
    for seed in (1, 2):
        sweep_once(seed, GRID[:4] * 1.5)
    # The check of the labels asks for the logits' shape, which JAX may or may not remember.
    assert all(shape == (1, INPUTS) for shape in traces[first:])


def test_progress_counts_every_epsilon_once(network, images, labels):
    ticks = []
    epsilon_sweep(fgsm(), KEY, network, images, labels, GRID, epsilon_block=2, image_block=4, progress=ticks.append)
    assert ticks == [2, 2, 1]


def test_masked_gradients_are_flagged_image_by_image(images):
    """Where no hidden unit is active ReLU^4.5 has no gradient; the other images have one."""
    network = models.Network(INPUTS, 16, 4, power=4.5, rngs=nnx.Rngs(0))
    kernel = jnp.abs(network.encoder.kernel.get_value()).at[0].set(-1e3)
    network.encoder.kernel.set_value(kernel)
    mixed = images.copy()
    mixed[::2, 0], mixed[1::2, 0] = 0.9, 0.0
    function = models.logits_function(network)
    labels = np.asarray(jnp.argmax(function(jnp.asarray(mixed)), axis=1))
    for attack in (fgsm(), pgd(steps=3)):
        sweep = epsilon_sweep(attack, KEY, function, mixed, labels, [1e-4, 1e-3])
        np.testing.assert_array_equal(sweep.gradient_vanished, np.arange(len(images)) % 2 == 0)
        assert not sweep.success[:, ::2].any()
        np.testing.assert_array_equal(sweep.l2[:, ::2], 0)


def test_critical_perturbation_of_a_linear_model_is_its_distance_to_the_boundary():
    """Two classes: FGSM flips at ε = |margin| / ‖w‖₁, PGD in L2 at |margin| / ‖w‖₂, each within one grid step."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=INPUTS).astype(np.float32)
    function = Partial(lambda w, x: jnp.stack([x @ w, jnp.zeros(len(x))], axis=1), jnp.asarray(weights))
    images = rng.normal(size=(30, INPUTS)).astype(np.float32)
    margin = images.astype(np.float64) @ weights
    labels = (margin < 0).astype(np.int32)
    grid = epsilon_grid(1e-3, 5, 120)
    ratio = grid[1] / grid[0]
    for attack, norm, dual in ((fgsm(bounds=None), "linf", 1), (pgd(norm=2, steps=4, bounds=None), "l2", 2)):
        critical = critical_perturbations(epsilon_sweep(attack, KEY, function, images, labels, grid), norm)
        distance = np.abs(margin) / np.linalg.norm(weights, ord=dual)
        assert (distance > grid[0]).all()
        # Float32 rounding of the margin beside the grid step.
        assert (critical >= distance * (1 - 1e-4)).all()
        assert (critical <= distance * ratio * (1 + 1e-4)).all()


def test_correctly_classified_takes_the_first_and_leaves_out_what_is_not_finite():
    logits = np.eye(3, dtype=np.float32)[[0, 1, 2, 1, 0, 2]]
    logits[4, 1] = np.nan
    labels = np.array([0, 1, 0, 1, 0, 2])
    identity = Partial(lambda x: x)
    np.testing.assert_array_equal(correctly_classified(identity, logits, labels), [0, 1, 3, 5])
    np.testing.assert_array_equal(correctly_classified(identity, logits, labels, 2), [0, 1])
    with pytest.raises(ValueError, match="limit"):
        correctly_classified(identity, logits, labels, 0)


def _sweep(success):
    success = np.asarray(success, bool)
    lengths = np.arange(1.0, success.size + 1).reshape(success.shape)
    grid = np.arange(1.0, len(success) + 1)
    return Sweep(grid, success, lengths, 10 * lengths, np.zeros(success.shape[1], bool))


def test_critical_perturbation_is_the_length_at_the_first_flip_even_if_a_later_epsilon_fails():
    sweep = _sweep([[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 1]])
    np.testing.assert_array_equal(critical_perturbations(sweep), [5, 2, np.inf, 12])
    np.testing.assert_array_equal(critical_perturbations(sweep, "linf"), [50, 20, np.inf, 120])
    np.testing.assert_array_equal(relative_accuracy(sweep), [0.75, 0.75, 0.5])


@pytest.mark.parametrize(
    ("critical", "median", "censored"),
    [([1, 2, 3], 2, 0), ([np.inf, 5, 1], 5, 1 / 3), ([1, np.inf], 1, 0.5), ([1, np.inf, np.inf], np.inf, 2 / 3)],
)
def test_median_counts_the_censored_as_infinitely_far(critical, median, censored):
    assert median_with_censoring(np.array(critical, float)) == median
    assert censored_share(np.array(critical, float)) == pytest.approx(censored)


@pytest.mark.parametrize("count", [6, 25, 200])
def test_median_interval_is_the_tightest_pair_of_ranks_that_covers(count):
    """Ranks j and n + 1 − j cover the median with P(j ≤ B ≤ n − j), B binomial(n, 1/2)."""
    critical = np.arange(1.0, count + 1)
    low, high = median_interval(np.random.default_rng(0).permutation(critical), 0.95)
    coverage = [stats.binom.cdf(count - j, count, 0.5) - stats.binom.cdf(j - 1, count, 0.5) for j in (low, low + 1)]
    assert coverage[0] >= 0.95 > coverage[1]
    assert low + high == count + 1


def test_median_interval_reaches_infinity_with_the_censored_and_is_everything_for_too_few():
    critical = np.concatenate([np.arange(1.0, 12), np.full(9, np.inf)])
    low, high = median_interval(critical)
    assert np.isfinite(low)
    assert high == np.inf
    assert median_interval(np.array([1.0, 2.0])) == (0.0, np.inf)


def test_epsilon_grid_is_geometric_with_exact_ends():
    grid = epsilon_grid(1e-6, 8.25, 400)
    assert (grid[0], grid[-1], len(grid)) == (1e-6, 8.25, 400)
    np.testing.assert_allclose(np.diff(np.log(grid)), np.log(8.25e6) / 399, rtol=1e-9)
    for low, high, count in ((0, 1, 3), (2, 1, 3), (1, 2, 1), (1, np.inf, 3), (float("nan"), 1, 3)):
        with pytest.raises(ValueError, match="grid"):
            epsilon_grid(low, high, count)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.full((2, INPUTS), np.nan, np.float32)}, "finite"),
        ({"images": np.full((2, INPUTS), 1.5, np.float32)}, "clips"),
        ({"images": np.ones((2, INPUTS), int)}, "floating"),
        ({"images": np.ones((0, INPUTS), np.float32), "labels": np.zeros(0, int)}, "no image"),
        ({"labels": np.array([0, 4])}, "labels"),
        ({"labels": np.array([0, -1])}, "labels"),
        ({"labels": np.array([0])}, "labels"),
        ({"epsilons": [0.2, 0.1]}, "increasing"),
        ({"epsilons": [0.0, 0.1]}, "positive"),
        ({"epsilons": [0.1, np.inf]}, "finite"),
        ({"epsilons": []}, "epsilons"),
        ({"epsilon_block": 0}, "epsilon_block"),
    ],
)
def test_input_that_makes_no_sense_is_refused(network, change, message):
    arguments = {"images": np.full((2, INPUTS), 0.5, np.float32), "labels": np.array([0, 1]), "epsilons": [0.1, 0.2]}
    with pytest.raises(ValueError, match=message):
        epsilon_sweep(fgsm(), KEY, network, **(arguments | change))


def test_statistics_of_nothing_are_refused():
    for statistic in (median_with_censoring, censored_share, median_interval):
        for critical in (np.array([]), np.array([np.nan]), np.array([-1.0])):
            with pytest.raises(ValueError, match="critical"):
                statistic(critical)
    with pytest.raises(ValueError, match="confidence"):
        median_interval(np.ones(3), 1.5)


@pytest.mark.parametrize("protocol", ["fixed", "published"])
def test_an_image_meets_the_same_noise_whichever_others_are_attacked(network, images, labels, protocol):
    def lengths(chosen):
        attack, key = gaussian(protocol=protocol), jax.random.key(5)
        sweep = epsilon_sweep(attack, key, network, images[chosen], labels[chosen], GRID, image_indices=chosen)
        return sweep.linf

    everyone, some = np.arange(len(images)), np.arange(len(images))[1::2]
    np.testing.assert_array_equal(lengths(everyone)[:, some], lengths(some))
    assert len(np.unique(lengths(everyone))) == GRID.size * len(images)


def test_image_indices_must_fit_the_images(network, images, labels):
    with pytest.raises(ValueError, match="image_indices"):
        epsilon_sweep(gaussian(), jax.random.key(0), network, images, labels, [0.1], image_indices=np.arange(1))
