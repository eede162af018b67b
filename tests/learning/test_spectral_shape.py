"""Shapes of spectra: against a full eigendecomposition and its derivative, and at their work."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from regularizer_cases import HIDDEN, INPUTS, KEY, ROUNDING, batch_of, fast_jit, gradient, network

from jax_bioadv.learning.regularizers import TrainingData, combine, hidden_spectrum, image_covariance
from jax_bioadv.learning.spectral_shape import spectral_shape
from jax_bioadv.models import Network

LAW = jnp.asarray((np.arange(1, HIDDEN + 1) ** -1.3).astype(np.float32))
ON = pytest.mark.parametrize("noise", [False, True], ids=["images", "noise"])
SCALES = np.arange(1, INPUTS + 1) ** -0.5


@pytest.fixture
def images():
    return jnp.asarray((np.random.default_rng(1).normal(size=(200, INPUTS)) * SCALES + 1.0).astype(np.float32))


def data_of(images):
    return TrainingData(images, jnp.zeros(len(images), jnp.int32), image_covariance(images))


def cost(regularizer, model, images):
    """Of all images as one batch, with eigenvectors of now."""
    return regularizer.penalty(model, batch_of(model, images), regularizer.refresh(model, data_of(images)), KEY)


def twin(kernel, covariance, wanted, first=1):
    """By the eigenvalues themselves."""
    eigenvalues = jnp.linalg.eigvalsh(kernel.T @ covariance @ kernel)[::-1][first - 1 : len(wanted)]
    return jnp.var(jnp.log(eigenvalues) - jnp.log(wanted[first - 1 :]))


@ON
@pytest.mark.parametrize(("first", "last"), [(1, HIDDEN), (3, 6)])
def test_it_is_the_scatter_of_the_logarithms_of_all_wanted_eigenvalues(noise, first, last, images):
    model, covariance = network(), jnp.eye(INPUTS) if noise else image_covariance(images)
    found = cost(spectral_shape(LAW[:last], 0.7, noise=noise, first=first), model, images)
    by_hand = fast_jit(twin, static_argnames="first")(model.encoder.kernel[...], covariance, LAW[:last], first=first)
    # A small eigenvalue has the rounding of the largest, some hundred times as large.
    assert found == pytest.approx(0.7 * float(by_hand), rel=1e-3)


@ON
def test_its_gradient_is_that_of_the_eigenvalues(noise, images):
    """Eigenvectors turn, but to first order no eigenvalue knows."""
    model, covariance = network(), jnp.eye(INPUTS) if noise else image_covariance(images)
    regularizer = spectral_shape(LAW, noise=noise)
    found = gradient(regularizer, model, images, regularizer.refresh(model, data_of(images)))["encoder"]["kernel"][...]
    expected = fast_jit(jax.grad(lambda kernel: twin(kernel, covariance, LAW)))(model.encoder.kernel[...])
    np.testing.assert_allclose(found, expected, atol=2e-3 * float(jnp.abs(expected).max()))  # as above


@ON
def test_neither_scale_matters(noise, images):
    model = network()
    before = cost(spectral_shape(LAW, noise=noise), model, images)
    model.encoder.kernel[...] = 3.0 * model.encoder.kernel[...]
    assert cost(spectral_shape(100.0 * LAW, noise=noise), model, images) == pytest.approx(float(before), rel=1e-4)


def test_the_spectrum_that_it_has_costs_nothing(images):
    model = network()
    for noise in (False, True):
        own, _ = hidden_spectrum(model, None if noise else image_covariance(images))
        assert cost(spectral_shape(own, noise=noise), model, images) < ROUNDING


def test_renewing_a_basis_again_and_again_finds_the_eigenvectors(images):
    model, data, regularizer = network(), data_of(images), spectral_shape(LAW, noise=True)
    basis = jnp.linalg.qr(jax.random.normal(KEY, (HIDDEN, HIDDEN)))[0]
    for _ in range(300):
        basis = regularizer.renewed(basis, model, data)
    kernel = model.encoder.kernel[...]
    diagonal = basis.T @ kernel.T @ kernel @ basis
    np.testing.assert_allclose(jnp.diag(diagonal), hidden_spectrum(model, None)[0], rtol=1e-3)
    anew = spectral_shape(LAW, noise=True, warm_start=False)
    np.testing.assert_array_equal(anew.renewed(basis, model, data), anew.refresh(model, data))


def test_both_spectra_are_had_at_once_though_the_sum_of_exponents_is_another():
    inputs, hidden = 24, 10
    images = jax.random.normal(jax.random.key(2), (400, inputs)) * jnp.arange(1.0, inputs + 1) ** -0.75
    data, law = data_of(images), 1.0 / jnp.arange(1, hidden + 1)
    untrained = Network(inputs, hidden, 3, rngs=nnx.Rngs(0))
    both = combine(spectral_shape(law), spectral_shape(law, noise=True))
    optimizer, kernel = optax.adam(1e-2), untrained.encoder.kernel[...]

    def loss(kernel):
        model = nnx.clone(untrained)
        model.encoder.kernel[...] = kernel
        aux = jax.lax.stop_gradient(both.refresh(model, data))
        return both.penalty(model, batch_of(model, images), aux, KEY)

    def step(carry, _):
        kernel, state = carry
        updates, state = optimizer.update(jax.grad(loss)(kernel), state)
        return (optax.apply_updates(kernel, updates), state), None

    (kernel, _), _ = fast_jit(lambda carry: jax.lax.scan(step, carry, length=300))((kernel, optimizer.init(kernel)))
    for covariance in (data.covariance, jnp.eye(inputs)):
        eigenvalues = jnp.linalg.eigvalsh(kernel.T @ covariance @ kernel)[::-1]
        np.testing.assert_allclose(eigenvalues / eigenvalues[0], law, rtol=0.05)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"weight": -1.0}, "weight"),
        ({"first": 0}, "two eigenvalues are needed"),
        ({"first": HIDDEN}, "two eigenvalues are needed"),
        ({"wanted": jnp.array([1.0, 0.5, 0.0])}, "positive and finite"),
        ({"wanted": jnp.array([1.0, 0.5, np.nan])}, "positive and finite"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        spectral_shape(**{"wanted": LAW, **arguments})


def test_more_variances_than_units_and_images_without_covariance_are_refused(images):
    with pytest.raises(ValueError, match="9 variances are wanted, and the layer has 8"):
        spectral_shape(jnp.ones(HIDDEN + 1), noise=True).refresh(network(), data_of(images))
    few = Network(3, HIDDEN, 2, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="4 variances are wanted, and the layer has 3"):
        spectral_shape(jnp.ones(4), noise=True).refresh(few, data_of(images[:, :3]))
    with pytest.raises(ValueError, match=r"TrainingData\.covariance"):
        spectral_shape(LAW).refresh(network(), data_of(images)._replace(covariance=None))
    noise = spectral_shape(LAW, noise=True).refresh(network(), data_of(images)._replace(covariance=None))
    assert noise.shape == (HIDDEN, HIDDEN)
