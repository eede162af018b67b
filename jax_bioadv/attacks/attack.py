"""What an attack is: a pair of pure functions, and the rule that decides whether it succeeded.

``prepare`` does what does not depend on epsilon (a noise direction, the gradient at the clean images); ``perturb`` does
the rest. A sweep over many epsilons prepares once. Both are :class:`jax.tree_util.Partial` over hashable settings, so
that an :class:`Attack` is itself a pytree: a jitted function takes it as an argument, and two attacks with equal
settings share one compilation. An attack of one's own is ``Attack(Partial(prepare), Partial(perturb))``.

A call is compiled once for an attack, a shape of network and a size of batch, of which there are few: a batch is filled
up to the next with copies of its images (:mod:`jax_bioadv.attacks.batch`). Images never interact: the loss is summed
over the batch and randomness comes from one key per image, so that an image meets the same attack whatever batch it is
in.
"""

import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.batch import checked_batch
from jax_bioadv.models import as_pytree
from jax_bioadv.tracing import is_traced

LogitsFunction = Callable[[Array], Array]
"""Images (batch, inputs) to logits (batch, classes), each image by itself."""

StepSize = Callable[[Array], Array]
"""Epsilon to the length of one step."""


class Adversarial(NamedTuple):
    """What an attack made of a batch of images.

    ``images``: the perturbed images (batch, inputs). ``success``: per image, whether they are classified as anything
    but their label (targeted: as the target); never true where a logit is not finite. ``gradient_vanished``: per image,
    whether a gradient that the attack asked for was zero in every pixel or not finite, so that a failure says nothing
    about robustness (gradient masking).
    """

    images: Float[Array, "batch inputs"]
    success: Bool[Array, " batch"]
    gradient_vanished: Bool[Array, " batch"]


class AttackKeys(NamedTuple):
    """One key per image for each purpose."""

    prepare: Key[Array, " batch"]
    perturb: Key[Array, " batch"]


class Attack(NamedTuple):
    """An attack as two functions; call it to attack one batch at one epsilon.

    ``prepare(keys, logits_function, images, labels) -> prepared``: everything that does not depend on epsilon.
    ``perturb(prepared, keys, logits_function, images, labels, epsilon) -> (perturbed images, gradient vanished)``; its
    keys differ from epsilon to epsilon. ``targeted``: labels are the classes to reach, not the classes to leave.
    ``bounds``: the range that images must lie in, None if there is none.
    """

    prepare: Callable[..., Any]
    perturb: Callable[..., Any]
    targeted: bool = False
    bounds: tuple[float, float] | None = None

    def __call__(
        self,
        key: Key[Array, ""],
        logits_function: LogitsFunction,
        images: ArrayLike,
        labels: ArrayLike,
        epsilon: ArrayLike,
        epsilon_index: ArrayLike = 0,
    ) -> Adversarial:
        """Attacks one batch.

        Args:
            key: seed of all randomness; image i of the batch gets a key of its own from it.
            logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
            images: (batch, inputs), floating, finite, within the attack's bounds.
            labels: (batch,), integers that name a logit: the classes to leave or, for a targeted attack, to reach.
            epsilon: size of the perturbation in the units of the images, a finite number ≥ 0.
            epsilon_index: place of this epsilon in a sweep; attacks that draw anew at every epsilon fold it in.

        Returns:
            The perturbed images, and per image whether they succeeded and whether a gradient vanished. Images of half
            precision come back in float32, in which they are attacked.

        Raises:
            ValueError: for images, labels or an epsilon of the wrong shape, type or range. Inside ``jit`` ranges are
                not known and not checked.
        """
        if jnp.ndim(epsilon) != 0:
            raise ValueError("epsilon must be one number; use analysis.robustness.epsilon_sweep for many")
        given = checked_batch(logits_function, images, labels, self.bounds)
        if not is_traced(epsilon) and not 0 <= np.asarray(epsilon) <= jnp.finfo(given.images.dtype).max:
            raise ValueError(f"epsilon must be finite, as {given.images.dtype} too, and not negative, got {epsilon}")
        epsilon, count = jnp.asarray(epsilon, given.images.dtype), len(given.labels)
        found = _attacked(self.as_pytree(), key, *given.filled_up(), epsilon, epsilon_index)
        return found if len(found.success) == count else Adversarial(*(each[:count] for each in found))

    def as_pytree(self) -> "Attack":
        """The attack as an argument that jitted code can take, whatever its functions are."""
        return self._replace(prepare=as_pytree(self.prepare), perturb=as_pytree(self.perturb))

    def at_epsilon(
        self,
        prepared: Any,
        keys: Key[Array, " batch"],
        logits_function: LogitsFunction,
        images: Float[Array, "batch inputs"],
        labels: Integer[Array, " batch"],
        epsilon: Float[Array, ""],
        epsilon_index: ArrayLike,
    ) -> Adversarial:
        """The part of the attack that depends on epsilon, with the verdict; for callers that sweep."""
        epsilon_keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, epsilon_index)
        perturbed, vanished = self.perturb(prepared, epsilon_keys, logits_function, images, labels, epsilon)
        return Adversarial(perturbed, succeeded(logits_function(perturbed), labels, self.targeted), vanished)


