"""Minibatch k-means (Sculley 2010), step by step, for images that come as a stream.

The same ``init`` and ``step`` as learning rules have, so that it learns on the accelerator from whatever batches there
are and goes on from a checkpoint. Every centroid is the mean of the images that were nearest to it when they came::

    state = init(images[:500])
    state, info = step(state, batch)

Images in memory are for scikit-learn's: :func:`jax_bioadv.learning.fixed_layers.centroid_rows`.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Real


class State(NamedTuple):
    """Centroids, and how many images each of them is the mean of."""

    centroids: Float[Array, "hidden inputs"]
    counts: Float[Array, " hidden"]


class StepInfo(NamedTuple):
    """``inertia``: the mean squared distance of the images to the nearest centroids, before these move."""

    inertia: Float[Array, ""]


def init(images: Real[Array, "hidden inputs"]) -> State:
    """Centroids that are images; the first that come to each take its place.

    Args:
        images: unit-norm images, one for each centroid.
    """
    centroids = images.astype(jnp.promote_types(images.dtype, jnp.float32))
    return State(centroids, jnp.zeros(len(images), centroids.dtype))


def step(state: State, images: Real[Array, "batch inputs"]) -> tuple[State, StepInfo]:
    """One minibatch; a centroid to which none of it is nearest stays where it is.

    Args:
        state: before the batch.
        images: unit-norm images.

    Returns:
        The state after it, and how far the images were from the centroids before it.
    """
    centroids, counts = state
    images = images.astype(centroids.dtype)
    of_centroids = jnp.sum(centroids**2, axis=1)
    distances = of_centroids - 2 * jnp.matmul(images, centroids.T, precision="highest")
    nearest = jnp.argmin(distances, axis=1)
    inertia = jnp.mean(jnp.min(distances, axis=1) + jnp.sum(images**2, axis=1))
    come = jnp.zeros_like(counts).at[nearest].add(1.0)
    sums = jnp.zeros_like(centroids).at[nearest].add(images)
    counts += come
    shift = (sums - come[:, None] * centroids) / jnp.maximum(counts, 1)[:, None]
    return State(centroids + shift, counts), StepInfo(inertia)
