"""The network: its formula, how it starts, its activation's derivative, and models as pytrees of weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.models import (
    Network,
    fold_batch_norm,
    folded_decoder,
    logits_function,
    rectified_power,
    rectified_power_slope,
)

EPSILON = float(np.finfo(np.float32).eps)
POWERS = [1.0, 2.7, 4.5]


def value(parameter):
    return np.asarray(parameter[...], np.float64)


@pytest.mark.parametrize("power", POWERS)
def test_the_network_is_its_formula(power):
    network = Network(6, 4, 3, power=power, rngs=nnx.Rngs(0))
    images = jax.random.uniform(jax.random.key(0), (5, 6))
    hidden = np.maximum(np.asarray(images, np.float64) @ value(network.encoder.kernel), 0) ** power
    expected = hidden @ value(network.decoder.kernel) + value(network.decoder.bias)
    # Sums of 6 and of 4 numbers of order 1, and a power that multiplies errors by n.
    np.testing.assert_allclose(network(images), expected, rtol=0, atol=50 * power * EPSILON * (1 + hidden.max()))
    np.testing.assert_allclose(network.activation(images), hidden, rtol=0, atol=50 * power * EPSILON * hidden.max())
    np.testing.assert_array_equal(network(images), network.decode(network.preactivation(images)))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_parameters_and_outputs_have_the_shapes_of_the_architecture(batch_norm):
    network = Network(6, 4, 3, batch_norm=batch_norm, rngs=nnx.Rngs(0))
    shapes = sorted(parameter.shape for parameter in jax.tree.leaves(nnx.state(network, nnx.Param)))
    assert shapes == sorted([(6, 4), (4, 3), (3,)] + [(4,), (4,)] * batch_norm)  # no bias in the encoder
    images = jnp.zeros((5, 6))
    assert network.preactivation(images).shape == network.activation(images).shape == (5, 4)
    assert network(images).shape == (5, 3)


def test_the_network_starts_as_published():
    inputs, hidden, classes = 200, 400, 50
    network = Network(inputs, hidden, classes, batch_norm=True, rngs=nnx.Rngs(0))
    encoder, decoder = value(network.encoder.kernel), value(network.decoder.kernel)
    wanted = np.sqrt(2 / inputs)
    # Five standard errors: of a mean, of a normal's standard deviation.
    assert abs(encoder.mean()) < 5 * wanted / np.sqrt(encoder.size)
    assert abs(encoder.std() / wanted - 1) < 5 / np.sqrt(2 * encoder.size)
    assert np.abs(encoder).max() > 4 * wanted  # not a truncated normal
    bound = hidden**-0.5
    for uniform in (decoder, value(network.decoder.bias)):
        assert np.abs(uniform).max() <= bound
        # A uniform number has variance bound²/3 and the square of it 4/45 bound⁴.
        assert abs(uniform.mean()) < 5 * bound / np.sqrt(3 * uniform.size)
        assert abs((uniform**2).mean() / bound**2 - 1 / 3) < 5 * np.sqrt(4 / 45 / uniform.size)
    assert (value(network.norm.scale) == 1).all()
    assert (value(network.norm.bias) == 0).all()


@pytest.mark.parametrize("power", [0.0, 0.99, -1.0, float("nan")])
def test_powers_with_an_infinite_or_no_slope_at_zero_are_refused(power):
    with pytest.raises(ValueError, match="power must be at least 1"):
        Network(3, 2, 2, power=power, rngs=nnx.Rngs(0))


@pytest.mark.parametrize("power", POWERS)
def test_the_activation_and_its_derivative_are_the_power_and_zero_from_zero_on(power):
    below = jnp.array([-1e30, -1.0, -1e-30, -0.0, 0.0])
    above = jnp.array([1e-30, 1e-3, 0.5, 1.0, 3.0, 20.0])
    slope = jax.jit(jax.vmap(jax.grad(lambda h: rectified_power(h, power))))
    curvature = jax.jit(jax.vmap(jax.grad(jax.grad(lambda h: rectified_power(h, power)))))
    for function in (lambda h: rectified_power(h, power), slope, curvature):
        np.testing.assert_array_equal(function(below), 0.0)
    exact = np.asarray(above, np.float64)
    smallest = float(np.finfo(np.float32).tiny)  # below it float32 has no accuracy to speak of, and may flush to zero
    # A power of float32 numbers is good to about n units in the last place, and ours is at most six products.
    tolerance = {"rtol": 10 * power * EPSILON, "atol": smallest}
    np.testing.assert_allclose(rectified_power(above, power), exact**power, **tolerance)
    np.testing.assert_allclose(slope(above), power * exact ** (power - 1), **tolerance)
    expected = power * (power - 1) * exact ** (power - 2)
    np.testing.assert_allclose(curvature(above), expected, **tolerance)


def test_a_number_that_is_none_stays_visible():
    # A diverged training or a broken attack must not look like a silent unit.
    assert np.isnan(rectified_power(jnp.array([jnp.nan]), 4.5)).all()
    network = Network(6, 4, 3, rngs=nnx.Rngs(0))
    network.encoder.kernel[...] = jnp.full((6, 4), jnp.nan)
    assert np.isnan(network(jnp.ones((5, 6)))).all()


def test_the_batch_gradient_of_a_steep_network_is_finite_at_zero():
    network = Network(6, 4, 3, power=4.5, rngs=nnx.Rngs(0))
    graphdef, parameters = nnx.split(network)
    images = jnp.asarray(np.repeat([[0.0], [-1.0]], 6, axis=1), jnp.float32)
    gradient = jax.jit(jax.grad(lambda p, x: jnp.sum(nnx.merge(graphdef, p)(x) ** 2), argnums=(0, 1)))
    gradients = gradient(parameters, images)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients))
    np.testing.assert_array_equal(gradients[1][0], 0.0)


def test_models_of_one_shape_share_one_trace():
    traces = []

    @jax.jit
    def accuracy(logits_of, images):
        traces.append(None)
        return logits_of(images).sum()

    images = jnp.ones((5, 6))
    networks = [Network(6, 4, 3, power=4.5, batch_norm=True, rngs=nnx.Rngs(seed)) for seed in range(3)]
    found = [float(accuracy(logits_function(network), images)) for network in networks]
    assert len(traces) == 1
    assert len(set(found)) == 3
    # Fused and unfused sums of numbers of order 1.
    np.testing.assert_allclose(found, [network(images).sum() for network in networks], rtol=1e-5, atol=1e-5)
    accuracy(logits_function(Network(6, 4, 3, power=2.0, batch_norm=True, rngs=nnx.Rngs(0))), images)
    assert len(traces) == 2  # the power is part of the program


def statistics(network):
    return [np.asarray(leaf) for leaf in jax.tree.leaves(nnx.state(network, nnx.BatchStat))]


def test_evaluation_leaves_batch_norm_as_it_is_and_training_does_not():
    network = Network(6, 4, 3, batch_norm=True, rngs=nnx.Rngs(0))
    images = jax.random.uniform(jax.random.key(0), (5, 6))
    before = statistics(network)
    first, alone = network(images), network(images[:1])
    logits_function(network)(images)
    for old, new in zip(before, statistics(network), strict=True):
        np.testing.assert_array_equal(new, old)
    np.testing.assert_allclose(alone, first[:1], rtol=1e-5, atol=1e-6)  # another batch size, other sums' order
    network(images, train=True)
    assert any((old != new).any() for old, new in zip(before, statistics(network), strict=True))


def test_a_logits_function_keeps_the_weights_it_was_made_of():
    network = Network(6, 4, 3, rngs=nnx.Rngs(0))
    images = jnp.ones((5, 6))
    logits_of = logits_function(network)
    expected = np.asarray(network(images))
    network.encoder.kernel[...] = jnp.zeros((6, 4))
    np.testing.assert_array_equal(logits_of(images), expected)
    assert not np.array_equal(network(images), expected)


def test_a_folded_batch_norm_gives_the_same_logits_and_needs_no_program_of_its_own():
    network, plain = (Network(6, 4, 3, power=2.0, batch_norm=norm, rngs=nnx.Rngs(0)) for norm in (True, False))
    generator = np.random.default_rng(0)
    for variable in (network.norm.scale, network.norm.bias, network.norm.mean, network.norm.var):
        variable[...] = jnp.asarray(generator.uniform(0.5, 2.0, 4), jnp.float32)
    images = jnp.asarray(generator.uniform(size=(5, 6)), jnp.float32)
    before, folded = network(images), fold_batch_norm(network)
    np.testing.assert_allclose(folded(images), before, rtol=1e-5)
    np.testing.assert_array_equal(network(images), before)
    assert jax.tree.structure(logits_function(folded)) == jax.tree.structure(logits_function(plain))
    np.testing.assert_array_equal(fold_batch_norm(plain)(images), plain(images))
    hidden = np.maximum(np.asarray(images, np.float64) @ value(network.encoder.kernel), 0) ** 2
    kernel, bias = folded_decoder(network, np.float64)
    normed = (hidden - value(network.norm.mean)) / np.sqrt(value(network.norm.var) + network.norm.epsilon)
    normed = normed * value(network.norm.scale) + value(network.norm.bias)
    expected = normed @ value(network.decoder.kernel) + value(network.decoder.bias)
    np.testing.assert_allclose(hidden @ kernel + bias, expected, rtol=1e-12)  # float64 throughout


@pytest.mark.parametrize("power", [*POWERS, 1.5, 2.0])
def test_the_slope_is_the_derivative_whether_the_power_is_a_number_or_an_argument(power):
    points = jnp.array([-2.0, -1e-30, 0.0, 1e-30, 0.3, 1.0, 7.0])
    expected = np.where(points > 0, power * np.maximum(points, 0).astype(np.float64) ** (power - 1), 0)
    of_number = rectified_power_slope(points, power)
    of_argument = jax.jit(rectified_power_slope)(points, jnp.float32(power))
    by_autodiff = jax.vmap(jax.grad(lambda h: rectified_power(h, power)))(points)
    for found in (of_number, of_argument, by_autodiff):
        np.testing.assert_allclose(found, expected, rtol=30 * EPSILON, atol=1e-37)  # a power rounds by some units
    for slope in (power, jnp.float32(power)):
        bend = jax.vmap(jax.grad(lambda h, slope=slope: rectified_power_slope(h, slope)))(points)
        assert np.isfinite(bend[points <= 0]).all()


def test_a_module_of_ones_own_is_attacked_in_evaluation_mode():
    parts = nnx.Linear(6, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(1))
    images = jnp.asarray(np.random.default_rng(0).normal(size=(5, 6)), jnp.float32)
    logits = logits_function(nnx.Sequential(*parts))
    np.testing.assert_allclose(logits(images)[:1], logits(images[:1]), rtol=1e-6)
    np.testing.assert_allclose(logits(images), parts[0](images) / np.sqrt(1 + parts[1].epsilon), rtol=1e-5)
    assert not parts[1].use_running_average, "the module itself stays as it was"
