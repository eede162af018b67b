"""Landscapes on a plane through an image: Jacobian norm, predicted class and confidence.

Hoffman et al. (arXiv 1908.02729) and Holzhausen et al. (arXiv 2405.00679, figure 4) look at a network on a random
plane through a test image: how smooth its representation is there (``‖∂a/∂x‖_F``, of the activation before batch
norm), beside the decision boundaries. :func:`landscape` is exact and fast for ``models.Network``, whose pre-activation
is affine on a plane, so that no point of the plane is ever formed; :func:`generic_landscape` serves any network by
automatic differentiation. In every map the value at [row, column] belongs to the point

    image + coordinates[column]·directions[0] + coordinates[row]·directions[1],

the order that matplotlib's ``contour`` and ``pcolormesh`` expect.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, PRNGKeyArray

from jax_bioadv.jacobian import (
    Mode,
    full_jacobian_norms,
    jacobian_norms_squared_along,
    on_one_image,
    slope_norms_squared,
)
from jax_bioadv.models import Network, as_pytree, check_one_hidden_layer


class Landscape(NamedTuple):
    """Maps over a plane, on the host; see the module's docstring for their orientation."""

    coordinates: Float[np.ndarray, " resolution"]
    jacobian_norm: Float[np.ndarray, "resolution resolution"]
    predicted_class: Int[np.ndarray, "resolution resolution"]
    """-1 where the logits are not finite."""
    confidence: Float[np.ndarray, "resolution resolution"]
    """The largest softmax output."""


def random_plane(key: PRNGKeyArray, inputs: int) -> Float[Array, "2 inputs"]:
    """Two orthonormal directions, uniformly distributed.

    Args:
        key: random key.
        inputs: dimension of image space, at least 2.

    Returns:
        The directions, one a row.

    Raises:
        ValueError: if there is no plane in so few dimensions.
    """
    if inputs < 2:
        raise ValueError(f"a plane needs at least 2 inputs, got {inputs}")
    orthonormal, triangular = jnp.linalg.qr(jax.random.normal(key, (inputs, 2), jnp.float32))
    # QR picks its own signs, which would leave the directions on one half of the sphere.
    return (orthonormal * jnp.sign(jnp.diagonal(triangular))).T


def plane_coordinates(radius: float = 20.0, resolution: int = 100) -> Float[Array, " resolution"]:
    """Coordinates of the grid along either direction, from -radius to radius, in the units of the images.

    Raises:
        ValueError: if ``radius`` is not positive or ``resolution`` is below 2.
    """
    if not radius > 0.0 or resolution < 2:
        raise ValueError(f"need a positive radius and a resolution of at least 2, got {radius} and {resolution}")
    return jnp.linspace(-radius, radius, resolution, dtype=jnp.float32)


def _class_and_confidence(logits: Array) -> tuple[Array, Array]:
    finite = jnp.all(jnp.isfinite(logits), axis=-1)
    predicted = jnp.where(finite, jnp.argmax(logits, axis=-1), -1)
    return predicted, jnp.where(finite, jnp.max(jax.nn.softmax(logits, axis=-1), axis=-1), jnp.nan)


@jax.jit
def _network_rows(
    graphdef: nnx.GraphDef, state: Any, image: Array, directions: Array, steps: Array
) -> tuple[Array, Array, Array]:
    model = nnx.merge(graphdef, state)
    squared_row_norms = jnp.sum(jnp.square(model.encoder.kernel[...]), axis=0)
    with jax.default_matmul_precision("highest"):
        origin, right, up = model.preactivation(jnp.concatenate([image[None], directions]))

        def row(step: Array) -> tuple[Array, Array, Array]:
            preactivation = origin + step * up + steps[:, None] * right
            norms = jnp.sqrt(slope_norms_squared(preactivation, model.power, squared_row_norms))
            return norms, *_class_and_confidence(model.decode(preactivation))

        return jax.lax.map(row, steps)


