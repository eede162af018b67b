"""The classifier of raw pixels against the pipeline that divides images beforehand, and against theory."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv import models
from jax_bioadv.attacks import pgd
from jax_bioadv.data import unit_norm
from jax_bioadv.raw_pixels import raw_pixel_logits, raw_pixels

SHAPE = (4, 4, 3)
NORMS = [1.0, 2.0, 2.5, 3.0, math.inf]


@pytest.fixture(scope="module")
def stored():
    return np.random.default_rng(0).integers(0, 256, (12, *SHAPE)).astype(np.uint8)


def _network(seed=1, power=1.0):
    return models.logits_function(models.Network(math.prod(SHAPE), 20, 5, power=power, rngs=nnx.Rngs(seed)))


def _margin(logits):
    return logits[:, 0] - logits[:, 1]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_it_says_what_the_pipeline_says(norm, power, stored):
    network = _network(power=power)
    expected = network(jnp.asarray(unit_norm(stored, norm)))
    # A pixel of float32 is right to 2^-24, the norm to some more of them; n = 4.5 times that in the activation.
    np.testing.assert_allclose(
        raw_pixel_logits(network, norm)(jnp.asarray(raw_pixels(stored))), expected, rtol=2e-5, atol=1e-6
    )


def test_raw_pixels_are_bytes_over_255_row_by_row(stored):
    pixels = raw_pixels(stored)
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(np.round(pixels * 255).astype(np.uint8).reshape(stored.shape), stored)
    assert raw_pixels(np.full((1, 2, 2), 255, np.uint8)).max() == 1
    for wrong in (stored.astype(np.float32), stored.astype(np.int32), stored[0, 0, 0]):
        with pytest.raises(ValueError, match="uint8"):
            raw_pixels(wrong)


@pytest.mark.parametrize("norm", NORMS)
def test_the_gradient_is_the_differences(norm, stored):
    """In float64, central differences with a step of 1e-6: an error of some 1e-9 by rounding; ReLU kinks are far."""
    with jax.enable_x64(True):
        model = raw_pixel_logits(lambda x: jnp.tanh(x @ weights), norm)
        weights = jnp.asarray(np.random.default_rng(3).normal(size=(math.prod(SHAPE), 5)))
        image = 0.1 + jnp.asarray(raw_pixels(stored[:1]), jnp.float64)  # L1 has no gradient at 0
        image = image.at[0, 7].set(1.5)  # one largest pixel, where the maximum norm has a gradient
        gradient = jax.jit(jax.grad(lambda x: _margin(model(x))[0]))(image)[0]
        steps = 1e-6 * np.eye(image.shape[1])
        margins = jax.jit(lambda x: _margin(model(x)))
        differences = (margins(image + steps) - margins(image - steps)) / 2e-6
        np.testing.assert_allclose(gradient, differences, atol=1e-8)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-20, 0.5])
def test_brightness_changes_nothing(norm, scale, stored):
    """Logits are the same for every multiple of an image, so that the gradient is orthogonal to it."""
    model, images = raw_pixel_logits(_network(), norm), jnp.asarray(raw_pixels(stored))
    np.testing.assert_allclose(model(scale * images), model(images), rtol=1e-5, atol=1e-6)
    gradient = np.asarray(jax.grad(lambda x: _margin(model(x)).sum())(images), np.float64)
    along = np.sum(gradient * images, axis=1)
    # Float32 sums over 48 pixels of terms of the gradient's size.
    assert np.abs(along).max() < 1e-5 * np.linalg.norm(gradient, axis=1).max() * math.sqrt(48)
    assert np.linalg.norm(gradient, axis=1).min() > 0.01


@pytest.mark.parametrize("norm", NORMS)
def test_a_black_image_is_finite(norm):
    model, black = raw_pixel_logits(_network(), norm), jnp.zeros((12, math.prod(SHAPE)))
    np.testing.assert_array_equal(model(black), _network()(black))
    assert np.isfinite(jax.grad(lambda x: _margin(model(x)).sum())(black)).all()


def test_attacks_share_a_trace_between_models_but_not_between_norms(stored):
    traces, images = [], jnp.asarray(raw_pixels(stored))

    @jax.jit
    def counted(*arguments):
        traces.append(arguments)
        return pgd()(*arguments)

    for seed, norm in ((1, 3.0), (2, 3), (2, 2.0)):
        model = raw_pixel_logits(_network(seed), norm)
        counted.eval_shape(jax.random.key(0), model, images, jnp.zeros(len(images), int), 8 / 255)
    assert len(traces) == 2


@pytest.mark.parametrize("norm", [0.5, float("nan")])
def test_what_is_not_a_norm_is_refused(norm):
    with pytest.raises(ValueError, match="norm"):
        raw_pixel_logits(_network(), norm)
