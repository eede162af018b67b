"""Geometry of the L_p ball, p ≥ 1: steepest ascent direction, way back into the ball, uniform samples.

The steepest ascent direction of a gradient g is the maximiser of ⟨g, d⟩ over ‖d‖_p ≤ 1, with 1/p + 1/q = 1
``d = sign(g) (|g| / ‖g‖_q)^(q-1)``. For p = 1, 2 and infinity the way back is the Euclidean projection, for p = 1 the
sort-based one of Duchi et al. (ICML 2008, doi 10.1145/1390156.1390191). For any other p it is the scaling of the whole
perturbation: a perturbation is a stationary point of the attack, g normal to the sphere, exactly if it is parallel to
d, and scaling brings δ + d back to that δ; the Euclidean projection, along g and not along d, would not.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


def check_norm(norm: float | int) -> float:
    """The order p of the norm as a float; ValueError unless 1 ≤ p ≤ infinity."""
    order = float(norm)
    if not order >= 1:
        raise ValueError(f"norm must be a number p ≥ 1 or infinity, got {norm}")
    return order


def unit_length(vectors: Float[Array, "*shape"], axes: int | tuple[int, ...] = -1) -> Float[Array, "*shape"]:
    """Vectors divided by their L2 lengths over some axes; zero stays zero."""
    length = jnp.sqrt(jnp.sum(vectors**2, axis=axes, keepdims=True))
    return vectors / jnp.where(length > 0, length, 1)


def steepest_ascent(gradient: Float[Array, "batch inputs"], norm: float) -> Float[Array, "batch inputs"]:
    """Direction of unit L_p length along which each image's loss rises fastest; zero for a zero gradient.

    Args:
        gradient: finite gradients.
        norm: p ≥ 1; for p = 1 all the length goes to the pixel with the largest gradient (the first of equals).

    Returns:
        One direction per image.
    """
    magnitude = jnp.abs(gradient)
    if norm == jnp.inf:
        return jnp.sign(gradient)
    if norm == 1:
        steepest = jnp.arange(gradient.shape[1])[None, :] == jnp.argmax(magnitude, axis=1, keepdims=True)
        return jnp.where(steepest, jnp.sign(gradient), jnp.zeros_like(gradient))
    # Scaled by the largest pixel first, or squares of small gradients would underflow to a zero length.
    largest = jnp.max(magnitude, axis=1, keepdims=True)
    magnitude = magnitude / jnp.where(largest > 0, largest, 1)
    dual = norm / (norm - 1)
    length = jnp.sum(magnitude**dual, axis=1, keepdims=True) ** (1 / dual)
    return jnp.sign(gradient) * (magnitude / jnp.where(length > 0, length, 1)) ** (dual - 1)


def project(
    perturbation: Float[Array, "batch inputs"], norm: float, radius: Float[Array, ""]
) -> Float[Array, "batch inputs"]:
    """Brings perturbations back into the L_p ball: to the closest point for p = 1, 2 and infinity, else by scaling.

    Args:
        perturbation: the points to bring back.
        norm: p ≥ 1.
        radius: of the ball around 0, at least 0.

    Returns:
        One point of the ball per image; points inside stay where they are.
    """
    if norm == jnp.inf:
        return jnp.clip(perturbation, -radius, radius)
    length = _length(perturbation, norm)
    outside = length > radius
    if norm != 1:
        return perturbation * jnp.where(outside, radius / jnp.where(outside, length, 1), 1)
    # In units of the radius; of 1 where the ball is a point, which is put right at the end.
    unit = jnp.where(radius > 0, radius, 1)
    shrunk = _project_simplex(jnp.abs(perturbation) / unit) * jnp.where(radius > 0, unit, 0)
    return jnp.where(outside, jnp.sign(perturbation) * shrunk, perturbation)


def _length(perturbation: Float[Array, "batch inputs"], norm: float) -> Float[Array, "batch 1"]:
    if norm in (1, 2):
        return jnp.linalg.norm(perturbation, ord=norm, axis=1, keepdims=True)
    # Scaled by the largest pixel first, or high powers of small ones would underflow to a zero length.
    largest = jnp.max(jnp.abs(perturbation), axis=1, keepdims=True)
    scaled = perturbation / jnp.where(largest > 0, largest, 1)
    return largest * jnp.linalg.norm(scaled, ord=norm, axis=1, keepdims=True)


def _project_simplex(magnitude: Float[Array, "batch inputs"]) -> Float[Array, "batch inputs"]:
    """Soft threshold that leaves an L1 length of 1, for rows of L1 length above 1."""
    # Less the largest, to which the threshold is closer than 1, or far outside the sums would not know of this 1.
    magnitude = magnitude - jnp.max(magnitude, axis=1, keepdims=True)
    descending = jnp.sort(magnitude, axis=1, descending=True)
    excess = jnp.cumsum(descending, axis=1) - 1
    rank = jnp.arange(1, magnitude.shape[1] + 1, dtype=magnitude.dtype)
    kept = jnp.sum(descending * rank > excess, axis=1, keepdims=True)
    threshold = jnp.take_along_axis(excess, kept - 1, axis=1) / kept.astype(magnitude.dtype)
    return jnp.maximum(magnitude - threshold, 0)


def uniform_in_ball(
    keys: Key[Array, " batch"], inputs: int, norm: float, dtype: jnp.dtype
) -> Float[Array, "batch inputs"]:
    """Points drawn uniformly from the unit L_p ball, one per key."""
    if norm == jnp.inf:
        return jax.vmap(lambda key: jax.random.uniform(key, (inputs,), dtype, -1, 1))(keys)
    return jax.vmap(lambda key: jax.random.ball(key, inputs, norm, dtype=dtype))(keys)
