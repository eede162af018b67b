"""The Square Attack by its invariants, on models with and without a gradient, and against a published one."""

import logging
import math
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv import models
from jax_bioadv.analysis.critical import critical_search
from jax_bioadv.analysis.robustness import epsilon_grid, epsilon_sweep
from jax_bioadv.attacks import pgd, square
from jax_bioadv.attacks.attack import succeeded
from jax_bioadv.attacks.square import square_sides

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "PyTorch not found", UserWarning)
    from art.attacks.evasion import SquareAttack
    from art.estimators.classification import ClassifierMixin
    from art.estimators.estimator import BaseEstimator, NeuralNetworkMixin

SHAPE = (10, 11, 3)
INPUTS, IMAGES, CLASSES = math.prod(SHAPE), 60, 4
# Radii at which some images of the network fall to 20 queries and some do not.
RADIUS = {math.inf: 0.02, 2: 0.3}
# Roundings of x + δ near 1, one for each pixel.
ROUNDING = {math.inf: 1.2e-7, 2: 1.2e-7 * math.sqrt(INPUTS)}
norms = pytest.mark.parametrize("norm", [math.inf, 2])
run = jax.jit(lambda attack, *arguments: attack(*arguments))


def _network(seed=3):
    """Blind to the mean of an image, or all random images would be of one class."""
    network = models.Network(INPUTS, 24, CLASSES, rngs=nnx.Rngs(seed))
    kernel = network.encoder.kernel.get_value()
    network.encoder.kernel.set_value(3 * (kernel - kernel.mean(axis=0)))
    return models.logits_function(network)


@pytest.fixture(scope="module")
def network():
    return _network()


@pytest.fixture(scope="module")
def images():
    """Four patches of one colour each, from pale to full contrast."""
    generator = np.random.default_rng(1)
    patches = np.kron(generator.uniform(0, 1, (IMAGES, 2, 2, 3)), np.ones((1, 5, 6, 1)))[:, :, : SHAPE[1]]
    contrasts = generator.uniform(0.2, 1, (IMAGES, 1, 1, 1))
    return jnp.asarray((contrasts * patches).reshape(IMAGES, INPUTS), jnp.float32)


@pytest.fixture(scope="module")
def labels(network, images):
    return jnp.argmax(network(images), axis=1)


def _attack(norm, queries=20, **settings):
    return square(norm, queries, SHAPE, **settings)


def _length(perturbation, norm):
    return np.linalg.norm(np.asarray(perturbation, np.float64), ord=norm, axis=1)


def _margins(network, result, labels):
    logits = np.asarray(network(result.images))
    others = np.where(np.arange(CLASSES) == np.asarray(labels)[:, None], -np.inf, logits)
    return logits[np.arange(len(logits)), labels] - others.max(axis=1)


# --- the perturbation ---


@norms
@pytest.mark.parametrize("epsilon", [0.02, 0.7])
def test_perturbed_images_stay_in_the_ball_and_in_the_bounds(norm, epsilon, network, images, labels, key):
    perturbed = run(_attack(norm), key, network, images, labels, epsilon).images
    assert _length(perturbed - images, norm).max() <= epsilon + ROUNDING[norm]
    assert _length(perturbed - images, norm).max() > 0.9 * epsilon
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1


def test_without_bounds_all_of_epsilon_is_spent(network, images, labels, key):
    perturbed = run(_attack(2, bounds=None), key, network, images, labels, RADIUS[2]).images
    np.testing.assert_allclose(_length(perturbed - images, 2), RADIUS[2], atol=ROUNDING[2])


