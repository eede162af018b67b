"""Auto-PGD: projected gradient descent that chooses its own step size (Croce & Hein, arXiv 2003.01690).

From a step of ``2 epsilon`` and with momentum 0.75 it climbs a loss along the steepest ascent direction. At ever closer
checkpoints an image's step is halved, and its climb goes on from its best point, if fewer than three quarters of its
steps since the last checkpoint raised the loss or if its best point has not changed since a checkpoint that did not
halve. What it returns is the best point of all it has visited, a misclassified one wherever there was one.

Three losses of the logits z, with label y, target t and π the order of the logits, largest first:

- ``"cross_entropy"``, followed as the log odds that the label is wrong (see
  :func:`jax_bioadv.attacks.attack.log_odds_against`). The cross-entropy rises with them, every rule above compares
  losses only, and the direction is the same; but it is not lost to rounding where the classifier is sure, which would
  be gradient masking by arithmetic alone.
- ``"dlr"``: difference of logits ratio, ``(max_{i≠y} z_i − z_y) / (z_π1 − z_π3)``, the same for logits of any scale.
- ``"targeted_dlr"``: ``(z_t − z_y) / (z_π1 − (z_π3 + z_π4) / 2)`` for the most likely wrong classes t, one by one.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.attack import (
    Attack,
    LogitsFunction,
    checked_bounds,
    checked_counts,
    clip_to,
    lead_of,
    lead_over_label,
    log_odds_against,
    succeeded,
)
from jax_bioadv.attacks.best import Best, better_of, is_better, least_if_nan, nothing_yet
from jax_bioadv.attacks.gradient import Ascent, ascend
from jax_bioadv.attacks.lp_ball import project, steepest_ascent, uniform_in_ball

Loss = Callable[[Array, Array, Array], Array]
"""Logits (batch, classes), labels (batch,) and targets (batch,) to what each image is to climb (batch,)."""

MOMENTUM = 0.75
SHARE_OF_RISING_STEPS = 0.75


@register_static
@dataclasses.dataclass(frozen=True)
class _Settings:
    norm: float
    steps: int
    loss: str
    restarts: int
    targets: int
    bounds: tuple[float, float] | None


class _Prepared(NamedTuple):
    """Per image: keys of the random starts, classes to aim at, and whether it is misclassified as it is."""

    keys: Key[Array, " batch"]
    targets: Integer[Array, "batch targets"]
    misclassified: Bool[Array, " batch"]


class _Climb(NamedTuple):
    """One climb of every image; ``rises``, ``old_step`` and ``old_loss`` look back to the last checkpoint."""

    images: Float[Array, "batch inputs"]
    previous: Float[Array, "batch inputs"]
    best: Best
    best_gradient: Float[Array, "batch inputs"]
    loss: Float[Array, " batch"]
    step: Float[Array, " batch"]
    rises: Integer[Array, " batch"]
    old_step: Float[Array, " batch"]
    old_loss: Float[Array, " batch"]
    vanished: Bool[Array, " batch"]


def apgd(
    norm: float | int = math.inf,
    steps: int = 50,
    loss: str = "cross_entropy",
    restarts: int = 1,
    targets: int = 9,
    bounds: tuple[float, float] | None = (0.0, 1.0),
) -> Attack:
    """Auto-PGD; epsilon is the radius of the L2 or L-infinity ball.

    An image that is misclassified as it is counts as a success and is returned as it is.

    Args:
        norm: 2 or infinity.
        steps: number of gradients in one climb.
        loss: ``"cross_entropy"``, ``"dlr"`` (3 classes or more) or ``"targeted_dlr"`` (4 or more).
        restarts: climbs, for ``"targeted_dlr"`` at each target: the first from the image, the others from uniform
            samples of the cube or the sphere, the same at all epsilons up to scale. The best point of all is kept.
        targets: for ``"targeted_dlr"``, how many of the wrong classes to aim at, most likely first; all if there are
            not as many.
        bounds: range that images are clipped to at every step, None for no clipping.

    Returns:
        The attack.

    Raises:
        ValueError: for a setting out of range; when it is used, for a loss that needs more classes than there are.
    """
    if float(norm) not in (2, math.inf):
        raise ValueError(f"norm must be 2 or infinity, got {norm}; pgd climbs in balls of other norms")
    steps, restarts, targets = checked_counts(steps=steps, restarts=restarts, targets=targets)
    if loss not in _LOSSES:
        raise ValueError(f"loss must be one of {', '.join(_LOSSES)}, got {loss!r}")
    settings = _Settings(float(norm), steps, loss, restarts, targets, checked_bounds(bounds))
    return Attack(Partial(_prepare, settings), Partial(_perturb, settings), bounds=settings.bounds)


def checkpoints(steps: int) -> list[int]:
    """Steps before which the step size is judged: ``ceil(p_j steps)``, p = 0, 0.22, 0.41, 0.57, … below 1.

    The distance of two p shrinks by 0.03 from one to the next, to no less than 0.06.
    """
    hundredths = [0, 22]
    while hundredths[-1] <= 100:
        hundredths.append(hundredths[-1] + max(hundredths[-1] - hundredths[-2] - 3, 6))
    places = {-(-each * steps // 100) for each in hundredths}
    return sorted(place for place in places if place < steps)


def _prepare(
    settings: _Settings,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> _Prepared:
    logits = logits_function(images)
    classes, needed = logits.shape[1], _CLASSES_NEEDED[settings.loss]
    if classes < needed:
        raise ValueError(f"loss {settings.loss!r} needs at least {needed} classes, the logits have {classes}")
    wrong = jnp.where(jnp.arange(classes) == labels[:, None], -jnp.inf, logits)
    count = min(settings.targets, classes - 1) if settings.loss == "targeted_dlr" else 1
    targets = jnp.argsort(wrong, axis=1, descending=True)[:, :count]
    return _Prepared(keys, targets, succeeded(logits, labels))


def _perturb(
    settings: _Settings,
    prepared: _Prepared,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    def climb_once(carry: tuple[Best, Array], number: Array) -> tuple[tuple[Best, Array], None]:
        best, vanished = carry
        target, restart = number // settings.restarts, number % settings.restarts
        start = images
        if settings.restarts > 1:
            start_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(prepared.keys, number)
            start = clip_to(
                settings.bounds, images + jnp.where(restart > 0, epsilon, 0) * _starts(settings, start_keys, images)
            )
        targets = prepared.targets[:, target]

        def loss(logits: Array) -> Array:
            return _LOSSES[settings.loss](logits, labels, targets)

        found, vanished_here = _climb(settings, loss, logits_function, images, labels, epsilon, start)
        return (better_of(best, found), vanished | vanished_here), None

    # No loss beats that of an image which needs no perturbation.
    loss_untouched = jnp.where(prepared.misclassified, jnp.inf, -jnp.inf).astype(images.dtype)
    untouched = Best(images, prepared.misclassified, loss_untouched)
    climbs, never = jnp.arange(prepared.targets.shape[1] * settings.restarts), jnp.zeros(labels.shape, bool)
    (best, vanished), _ = lax.scan(climb_once, (untouched, never), climbs)
    return best.images, vanished


def _starts(
    settings: _Settings, keys: Key[Array, " batch"], images: Float[Array, "batch inputs"]
) -> Float[Array, "batch inputs"]:
    """Uniform samples of the unit cube, or of the unit sphere (nearly all of a ball, without its slow sampler)."""
    if settings.norm == math.inf:
        return uniform_in_ball(keys, images.shape[1], settings.norm, images.dtype)
    return steepest_ascent(
        jax.vmap(lambda key: jax.random.normal(key, images.shape[1:], images.dtype))(keys), settings.norm
    )


def _climb(
    settings: _Settings,
    loss: Callable[[Array], Array],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
    start: Float[Array, "batch inputs"],
) -> tuple[Best, Bool[Array, " batch"]]:
    """The best point of one climb, and whether a gradient vanished on the way."""

    def into_ball(points: Array) -> Array:
        return clip_to(settings.bounds, images + project(points - images, settings.norm, epsilon))

    def step(climb: _Climb, schedule: tuple[Array, Array, Array]) -> tuple[_Climb, None]:
        momentum, is_checkpoint, span = schedule
        here = ascend(loss, logits_function, climb.images, labels)
        climb, gradient = _judge(climb, here, is_checkpoint, span)
        aim = into_ball(climb.images + climb.step[:, None] * steepest_ascent(gradient, settings.norm))
        moved = climb.images + momentum * (aim - climb.images) + (1 - momentum) * (climb.images - climb.previous)
        return climb._replace(images=into_ball(moved), previous=climb.images), None

    never, least = jnp.zeros(labels.shape, bool), jnp.full(labels.shape, -jnp.inf, images.dtype)
    first_step, no_rises = jnp.full(labels.shape, 2 * epsilon, images.dtype), jnp.zeros(labels.shape, jnp.int32)
    nothing, no_gradient = nothing_yet(start), jnp.zeros_like(images)
    # The loss before the first point is infinite, so that arriving there is no rise.
    climb = _Climb(start, start, nothing, no_gradient, -least, first_step, no_rises, first_step, least, never)
    climb, _ = lax.scan(step, climb, _schedule(settings.steps, images.dtype))
    logits = logits_function(climb.images)
    last = Best(climb.images, succeeded(logits, labels), least_if_nan(loss(logits)))
    return better_of(climb.best, last), climb.vanished


def _schedule(
    steps: int, dtype: jnp.dtype
) -> tuple[Float[Array, " steps"], Bool[Array, " steps"], Integer[Array, " steps"]]:
    """For each step its momentum, whether it is judged before, and how many steps there were since the last time."""
    places = checkpoints(steps)
    spans = np.zeros(steps, np.int32)
    spans[places[1:]] = np.diff(places)
    momentum = np.where(np.arange(steps) == 0, 1, MOMENTUM)
    return jnp.asarray(momentum, dtype), jnp.asarray(np.isin(np.arange(steps), places)), jnp.asarray(spans)


def _judge(
    climb: _Climb, here: Ascent, is_checkpoint: Bool[Array, ""], span: Integer[Array, ""]
) -> tuple[_Climb, Float[Array, "batch inputs"]]:
    """Books the point that the climb has reached, and at a checkpoint halves the step of images that make no headway.

    Returns:
        The climb, at its best point where the step was halved, and the gradient there.
    """
    point = Best(climb.images, here.success, here.loss)
    best, is_new = better_of(climb.best, point), is_better(climb.best, point)
    best_gradient = jnp.where(is_new[:, None], here.gradient, climb.best_gradient)
    rises = climb.rises + (here.loss > climb.loss)
    stuck = (climb.step == climb.old_step) & (best.score == climb.old_loss)
    halve = is_checkpoint & ((rises < SHARE_OF_RISING_STEPS * span) | stuck)
    step = jnp.where(halve, climb.step / 2, climb.step)
    judged = _Climb(
        images=jnp.where(halve[:, None], best.images, climb.images),
        previous=jnp.where(halve[:, None], best.images, climb.previous),
        best=best,
        best_gradient=best_gradient,
        loss=jnp.where(halve, best.score, here.loss),
        step=step,
        rises=jnp.where(is_checkpoint, 0, rises),
        old_step=jnp.where(is_checkpoint, climb.step, climb.old_step),
        old_loss=jnp.where(is_checkpoint, best.score, climb.old_loss),
        vanished=climb.vanished | here.vanished,
    )
    return judged, jnp.where(halve[:, None], best_gradient, here.gradient)


def _cross_entropy(logits: Array, labels: Array, targets: Array) -> Array:
    return log_odds_against(logits, labels)


def _dlr(logits: Array, labels: Array, targets: Array) -> Array:
    descending = jnp.sort(logits, axis=1, descending=True)
    return _ratio(lead_over_label(logits, labels), descending[:, 0] - descending[:, 2])


def _targeted_dlr(logits: Array, labels: Array, targets: Array) -> Array:
    descending = jnp.sort(logits, axis=1, descending=True)
    spread = descending[:, 0] - (descending[:, 2] + descending[:, 3]) / 2
    return _ratio(lead_of(logits, targets, labels), spread)


def _ratio(difference: Float[Array, " batch"], spread: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """The quotient; the difference itself where the leading logits are all the same."""
    return difference / jnp.where(spread > 0, spread, 1)


_LOSSES: dict[str, Loss] = {"cross_entropy": _cross_entropy, "dlr": _dlr, "targeted_dlr": _targeted_dlr}
_CLASSES_NEEDED = {"cross_entropy": 2, "dlr": 3, "targeted_dlr": 4}
