"""The worst case over several attacks: an image counts as robust only if none of them succeeds (arXiv 1902.06705).

As one attack, for sweeps and searches, or from results of attacks that ran apart::

    attack = worst_case([pgd(), square(queries=300), transfer(pgd(), logits_function(source))])
    broken = any_success([sweep.success[0] for sweep in sweeps])
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Integer, Key

from jax_bioadv.attacks.attack import Attack, LogitsFunction, log_odds_against, succeeded
from jax_bioadv.attacks.best import Best, better_of, nothing_yet
from jax_bioadv.tracing import is_traced


def worst_case(attacks: Sequence[Attack]) -> Attack:
    """Several attacks as one, which succeeds on an image where any of them does.

    Every part meets an image with the key that it would meet it with alone, so that the success is the union of the
    parts' own. An image is perturbed by the first part, in the order given, that succeeds; if none does, by the one
    with the largest loss. The gradient counts as vanished where that of any part did.

    Args:
        attacks: untargeted, with the same bounds.

    Returns:
        The attack; it costs what all its parts cost, and one more evaluation each.

    Raises:
        ValueError: for no attack, a targeted one, or bounds that differ.
    """
    attacks = [each.as_pytree() for each in attacks]
    if not attacks:
        raise ValueError("the worst case is over at least one attack")
    if not is_traced(*(each.targeted for each in attacks)) and any(each.targeted for each in attacks):
        raise ValueError("a targeted attack has labels of another meaning; combine untargeted ones")
    ends = [end for each in attacks for end in each.bounds or ()]
    if not is_traced(*ends) and len({each.bounds for each in attacks}) > 1:
        raise ValueError(f"attacks must share their bounds, got {[each.bounds for each in attacks]}")
    prepare = Partial(_prepare, [each.prepare for each in attacks])
    perturb = Partial(_perturb, [each.perturb for each in attacks])
    return Attack(prepare, perturb, bounds=attacks[0].bounds)


def any_success(successes: Sequence[ArrayLike]) -> Bool[np.ndarray, "*shape"]:
    """Where at least one of several attacks succeeded.

    Args:
        successes: of one shape, images in the same order.

    Returns:
        Their union.

    Raises:
        ValueError: for none, for shapes that differ, or for values that are not booleans.
    """
    arrays = [np.asarray(each) for each in successes]
    if not arrays or len({each.shape for each in arrays}) > 1 or any(each.dtype != bool for each in arrays):
        raise ValueError(
            "successes must be booleans of one shape from at least one attack, got "
            f"{[(each.dtype.name, each.shape) for each in arrays]}"
        )
    return np.logical_or.reduce(arrays)


def _prepare(
    prepares: list[Partial],
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> list[Any]:
    return [prepare(keys, logits_function, images, labels) for prepare in prepares]


def _perturb(
    perturbs: list[Partial],
    prepared: list[Any],
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    best, vanished = nothing_yet(images), jnp.zeros(labels.shape, bool)
    for perturb, ready in zip(perturbs, prepared, strict=True):
        perturbed, vanished_here = perturb(ready, keys, logits_function, images, labels, epsilon)
        logits = logits_function(perturbed)
        found = Best(perturbed, succeeded(logits, labels), log_odds_against(logits, labels))
        best, vanished = better_of(best, found, first_success=True), vanished | vanished_here
    return best.images, vanished