def test_it_starts_from_vertical_stripes_and_moves_squares(images, key):
    """Rows first, then columns, then channels."""
    never = jnp.zeros(IMAGES, int)

    def leads_less_by_every_change(start, images):
        return (1e6 - jnp.abs(images - start).sum(axis=1, keepdims=True)) * jnp.array([1, 0])

    start, moved = images, images
    for queries in (1, 2):
        start, moved = (
            moved,
            run(
                _attack(math.inf, queries, bounds=None),
                key,
                Partial(leads_less_by_every_change, moved),
                images,
                never,
                1.0,
            ).images,
        )
    stripes, both = (np.round(each - images).reshape(-1, *SHAPE) for each in (start, moved))
    assert set(np.unique(both)) == {-1, 1}
    assert (stripes == stripes[:, :1]).all()
    assert set(np.unique(stripes)) == {-1, 1}
    step = np.round(moved - start).reshape(-1, *SHAPE)
    changed = (step != 0).any(axis=3)
    side = square_sides(2, 0.8, *SHAPE[:2])[0]
    for square_of_one, where in zip(step, changed, strict=True):
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        assert len(rows) == side
        assert np.ptp(rows) + 1 == side
        assert np.ptp(columns) < side
        # One column and channel changes all along the square, or not at all.
        block = square_of_one[rows]
        assert (block == block[:1]).all()


def test_sides_follow_the_published_schedule():
    """At 10 000 queries, by the paper's list of halvings, for 32 × 32 pixels."""
    sides = square_sides(10_000, 0.8, 32, 32)
    shares = {0: 1, 10: 1, 11: 2, 50: 2, 51: 4, 201: 8, 501: 16, 1001: 32, 2001: 64, 4001: 128, 6001: 256, 8001: 512}
    for query, divisor in shares.items():
        assert sides[query] == max(round(math.sqrt(0.8 * 1024 / divisor)), 1)
    assert len(sides) == 9_999
    odd = square_sides(300, 0.8, 32, 32, norm=2)
    assert (odd % 2 == 1).all()
    assert odd.min() == 3
    assert (np.diff(odd) <= 0).all()


# --- the search ---


@norms
@pytest.mark.parametrize(("queries", "restarts"), [(1, 1), (20, 2)])
def test_more_is_never_worse(norm, queries, restarts, network, images, labels, key):
    """A search ends no worse than it starts, and with two of them no worse than with the first."""
    first = run(_attack(norm), key, network, images, labels, RADIUS[norm])
    other = run(_attack(norm, queries, restarts=restarts), key, network, images, labels, RADIUS[norm])
    worse, better = (other, first) if queries == 1 else (first, other)
    # The same arithmetic in two programs, which a compiler may fuse, and so round, in two ways.
    np.testing.assert_allclose(better.images[worse.success], worse.images[worse.success], rtol=0, atol=1e-7)
    open_still = ~np.asarray(better.success)
    margins = _margins(network, worse, labels), _margins(network, better, labels)
    # Two compilations of the network may round a margin differently.
    assert (margins[1] <= margins[0] + 1e-5)[open_still].all()
    assert better.success.sum() > worse.success.sum()


def test_on_a_model_without_anything_to_find_it_asks_as_often_as_it_says(dead_network, key):
    """The logits are the same for all images of positive pixels."""
    asked = []

    def counted(network, batch):
        jax.debug.callback(lambda: asked.append(len(batch)))
        return network(batch)

    images = jnp.full((5, 12), 0.5)
    labels = jnp.argmax(dead_network(images), axis=1)
    attack = square(2, 4, (2, 2, 3), restarts=2)
    result = run(attack, key, Partial(counted, dead_network), images, labels, 0.3)
    jax.effects_barrier()
    assert asked == [5] * (4 * 2 + 1)  # and once for the verdict
    assert not result.success.any()
    assert not result.gradient_vanished.any()
    assert np.isfinite(result.images).all()


def test_it_never_asks_for_a_gradient(network, images, labels, key):
    @jax.custom_jvp
    def no_gradient(batch):
        return network(batch)

    @no_gradient.defjvp
    def _refused(primals, tangents):
        raise AssertionError("a gradient was asked for")

    def scored(attack):
        return jax.eval_shape(lambda *batch: attack(key, no_gradient, *batch, 0.1), images, labels)

    for norm in RADIUS:
        scored(_attack(norm))
    with pytest.raises(AssertionError, match="gradient"):
        scored(pgd())


