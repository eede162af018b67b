"""Projected gradient descent in an L_p ball of radius epsilon (Madry et al., arXiv 1706.06083).

Every step climbs the cross-entropy along the steepest ascent direction of the L_p norm and is projected back:
``δ ← project(δ + step · steepest_ascent(dL/dx at x + δ))``, and ``x' = clip(x + δ)``. The defaults are the protocol of
Holzhausen et al., arXiv 2405.00679: L-infinity, 20 steps of 0.01 (of 0.1 epsilon where epsilon < 0.01) from the clean
image, clipped once at the end, the last iterate returned whether an earlier one succeeded or not. Those 20 steps cannot
reach the surface of a ball of epsilon > 0.2.
"""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.attack import (
    Attack,
    LogitsFunction,
    StepSize,
    checked_bounds,
    checked_counts,
    clip_to,
    log_odds_against,
    succeeded,
)
from jax_bioadv.attacks.best import Best, better_of, least_if_nan, nothing_yet
from jax_bioadv.attacks.gradient import LossGradient, loss_gradient
from jax_bioadv.attacks.lp_ball import check_norm, project, steepest_ascent, uniform_in_ball


@register_static
@dataclasses.dataclass(frozen=True)
class _Settings:
    norm: float
    steps: int
    step_size: float | StepSize
    bounds: tuple[float, float] | None
    clip_each_step: bool
    targeted: bool
    random_start: bool
    restarts: int


def published_step_size(epsilon: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """0.01, or a tenth of epsilon where epsilon is below 0.01."""
    return jnp.where(epsilon < 0.01, 0.1 * epsilon, 0.01).astype(epsilon.dtype)


@dataclasses.dataclass(frozen=True)
class _RelativeStepSize:
    """A fixed multiple of epsilon; a class, so that equal multiples compare equal and share a compilation."""

    multiple: float

    def __call__(self, epsilon: Float[Array, ""]) -> Float[Array, ""]:
        return self.multiple * epsilon


def pgd(
    norm: float | int = math.inf,
    steps: int = 20,
    step_size: float | int | StepSize | None = None,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    *,
    clip_each_step: bool = False,
    targeted: bool = False,
    random_start: bool = False,
    restarts: int = 1,
) -> Attack:
    """Projected gradient descent; epsilon is the radius of the L_p ball.

    The projection is the Euclidean one for p = 1, 2 and infinity, and the scaling of the perturbation for any other p
    (see :mod:`jax_bioadv.attacks.lp_ball` for the reason).

    Args:
        norm: p ≥ 1 of the ball.
        steps: number of gradient steps.
        step_size: L_p length of a step, or a function that gives it from epsilon (hashable; compiled once per
            function). None: the published rule for L-infinity, 2.5 epsilon / steps for other norms.
        bounds: range that the perturbed images are clipped to, None for no clipping.
        clip_each_step: whether to clip after every projection too, not at the end only.
        targeted: whether labels are the classes to reach.
        random_start: whether to start from a uniform sample of the ball, the same at all epsilons up to scale, and not
            from the image.
        restarts: number of random starts, of which an image keeps the best: successful ones first, then by loss.

    Returns:
        The attack.

    Raises:
        ValueError: for a setting out of range, or for restarts that would all start from the same image.
    """
    steps, restarts = checked_counts(steps=steps, restarts=restarts)
    if restarts > 1 and not random_start:
        raise ValueError("restarts from the clean image are all the same: set random_start=True")
    order = check_norm(norm)
    if step_size is None:
        step_size = published_step_size if order == math.inf else _RelativeStepSize(2.5 / steps)
    elif not callable(step_size):
        step_size = float(step_size)
        if not (math.isfinite(step_size) and step_size > 0):
            raise ValueError(f"step_size must be finite and positive, got {step_size}")
    settings = _Settings(
        order, steps, step_size, checked_bounds(bounds), clip_each_step, targeted, random_start, restarts
    )
    return Attack(Partial(_prepare, settings), Partial(_perturb, settings), settings.targeted, settings.bounds)


def _prepare(
    settings: _Settings,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> Key[Array, " batch"] | LossGradient:
    """Start keys, or without a random start the gradient of the first step, which all epsilons share."""
    return keys if settings.random_start else loss_gradient(logits_function, images, labels)


def _move(
    settings: _Settings,
    epsilon: Float[Array, ""],
    images: Float[Array, "batch inputs"],
    perturbation: Float[Array, "batch inputs"],
    gradient: Float[Array, "batch inputs"],
) -> Float[Array, "batch inputs"]:
    """The perturbation after one step along the gradient."""
    step_size = settings.step_size(epsilon) if callable(settings.step_size) else settings.step_size
    step = jnp.asarray(-step_size if settings.targeted else step_size, images.dtype)
    perturbation = project(perturbation + step * steepest_ascent(gradient, settings.norm), settings.norm, epsilon)
    return _clip_step(settings, images, perturbation)


def _clip_step(
    settings: _Settings, images: Float[Array, "batch inputs"], perturbation: Float[Array, "batch inputs"]
) -> Float[Array, "batch inputs"]:
    """The perturbation, clipped to the bounds if every step is to be; no step leaves the ball by it."""
    return clip_to(settings.bounds, images + perturbation) - images if settings.clip_each_step else perturbation


def _perturb(
    settings: _Settings,
    prepared: Key[Array, " batch"] | LossGradient,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    move = functools.partial(_move, settings, epsilon, images)

    def step(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        perturbation, vanished = carry
        gradient, vanished_here = loss_gradient(logits_function, images + perturbation, labels)
        return (move(perturbation, gradient), vanished | vanished_here), None

    if isinstance(prepared, LossGradient):
        first = move(jnp.zeros_like(images), prepared.gradient)
        (perturbation, vanished), _ = lax.scan(step, (first, prepared.vanished), length=settings.steps - 1)
        return clip_to(settings.bounds, images + perturbation), vanished

    def restart(carry: tuple[Best, Array], index: Array) -> tuple[tuple[Best, Array], None]:
        best, any_vanished = carry
        start_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(prepared, index)
        start = epsilon * uniform_in_ball(start_keys, images.shape[1], settings.norm, images.dtype)
        start = _clip_step(settings, images, start)
        (perturbation, vanished), _ = lax.scan(step, (start, jnp.zeros_like(any_vanished)), length=settings.steps)
        found = _judged(settings, logits_function, clip_to(settings.bounds, images + perturbation), labels)
        return (better_of(best, found), any_vanished | vanished), None

    never = jnp.zeros(images.shape[:1], bool)
    (best, vanished), _ = lax.scan(restart, (nothing_yet(images), never), jnp.arange(settings.restarts))
    return best.images, vanished


def _judged(
    settings: _Settings,
    logits_function: LogitsFunction,
    perturbed: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> Best:
    """What a restart has found, with its loss as the score (its negative where targeted)."""
    logits = logits_function(perturbed)
    loss = log_odds_against(logits, labels)
    score = least_if_nan(-loss if settings.targeted else loss)
    return Best(perturbed, succeeded(logits, labels, settings.targeted), score)
