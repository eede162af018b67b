"""How smooth decision boundaries are: their length, curvature and number of regions on random planes through images.

Landscapes (:mod:`jax_bioadv.analysis.boundaries`) show single planes; this measures many. Where the class changes
between points of a grid, contours of ``z_c - max_{k≠c} z_k``, the lead of class c, are followed for every class on the
plane, and each of their vertices is moved along its grid edge until it is on the boundary. What is measured is so a
polygon inscribed in the boundary itself: its length, and the angles by which it turns, grow to the boundary's length
and total curvature ``∫|κ| ds`` as the grid is refined (Milnor 1950), be the boundary smooth (n > 1) or, for n = 1, made
of straight lines with corners, where no derivative would do. Every boundary is shared by two classes, and counts half
for either. Corners where a third class begins are no curvature. What is finer than the grid is missed.

On a plane the pre-activation of ``models.Network`` is affine, so that no point in image space is ever formed;
:func:`generic_boundary_geometry` serves any classifier.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from flax import nnx
from jax import lax
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from jax_bioadv.analysis.boundaries import plane_coordinates, random_plane
from jax_bioadv.blocks import over_blocks, whole_blocks
from jax_bioadv.extras import extra
from jax_bioadv.models import Network, as_pytree, check_one_hidden_layer

POINT_BLOCK = 2048
"""Points of planes whose logits are computed together."""
SHORTEST_STEP = 0.5
"""Vertices nearer to the one before, in grid spacings, are skipped: their directions would be rounding. Never two on
end: a contour crosses the lines of one direction a whole spacing apart."""


class BoundaryGeometry(NamedTuple):
    """Measures of each plane; planes are ordered by image. A plane with logits that are not finite has no boundary."""

    length: Float[np.ndarray, " planes"]
    """Length of the boundaries within the square per its area, in inverse units of the images; NaN if not finite."""
    curvature: Float[np.ndarray, " planes"]
    """Mean absolute curvature along the boundaries, in the same units; NaN where there is none to measure."""
    regions: Int[np.ndarray, " planes"]
    """Connected regions of one class, at least 1; 0 if not finite."""
    flips: Bool[np.ndarray, " planes"]
    """Whether there is any boundary."""


class _Vertices(NamedTuple):
    """Vertices of contours of a class's lead, each on an edge of the grid; arrays with a row for each."""

    plane: Any
    category: Any
    start: Any
    """Coordinates of one end of the edge; the other is at ``start + edge``."""
    edge: Any
    share: Any
    """Where on the edge the vertex is, from 0 to 1."""
    leads: Any
    """At both ends."""


def _network_on_planes(
    graphdef: nnx.GraphDef, state: Any, centres: Array, directions: Array, plane: Array, coordinates: Array
) -> Array:
    """Logits at coordinates of planes, from the pre-activation at the centres and along the directions."""
    along = jnp.einsum("pa,pah->ph", coordinates, directions[plane])
    return nnx.merge(graphdef, state).decode(centres[plane] + along).astype(jnp.float32)


def _images_on_planes(
    logits_function: Partial, centres: Array, directions: Array, plane: Array, coordinates: Array
) -> Array:
    points = centres[plane] + jnp.einsum("pa,pad->pd", coordinates, directions[plane])
    return logits_function(points).astype(jnp.float32)


@jax.jit
def _logits(on_planes: Partial, plane: Array, coordinates: Array) -> Array:
    with jax.default_matmul_precision("highest"):
        return on_planes(plane, coordinates)


def _lead(logits: Array, category: Array) -> tuple[Array, Array]:
    """How far the logit of a class is above all others, and the next best class."""
    own = jax.nn.one_hot(category, logits.shape[1], dtype=bool)
    others = jnp.where(own, -jnp.inf, logits)
    return jnp.max(jnp.where(own, logits, -jnp.inf), axis=1) - jnp.max(others, axis=1), jnp.argmax(others, axis=1)


