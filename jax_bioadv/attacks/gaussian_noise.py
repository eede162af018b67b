"""Gaussian noise of growing size: ``x' = x + epsilon N(0, 1)`` (Holzhausen et al., arXiv 2405.00679).

Not an attack on the classifier but a baseline that needs no gradient. With ``protocol="fixed"`` an image moves along
one random line: its direction depends on key and image alone, so that a critical perturbation is a distance along that
line. The published code draws anew at every epsilon (``protocol="published"``); the first flip is then the minimum over
as many draws as the sweep has epsilons, and the finer the grid the smaller it gets.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.attack import Attack, LogitsFunction, checked_bounds, clip_to


@register_static
@dataclasses.dataclass(frozen=True)
class _Settings:
    bounds: tuple[float, float] | None
    protocol: str


def gaussian(bounds: tuple[float, float] | None = None, protocol: str = "fixed") -> Attack:
    """Gaussian noise of standard deviation epsilon in every pixel.

    Args:
        bounds: range to clip the perturbed images to; as published, None: no clipping.
        protocol: ``"fixed"``: one direction per image and key at all epsilons; ``"published"``: a new one at each.

    Returns:
        The attack.

    Raises:
        ValueError: for an unknown protocol or bounds that are not (low, high).
    """
    if protocol not in ("fixed", "published"):
        raise ValueError(f"protocol must be 'fixed' or 'published', got {protocol!r}")
    settings = _Settings(checked_bounds(bounds), protocol)
    return Attack(Partial(_prepare, settings), Partial(_perturb, settings), bounds=settings.bounds)


def _noise(keys: Key[Array, " batch"], images: Float[Array, "batch inputs"]) -> Float[Array, "batch inputs"]:
    return jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys)


def _prepare(
    settings: _Settings,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> Float[Array, "batch inputs"] | None:
    return _noise(keys, images) if settings.protocol == "fixed" else None


def _perturb(
    settings: _Settings,
    direction: Float[Array, "batch inputs"] | None,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    noise = _noise(keys, images) if direction is None else direction
    return clip_to(settings.bounds, images + epsilon * noise), jnp.zeros(images.shape[:1], bool)
