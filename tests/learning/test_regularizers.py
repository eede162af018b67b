"""Regularizers: sums, weight decay and Jacobians, against automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from regularizer_cases import CLASSES, HIDDEN, INPUTS, KEY, ROUNDING, batch_of, fast_jit, gradient, network, penalty

from jax_bioadv.learning.regularizers import (
    Regularizer,
    TrainingData,
    combine,
    jacobian,
    projected_jacobian,
    spectral,
    weight_decay,
)


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(1), (20, INPUTS))


# --- sums ---


def test_weight_decay_counts_every_parameter_once(images):
    model = network(batch_norm=True)
    parameters = [model.encoder.kernel, model.decoder.kernel, model.decoder.bias, model.norm.scale, model.norm.bias]
    model.norm.mean[...] = jnp.full(HIDDEN, 100.0)  # a statistic is no parameter
    expected = 5e-4 * sum(float(np.sum(np.asarray(each[...], np.float64) ** 2)) for each in parameters)
    assert penalty(weight_decay(), model, images) == pytest.approx(expected, rel=ROUNDING)


def test_a_sum_adds_and_gives_each_part_its_own_aux_and_key(images):
    received = []

    def part(name, value):
        def observe(model, batch, aux, key):
            received.append((name, aux, tuple(np.asarray(jax.random.key_data(key)))))
            return jnp.float32(value)

        return Regularizer(lambda model, data: f"aux of {name}", observe)

    both = combine(part("a", 2.0), part("b", 3.0), combine(part("c", 4.0)))
    model = network()
    aux = both.refresh(model, TrainingData(images, jnp.zeros(len(images), jnp.int32)))
    assert both.penalty(model, batch_of(model, images), aux, KEY) == 9.0
    assert [(name, aux) for name, aux, _ in received] == [(name, f"aux of {name}") for name in "abc"]
    assert len({key for *_, key in received}) == 3
    assert tuple(np.asarray(jax.random.key_data(KEY))) not in {key for *_, key in received}


def test_the_sum_of_none_is_zero(images):
    model = network()
    aux = combine().refresh(model, TrainingData(images, jnp.zeros(len(images), jnp.int32)))
    assert combine().penalty(model, batch_of(model, images), aux, KEY) == 0.0


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
@pytest.mark.parametrize(
    "make", [weight_decay, jacobian, spectral, lambda weight: projected_jacobian(lambda m, x: x, weight)]
)
def test_weights_must_be_finite_and_not_negative(make, weight):
    with pytest.raises(ValueError, match="weight"):
        make(weight)


# --- Jacobians ---


def mean_squared_norm(function, images):
    jacobians = fast_jit(jax.vmap(jax.jacfwd(function)))(images)
    return float(np.mean(np.sum(np.asarray(jacobians, np.float64) ** 2, axis=(1, 2))))


def test_the_jacobian_of_the_preactivation_is_weight_decay_on_the_first_layer(images):
    model = network()
    found = penalty(jacobian(0.1), model, images)
    assert found == pytest.approx(
        0.1 * mean_squared_norm(lambda x: model.preactivation(x[None])[0], images), rel=ROUNDING
    )
    assert found == pytest.approx(0.1 * float(jnp.sum(model.encoder.kernel[...] ** 2)), rel=ROUNDING)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_the_jacobian_of_the_activation_is_the_jacobian(images, power):
    model = network(power)
    expected = mean_squared_norm(lambda x: model.activation(x[None])[0], images)
    assert penalty(jacobian(0.1, target="activation"), model, images) == pytest.approx(0.1 * expected, rel=ROUNDING)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_the_gradient_of_the_jacobian_is_the_gradient_of_the_jacobian_and_finite_where_a_row_is_pruned(images, power):
    model = network(power)
    model.encoder.kernel[...] = model.encoder.kernel[...].at[:, 2].set(0.0)
    found = gradient(jacobian(0.1, target="activation"), model, images)["encoder"]["kernel"][...]

    def oracle(kernel):
        slopes = power * jnp.exp((power - 1) * jnp.log(jnp.maximum(images @ kernel, 1e-20))) * (images @ kernel > 0)
        return 0.1 * jnp.mean(jnp.einsum("bh,ih->b", slopes**2, kernel**2))

    kept = np.arange(HIDDEN) != 2
    expected = fast_jit(jax.grad(oracle))(model.encoder.kernel[...])
    np.testing.assert_allclose(
        found[:, kept], expected[:, kept], rtol=1e-4, atol=1e-4 * jnp.abs(expected[:, kept]).max()
    )
    np.testing.assert_array_equal(found[:, 2], 0.0)


def test_an_unknown_target_is_refused():
    # the type checker of the tests would refuse it first
    with pytest.raises(ValueError, match="target must be 'preactivation' or 'activation'"):
        jacobian.__wrapped__(target="logits")


def test_the_projected_jacobian_estimates_that_of_any_function_without_bias(images):
    model, draws = network(2.0), 4000
    jacobian_matrix = np.asarray(fast_jit(jax.jacrev(lambda x: model(x[None])[0]))(images[0]), np.float64)
    gram = jacobian_matrix @ jacobian_matrix.T
    exact = np.trace(gram)
    found = penalty(
        projected_jacobian(lambda model, x: model(x[None])[0], 0.1, 1), model, jnp.tile(images[:1], (draws, 1))
    )
    # v uniform on the sphere in C dimensions: the variance of C·vᵀGv is (2C tr G² − 2 (tr G)²) / (C + 2)
    deviation = np.sqrt((2 * CLASSES * np.trace(gram @ gram) - 2 * exact**2) / (CLASSES + 2))
    assert abs(found / 0.1 - exact) < 4 * deviation / np.sqrt(draws)


def test_the_projected_jacobian_of_one_output_is_exact(images):
    # In one dimension every unit vector is ±1, so that nothing is left to chance: the squared gradient.
    model = network(2.0)
    exact = mean_squared_norm(lambda x: model(x[None])[0, :1], images)
    found = penalty(projected_jacobian(lambda model, x: model(x[None])[0, :1], 0.1, 3), model, images)
    assert found == pytest.approx(0.1 * exact, rel=ROUNDING)


def test_another_key_projects_elsewhere(images):
    model, regularizer = network(), projected_jacobian(lambda model, x: model(x[None])[0])
    draw = fast_jit(lambda key: regularizer.penalty(model, batch_of(model, images), None, key))
    first, again, other = (float(draw(jax.random.key(seed))) for seed in (0, 0, 1))
    assert first == again != other
