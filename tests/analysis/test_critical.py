"""The search against the sweep over its whole lattice, and against thresholds known in closed form."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from jax.tree_util import Partial

from jax_bioadv import models
from jax_bioadv.analysis.critical import critical_search, epsilon_lattice, relative_accuracy_at, search_evaluations
from jax_bioadv.analysis.robustness import (
    censored_share,
    epsilon_grid,
    epsilon_sweep,
    median_with_censoring,
    relative_accuracy,
)
from jax_bioadv.attacks import Attack, fgsm, gaussian, pgd

INPUTS, IMAGES = 12, 40
LATTICE = epsilon_grid(1e-3, 1.0, 50)
KEY = jax.random.key(5)
RANDOM = pgd(steps=3, random_start=True, restarts=2)


def _network(seed=3):
    network = models.Network(INPUTS, 16, 4, rngs=nnx.Rngs(seed))
    network.encoder.kernel.set_value(5 * network.encoder.kernel.get_value())
    return models.logits_function(network)


@pytest.fixture(scope="module")
def network():
    return _network()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(1).uniform(0.2, 0.8, (IMAGES, INPUTS)).astype(np.float32)


@pytest.fixture(scope="module")
def labels(network, images):
    return np.asarray(jnp.argmax(network(jnp.asarray(images)), axis=1))


def _epsilons_of(sweep):
    """Each image's first successful epsilon by the whole grid."""
    return np.where(sweep.success.any(axis=0), sweep.epsilons[sweep.success.argmax(axis=0)], np.inf)


def _monotone(sweep):
    return (np.diff(sweep.success.astype(int), axis=0) >= 0).all(axis=0)


def _assert_crossings(search, sweep):
    """Every flip is one of the whole grid, as long as there, with a failure one lattice point below it."""
    flipped = np.flatnonzero(~search.censored)
    index = np.searchsorted(sweep.epsilons, search.critical_epsilon[flipped])
    assert sweep.success[index, flipped].all()
    assert not sweep.success[index - 1, flipped][index > 0].any()
    for found, known in ((search.l2, sweep.l2), (search.linf, sweep.linf)):
        # The same arithmetic, compiled for one ε per image; float32 sums may come in another order.
        np.testing.assert_allclose(found[flipped], known[index, flipped], rtol=1e-6)
    assert not sweep.success[-1, search.censored].any()


# --- attacks whose outcome is known ---


def _drop_first_pixel(thresholds, images):
    """Class 0 until pixel 1 exceeds the threshold, which is pixel 0."""
    return jnp.stack([thresholds * images[:, 0] - images[:, 1], jnp.zeros(len(images))], axis=1)


def _nothing(keys, logits_function, images, labels):
    return None


def _raise_pixel(prepared, keys, logits_function, images, labels, epsilon):
    return images.at[:, 1].set(epsilon), epsilon > jnp.full(len(images), 0.5)


RAISE = Attack(Partial(_nothing), Partial(_raise_pixel))
THRESHOLD = Partial(_drop_first_pixel, jnp.ones(()))


def _with_thresholds(thresholds):
    thresholds = np.asarray(thresholds, np.float32)
    return np.stack([thresholds, np.zeros_like(thresholds)], axis=1), np.zeros(len(thresholds), np.int32)


def _bands(images):
    """Flipped where pixel 1 lies in the band from pixel 0 to 1.2 times that, and above 0.5."""
    level, start = images[:, 1], images[:, 0]
    flipped = ((level > start) & (level < 1.2 * start)) | (level > 0.5)
    return jnp.stack([jnp.where(flipped, -1.0, 1.0), jnp.zeros(len(images))], axis=1)


# --- agreement ---