@jax.jit
def _attacked(
    attack: Attack,
    key: Key[Array, ""],
    logits_function: Partial,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
    epsilon_index: ArrayLike,
) -> Adversarial:
    keys = attack_keys(key, jnp.arange(images.shape[0]))
    prepared = attack.prepare(keys.prepare, logits_function, images, labels)
    return attack.at_epsilon(prepared, keys.perturb, logits_function, images, labels, epsilon, epsilon_index)


def succeeded(
    logits: Float[Array, "batch classes"], labels: Integer[Array, " batch"], targeted: ArrayLike = False
) -> Bool[Array, " batch"]:
    """Whether the largest logit is not the label's (targeted: is the target's); false where any logit is not finite."""
    return jnp.all(jnp.isfinite(logits), axis=1) & ((jnp.argmax(logits, axis=1) == labels) == targeted)


def log_odds_against(logits: Float[Array, "batch classes"], labels: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """Log odds m that the label is wrong; the cross-entropy is softplus(m), which rises with m."""
    is_label = jnp.arange(logits.shape[1]) == labels[:, None]
    others = jax.nn.logsumexp(jnp.where(is_label, -jnp.inf, logits), axis=1)
    return others - jnp.sum(jnp.where(is_label, logits, 0), axis=1)


def logit_of(logits: Float[Array, "batch classes"], classes: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """Each image's logit of one class."""
    return jnp.sum(jnp.where(jnp.arange(logits.shape[1]) == classes[:, None], logits, 0), axis=1)


def lead_of(
    logits: Float[Array, "batch classes"], classes: Integer[Array, " batch"], labels: Integer[Array, " batch"]
) -> Float[Array, " batch"]:
    """Each image's logit of one class less that of the label."""
    return logit_of(logits, classes) - logit_of(logits, labels)


def lead_over_label(logits: Float[Array, "batch classes"], labels: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """The largest logit of another class less that of the label."""
    is_label = jnp.arange(logits.shape[1]) == labels[:, None]
    return jnp.max(jnp.where(is_label, -jnp.inf, logits), axis=1) - logit_of(logits, labels)


def attack_keys(key: Key[Array, ""], image_indices: Integer[Array, " batch"]) -> AttackKeys:
    """Keys per image and purpose that depend on an image's index alone."""
    prepare_key, perturb_key = jax.random.split(key)
    per_image = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
    return AttackKeys(per_image(prepare_key, image_indices), per_image(perturb_key, image_indices))


def checked_counts(**counts: Any) -> tuple[int, ...]:
    """The counts as integers of Python; ValueError, which names them, unless all are integers of at least 1."""
    try:
        whole = tuple(map(operator.index, counts.values()))
    except TypeError:
        raise ValueError(f"{', '.join(counts)} must be integers, got {counts}") from None
    if min(whole) < 1:
        raise ValueError(f"{', '.join(counts)} must be at least 1, got {counts}")
    return whole


def checked_bounds(bounds: tuple[float, float] | None) -> tuple[float, float] | None:
    """The bounds as two floats; ValueError unless both are finite and the lower one comes first."""
    if bounds is None:
        return None
    low, high = float(bounds[0]), float(bounds[1])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"bounds must be two finite numbers (low, high) with low < high, got {bounds}")
    return low, high


def clip_to(bounds: tuple[float, float] | None, images: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Images clipped to the bounds, untouched if there are none."""
    return images if bounds is None else jnp.clip(images, *bounds)
