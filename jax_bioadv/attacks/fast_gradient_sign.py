"""Fast gradient sign method, ``x' = clip(x + epsilon sign(dL/dx))`` (Goodfellow et al., arXiv 1412.6572).

L is the cross-entropy. Targeted, the labels are the classes to reach and the step goes down:
``x - epsilon sign(dL/dx)``. A pixel whose gradient is zero stays where it is. The sign does not depend on epsilon: a
sweep costs one gradient.
"""

import dataclasses

import jax.numpy as jnp
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.attack import Attack, LogitsFunction, checked_bounds, clip_to
from jax_bioadv.attacks.gradient import LossGradient, loss_gradient


@register_static
@dataclasses.dataclass(frozen=True)
class _Settings:
    bounds: tuple[float, float] | None
    targeted: bool


def fgsm(bounds: tuple[float, float] | None = (0.0, 1.0), targeted: bool = False) -> Attack:
    """The fast gradient sign method; epsilon is the L-infinity length of the step.

    Args:
        bounds: range to clip the perturbed images to, None for no clipping.
        targeted: whether labels are the classes to reach.

    Returns:
        The attack.

    Raises:
        ValueError: for bounds that are not (low, high).
    """
    settings = _Settings(checked_bounds(bounds), bool(targeted))
    return Attack(Partial(_prepare, settings), Partial(_perturb, settings), settings.targeted, settings.bounds)


def _prepare(
    settings: _Settings,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> LossGradient:
    gradient, vanished = loss_gradient(logits_function, images, labels)
    return LossGradient(jnp.sign(-gradient if settings.targeted else gradient), vanished)


def _perturb(
    settings: _Settings,
    signed: LossGradient,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    return clip_to(settings.bounds, images + epsilon * signed.gradient), signed.vanished