@pytest.mark.parametrize(
    "attack",
    [fgsm(), pgd(norm=2, steps=4), RANDOM, gaussian()],
    ids=["fgsm", "pgd", "pgd_random", "gaussian"],
)
def test_a_search_finds_what_the_whole_grid_finds(attack, network, images, labels):
    sweep = epsilon_sweep(attack, KEY, network, images, labels, LATTICE)
    search = critical_search(attack, KEY, network, images, labels, LATTICE, coarse=7)
    monotone = _monotone(sweep)
    assert monotone.mean() > 0.5
    assert sweep.success.any(axis=0)[monotone].any()
    np.testing.assert_array_equal(search.critical_epsilon[monotone], _epsilons_of(sweep)[monotone])
    assert not search.not_monotone[monotone].any()
    assert not search.gradient_vanished.any()
    _assert_crossings(search, sweep)


def test_an_image_meets_the_sweeps_noise_even_where_it_is_new_at_every_epsilon(network, images, labels):
    attack = gaussian(protocol="published")
    sweep = epsilon_sweep(attack, KEY, network, images, labels, LATTICE)
    search = critical_search(attack, KEY, network, images, labels, LATTICE, coarse=7)
    assert not search.censored.all()
    _assert_crossings(search, sweep)


def test_the_accuracy_curve_is_the_sweeps(network, images, labels):
    everywhere = epsilon_sweep(fgsm(), KEY, network, images, labels, LATTICE)
    chosen = np.flatnonzero(_monotone(everywhere))
    sweep = epsilon_sweep(fgsm(), KEY, network, images[chosen], labels[chosen], LATTICE)
    search = critical_search(fgsm(), KEY, network, images[chosen], labels[chosen], LATTICE)
    np.testing.assert_array_equal(relative_accuracy_at(search, LATTICE), relative_accuracy(sweep))
    between = np.sqrt(LATTICE[1:] * LATTICE[:-1])
    np.testing.assert_array_equal(relative_accuracy_at(search, between), relative_accuracy(sweep)[:-1])
    assert len(np.unique(relative_accuracy(sweep))) > 5
    for outside in ([LATTICE[0] / 2], [2 * LATTICE[-1]], [np.nan], 0.1):
        with pytest.raises(ValueError, match="where the search looked"):
            relative_accuracy_at(search, outside)


@given(
    thresholds=st.lists(st.floats(2**-9, 0.75, width=32), min_size=5, max_size=5),
    precision=st.floats(0.003, 1.0),
    coarse=st.integers(1, 40),
)
def test_a_known_threshold_is_met_to_the_stated_precision(thresholds, precision, coarse):
    lattice = epsilon_lattice(1e-3, 1.0, precision)
    images, labels = _with_thresholds(thresholds)
    search = critical_search(RAISE, KEY, THRESHOLD, images, labels, lattice, coarse=coarse)
    exact = images[:, 0].astype(np.float64)
    assert (search.critical_epsilon > exact * (1 - 1e-7)).all()  # ε is rounded to float32 before it is tried
    assert (search.critical_epsilon <= exact * (1 + precision) * (1 + 1e-7)).all()
    np.testing.assert_array_equal(search.linf, search.critical_epsilon.astype(np.float32))
    assert not search.not_monotone.any()
    assert not search.censored.any()


def test_some_twenty_attacks_serve_for_four_hundred_lattice_points():
    calls = []
    images, labels = _with_thresholds(np.geomspace(2e-3, 0.9, 30))
    lattice = epsilon_grid(1e-3, 1.0, 400)
    search = critical_search(RAISE, KEY, THRESHOLD, images, labels, lattice, progress=calls.append)
    assert search.evaluations == search_evaluations(400) == 16 + 5  # 25 lattice points per coarse one
    assert calls == [1] * 21
    few = {(1, 1): 1, (5, 16): 5, (16, 16): 16, (17, 16): 17, (32, 16): 17, (33, 16): 18, (2, 1): 2}
    assert {sizes: search_evaluations(*sizes) for sizes in few} == few


