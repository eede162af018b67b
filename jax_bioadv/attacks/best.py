"""Keeping the best that an attack has found for each image: what succeeds before all else, then the highest score."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Best(NamedTuple):
    """The best perturbed images so far, whether they succeed, and by what they are compared: a loss to be raised, say.

    A score that is not a number is never the better one.
    """

    images: Float[Array, "batch ..."]
    success: Bool[Array, " batch"]
    score: Float[Array, " batch"]


def nothing_yet(images: Float[Array, "batch ..."]) -> Best:
    """Images as they are, than which all that succeeds or has a score is better."""
    return Best(images, jnp.zeros(len(images), bool), jnp.full(len(images), -jnp.inf, images.dtype))


def is_better(best: Best, other: Best) -> Bool[Array, " batch"]:
    """Where the other succeeds and the best does not, or has the higher score while neither or both do."""
    return (other.success & ~best.success) | ((other.success == best.success) & (other.score > best.score))


def better_of(best: Best, other: Best, *, first_success: bool = False) -> Best:
    """Image by image the better one.

    Args:
        best: so far.
        other: what was found next.
        first_success: whether an image that succeeds is done, and a success of higher score no better.
    """
    better = is_better(best, other)
    if first_success:
        better &= ~best.success
    of_pixels = better.reshape(-1, *[1] * (best.images.ndim - 1))
    return Best(
        jnp.where(of_pixels, other.images, best.images),
        jnp.where(better, other.success, best.success),
        jnp.where(better, other.score, best.score),
    )


def least_if_nan(scores: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Scores to compare by; minus infinity where there is none, so that any other is higher."""
    return jnp.where(jnp.isnan(scores), -jnp.inf, scores)
