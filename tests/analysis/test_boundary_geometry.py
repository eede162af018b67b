"""Boundary geometry: known curves, invariances, and convergence under refinement."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv.analysis import boundary_geometry as module
from jax_bioadv.analysis.boundaries import random_plane
from jax_bioadv.analysis.boundary_geometry import boundary_geometry, generic_boundary_geometry
from jax_bioadv.models import Network, logits_function

INPUTS, HIDDEN, CLASSES = 7, 10, 4
PLANE = np.eye(2, dtype=np.float32)[None]
CENTRE = np.zeros((1, 2), np.float32)
# Vertices are on the boundary to some roundings of 6e-8, so that steps of 0.03 and more turn by 1e-5 at the most.
STRAIGHT = 1e-3


def _linear(normal, offset, points):
    return jnp.stack([points @ normal, jnp.full(len(points), offset)], axis=1)


def _quadratic(radius, points):
    return jnp.stack([jnp.sum(points**2, axis=1), jnp.full(len(points), radius**2)], axis=1)


def line(normal, offset):
    """Two classes with a straight boundary."""
    return Partial(_linear, jnp.asarray(normal, jnp.float32), jnp.float32(offset))


def circle(radius):
    return Partial(_quadratic, jnp.float32(radius))


def network(power, batch_norm=False, seed=0):
    model = Network(INPUTS, HIDDEN, CLASSES, power=power, batch_norm=batch_norm, rngs=nnx.Rngs(seed))
    if batch_norm:
        numbers = np.random.default_rng(9)
        for each in (model.norm.mean, model.norm.var, model.norm.scale, model.norm.bias):
            each[...] = numbers.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
    return model


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(0), (3, INPUTS))


def planes(key, count):
    return jax.vmap(lambda each: random_plane(each, INPUTS))(jax.random.split(key, count))


@pytest.mark.parametrize("angle", [0.0, 0.3, np.pi / 4, 1.2, np.pi / 2])
@pytest.mark.parametrize("offset", [0.0, 0.7])
def test_a_straight_boundary_has_its_length_and_no_curvature(angle, offset):
    normal = np.array([np.cos(angle), np.sin(angle)])
    found = generic_boundary_geometry(line(normal, offset), CENTRE, PLANE, radius=2.0, resolution=24)
    # The part of the line within the square: from where it enters to where it leaves.
    along, foot = np.array([-normal[1], normal[0]]), offset * normal
    with np.errstate(divide="ignore"):
        ends = (np.array([[-2.0], [2.0]]) - foot) / along
    length = ends.max(axis=0).min() - ends.min(axis=0).max()
    assert found.length[0] == pytest.approx(length / 16.0, rel=1e-5)
    assert found.curvature[0] < STRAIGHT
    assert found.regions[0] == 2
    assert found.flips[0]


@pytest.mark.parametrize("radius", [0.6, 1.0, 1.7])
def test_a_circle_has_its_length_and_its_curvature(radius):
    found = generic_boundary_geometry(circle(radius), CENTRE, PLANE, radius=2.0, resolution=64)
    step = 2 * 4.0 / 63 / radius  # the longest chord, of two diagonals, as an angle
    assert found.length[0] == pytest.approx(2 * np.pi * radius / 16.0, rel=step**2 / 24)
    assert found.length[0] < 2 * np.pi * radius / 16.0
    assert found.curvature[0] == pytest.approx(1 / radius, rel=step**2 / 24 + 1e-4)
    assert found.regions[0] == 2


def test_length_and_curvature_of_a_circle_converge_in_second_order():
    errors = []
    for resolution in (16, 64):
        found = generic_boundary_geometry(circle(1.0), CENTRE, PLANE, radius=2.0, resolution=resolution)
        errors.append([found.length[0] * 16.0 - 2 * np.pi, found.curvature[0] - 1.0])
    # A spacing 4.2 times smaller: the errors are 17.6 times smaller, give or take how the grid falls on the circle.
    assert np.all(np.abs(errors[0]) > 8 * np.abs(errors[1]))


def test_the_boundary_counts_and_not_how_the_logits_get_there():
    def steep(points):
        return jnp.stack([jnp.sum(points**2, axis=1) ** 6, jnp.ones(len(points))], axis=1)

    # Between points of the grid these logits are far from linear: interpolated alone, the circle is 0.7 % shorter.
    found = generic_boundary_geometry(steep, CENTRE, PLANE, radius=2.0, resolution=24)
    expected = generic_boundary_geometry(circle(1.0), CENTRE, PLANE, radius=2.0, resolution=24)
    assert found.length[0] == pytest.approx(expected.length[0], rel=1e-4)
    assert found.curvature[0] == pytest.approx(expected.curvature[0], rel=1e-3)


def test_a_wave_turns_by_its_slopes():
    # y = A sin(k x) turns by 2·arctan(A k) between two extremes of its slope, |κ| ds in all 4·arctan(A k) a period.
    amplitude, wavenumber = 0.5, np.pi

    def logits(points):
        wave = points[:, 1] - amplitude * jnp.sin(wavenumber * points[:, 0])
        return jnp.stack([wave, -wave], axis=1)

    found = generic_boundary_geometry(logits, CENTRE, PLANE, radius=2.0, resolution=128)
    position = np.linspace(-2.0, 2.0, 100001)
    length = np.sum(np.hypot(np.diff(position), amplitude * np.diff(np.sin(wavenumber * position))))
    assert found.length[0] * 16.0 == pytest.approx(length, rel=1e-3)
    assert found.curvature[0] == pytest.approx(8 * np.arctan(amplitude * wavenumber) / length, rel=0.02)


def test_a_corner_of_a_piecewise_linear_boundary_is_its_angle():
    def logits(points):
        roof = points[:, 1] + jnp.abs(points[:, 0] - 0.05)
        return jnp.stack([roof, -roof], axis=1)

    found = generic_boundary_geometry(logits, CENTRE, PLANE, radius=2.0, resolution=65)
    length = np.sqrt(2) * (2.0 - 0.05 + 2.0 + 0.05 - 0.05)  # it leaves below at x = 2 - 0.05, and so not at y = -2
    assert found.length[0] * 16.0 == pytest.approx(length, rel=5e-3)
    assert found.curvature[0] == pytest.approx(np.pi / 2 / length, rel=0.05)


def test_where_three_classes_meet_nothing_is_curved():
    # Rays at 120 degrees, from a point that is none of the grid's.
    angles = 2 * np.pi * np.arange(3) / 3 + 0.1
    normals = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)]), jnp.float32)
    found = generic_boundary_geometry(lambda points: (points - 0.03) @ normals, CENTRE, PLANE, 2.0, 64)
    rays = angles + np.pi
    reach = [min((np.sign(d) * 2.0 - 0.03) / d for d in (np.cos(ray), np.sin(ray))) for ray in rays]
    assert found.length[0] * 16.0 == pytest.approx(sum(reach), rel=0.01)  # the last cell at the meeting point
    assert found.curvature[0] < STRAIGHT
    assert found.regions[0] == 3


def test_regions_are_counted_apart():
    def logits(points):
        return jnp.stack([jnp.sin(np.pi * points[:, 0]), jnp.zeros(len(points))], axis=1)

    found = generic_boundary_geometry(logits, CENTRE, PLANE, radius=1.9, resolution=40)
    assert found.regions[0] == 4
    assert found.length[0] == pytest.approx(3 / 3.8, rel=1e-5)


def test_a_plane_of_one_class_has_no_boundary():
    found = generic_boundary_geometry(line([1.0, 0.0], 5.0), CENTRE, PLANE, radius=2.0, resolution=8)
    assert found.length[0] == 0.0
    assert np.isnan(found.curvature[0])
    assert found.regions[0] == 1
    assert not found.flips[0]


def test_logits_that_overflow_are_marked(images):
    found = boundary_geometry(network(4.5), images, jax.random.key(0), radius=1e12, resolution=24)
    assert np.isnan(found.length).all()
    assert (found.regions == 0).all()
    assert not found.flips.any()


@pytest.mark.parametrize(("power", "batch_norm"), [(1.0, False), (4.5, True)])
def test_the_affine_shortcut_is_the_network(images, power, batch_norm):
    model, key = network(power, batch_norm), jax.random.key(1)
    exact = boundary_geometry(model, images, key, radius=4.0, resolution=24)
    generic = generic_boundary_geometry(logits_function(model), images, planes(key, len(images)), 4.0, 24)
    assert exact.flips.any()
    np.testing.assert_allclose(exact.length, generic.length, rtol=1e-4)
    np.testing.assert_allclose(exact.curvature, generic.curvature, atol=STRAIGHT)
    np.testing.assert_array_equal(exact.regions, generic.regions)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_a_quarter_turn_of_the_plane_changes_nothing(images, power):
    model, directions = logits_function(network(power)), planes(jax.random.key(2), 3)
    turned = jnp.stack([directions[:, 1], -directions[:, 0]], axis=1)
    before = generic_boundary_geometry(model, images, directions, 4.0, 25)
    after = generic_boundary_geometry(model, images, turned, 4.0, 25)
    np.testing.assert_allclose(after.length, before.length, rtol=1e-3)
    np.testing.assert_allclose(after.curvature, before.curvature, rtol=0.05)  # which of two near vertices is skipped
    np.testing.assert_array_equal(after.regions, before.regions)


def test_any_turn_changes_no_circle():
    for angle in (0.2, 0.5, 1.1):
        turn = np.array([[[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]], np.float32)
        ellipse = generic_boundary_geometry(
            lambda points: jnp.stack([points[:, 0] ** 2 + 4 * points[:, 1] ** 2, jnp.ones(len(points))], axis=1),
            CENTRE,
            turn,
            radius=2.0,
            resolution=64,
        )
        assert ellipse.length[0] * 16.0 == pytest.approx(4.8442241, rel=2e-3)  # perimeter of half axes 1 and 1/2
        assert ellipse.curvature[0] == pytest.approx(2 * np.pi / 4.8442241, rel=0.01)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_the_scale_of_the_logits_does_not_matter(images, power):
    model, key = network(power), jax.random.key(3)
    before = boundary_geometry(model, images, key, radius=4.0, resolution=24)
    model.decoder.kernel[...] *= 8.0
    model.decoder.bias[...] *= 8.0
    after = boundary_geometry(model, images, key, radius=4.0, resolution=24)
    for each, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(each, other)  # a power of two rounds nothing


def test_every_image_has_as_many_planes_as_asked(images):
    model, key = network(1.0), jax.random.key(4)
    found = boundary_geometry(model, images, key, planes_per_image=2, resolution=8)
    assert all(len(each) == 6 for each in found)
    twice = jnp.repeat(images, 2, axis=0)
    expected = generic_boundary_geometry(logits_function(model), twice, planes(key, 6), 20.0, 8)
    np.testing.assert_allclose(found.length, expected.length, rtol=1e-4)
    assert len(np.unique(found.length)) == 6


def test_bad_input_is_refused(images):
    model, key = network(1.0), jax.random.key(0)
    with pytest.raises(ValueError, match="images"):
        boundary_geometry(model, images[0], key)
    with pytest.raises(ValueError, match="planes_per_image"):
        boundary_geometry(model, images, key, planes_per_image=0)
    with pytest.raises(ValueError, match="radius"):
        boundary_geometry(model, images, key, radius=0.0)
    with pytest.raises(ValueError, match="directions"):
        generic_boundary_geometry(model, images, planes(key, 2))


def test_models_and_planes_share_one_trace(images):
    boundary_geometry(network(3.0), images, jax.random.key(0), radius=4.0, resolution=9)
    traced = module._logits._cache_size(), module._refined._cache_size()
    for seed in range(1, 4):
        boundary_geometry(network(3.0, seed=seed), images, jax.random.key(seed), radius=4.0, resolution=9)
    assert (module._logits._cache_size(), module._refined._cache_size()) == traced


def test_a_plain_function_of_weights_is_traced_once(images):
    traces = []

    def counted(weights, points):
        traces.append(None)
        return points @ weights

    for seed in range(3):
        weights = jax.random.normal(jax.random.key(seed), (INPUTS, CLASSES))
        generic_boundary_geometry(Partial(counted, weights), images, planes(jax.random.key(seed), 3), 4.0, 9)
        if seed == 0:
            first = len(traces)
    assert len(traces) == first