@pytest.mark.parametrize("points", [1, 2, 3, 17, 64])
@pytest.mark.parametrize("coarse", [1, 2, 5, 16])
def test_every_place_in_the_lattice_is_found_and_beyond_it_is_censored(points, coarse):
    lattice, once = np.geomspace(0.1, 1.0, points), slice(points + 1)
    images, labels = _with_thresholds(np.resize([*(0.99 * lattice), 1.5], 65))  # of one size, for one compilation
    search = critical_search(RAISE, KEY, THRESHOLD, images, labels, lattice, coarse=coarse)
    np.testing.assert_array_equal(search.critical_epsilon[once], [*lattice, np.inf])
    np.testing.assert_array_equal(search.censored[once], np.arange(points + 1) == points)
    for lengths in (search.l2, search.linf):
        np.testing.assert_allclose(lengths[once], [*lattice, np.inf], rtol=1e-7)  # ε as float32
    assert censored_share(search.l2[once]) == 1 / (points + 1)
    assert median_with_censoring(search.critical_epsilon[once]) == lattice[points // 2]


def test_success_that_is_not_monotone_is_counted_and_still_a_crossing():
    """A band that holds a coarse point and ends before the next one shows; one between two of them is stepped over."""
    lattice = epsilon_grid(1e-3, 1.0, 400)
    starts = np.geomspace(2e-3, 0.3, 20)
    images, labels = _with_thresholds([*starts, 0.45])
    sweep = epsilon_sweep(RAISE, KEY, Partial(_bands), images, labels, lattice)
    search = critical_search(RAISE, KEY, Partial(_bands), images, labels, lattice)
    coarse = sweep.success[24::25]
    np.testing.assert_array_equal(search.not_monotone, (np.diff(coarse.astype(int), axis=0) < 0).any(axis=0))
    assert 3 < search.not_monotone.sum() < 20  # some bands are seen, and some fall between two coarse points
    assert not search.not_monotone[-1]  # its band joins what lies above 0.5
    _assert_crossings(search, sweep)
    by_grid = _epsilons_of(sweep)
    np.testing.assert_array_equal(search.critical_epsilon[search.not_monotone], by_grid[search.not_monotone])
    assert (search.critical_epsilon > by_grid).any()
    whole = critical_search(RAISE, KEY, Partial(_bands), images, labels, lattice, coarse=400)
    np.testing.assert_array_equal(whole.not_monotone, ~_monotone(sweep))
    np.testing.assert_array_equal(whole.critical_epsilon, by_grid)


def test_noise_that_is_drawn_anew_at_every_epsilon_shows_as_not_monotone(network, images, labels):
    lattice = epsilon_grid(0.05, 2.0, 64)
    marked = {
        protocol: critical_search(gaussian(protocol=protocol), KEY, network, images, labels, lattice).not_monotone.sum()
        for protocol in ("fixed", "published")
    }
    assert marked["published"] > 2 * marked["fixed"]
    assert marked["published"] > IMAGES / 4


def test_vanished_gradients_are_those_of_the_epsilons_tried():
    images, labels = _with_thresholds([0.01, 0.02])
    for lattice, vanished in (([0.1, 0.4], False), ([0.1, 0.4, 0.6], True)):
        search = critical_search(RAISE, KEY, THRESHOLD, images, labels, lattice)
        assert (search.gradient_vanished == vanished).all()


# --- how it is run ---


def test_the_result_does_not_depend_on_blocks_or_company(network, images, labels):
    def search(chosen, **options):
        return critical_search(
            RANDOM, KEY, network, images[chosen], labels[chosen], LATTICE, image_indices=chosen, **options
        )

    everyone, some = np.arange(IMAGES), np.arange(IMAGES)[1::3]
    together = search(everyone)
    for chosen, other in ((everyone, search(everyone, image_block=7)), (some, search(some, image_block=5))):
        np.testing.assert_array_equal(other.critical_epsilon, together.critical_epsilon[chosen])
        # Blocks of another shape round their products differently.
        np.testing.assert_allclose(other.l2, together.l2[chosen], rtol=1e-5)
    shifted = critical_search(RANDOM, KEY, network, images, labels, LATTICE, image_indices=everyone + 1)
    assert (shifted.l2 != together.l2).any()


def test_models_of_one_shape_share_one_trace_whatever_the_lattice(images, labels):
    traces = []

    def counted(logits_function, images):
        traces.append(images.shape)
        return logits_function(images)

    def search_once(seed, epsilons, coarse):
        function = Partial(counted, _network(seed))
        critical_search(pgd(steps=2), KEY, function, images, labels, epsilons, coarse=coarse, image_block=16)

    search_once(0, LATTICE, 4)
    first = len(traces)
    preparing, attacking, checking = (
        1,
        2,
        1,
    )  # a gradient; one more in the loop and the verdict; the shape of the logits
    assert first <= preparing + attacking + checking
    for seed, epsilons, coarse in ((1, LATTICE[:9], 2), (2, 1.5 * LATTICE, 9)):
        search_once(seed, epsilons, coarse)
    # The check of the labels asks for the logits' shape, which JAX may or may not remember.
    assert len(traces) - first <= 2


def test_an_attack_may_prepare_what_is_no_array_of_images():
    """A constant and a direction that all images share, which no axis of a block tells apart from one per image."""

    def prepare(keys, logits_function, images, labels):
        return jnp.float32(2.0), jnp.zeros(images.shape[1]).at[1].set(0.5), None

    def perturb(prepared, keys, logits_function, images, labels, epsilon):
        scale, direction, _ = prepared
        return images + epsilon * scale * direction, jnp.zeros(len(images), bool)

    images, labels = _with_thresholds([0.05, 0.2])  # as many images as pixels
    lattice = epsilon_lattice(0.01, 1.0, 0.02)
    own = critical_search(Attack(prepare, perturb), KEY, THRESHOLD, images, labels, lattice)
    known = critical_search(RAISE, KEY, THRESHOLD, images, labels, lattice)
    np.testing.assert_array_equal(own.critical_epsilon, known.critical_epsilon)


def test_a_lattice_has_exact_ends_and_the_fewest_points_that_are_close_enough():
    for low, high, precision in ((1e-6, 8.25, 0.04), (1.0, 1.05, 0.1), (1.0, 8.0, 1.0), (0.5, 0.75, 0.5)):
        lattice = epsilon_lattice(low, high, precision)
        assert (lattice[0], lattice[-1]) == (low, high)
        assert (lattice[1:] / lattice[:-1] <= (1 + precision) * (1 + 1e-12)).all()  # float64 rounding
        assert len(lattice) == 2 or (high / low) > (1 + precision) ** (len(lattice) - 2) * (1 + 1e-12)
    for precision in (0.0, -0.1, 1e-9, np.inf, float("nan")):
        with pytest.raises(ValueError, match="relative_precision"):
            epsilon_lattice(1e-3, 1.0, precision)
    for low, high in ((0, 1), (2, 1), (1, np.inf)):
        with pytest.raises(ValueError, match="grid"):
            epsilon_lattice(low, high)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.full((2, INPUTS), np.nan, np.float32)}, "finite"),
        ({"images": np.full((2, INPUTS), 1.5, np.float32)}, "clips"),
        ({"images": np.ones((2, INPUTS), int)}, "floating"),
        ({"images": np.ones((0, INPUTS), np.float32), "labels": np.zeros(0, int)}, "no image"),
        ({"labels": np.array([0, 4])}, "labels"),
        ({"labels": np.array([0])}, "labels"),
        ({"epsilons": [0.2, 0.1]}, "increasing"),
        ({"epsilons": [0.0, 0.1]}, "positive"),
        ({"epsilons": [0.1, np.inf]}, "finite"),
        ({"epsilons": []}, "epsilons"),
        ({"coarse": 0}, "coarse"),
        ({"image_block": 0}, "image_block"),
        ({"image_indices": np.arange(1)}, "image_indices"),
    ],
)
def test_input_that_makes_no_sense_is_refused(network, change, message):
    arguments = {"images": np.full((2, INPUTS), 0.5, np.float32), "labels": np.array([0, 1]), "epsilons": [0.1, 0.2]}
    with pytest.raises(ValueError, match=message):
        critical_search(fgsm(), KEY, network, **(arguments | change))


def test_evaluations_of_nothing_are_refused():
    for points, coarse in ((0, 1), (1, 0)):
        with pytest.raises(ValueError, match="at least 1"):
            search_evaluations(points, coarse)