@jax.jit
def _refined(on_planes: Partial, vertices: _Vertices) -> tuple[Array, Array]:
    """Shares at which the leads vanish, by the Illinois form of false position, and the next best classes there."""

    def lead(share: Array) -> tuple[Array, Array]:
        points = vertices.start + share[:, None] * vertices.edge
        with jax.default_matmul_precision("highest"):
            return _lead(on_planes(vertices.plane, points), vertices.category)

    def narrow(_: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        share, old, low, high, low_lead, high_lead = state
        found, _ = lead(share)
        below = jnp.sign(found) == jnp.sign(low_lead)
        # An end that stays twice in a row counts half, so that the other one moves too.
        low_lead, high_lead = (
            jnp.where(below, found, jnp.where(old == -1, low_lead / 2, low_lead)),
            jnp.where(below, jnp.where(old == 1, high_lead / 2, high_lead), found),
        )
        low, high = jnp.where(below, share, low), jnp.where(below, high, share)
        difference = high_lead - low_lead
        next_share = jnp.where(
            found == 0.0, share, low - low_lead * (high - low) / jnp.where(difference == 0.0, 1.0, difference)
        )
        return next_share, jnp.where(below, 1, -1).astype(jnp.int32), low, high, low_lead, high_lead

    low_lead, high_lead = vertices.leads.T
    zeros = jnp.zeros_like(vertices.share)
    state = (vertices.share, jnp.zeros(zeros.shape, jnp.int32), zeros, zeros + 1.0, low_lead, high_lead)
    share = lax.fori_loop(0, 8, narrow, state)[0]
    share = jnp.where(low_lead * high_lead < 0.0, jnp.clip(share, 0.0, 1.0), vertices.share)
    return share, lead(share)[1]


class _Contour(NamedTuple):
    """One line of vertices on a plane."""

    vertices: _Vertices
    closed: bool


def _leads(logits: Float[np.ndarray, "rows columns classes"]) -> tuple[np.ndarray, np.ndarray]:
    """How far every class is above all others, and the best class."""
    best = logits.argmax(axis=-1)
    second, first = np.moveaxis(np.partition(logits, -2, axis=-1)[..., -2:], -1, 0)
    is_best = np.arange(logits.shape[-1]) == best[..., None]
    return logits - np.where(is_best, second[..., None], first[..., None]), best


def _contours(
    contour_generator: Callable[..., Any], plane: int, leads: np.ndarray, best: np.ndarray, steps: np.ndarray
) -> list[_Contour]:
    found = []
    for category in np.unique(best):
        lead = leads[..., category]
        for line in map(np.asarray, contour_generator(z=lead).lines(0.0)):
            nearest = np.rint(line).astype(int)
            # A vertex is on a line of the grid by one coordinate, and between two points by the other.
            upward = np.abs(line[:, 0] - nearest[:, 0]) <= np.abs(line[:, 1] - nearest[:, 1])
            direction = np.stack([~upward, upward], axis=1).astype(int)
            low = np.where(direction == 1, np.clip(np.floor(line).astype(int), 0, len(steps) - 2), nearest)
            high = low + direction
            share = np.sum((line - low) * direction, axis=1)
            at_ends = np.stack([lead[low[:, 1], low[:, 0]], lead[high[:, 1], high[:, 0]]], axis=1)
            planes, categories = np.full((2, len(line)), [[plane], [category]], np.int32)
            edges, shares = steps[high] - steps[low], share.astype(np.float32)
            vertices = _Vertices(planes, categories, steps[low], edges, shares, at_ends)
            found.append(_Contour(vertices, bool(np.all(line[0] == line[-1]))))
    return found


def _in_blocks(function: Callable[..., Any], arguments: Any) -> Any:
    """A function of arrays with a row for every point, on blocks of one size."""
    points = len(jax.tree.leaves(arguments)[0])
    blocks = whole_blocks(points, POINT_BLOCK)
    return over_blocks(lambda rows: function(jax.tree.map(lambda array: array[rows], arguments)), points, blocks)


def _turning(points: np.ndarray, next_best: np.ndarray, closed: bool, shortest: float) -> tuple[float, float]:
    """By how much a contour turns where both neighbours border on the same class, and the length that belongs to it."""
    if closed:
        points, next_best = points[:-1], next_best[:-1]
    apart = np.linalg.norm(points - np.roll(points, 1, axis=0), axis=1) >= shortest
    points, next_best = points[apart], next_best[apart]
    if len(points) < 3:
        return 0.0, 0.0
    before, after = points - np.roll(points, 1, axis=0), np.roll(points, -1, axis=0) - points
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    angles = np.abs(np.arctan2(cross, np.sum(before * after, axis=1)))
    lengths = (np.linalg.norm(before, axis=1) + np.linalg.norm(after, axis=1)) / 2
    counts = (next_best == np.roll(next_best, 1)) & (next_best == np.roll(next_best, -1))
    if not closed:
        counts[[0, -1]] = False
    return float(angles[counts].sum()), float(lengths[counts].sum())


def _measured(
    on_planes: Partial, planes: int, contours: list[_Contour], shortest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Length and mean curvature of each plane's boundaries."""
    length, turned, along = np.zeros((3, planes))
    if contours:
        vertices = jax.tree.map(lambda *parts: np.concatenate(parts), *(contour.vertices for contour in contours))
        share, next_best = _in_blocks(lambda some: _refined(on_planes, some), vertices)
        points = vertices.start.astype(float) + share[:, None].astype(float) * vertices.edge
        ends = np.cumsum([len(contour.vertices.share) for contour in contours])[:-1]
        for contour, line, others in zip(contours, np.split(points, ends), np.split(next_best, ends), strict=True):
            plane = contour.vertices.plane[0]
            length[plane] += np.linalg.norm(np.diff(line, axis=0), axis=1).sum() / 2
            angle, part = _turning(line, others, contour.closed, shortest)
            turned[plane] += angle
            along[plane] += part
    return length, np.where(along > 0.0, turned / np.where(along > 0.0, along, 1.0), np.nan)


def _geometry(on_planes: Partial, planes: int, radius: float, resolution: int) -> BoundaryGeometry:
    with extra("analysis"):
        from contourpy import contour_generator
    steps = np.asarray(plane_coordinates(radius, resolution))
    points = np.stack([grid.ravel() for grid in np.meshgrid(steps, steps)], axis=1)
    regions, finite = np.zeros(planes, int), np.ones(planes, bool)
    contours: list[_Contour] = []
    for plane in range(planes):
        grid = (np.full(len(points), plane, np.int32), points)
        logits = _in_blocks(lambda some: _logits(on_planes, *some), grid).reshape(resolution, resolution, -1)
        finite[plane] = np.all(np.isfinite(logits))
        if finite[plane]:
            leads, best = _leads(logits)
            regions[plane] = sum(scipy.ndimage.label(best == category)[1] for category in np.unique(best))
            if regions[plane] > 1:
                contours += _contours(contour_generator, plane, leads, best, steps)
    spacing = 2.0 * radius / (resolution - 1)
    length, curvature = _measured(on_planes, planes, contours, SHORTEST_STEP * spacing)
    length = np.where(finite, length / (2.0 * radius) ** 2, np.nan)
    return BoundaryGeometry(length, curvature, regions, regions > 1)


def boundary_geometry(
    network: Network,
    images: ArrayLike,
    key: PRNGKeyArray,
    planes_per_image: int = 1,
    radius: float = 20.0,
    resolution: int = 64,
) -> BoundaryGeometry:
    """Boundaries on random planes through images.

    Args:
        network: runs in evaluation mode.
        images: (images, inputs), the centres.
        key: decides the planes.
        planes_per_image: planes through each image.
        radius: half the side of the square on each plane, in the units of the images.
        resolution: points along a side.

    Returns:
        The measures of ``images × planes_per_image`` planes.

    Raises:
        ValueError: for images of the wrong shape, no planes, or an empty square.
        TypeError: another model; :func:`generic_boundary_geometry` serves any.
    """
    check_one_hidden_layer(network, "Use generic_boundary_geometry, which serves any.")
    if planes_per_image < 1:
        raise ValueError(f"planes_per_image must be at least 1, got {planes_per_image}")
    centres = jnp.repeat(_checked_centres(images), planes_per_image, axis=0)
    keys = jax.random.split(key, len(centres))
    directions = jax.vmap(lambda each: random_plane(each, centres.shape[1]))(keys)
    with jax.default_matmul_precision("highest"):
        origins, sides = network.preactivation(centres), network.preactivation(directions.reshape(-1, centres.shape[1]))
    on_planes = Partial(_network_on_planes, *nnx.split(network), origins, sides.reshape(len(centres), 2, -1))
    return _geometry(on_planes, len(centres), radius, resolution)


def generic_boundary_geometry(
    logits_function: Callable[[Array], Array],
    images: ArrayLike,
    directions: ArrayLike,
    radius: float = 20.0,
    resolution: int = 64,
) -> BoundaryGeometry:
    """Boundaries of any classifier on given planes.

    Args:
        logits_function: batch of flattened images to logits, a model or a function; see
            :func:`jax_bioadv.models.as_pytree`.
        images: (planes, inputs), the centre of each plane.
        directions: (planes, 2, inputs), orthonormal.
        radius: half the side of the square on each plane, in the units of the images.
        resolution: points along a side.

    Returns:
        The measures of each plane.

    Raises:
        ValueError: for arrays of the wrong shape, no planes, or an empty square.
    """
    centres, vectors = _checked_centres(images), jnp.asarray(directions, jnp.float32)
    if vectors.shape != (len(centres), 2, centres.shape[1]):
        raise ValueError(f"directions must be two for each of {len(centres)} images, got shape {vectors.shape}")
    on_planes = Partial(_images_on_planes, as_pytree(logits_function), centres, vectors)
    return _geometry(on_planes, len(centres), radius, resolution)


def _checked_centres(images: ArrayLike) -> Array:
    centres = jnp.asarray(images, jnp.float32)
    if centres.ndim != 2 or len(centres) == 0:
        raise ValueError(f"images must be flattened to (images, inputs), at least one, got shape {centres.shape}")
    return centres
