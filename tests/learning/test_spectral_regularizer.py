"""The spectral regularizer: against constructed spectra, and at its work."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from regularizer_cases import HIDDEN, INPUTS, KEY, ROUNDING, batch_of, gradient, network

from jax_bioadv.analysis.spectra import covariance, covariance_spectrum, fit_power_law
from jax_bioadv.learning import supervised
from jax_bioadv.learning.regularizers import (
    Batch,
    SpectralTarget,
    TrainingData,
    hidden_spectrum,
    image_covariance,
    no_refresh,
    spectral,
)
from jax_bioadv.models import Network


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(1), (20, INPUTS))


def batch_with_variances(variances, scale=1.0):
    """Pre-activations of exactly these variances along the coordinate axes, about a mean that is not 0."""
    signs = np.array([[(-1) ** (row >> unit) for unit in range(len(variances))] for row in range(2 ** len(variances))])
    preactivation = jnp.asarray(scale * signs * np.sqrt(variances) + 3.0, jnp.float32)
    return Batch(jnp.zeros((len(signs), 1)), jnp.zeros(len(signs), jnp.int32), preactivation)


def spectral_penalty(variances, wanted, weight=1.0, first=1, rotation=None):
    batch, basis = batch_with_variances(np.asarray(variances)), jnp.eye(len(variances))
    if rotation is not None:
        batch, basis = batch._replace(preactivation=batch.preactivation @ rotation.T), rotation
    target = SpectralTarget(basis, jnp.asarray(wanted, jnp.float32))
    return float(spectral(weight, first=first).penalty(network(), batch, target, KEY))


def test_a_batch_on_target_costs_nothing_in_whatever_basis():
    wanted = np.arange(1, 5) ** -1.0
    # A variance of numbers up to 4 of order 1 is wrong by some 1e-6; the penalty is linear in that above the target.
    assert spectral_penalty(wanted, wanted) == pytest.approx(0.0, abs=1e-5)
    rotation = jnp.linalg.qr(jax.random.normal(KEY, (4, 4)))[0]
    assert spectral_penalty(wanted, wanted, rotation=rotation) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize(("ratio", "cost"), [(1.5, 0.25 + 0.5), (3.0, 4.0 + 2.0), (0.5, 0.25), (0.0, 1.0)])
def test_what_is_above_the_target_costs_more_than_what_is_below(ratio, cost):
    wanted = np.arange(1, 5) ** -2.0
    assert spectral_penalty(ratio * wanted, wanted, weight=2.0) == pytest.approx(2.0 * cost, rel=1e-4)  # as above


def test_one_eigenvalue_off_is_shared_by_all():
    variances, wanted = np.array([1.0, 1.0, 1 / 3, 1 / 4]), np.array([1.0, 1 / 2, 1 / 3, 1 / 4])
    assert spectral_penalty(variances, wanted) == pytest.approx((1.0 + 1.0) / 4, rel=1e-4)


def test_eigenvalues_before_the_first_are_left_alone():
    wanted = np.array([1.0, 1 / 2, 1 / 3, 1 / 4])
    off = np.array([7.0, 0.01, 1 / 3, 2 / 4])
    assert spectral_penalty(off, wanted, first=3) == pytest.approx((0.0 + 2.0) / 2, rel=1e-4)
    assert spectral_penalty(off, wanted, first=2) > 0.6


def covariance_data(images):
    return TrainingData(images, jnp.zeros(len(images), jnp.int32), image_covariance(images))


def test_the_published_target_is_the_power_law_as_it_stands_and_the_anchored_one_goes_through_the_data(images):
    model, ranks = network(), np.arange(1.0, HIDDEN + 1)
    data = covariance_data(images)
    published = spectral(exponent=2.62).refresh(model, data).variances
    np.testing.assert_allclose(published, ranks**-2.62, rtol=1e-5)  # float32 powers
    anchored = spectral(exponent=2.62, first=3, anchor=0.7).refresh(model, data).variances
    assert anchored[2] == np.float32(0.7)
    np.testing.assert_allclose(anchored / anchored[0], ranks**-2.62, rtol=1e-5)


def test_the_basis_diagonalizes_the_covariance_of_the_preactivation(images):
    model, data = network(), covariance_data(images)
    eigenvalues, _ = hidden_spectrum(model, data.covariance)
    covariance = np.cov(np.asarray(model.preactivation(images), np.float64).T, bias=True)
    expected = np.linalg.eigvalsh(covariance)[::-1]
    # Rounding of float32 is relative to the largest eigenvalue.
    np.testing.assert_allclose(eigenvalues, expected, rtol=0, atol=ROUNDING * expected[0])
    basis = np.asarray(spectral().refresh(model, data).eigenvectors)
    np.testing.assert_allclose(basis.T @ covariance @ basis, np.diag(expected), rtol=0, atol=ROUNDING * expected[0])


def test_renewals_of_a_model_that_stands_still_find_its_eigenvectors(images):
    model, data = network(), covariance_data(images)
    eigenvalues, wanted = map(np.asarray, hidden_spectrum(model, data.covariance))
    regularizer = spectral()
    aux = regularizer.refresh(model, data)._replace(eigenvectors=jnp.eye(HIDDEN))
    for _ in range(1000):
        aux = regularizer.renew(aux, model, data)
    np.testing.assert_allclose(aux.eigenvectors.T @ aux.eigenvectors, np.eye(HIDDEN), atol=1e-5)
    apart = eigenvalues[:-1] > 1.05 * eigenvalues[1:]  # 1.05^-1000 is nothing
    clear = np.append(apart, True) & np.insert(apart, 0, True)
    assert clear.sum() > HIDDEN / 2
    overlaps = np.abs(np.sum(np.asarray(aux.eigenvectors) * wanted, axis=0))
    np.testing.assert_allclose(overlaps[clear], 1, atol=1e-4)


@pytest.mark.parametrize("scale", [0.25, 4.0])  # powers of two, which are exact
def test_an_anchor_that_scales_with_the_images_makes_the_penalty_the_same(images, scale):
    model = network()

    def value(images, anchored):
        data = covariance_data(images)
        eigenvalues, _ = hidden_spectrum(model, data.covariance)
        regularizer = spectral(anchor=float(eigenvalues[0]) if anchored else None)
        return float(regularizer.penalty(model, batch_of(model, images), regularizer.refresh(model, data), KEY))

    assert value(scale * images, True) == pytest.approx(value(images, True), rel=1e-4)
    assert value(scale * images, False) != pytest.approx(value(images, False), rel=0.1)


def test_the_gradient_of_the_spectral_penalty_is_finite_and_moves_the_first_layer_alone(images):
    model, data = network(), covariance_data(images)
    model.encoder.kernel[...] = model.encoder.kernel[...].at[:, 2].set(0.0)  # an eigenvalue that is 0
    regularizer = spectral()
    leaves = gradient(regularizer, model, images, regularizer.refresh(model, data))
    assert np.isfinite(leaves["encoder"]["kernel"][...]).all()
    assert np.any(leaves["encoder"]["kernel"][...] != 0)
    np.testing.assert_array_equal(leaves["decoder"]["kernel"][...], 0.0)


def test_a_target_without_the_covariance_of_the_images_is_refused(images):
    with pytest.raises(ValueError, match="covariance"):
        spectral().refresh(network(), TrainingData(images, jnp.zeros(len(images), jnp.int32)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"exponent": 0.0}, "exponent"),
        ({"exponent": float("nan")}, "exponent"),
        ({"first": 0}, "first"),
        ({"anchor": 0.0}, "anchor"),
    ],
)
def test_targets_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        spectral(**options)


def test_a_first_eigenvalue_that_the_layer_has_not_is_refused(images):
    with pytest.raises(ValueError, match=f"first = {HIDDEN + 1} lies beyond the {HIDDEN}"):
        spectral(first=HIDDEN + 1).refresh(network(), covariance_data(images))


def test_the_covariance_of_the_images_is_about_their_mean(images):
    shifted = images + 10.0
    # Numbers of order 10 whose squares of order 100 cancel would lose more than that.
    np.testing.assert_allclose(image_covariance(shifted), np.cov(np.asarray(images).T, bias=True), rtol=0, atol=1e-5)


@pytest.mark.parametrize("warm_start", [True, False])
def test_spectral_regularization_reaches_its_spectrum(warm_start):
    inputs, hidden, count = 48, 24, 2000
    generator = np.random.default_rng(0)
    rotation = np.linalg.qr(generator.normal(size=(inputs, inputs)))[0]
    images = jnp.asarray((generator.normal(size=(count, inputs)) / np.arange(1, inputs + 1)) @ rotation.T, jnp.float32)
    data = TrainingData(images, jnp.asarray(generator.integers(0, 4, count)), image_covariance(images))

    untrained = Network(inputs, hidden, 4, batch_norm=True, rngs=nnx.Rngs(0))
    eigenvalues, _ = hidden_spectrum(untrained, data.covariance)
    regularizer = spectral(anchor=float(eigenvalues[0]), warm_start=warm_start)
    optimizer = optax.adam(1e-2)
    graphdef, state = supervised.init(KEY, untrained, optimizer, regularizer, data)
    epoch = supervised.make_epoch(graphdef, optimizer, regularizer, batch_size=250)
    for _ in range(40):
        state, _ = epoch(state, data, jnp.ones(8, bool))
    trained = supervised.trained_model(graphdef, state)

    def cost(model):
        return float(regularizer.penalty(model, batch_of(model, images), regularizer.refresh(model, data), KEY))

    def exponent(model):
        hidden = np.asarray(images, np.float64) @ np.asarray(model.encoder.kernel[...], np.float64)
        return fit_power_law(covariance_spectrum(covariance(hidden)), 1, 20).alpha

    # The published network had its penalty and its exponents left where they started.
    assert cost(trained) < cost(untrained) / 20
    assert exponent(untrained) > 2
    assert abs(exponent(trained) - 1) < 0.1
    kernels = untrained.encoder.kernel[...], trained.encoder.kernel[...]
    assert jnp.linalg.norm(kernels[1] - kernels[0]) > jnp.linalg.norm(kernels[0])


def test_no_refresh_is_what_it_says(images):
    assert no_refresh(network(), covariance_data(images)) is None
