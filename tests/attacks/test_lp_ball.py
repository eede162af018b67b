"""Geometry of the L_p ball against definitions, a general optimizer and known moments."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from scipy import optimize

from jax_bioadv.attacks.lp_ball import check_norm, project, steepest_ascent, uniform_in_ball

NORMS = [1.0, 1.3, 2.0, 3.0, np.inf]
EUCLIDEAN = [1.0, 2.0, np.inf]
POINTS = hnp.arrays(np.float32, (1, 4), elements=st.floats(-3, 3, width=32))
RADII = st.floats(0.125, 2, width=32)
# A few roundings of a sum of four squares or powers.
FLOAT32 = 2e-6


_project = jax.jit(project, static_argnums=1)
_ascent = jax.jit(steepest_ascent, static_argnums=1)


def _projected(points, norm, radius):
    return np.asarray(_project(jnp.asarray(points), norm, jnp.float32(radius)))


def _closest_by_optimizer(point, norm, radius):
    """The projection by SLSQP, in the orthant of the point, where the ball's boundary is smooth for finite p."""
    magnitude = np.abs(point.astype(np.float64))
    if norm == np.inf:
        constraints, upper = [], radius
    else:
        ball = {"type": "ineq", "fun": lambda x: radius**norm - np.sum(np.maximum(x, 0) ** norm)}
        constraints, upper = [ball], None
    start = np.minimum(magnitude, radius / len(point))
    result = optimize.minimize(
        lambda x: np.sum((x - magnitude) ** 2),
        start,
        jac=lambda x: 2 * (x - magnitude),
        bounds=[(0, upper)] * len(point),
        constraints=constraints,
        options={"ftol": 1e-14, "maxiter": 500},
    )
    assert result.success
    return np.sign(point) * result.x


@pytest.mark.parametrize("norm", EUCLIDEAN)
def test_projection_is_the_closest_point_that_an_optimizer_finds(norm):
    rng = np.random.default_rng(0)
    for point in rng.normal(size=(8, 5)).astype(np.float32):
        expected = _closest_by_optimizer(point, norm, 0.7)
        # SLSQP stops about 1e-7 from the minimum of the squared distance, which is 3e-4 in the point at worst.
        np.testing.assert_allclose(_projected(point[None], norm, 0.7)[0], expected, atol=5e-4)


@pytest.mark.parametrize("norm", NORMS)
@given(points=POINTS, radius=RADII)
def test_projection_lands_in_the_ball_and_is_idempotent(norm, points, radius):
    once = _projected(points, norm, radius)
    assert np.linalg.norm(once[0].astype(np.float64), ord=norm) <= radius * (1 + FLOAT32)
    np.testing.assert_allclose(_projected(once, norm, radius), once, atol=FLOAT32 * radius)


@pytest.mark.parametrize("norm", [1.0, 2.0, 20.0, 1e9, np.inf])
@pytest.mark.parametrize(("scale", "radius"), [(0.02, 0.01), (1e9, 1.0), (1.0, 1e-9)])
def test_from_far_outside_projection_lands_on_the_sphere(norm, scale, radius):
    points = scale * np.random.default_rng(5).normal(size=(3, 6)).astype(np.float32)
    points[1, 2] = points[1, 4]  # equals, between which the pixels of an L1 ball are shared
    lengths = np.linalg.norm(_projected(points, norm, radius).astype(np.float64) / radius, ord=norm, axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=FLOAT32)


@pytest.mark.parametrize("norm", EUCLIDEAN)
@given(points=POINTS, other=POINTS, radius=RADII)
def test_projection_makes_an_obtuse_angle_with_every_point_of_the_ball(norm, points, other, radius):
    """What characterizes the projection onto a convex set: ⟨v − P v, w − P v⟩ ≤ 0 for all w in the set."""
    projected = _projected(points, norm, radius)[0].astype(np.float64)
    inside = other[0].astype(np.float64)
    inside *= min(1, radius / max(np.linalg.norm(inside, ord=norm), 1e-30))
    # Both differences are at most 12 long and the projection is good to some 1e-6.
    assert np.dot(points[0] - projected, inside - projected) <= 12 * 12 * FLOAT32


@pytest.mark.parametrize("norm", NORMS)
def test_where_the_gradient_is_normal_to_the_ball_a_step_is_undone(norm):
    """So the stationary points of the attack are those of the loss on the ball."""
    gradient = np.random.default_rng(4).normal(size=(6, 9)).astype(np.float32)
    stationary = 0.4 * np.asarray(_ascent(gradient, norm))
    np.testing.assert_allclose(_projected(1.5 * stationary, norm, 0.4), stationary, atol=FLOAT32)


@pytest.mark.parametrize("norm", NORMS)
def test_projection_leaves_points_inside_as_they_are_and_radius_zero_leaves_nothing(norm):
    inside = np.array([[0.1, -0.05, 0.0, 0.02]], np.float32)
    np.testing.assert_array_equal(_projected(inside, norm, 1.0), inside)
    np.testing.assert_array_equal(_projected(inside, norm, 0.0), np.zeros_like(inside))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e20])
def test_steepest_ascent_reaches_the_dual_norm_at_any_scale(norm, scale):
    """Hölder: no d of unit L_p length has ⟨g, d⟩ > ‖g‖_q, and the steepest direction attains it."""
    gradient = np.random.default_rng(2).normal(size=(6, 9)).astype(np.float32)
    direction = np.asarray(_ascent(scale * gradient, norm), np.float64)
    dual = {1.0: np.inf, np.inf: 1.0}.get(norm) or norm / (norm - 1)
    np.testing.assert_allclose(np.linalg.norm(direction, ord=norm, axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(
        np.sum(gradient * direction, axis=1), np.linalg.norm(gradient, ord=dual, axis=1), rtol=1e-5
    )


@pytest.mark.parametrize("norm", NORMS)
def test_steepest_ascent_of_a_zero_gradient_is_zero(norm):
    np.testing.assert_array_equal(_ascent(np.zeros((6, 9), np.float32), norm), np.zeros((6, 9)))


@pytest.mark.parametrize("norm", [1.0, 3.0, np.inf])
def test_samples_fill_the_ball_uniformly(norm):
    """The L_p length r of a uniform point in d dimensions has P(r ≤ t) = t^d, so r^d is uniform on (0, 1)."""
    points = jax.jit(uniform_in_ball, static_argnums=(1, 2, 3))(
        jax.random.split(jax.random.key(0), 4000), 3, norm, jnp.dtype("float32")
    )
    volume = np.linalg.norm(np.asarray(points, np.float64), ord=norm, axis=1) ** 3
    assert volume.max() <= 1 + FLOAT32
    # Means of 4000 draws: five standard errors.
    assert abs(volume.mean() - 1 / 2) < 5 * np.sqrt(1 / 12 / 4000)
    assert np.all(np.abs(np.mean(points, axis=0)) < 5 / np.sqrt(4000))


@pytest.mark.parametrize("norm", [0.5, 0, -1, np.nan])
def test_a_norm_below_one_is_refused(norm):
    with pytest.raises(ValueError, match="norm"):
        check_norm(norm)
