"""Landscapes: the plane's geometry, and the affine shortcut against automatic differentiation at its points."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.analysis import boundaries
from jax_bioadv.analysis.boundaries import generic_landscape, landscape, random_plane
from jax_bioadv.jacobian import jacobian_norms, on_one_image
from jax_bioadv.models import Network, logits_function

INPUTS, HIDDEN, CLASSES = 12, 9, 4
# float32: some dozen roundings of 6e-8 in h (which is up to ten times its terms' sum), times the power n
ROUNDING = 1e-4


def plane_points(center, directions, radius, resolution):
    """All points of the grid, [row, column]: what the landscape never forms."""
    steps = np.linspace(-radius, radius, resolution, dtype=np.float32)
    right, up = np.asarray(directions)
    return np.asarray(center) + steps[None, :, None] * right + steps[:, None, None] * up


def network(power, batch_norm, seed=0):
    model = Network(INPUTS, HIDDEN, CLASSES, power=power, batch_norm=batch_norm, rngs=nnx.Rngs(seed))
    if batch_norm:
        numbers = np.random.default_rng(9)
        for each in (model.norm.mean, model.norm.var, model.norm.scale, model.norm.bias):
            each[...] = numbers.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
    return model


@pytest.fixture
def image():
    return jax.random.uniform(jax.random.key(0), (INPUTS,))


@pytest.fixture
def directions():
    return random_plane(jax.random.key(1), INPUTS)


def test_a_random_plane_is_orthonormal():
    plane = random_plane(jax.random.key(2), 3072)
    np.testing.assert_allclose(plane @ plane.T, np.eye(2), atol=1e-6)  # 3072 roundings of 6e-8 / 3072 each, at random


def test_random_planes_have_no_preferred_direction():
    planes = np.asarray(jax.vmap(lambda key: random_plane(key, 3))(jax.random.split(jax.random.key(3), 3000)))
    # The mean of u uᵀ is 1/3; (u_i)² has variance 4/45, u_i and u_i u_j less: five standard errors of 3000 planes.
    for which in (0, 1):
        second_moment = np.mean(planes[:, which, :, None] * planes[:, which, None, :], axis=0)
        np.testing.assert_allclose(second_moment, np.eye(3) / 3, atol=5 * np.sqrt(4 / 45 / 3000))
        np.testing.assert_allclose(planes[:, which].mean(axis=0), 0.0, atol=5 * np.sqrt(1 / 3 / 3000))


def test_a_line_has_no_plane():
    with pytest.raises(ValueError, match="at least 2"):
        random_plane(jax.random.key(0), 1)


@pytest.mark.parametrize(("radius", "resolution"), [(0.0, 10), (-1.0, 10), (1.0, 1)])
def test_empty_planes_are_refused(image, directions, radius, resolution):
    with pytest.raises(ValueError, match="radius"):
        landscape(network(1.0, False), image, directions, radius, resolution)


@pytest.mark.parametrize("power", [1.0, 4.5])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_the_landscape_is_what_differentiation_finds_at_its_points(image, directions, power, batch_norm):
    model = network(power, batch_norm)
    found = landscape(model, image, directions, radius=5.0, resolution=6)
    points = jnp.asarray(plane_points(image, directions, radius=5.0, resolution=6).reshape(-1, INPUTS))
    norms = jacobian_norms(on_one_image(model.activation), points, "forward")
    logits = model(points)
    np.testing.assert_allclose(found.jacobian_norm.ravel(), norms, rtol=ROUNDING)
    np.testing.assert_array_equal(found.predicted_class.ravel(), jnp.argmax(logits, axis=-1))
    np.testing.assert_allclose(found.confidence.ravel(), jax.nn.softmax(logits).max(axis=-1), rtol=1e-3)
    np.testing.assert_allclose(found.coordinates, np.linspace(-5.0, 5.0, 6), atol=1e-6)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_the_generic_landscape_is_the_exact_one(image, directions, power):
    model = network(power, batch_norm=True)
    exact = landscape(model, image, directions, radius=5.0, resolution=6)
    generic = generic_landscape(logits_function(model), model.activation, image, directions, 5.0, 6)
    np.testing.assert_allclose(generic.jacobian_norm, exact.jacobian_norm, rtol=ROUNDING)
    np.testing.assert_array_equal(generic.predicted_class, exact.predicted_class)
    np.testing.assert_allclose(generic.confidence, exact.confidence, rtol=1e-3)


def test_projections_estimate_the_norm_along_the_same_directions_everywhere(image, directions):
    model = network(1.0, batch_norm=False)
    arguments = (logits_function(model), model.preactivation, image, directions, 5.0, 6)
    exact = generic_landscape(*arguments).jacobian_norm
    for projections in (1, 400):
        found = generic_landscape(*arguments, projections=projections, key=jax.random.key(1)).jacobian_norm
        np.testing.assert_allclose(found, found[0, 0], rtol=ROUNDING)  # of a linear map, everywhere
    # The mean of 400 squares, of which each has a standard deviation of at most √2 of its mean.
    np.testing.assert_allclose(found**2, exact**2, rtol=4 * np.sqrt(2 / 400))
    for wrong in ({"projections": 0, "key": jax.random.key(1)}, {"projections": 1}):
        with pytest.raises(ValueError, match="projections"):
            generic_landscape(*arguments, **wrong)


def test_exchanging_the_directions_transposes_the_maps(image, directions):
    model = network(2.0, False)
    found = landscape(model, image, directions, 5.0, 6)
    exchanged = landscape(model, image, directions[::-1], 5.0, 6)
    np.testing.assert_allclose(exchanged.jacobian_norm, found.jacobian_norm.T, rtol=ROUNDING)
    np.testing.assert_array_equal(exchanged.predicted_class, found.predicted_class.T)


def test_logits_that_overflow_are_marked(image, directions):
    found = landscape(network(4.5, False), image, directions, radius=1e12, resolution=6)
    assert np.all(found.predicted_class == -1)
    assert np.all(np.isnan(found.confidence))


def test_models_images_and_planes_share_one_trace(image):
    model_calls = boundaries._network_rows._cache_size
    landscape(network(1.0, False, 0), image, random_plane(jax.random.key(0), INPUTS), 5.0, 6)
    traced = model_calls()
    for seed in range(1, 4):
        plane = random_plane(jax.random.key(seed), INPUTS)
        landscape(network(1.0, False, seed), image + seed, plane, float(seed), 6)
    assert model_calls() == traced
