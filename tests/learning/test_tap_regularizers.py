"""Penalties at taps: those of one hidden layer as the oracle, and the spectral one at its work in a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_convolutional import CLASSES, SIDE, Convolutional

from jax_bioadv.analysis.spectra import covariance, covariance_spectrum
from jax_bioadv.learning import supervised
from jax_bioadv.learning.regularizers import (
    Batch,
    TrainingData,
    image_covariance,
    projected_jacobian,
    spectral,
)
from jax_bioadv.learning.tap_regularizers import jacobian_at_tap, spectral_at_tap, tap_covariance
from jax_bioadv.models import Network
from jax_bioadv.taps import taps_of

KEY = jax.random.key(5)
PIXELS = np.random.default_rng(1).random((40, SIDE * SIDE), np.float32)
IMAGES = jnp.asarray(PIXELS)
DATA = TrainingData(IMAGES, jnp.asarray((PIXELS.sum(axis=1) > 8).astype(np.int32)), image_covariance(IMAGES))
# Sums of about a hundred float32 products.
ROUNDING = 1e-4


def one_hidden_layer():
    return Network(SIDE * SIDE, 6, CLASSES, power=2.0, batch_norm=True, rngs=nnx.Rngs(0))


def penalty_and_gradient(regularizer, model):
    """In a training, after the model has seen the batch."""
    aux = regularizer.refresh(model, DATA)
    graphdef, parameters, rest = nnx.split(model, nnx.Param, ...)

    def penalty(parameters):
        model = nnx.merge(graphdef, parameters, rest, copy=True)
        preactivation, _ = supervised.in_training(model, IMAGES)
        return regularizer.penalty(model, Batch(DATA.images, DATA.labels, preactivation), aux, KEY)

    return jax.jit(jax.value_and_grad(penalty))(parameters)


@pytest.mark.parametrize(
    ("at_tap", "of_one_layer"),
    [
        (
            jacobian_at_tap("activation", 0.1, projections=2),
            projected_jacobian(lambda model, image: model.activation(image[None])[0], 0.1, projections=2),
        ),
        (spectral_at_tap("preactivation", 0.1, 1.5, 2, 0.3), spectral(0.1, 1.5, 2, 0.3)),
    ],
    ids=["jacobian", "spectral"],
)
def test_of_one_hidden_layer_it_is_the_penalty_that_knows_the_layer(at_tap, of_one_layer):
    found, expected = (penalty_and_gradient(each, one_hidden_layer()) for each in (at_tap, of_one_layer))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=ROUNDING), found, expected)
    assert np.any(expected[1]["encoder"]["kernel"][...])


@pytest.fixture(scope="module")
def network():
    model = Convolutional()
    for _ in range(30):
        model(IMAGES)  # running statistics near those of the batch
    return model


@pytest.mark.parametrize("image_block", [7, 40, 500])
def test_the_covariance_of_a_map_is_that_of_its_channels(network, image_block):
    maps = taps_of(network)["stages.0"](IMAGES)
    expected = covariance(np.asarray(maps).reshape(-1, maps.shape[-1]))
    found = tap_covariance(network, "stages.0", IMAGES, image_block)
    np.testing.assert_allclose(found * len(IMAGES) * SIDE**2 / (len(IMAGES) * SIDE**2 - 1), expected, rtol=ROUNDING)


@pytest.mark.parametrize("make", [jacobian_at_tap, spectral_at_tap])
def test_only_what_is_before_a_tap_is_moved_and_running_statistics_are_constants(network, make):
    value, gradient = penalty_and_gradient(make("stages.0"), network)
    assert value > 0.0
    assert np.any(gradient["stages"][0]["convolution"]["kernel"][...])
    assert not np.any(gradient["stages"][1]["convolution"]["kernel"][...])
    # Batch norm after the tap's convolution forgives its scale, were its statistics not held.
    gradient = penalty_and_gradient(make("stages.0.norm"), network)[1]["stages"][0]
    along = jnp.vdot(gradient["convolution"]["kernel"][...], network.stages[0].convolution.kernel[...])
    assert abs(along) > 0.1 * jnp.linalg.norm(gradient["convolution"]["kernel"][...])


def test_spectral_regularization_turns_the_spectrum_of_a_convolution_into_its_target(network):
    tap, anchor = "stages.1.convolution", 0.05
    penalty, optimizer = spectral_at_tap(tap, 1.0, exponent=1.0, anchor=anchor), optax.adam(1e-2)
    model = nnx.clone(network)
    graphdef, state = supervised.init(KEY, model, optimizer, penalty, DATA)
    epoch = supervised.make_epoch(graphdef, optimizer, penalty, batch_size=20)
    for _ in range(60):
        state, _ = epoch(state, DATA)
    maps = taps_of(supervised.trained_model(graphdef, state), tap)[tap](IMAGES)
    found = covariance_spectrum(covariance(np.asarray(maps).reshape(-1, maps.shape[-1])))
    # A batch is half of the images, whose variances differ by some per cent from those of all.
    np.testing.assert_allclose(found, [anchor, anchor / 2], rtol=0.2)


@pytest.mark.parametrize("options", [{"weight": -1.0}, {"exponent": 0.0}, {"first": 0}, {"anchor": 0.0}])
def test_settings_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match=r"must|counted"):
        spectral_at_tap("stages.0", **options)


@pytest.mark.parametrize("make", [jacobian_at_tap, spectral_at_tap])
def test_unknown_taps_are_refused_before_training(network, make):
    with pytest.raises(ValueError, match=r"no 'hidden'; there are stages\.0"):
        supervised.init(KEY, network, optax.adam(1e-3), make("hidden"), DATA)


def test_a_first_eigenvalue_that_the_tap_has_not_is_refused(network):
    with pytest.raises(ValueError, match="first = 3 lies beyond the 2 eigenvalues"):
        spectral_at_tap("stages.0", first=3).refresh(network, DATA)
