"""Spectra of any representation: each side against the covariance of features that are kept, a sketch by its error."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jax_bioadv.analysis.spectra import covariance, covariance_spectrum, fit_power_law
from jax_bioadv.analysis.tap_spectra import tap_spectrum

GENERATOR = np.random.default_rng(0)
INPUTS, SHAPE = 12, (3, 2, 5)
IMAGES = GENERATOR.uniform(size=(41, INPUTS)).astype(np.float32)
WEIGHTS = jnp.asarray(GENERATOR.normal(size=(INPUTS, 30)), jnp.float32)


def maps(weights, images):
    return jnp.tanh(images @ weights).reshape(-1, *SHAPE)


def linear(weights, images):
    return images @ weights


MAPS = Partial(maps, WEIGHTS)


def expected(values):
    """The spectrum of features that are all there."""
    return covariance_spectrum(covariance(values))[: len(values) - 1]


def agree(found, eigenvalues):
    # Float32 features are the same but for their last bits: 2^-24 of values below 1, as seen by every eigenvalue.
    np.testing.assert_allclose(found.eigenvalues, eigenvalues, rtol=1e-5, atol=1e-7 * eigenvalues[0])
    assert found.total_variance == pytest.approx(eigenvalues.sum(), rel=1e-6)
    assert not found.errors.any()


@pytest.mark.parametrize(
    ("images", "image_block", "memory", "side"),
    [
        (41, 256, 2**30, "features"),
        (41, 7, 2**30, "features"),
        (20, 256, 2**30, "samples"),
        (20, 4, 20 * 20 * 8, "samples"),  # which holds blocks of six images
    ],
)
def test_flattened_maps_have_the_spectrum_of_their_features(images, image_block, memory, side):
    found = tap_spectrum(MAPS, IMAGES[:images], image_block=image_block, memory=memory)
    assert (found.side, found.samples, found.features) == (side, images, 30)
    agree(found, expected(maps(WEIGHTS, IMAGES[:images]).reshape(images, -1)))


@pytest.mark.parametrize("image_block", [256, 7])
def test_positions_are_samples_of_their_channels(image_block):
    found = tap_spectrum(MAPS, IMAGES, samples="positions", image_block=image_block)
    assert (found.samples, found.features) == (41 * 6, 5)
    agree(found, expected(maps(WEIGHTS, IMAGES).reshape(-1, 5)))


def test_few_positions_of_many_channels_are_taken_by_the_samples():
    def wide(images):
        return maps(WEIGHTS, images).reshape(-1, 1, 2, 15)

    found = tap_spectrum(wide, IMAGES[:5], samples="positions", memory=2 * 8 * 15 * 2 * 2)  # two images at a time
    assert (found.side, found.samples, found.features) == ("samples", 10, 15)
    agree(found, expected(wide(IMAGES[:5]).reshape(10, 15)))


@pytest.mark.parametrize("images", [41, 20])
def test_a_mean_far_above_the_deviations_costs_nothing(images):
    # Whole multiples of 2^-10 below 1, so that float32 holds them beside 64 as well.
    steps = np.round(IMAGES[:images] @ np.eye(INPUTS, 30) * 1024).astype(np.float32) / 1024
    found, shifted = (tap_spectrum(lambda x, mean=mean: x + mean, steps).eigenvalues for mean in (0.0, 64.0))
    np.testing.assert_allclose(shifted, found, rtol=1e-10, atol=1e-14 * found[0])


@pytest.fixture(scope="module")
def steep():
    """Images of 60 inputs whose spectrum is a power law."""
    values = np.random.default_rng(1).normal(size=(90, 60)) / np.arange(1, 61)
    return (values @ np.linalg.qr(np.random.default_rng(2).normal(size=(60, 60)))[0]).astype(np.float32)


@pytest.mark.parametrize("images", [90, 50])
def test_a_sketch_is_within_its_error_and_from_below(steep, images):
    exact = expected(steep[:images])
    found = tap_spectrum(lambda x: x, steep[:images], memory=1, rank=10, image_block=32)
    assert (found.side, len(found.eigenvalues)) == ("sketch", 20)
    assert np.all(found.eigenvalues <= exact[:20] * (1 + 1e-6))  # features are float32
    nearest = np.abs(found.eigenvalues[:, None] - exact).min(axis=1)
    assert np.all(nearest <= found.errors + 1e-6 * exact[0])
    # Four passes turn the subspace by (λ_21/λ_10)^3, or (10/21)^6 = 1 %, which tells in eigenvalues as its square.
    np.testing.assert_allclose(found.eigenvalues[:10], exact[:10], rtol=1e-2)
    assert found.total_variance == pytest.approx(exact.sum(), rel=1e-6)
    more = tap_spectrum(lambda x: x, steep[:images], memory=1, rank=10, passes=8, image_block=32)
    assert np.all(more.errors[:10] < found.errors[:10])


def test_a_sketch_of_all_there_is_is_exact(steep):
    found = tap_spectrum(lambda x: x, steep, memory=1, rank=60)
    np.testing.assert_allclose(found.eigenvalues, expected(steep), rtol=1e-6)


def test_the_exponent_is_that_of_the_representation():
    values = np.random.default_rng(3).normal(size=(400, INPUTS)).astype(np.float32)
    scale = jnp.asarray(np.linalg.qr(GENERATOR.normal(size=(INPUTS, INPUTS)))[0] * np.arange(1.0, 1 + INPUTS) ** -1.0)
    values -= values.mean(axis=0)
    values /= np.linalg.norm(values, axis=0) / 20
    white = np.linalg.qr(values)[0] * 20  # exactly white, so that the exponent is exactly 2
    fit = fit_power_law(tap_spectrum(Partial(linear, scale.T), white.astype(np.float32)).eigenvalues, 1, INPUTS)
    assert fit.alpha == pytest.approx(2.0, abs=1e-4)


@pytest.mark.parametrize("sides", [{}, {"memory": 1, "rank": 2}])
def test_representations_of_one_shape_share_a_trace(sides):
    traces = []

    def counted(weights, images):
        traces.append(None)
        return maps(weights, images)

    for scale in (1.0, 2.0, 3.0):
        tap_spectrum(Partial(counted, scale * WEIGHTS), IMAGES, image_block=16, **sides)
    assert len(traces) == 2  # of one image, for its shape, and of a block


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((MAPS, IMAGES[:1]), {}, "two samples"),
        ((MAPS, IMAGES[0]), {}, "flattened"),
        ((MAPS, IMAGES > 0), {}, "floating"),
        ((lambda x: x, IMAGES), {"samples": "positions"}, "maps"),
        ((lambda x: x / 0.0, IMAGES), {}, "not finite"),
        ((MAPS, IMAGES[:2]), {"memory": 2 * 2 * 8}, "does not hold"),
        ((MAPS, IMAGES), {"passes": 1}, "passes"),
        ((MAPS, IMAGES), {"image_block": 0}, "image_block"),
    ],
)
def test_bad_input_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        tap_spectrum(*arguments, **options)


def test_samples_of_another_name_are_refused():
    with pytest.raises(ValueError, match="'images' or 'positions', got 'position'"):
        tap_spectrum.__wrapped__(lambda images: images, np.ones((3, 2), np.float32), samples="position")