def landscape(
    model: Network,
    image: Float[Array, " inputs"],
    directions: Float[Array, "2 inputs"],
    radius: float = 20.0,
    resolution: int = 100,
) -> Landscape:
    """Landscape of the one-layer network, exact: ``h`` at a point is h(image) + u·V d_0 + v·V d_1.

    Args:
        model: the network; batch norm, where there is one, runs in evaluation mode.
        image: a flattened image, the middle of the plane.
        directions: two orthonormal directions, as from :func:`random_plane`.
        radius: half the side of the square, in the units of the images.
        resolution: points along a side.

    Returns:
        The maps, with ``jacobian_norm`` that of the activation before batch norm.

    Raises:
        TypeError: another model; :func:`generic_landscape` serves any.
    """
    check_one_hidden_layer(model, "Use generic_landscape, which serves any.")
    steps = plane_coordinates(radius, resolution)
    norms, predicted, confidence = _network_rows(*nnx.split(model), image, directions, steps)
    return Landscape(np.asarray(steps), np.asarray(norms), np.asarray(predicted), np.asarray(confidence))


@jax.jit
def _class_map(logits_function: Partial, points: Array) -> tuple[Array, Array]:
    return _class_and_confidence(logits_function(points))


def _directions(key: PRNGKeyArray | None, representation: Partial, image: Array, projections: int) -> Array:
    """Unit vectors in the space of the flattened representation."""
    if projections < 1 or key is None:
        raise ValueError(f"projections must be at least 1, and need a key; got {projections} and {key}")
    output = jax.eval_shape(representation, image)
    vectors = jax.random.normal(key, (projections, output.size), output.dtype)
    return vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)


@partial(jax.jit, static_argnames="image_block")
def _estimated_norms(representation: Partial, points: Array, directions: Array, image_block: int) -> Array:
    def norm(point: Array) -> Array:
        return jnp.sqrt(jacobian_norms_squared_along(representation, point[None], directions[None])[0])

    return jax.lax.map(norm, points, batch_size=image_block)


def generic_landscape(
    logits_function: Callable[[Array], Array],
    representation: Callable[[Array], Array],
    image: Float[Array, " inputs"],
    directions: Float[Array, "2 inputs"],
    radius: float = 20.0,
    resolution: int = 100,
    mode: Mode | None = None,
    image_block: int = 16,
    projections: int | None = None,
    key: PRNGKeyArray | None = None,
) -> Landscape:
    """Landscape of any network by automatic differentiation, one row of the grid at a time.

    Args:
        logits_function: batch of flattened images to logits, a model or a function; see
            :func:`jax_bioadv.models.as_pytree`.
        representation: batch of flattened images to the layer whose Jacobian norm is wanted, a vector or a map: a tap
            (:func:`jax_bioadv.taps.taps_of`), a function or a method of a model.
        image: a flattened image, the middle of the plane.
        directions: two orthonormal directions.
        radius: half the side of the square, in the units of the images.
        resolution: points along a side.
        mode: how to differentiate; None goes by the sizes of image and representation. Projections go backwards.
        image_block: points at a time.
        projections: along so many random directions of the representation, the same at all points, the norm is
            estimated; None takes them all.
        key: of these directions.

    Returns:
        The maps.

    Raises:
        ValueError: fewer than one projection, or projections without a key.
    """
    steps = plane_coordinates(radius, resolution)
    logits_pytree = as_pytree(logits_function)
    one_representation = on_one_image(representation)
    shared = None if projections is None else _directions(key, one_representation, image, projections)
    rows = []
    for step in steps:
        points = image + steps[:, None] * directions[0] + step * directions[1]
        if shared is None:
            norms = full_jacobian_norms(one_representation, points, mode, image_block)
        else:
            norms = _estimated_norms(one_representation, points, shared, image_block)
        rows.append((norms, *_class_map(logits_pytree, points)))
    return Landscape(np.asarray(steps), *(np.stack(maps) for maps in zip(*rows, strict=True)))