def test_it_finds_what_a_masked_gradient_hides(network, images, labels, key):
    """Pixels rounded to bytes: nearly the same decisions, and no gradient at all."""
    rounded = Partial(lambda network, x: network(jnp.round(x * 255) / 255), network)
    right = np.asarray(jnp.argmax(rounded(images), axis=1) == labels)
    hidden, found = (run(attack, key, rounded, images, labels, 0.02) for attack in (pgd(), _attack(math.inf)))
    assert hidden.gradient_vanished.all()
    assert not hidden.success[right].any()
    assert found.success[right].mean() > 0.1


@pytest.mark.parametrize("poison", [np.nan, np.inf, -np.inf])
def test_logits_that_are_not_finite_are_never_kept(poison, network, images, labels, key):
    """Poisoned above the clean image's brightness, which half of the candidates exceed; the search goes on below it."""
    brightness = jnp.mean(images, axis=1)
    result = run(
        _attack(math.inf), key, Partial(_poisoned, network, brightness, poison), images, labels, RADIUS[math.inf]
    )
    assert not (jnp.mean(result.images, axis=1) > brightness).any()
    assert 0 < result.success.mean() < 1


def _poisoned(network, brightness, poison, images):
    poisoned = jnp.mean(images, axis=1) > brightness
    return jnp.where(poisoned[:, None], jnp.zeros(CLASSES).at[-1].set(poison), network(images))


# --- in the analyses ---


def test_one_image_at_its_own_epsilon_is_attacked_as_in_a_batch(network, images, labels, key):
    """A search has one batch for every image, under vmap; a lattice of 4 and 4 coarse points is the whole sweep."""
    lattice = epsilon_grid(RADIUS[2] / 4, RADIUS[2] * 4, 4)
    arguments = (_attack(2, 8), key, network, images[:20], labels[:20], lattice)
    sweep, search = epsilon_sweep(*arguments), critical_search(*arguments, coarse=4)
    first = np.where(sweep.success.any(axis=0), lattice[sweep.success.argmax(axis=0)], np.inf)
    np.testing.assert_array_equal(search.critical_epsilon, first)
    assert len(np.unique(first)) > 2


def test_images_of_another_shape_are_refused(network, images, labels, key):
    with pytest.raises(ValueError, match="image_shape"):
        square()(key, network, images, labels, 0.1)


# --- against the Adversarial Robustness Toolbox ---


class ByScores(NeuralNetworkMixin, ClassifierMixin, BaseEstimator):
    """Only what the library's attack asks for: scores of images (batch, height, width, channels)."""

    def __init__(self, network):
        super().__init__(model=None, clip_values=(0.0, 1.0), channels_first=False)
        self.scores = jax.jit(network)
        self.nb_classes = CLASSES

    @property
    def input_shape(self):
        return SHAPE

    def predict(self, x, batch_size=128, **kwargs):
        padded = np.zeros((IMAGES, INPUTS), np.float32)
        padded[: len(x)] = x.reshape(-1, INPUTS)
        return np.asarray(self.scores(padded))[: len(x)]

    def fit(self, x, y, batch_size=128, nb_epochs=1, **kwargs):
        raise NotImplementedError

    def get_activations(self, x, layer, batch_size, framework=False):
        raise NotImplementedError


@norms
def test_it_finds_as_much_as_the_library_with_as_many_queries(norm, network, images, labels, key):
    logging.getLogger("art").setLevel(logging.ERROR)
    np.random.seed(0)  # noqa: NPY002 (the library draws from NumPy's global generator)
    theirs = SquareAttack(ByScores(network), norm, max_iter=19, eps=RADIUS[norm], batch_size=IMAGES, verbose=False)
    with np.errstate(all="ignore"):  # its L2 steps divide by lengths that may be zero
        perturbed = theirs.generate(np.asarray(images).reshape(-1, *SHAPE), y=np.asarray(labels))
    logits = network(jnp.asarray(perturbed).reshape(images.shape))
    they = np.asarray(succeeded(logits, labels))
    ours = np.asarray(run(_attack(norm), key, network, images, labels, RADIUS[norm]).success)
    only_they, only_we = np.sum(they & ~ours), np.sum(ours & ~they)
    # Two standard errors of McNemar's test: each is one random search per image.
    assert only_they - only_we <= 2 * math.sqrt(only_they + only_we)
    assert 0.05 < np.mean(they) < 0.95
