"""Jacobian norms: the closed form against automatic differentiation, and the projections against theory."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv.jacobian import (
    activation_jacobian_norms,
    activation_jacobian_norms_squared,
    estimated_jacobian_norms_squared,
    jacobian_norms,
    jacobian_norms_squared_along,
    on_one_image,
    preactivation_jacobian_norm,
    projected_jacobian_norms_squared,
)
from jax_bioadv.models import Network, logits_function, rectified_power, rectified_power_slope

# A sum of about a hundred float32 products, raised to the power n: a few hundred roundings of 6e-8 at the most.
ROUNDING = 3e-5


@pytest.fixture
def kernel():
    return jax.random.normal(jax.random.key(0), (12, 9))


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(1), (7, 12))


def activation(kernel, power, image):
    return rectified_power(image @ kernel, power)


@pytest.mark.parametrize(("power", "mode"), [(1.0, "forward"), (1.5, "reverse"), (2.0, "forward"), (4.5, "reverse")])
def test_the_closed_form_is_the_norm_of_the_jacobian(kernel, images, power, mode):
    expected = jacobian_norms(lambda image: activation(kernel, power, image), images, mode)
    np.testing.assert_allclose(activation_jacobian_norms(kernel, power, images), expected, rtol=ROUNDING)


def test_every_mode_gives_the_jacobian_itself(kernel, images):
    whole = jax.jit(jax.vmap(jax.jacrev(lambda image: jnp.tanh(image @ kernel))))(images)
    expected = jnp.sqrt(jnp.sum(whole**2, axis=(1, 2)))
    for mode, image_block, direction_block in (("forward", 3, 5), ("reverse", 100, 4)):
        found = jacobian_norms(lambda image: jnp.tanh(image @ kernel), images, mode, image_block, direction_block)
        np.testing.assert_allclose(found, expected, rtol=ROUNDING)


@pytest.mark.parametrize(("outputs", "passes"), [(9, 9), (20, 12)])
def test_the_fewer_passes_are_taken(images, outputs, passes):
    def norms(images):
        return jacobian_norms(lambda image: jnp.resize(image, outputs), images, direction_block=1)

    assert f"length={passes}" in str(jax.make_jaxpr(norms)(images))


def test_maps_are_vectors_to_their_jacobians(kernel, images):
    def maps(image):
        return jnp.tanh(image @ kernel).reshape(3, 1, 3)

    def flat(image):
        return maps(image).ravel()

    expected = jacobian_norms(flat, images, "reverse")
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(jacobian_norms(maps, images, mode, direction_block=2), expected, rtol=ROUNDING)
    projected = [projected_jacobian_norms_squared(jax.random.key(0), each, images, 2) for each in (maps, flat)]
    np.testing.assert_allclose(*projected, rtol=ROUNDING)


def test_the_preactivation_has_one_norm_for_all_images(kernel, images):
    found = jacobian_norms(lambda image: image @ kernel, images)
    np.testing.assert_allclose(found, np.full(len(images), preactivation_jacobian_norm(kernel)), rtol=ROUNDING)


@pytest.mark.parametrize("image_block", [1, 3, 7, 50])
def test_blocks_leave_the_norms_alone(kernel, images, image_block):
    expected = activation_jacobian_norms(kernel, 4.5, images)
    found = activation_jacobian_norms(kernel, 4.5, np.asarray(images), image_block)
    np.testing.assert_allclose(found, expected, rtol=ROUNDING)


@pytest.mark.parametrize("power", [1.0, 1.5, 4.5])
def test_an_image_that_excites_nothing_has_no_slope_and_no_nan(kernel, power):
    nothing = jnp.zeros((1, 12))
    assert activation_jacobian_norms(kernel, power, nothing) == 0.0
    gradient = jax.jit(jax.grad(lambda k: activation_jacobian_norms_squared(k, power, nothing).sum()))(kernel)
    np.testing.assert_array_equal(gradient, 0.0)


@pytest.mark.parametrize("power", [1.0, 1.5, 4.5])
def test_a_broken_image_is_not_smooth(kernel, power):
    broken = jnp.full((1, 12), jnp.nan)
    assert np.isnan(activation_jacobian_norms(kernel, power, broken))
    assert np.isnan(rectified_power_slope(broken, power)).all()


@pytest.mark.parametrize("power", [1.0, 2.0, 4.5])
def test_the_norm_is_homogeneous_in_the_image(kernel, images, power):
    # a is homogeneous of degree n, so its derivative is of degree n - 1; only the power itself rounds
    found = activation_jacobian_norms(kernel, power, 2.0 * images)
    np.testing.assert_allclose(found, 2.0 ** (power - 1) * activation_jacobian_norms(kernel, power, images), rtol=1e-5)


def test_the_closed_form_is_differentiable_as_its_oracle_is(kernel, images):
    def oracle(kernel):
        jacobian = jax.vmap(jax.jacrev(lambda image: activation(kernel, 2.0, image)))(images)
        return jnp.sum(jacobian**2)

    found = jax.jit(jax.grad(lambda k: activation_jacobian_norms_squared(k, 2.0, images).sum()))(kernel)
    expected = jax.jit(jax.grad(oracle))(kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * jnp.abs(expected).max())


def test_a_mode_that_is_none_is_refused(kernel, images):
    with pytest.raises(ValueError, match="'forward', 'reverse' or None, got 'fwd'"):
        jacobian_norms.__wrapped__(lambda image: image @ kernel, images, "fwd")


@pytest.mark.parametrize("measured", [jacobian_norms, partial(estimated_jacobian_norms_squared, jax.random.key(0))])
def test_measurements_multiply_at_full_precision(measured, kernel, images):
    """As accelerators would not by default."""
    function = Partial(lambda kernel, image: image @ kernel, kernel)
    program = str(jax.make_jaxpr(measured)(function, images))
    assert program.count("dot_general[") == program.count("precision=(Precision.HIGHEST, Precision.HIGHEST)") > 0


@pytest.mark.parametrize("power", [0.0, 0.5, np.nan])
def test_powers_with_an_infinite_slope_are_refused(kernel, images, power):
    with pytest.raises(ValueError, match="power"):
        activation_jacobian_norms(kernel, power, images)


def test_logits_of_a_model_with_batch_norm_through_its_running_statistics(images):
    model = Network(12, 9, 4, power=2.0, batch_norm=True, rngs=nnx.Rngs(0))
    model(images, train=True)
    encoder, decoder, gain, var = (
        np.asarray(each[...], np.float64)
        for each in (model.encoder.kernel, model.decoder.kernel, model.norm.scale, model.norm.var)
    )
    slope = 2.0 * np.maximum(np.asarray(images) @ encoder, 0.0) * gain / np.sqrt(var + model.norm.epsilon)
    by_hand = np.einsum("ih,bh,hc->bci", encoder, slope, decoder)
    found = jacobian_norms(on_one_image(logits_function(model)), images)
    np.testing.assert_allclose(found, np.linalg.norm(by_hand, axis=(1, 2)), rtol=ROUNDING)


def test_models_of_one_shape_share_one_trace(images):
    traces = []

    def counted(weights, image):
        traces.append(None)
        return jnp.tanh(image @ weights)

    for seed in range(3):
        jacobian_norms(Partial(counted, jax.random.normal(jax.random.key(seed), (12, 3))), images)
        if seed == 0:
            first = len(traces)
    assert len(traces) == first


@pytest.mark.parametrize("projections", [1, 3])
def test_projections_are_unbiased_and_vary_as_theory_says(kernel, projections):
    draws, outputs = 4000, kernel.shape[1]
    image = jax.random.normal(jax.random.key(2), (12,))

    def function(x):
        return jnp.tanh(x @ kernel)

    jacobian = np.asarray(jax.jit(jax.jacrev(function))(image), np.float64)
    found = projected_jacobian_norms_squared(jax.random.key(3), function, jnp.tile(image, (draws, 1)), projections)
    gram = jacobian @ jacobian.T
    # v uniform on the sphere of C dimensions: E (vᵀ G v)² = (2 tr G² + (tr G)²) / (C (C + 2))
    second = outputs * (2 * np.trace(gram @ gram) + np.trace(gram) ** 2) / (outputs + 2)
    deviation = np.sqrt((second - np.trace(gram) ** 2) / projections)
    # four standard errors of the mean; the standard deviation of so many draws is sound to some per cent
    assert abs(np.mean(found) - np.trace(gram)) < 4 * deviation / np.sqrt(draws)
    assert np.std(found) == pytest.approx(deviation, rel=0.1)


def test_an_estimate_is_as_far_off_as_its_error_says(kernel):
    draws, projections = 500, 20
    image = jax.random.normal(jax.random.key(2), (12,))

    def maps(x):
        return jnp.tanh(x @ kernel).reshape(3, 3)

    expected = float(jacobian_norms(maps, image[None])[0]) ** 2
    found = estimated_jacobian_norms_squared(jax.random.key(3), maps, jnp.tile(image, (draws, 1)), projections, 64)
    # 500 draws fix a mean to 4.5 % of the deviation, and a mean square to 6 %: four of these each.
    standardised = (np.asarray(found.squared_norm) - expected) / np.asarray(found.stderr).mean()
    assert abs(standardised.mean()) < 0.18
    assert 0.76 < np.mean(standardised**2) < 1.3
    assert len(np.unique(found.squared_norm)) == draws


def test_blocks_leave_estimates_alone_and_few_projections_are_refused(kernel, images):
    def function(x):
        return x @ kernel

    one, other = (estimated_jacobian_norms_squared(jax.random.key(0), function, images, 4, n) for n in (2, 16))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=ROUNDING), one, other)
    with pytest.raises(ValueError, match="projections"):
        estimated_jacobian_norms_squared(jax.random.key(0), function, images, 1)


def test_a_complete_orthonormal_set_of_directions_is_exact(kernel, images):
    basis = np.linalg.qr(np.random.default_rng(4).normal(size=(len(images), 9, 9)))[0].astype(np.float32)

    def along(kernel):
        return jacobian_norms_squared_along(lambda image: activation(kernel, 2.0, image), images, jnp.asarray(basis))

    found = jax.jit(along)(kernel)
    np.testing.assert_allclose(found, activation_jacobian_norms_squared(kernel, 2.0, images), rtol=ROUNDING)
    found = jax.jit(jax.grad(lambda k: along(k).sum()))(kernel)
    expected = jax.jit(jax.grad(lambda k: activation_jacobian_norms_squared(k, 2.0, images).sum()))(kernel)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * jnp.abs(expected).max())


def test_every_image_gets_directions_of_its_own_and_the_key_decides(kernel, images):
    same = jnp.tile(images[:1], (5, 1))

    def estimate(seed):
        return projected_jacobian_norms_squared(jax.random.key(seed), lambda image: image @ kernel, same, 1)

    assert len(np.unique(estimate(0))) == 5
    np.testing.assert_array_equal(estimate(0), estimate(0))
    assert not np.array_equal(estimate(0), estimate(1))


def test_no_projections_are_refused(kernel, images):
    with pytest.raises(ValueError, match="projections"):
        projected_jacobian_norms_squared(jax.random.key(0), lambda image: image @ kernel, images, 0)
