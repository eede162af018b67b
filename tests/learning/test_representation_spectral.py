"""The rep-spectral penalty: the largest singular value by power iteration, against a decomposition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from regularizer_cases import CLASSES, INPUTS, KEY, batch_of, gradient, network

from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.learning.representation_spectral import representation_spectral
from jax_bioadv.learning.supervised import init, make_epoch

IMAGES = jnp.asarray(np.random.default_rng(1).normal(size=(20, INPUTS)).astype(np.float32))
DATA = TrainingData(IMAGES, jnp.asarray(np.arange(20, dtype=np.int32) % CLASSES))


def model_of(singular, seed=0):
    """With these singular values of the first layer, and others that fall to nothing."""
    model = network()
    generator = np.random.default_rng(seed)
    inputs, hidden = model.encoder.kernel[...].shape
    left, right = (np.linalg.qr(generator.normal(size=(size, len(singular))))[0] for size in (inputs, hidden))
    model.encoder.kernel[...] = jnp.asarray(left * singular @ right.T, jnp.float32)
    return model, left[:, 0], right[:, 0]


def test_value_and_gradient_are_those_of_the_largest_singular_value():
    model, left, right = model_of([3.0, 2.0, 1.0])
    regularizer = representation_spectral(0.5)
    aux = regularizer.refresh(model, DATA)
    value = regularizer.penalty(model, batch_of(model, IMAGES), aux, KEY)
    assert value == pytest.approx(0.5 * 9, rel=1e-5)

    found = gradient(regularizer, model, IMAGES, aux)["encoder"]["kernel"][...]
    np.testing.assert_allclose(found, 0.5 * 2 * 3 * np.outer(left, right), atol=1e-4)


def test_a_renewal_follows_the_layer():
    model, *_ = model_of([3.0, 2.0])
    regularizer = representation_spectral(1.0, steps=2)
    aux = regularizer.refresh(model, DATA)
    other, _, right = model_of([3.0, 0.5], seed=1)
    for _ in range(6):
        aux = regularizer.renewed(aux, other, DATA)
    # Every step of power iteration multiplies the rest by (0.5 / 3)².
    assert abs(float(aux @ right)) == pytest.approx(1, abs=1e-5)


def test_training_makes_the_largest_singular_value_smaller_and_leaves_the_others():
    model, *_ = model_of([3.0, 1.0, 1.0])
    state = {}
    for weight in (0.0, 0.1):
        regularizer, optimizer = representation_spectral(weight), optax.sgd(0.05)
        graphdef, begun = init(jax.random.key(0), model, optimizer, regularizer, DATA)
        epoch = jax.jit(make_epoch(graphdef, optimizer, regularizer, batch_size=20))
        for _ in range(20):
            begun, _ = epoch(begun, DATA, jnp.ones(1, bool))
        kernel = jax.tree.leaves(begun.parameters["encoder"]["kernel"])[0]
        state[weight] = np.linalg.svd(np.asarray(kernel), compute_uv=False)
    assert state[0.1][0] < 0.9 * state[0.0][0]
    np.testing.assert_allclose(state[0.1][1:3], state[0.0][1:3], rtol=0.05)


def test_a_layer_of_zeros_costs_nothing_and_has_a_finite_gradient():
    model, *_ = model_of([0.0])
    regularizer = representation_spectral()
    aux = regularizer.refresh(model, DATA)
    assert np.all(np.isfinite(aux))
    assert regularizer.penalty(model, batch_of(model, IMAGES), aux, KEY) == 0


@pytest.mark.parametrize(("settings", "message"), [({"weight": -1.0}, "not negative"), ({"steps": 0}, "at least one")])
def test_settings_without_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        representation_spectral(**settings)
