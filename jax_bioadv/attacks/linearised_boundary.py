"""Decision boundaries to first order: the hyperplane on which the lead of one class over another would vanish.

With f the difference of two logits, the boundary between their classes is taken for the points where
``f(x) + ∇f · (point − x) = 0``, as seen from an image x (Croce & Hein, arXiv 1907.02044).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Integer

from jax_bioadv.attacks.attack import LogitsFunction, clip_to, lead_of
from jax_bioadv.attacks.gradient import ascend


def nearest_classes(
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    norm: float,
    count: int,
) -> tuple[Integer[Array, "targets batch"], Bool[Array, " batch"]]:
    """The wrong classes whose linearised boundaries are nearest; it costs a gradient for each class.

    Args:
        logits_function: the classifier.
        images: where the boundaries are seen from.
        labels: the classes to leave.
        norm: 2 or infinity, in which distances are measured.
        count: how many classes; all wrong ones if there are not as many.

    Returns:
        Classes, the nearest first, and for which images not one of them has a gradient.
    """
    classes = jax.eval_shape(logits_function, images).shape[1]

    def distance(target: Array) -> tuple[Array, Array]:
        here = ascend(
            partial(lead_of, classes=jnp.full_like(labels, target), labels=labels), logits_function, images, labels
        )
        dual = 2 if norm == 2 else 1
        largest = jnp.max(jnp.abs(here.gradient), axis=1)
        unit = jnp.where(largest > 0, largest, 1)
        slope = jnp.where(largest > 0, jnp.linalg.norm(here.gradient / unit[:, None], ord=dual, axis=1), 1)
        to_boundary = jnp.where(largest > 0, -here.loss / unit / slope, jnp.inf)
        # The label itself comes last.
        return jnp.where(target == labels, jnp.inf, jnp.minimum(to_boundary, jnp.finfo(images.dtype).max)), largest > 0

    distances, has_gradient = lax.map(distance, jnp.arange(classes))
    return jnp.argsort(distances, axis=0)[: min(count, classes - 1)], ~jnp.any(has_gradient, axis=0)


def closest_on_hyperplane(
    origin: Float[Array, "batch inputs"],
    gradient: Float[Array, "batch inputs"],
    rise: Float[Array, " batch"],
    norm: float,
    bounds: tuple[float, float] | None,
) -> Float[Array, "batch inputs"]:
    """The points within the bounds that are closest to the origins, with ``gradient · (point − origin) = rise``.

    They are ``clip(origin + t d)``, with d the gradient in L2 and its signs in L-infinity. What t gives is concave and
    piecewise linear, so that Newton's method rises to the solution and never passes it; three steps reach it unless
    many pixels meet their bounds one after another.

    Args:
        origin: points within the bounds.
        gradient: normals of the hyperplanes.
        rise: how far the hyperplanes are from the origins, in units of the gradients.
        norm: 2 or infinity, in which the points are closest.
        bounds: range that the points must lie in, None if there is none.

    Returns:
        One point per origin, short of its hyperplane where no point within the bounds reaches it.
    """
    direction = gradient if norm == 2 else jnp.sign(gradient)

    def newton(_: Array, t: Array) -> Array:
        reached = clip_to(bounds, origin + t[:, None] * direction)
        free = jnp.ones_like(reached, bool)
        if bounds is not None:
            low, high = bounds
            free = jnp.where(direction > 0, reached < high, reached > low)
        slope = jnp.sum(jnp.where(free, gradient * direction, 0), axis=1)
        missing = rise - jnp.sum(gradient * (reached - origin), axis=1)
        return jnp.maximum(t + jnp.where(slope > 0, missing / jnp.where(slope > 0, slope, 1), 0), 0)

    t = lax.fori_loop(0, 1 if bounds is None else 3, newton, jnp.zeros_like(rise))
    return clip_to(bounds, origin + t[:, None] * direction)
