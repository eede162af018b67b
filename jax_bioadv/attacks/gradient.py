"""An image's gradient of a loss by its own pixels, zero and marked where it vanishes.

A gradient that is zero in every pixel, or not finite, says nothing about robustness (gradient masking): no attack may
step along it, and all of them report it.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer

from jax_bioadv.attacks.attack import LogitsFunction, log_odds_against, succeeded
from jax_bioadv.attacks.best import least_if_nan
from jax_bioadv.convolutions_in_loops import with_fast_convolutions


class LossGradient(NamedTuple):
    """Per image a loss's gradient up to a positive factor; zero where it ``vanished`` or is not finite."""

    gradient: Float[Array, "batch inputs"]
    vanished: Bool[Array, " batch"]


class Ascent(NamedTuple):
    """Per image: the loss at a point, its gradient (zero where it vanished), and what the classifier says there."""

    loss: Float[Array, " batch"]
    gradient: Float[Array, "batch inputs"]
    success: Bool[Array, " batch"]
    vanished: Bool[Array, " batch"]


def loss_gradient(
    logits_function: LogitsFunction, images: Float[Array, "batch inputs"], labels: Integer[Array, " batch"]
) -> LossGradient:
    """Gradient of each image's cross-entropy by its own pixels up to a positive factor, made safe where it vanishes.

    The cross-entropy is softplus(m) of the log odds m, and its gradient is the gradient of m times sigmoid(m). That
    factor is left out: no step depends on the length of the gradient, and in float32 it takes the direction with it.
    Where the classifier is sure of the label by some 16 nats, ``softmax - 1`` is rounding, and beyond some 100 all is
    zero: gradient masking by arithmetic alone, to which the large logits of ReLU^4.5 are prone.

    Args:
        logits_function: the classifier.
        images: (batch, inputs).
        labels: (batch,).

    Returns:
        The gradients, all zero for an image whose gradient is zero or not finite, which is then marked.
    """
    return _by_pixels(partial(log_odds_against, labels=labels), logits_function, images)[0]


def ascend(
    loss: Callable[[Array], Array],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    verdict: Callable[[Array, Array], Array] = succeeded,
) -> Ascent:
    """One forward and one backward pass: each image's loss, its gradient by its own pixels, and the verdict.

    Args:
        loss: logits to one loss per image; NaN becomes the least of losses.
        logits_function: the classifier.
        images: (batch, inputs).
        labels: (batch,), the classes to leave.
        verdict: says of logits and labels which images are misclassified.

    Returns:
        Per image; a gradient counts as vanished only where the image is not misclassified already.
    """
    found, losses, logits = _by_pixels(loss, logits_function, images)
    success = verdict(logits, labels)
    return Ascent(least_if_nan(losses), found.gradient, success, found.vanished & ~success)


def _by_pixels(
    loss: Callable[[Array], Array], logits_function: LogitsFunction, images: Float[Array, "batch inputs"]
) -> tuple[LossGradient, Float[Array, " batch"], Float[Array, "batch classes"]]:
    """Gradients, losses and logits; images never interact, so that the sum of the losses serves all of them."""

    def total(images: Array) -> tuple[Array, tuple[Array, Array]]:
        logits = logits_function(images)
        losses = loss(logits)
        return jnp.sum(losses), (losses, logits)

    gradient, (losses, logits) = with_fast_convolutions(jax.grad(total, has_aux=True))(images)
    largest = jnp.max(jnp.abs(gradient), axis=1)
    vanished = ~(jnp.isfinite(largest) & (largest > 0))
    return LossGradient(jnp.where(vanished[:, None], jnp.zeros_like(gradient), gradient), vanished), losses, logits
