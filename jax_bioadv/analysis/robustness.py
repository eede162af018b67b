"""Robustness as Holzhausen et al., arXiv 2405.00679, measure it: one attack over a grid of epsilons.

From a sweep follow the relative accuracy at every epsilon and each image's critical perturbation, the length of the
perturbation at the first epsilon that flips it. An image that no epsilon flips has no critical perturbation: it is
censored and counts as infinitely far. Attack only what the model itself classifies correctly::

    chosen = correctly_classified(logits, images, labels, limit=1000)
    sweep = epsilon_sweep(fgsm(), key, logits, images[chosen], labels[chosen], epsilon_grid(1e-6, 10**-1.5, 400))
    median_with_censoring(critical_perturbations(sweep, "l2"))
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from jax_bioadv.analysis import statistics
from jax_bioadv.analysis.attack_input import Attempt, ImageBlock, attempt, checked_input
from jax_bioadv.attacks.attack import Attack, LogitsFunction, succeeded
from jax_bioadv.attacks.batch import checked_batch


class Sweep(NamedTuple):
    """One attack on the same images at every epsilon, as NumPy arrays.

    ``success``: whether the attack reached its goal. ``l2``, ``linf``: lengths of the perturbation as it is, after
    clipping and rounding. ``gradient_vanished``: images for which a gradient was zero or not finite at some epsilon, so
    that their robustness may be gradient masking.
    """

    epsilons: Float[np.ndarray, " epsilons"]
    success: Bool[np.ndarray, "epsilons images"]
    l2: Float[np.ndarray, "epsilons images"]
    linf: Float[np.ndarray, "epsilons images"]
    gradient_vanished: Bool[np.ndarray, " images"]


def epsilon_grid(low: float | int, high: float | int, count: int) -> Float[np.ndarray, " epsilons"]:
    """Epsilons from ``low`` to ``high``, both included exactly, evenly spaced in their logarithm.

    Args:
        low: smallest epsilon, positive.
        high: largest epsilon.
        count: number of epsilons, at least 2.

    Returns:
        The grid, float64.

    Raises:
        ValueError: unless 0 < low < high < infinity and count ≥ 2.
    """
    if not 0 < low < high < np.inf or count < 2:
        raise ValueError(f"an epsilon grid needs 0 < low < high and at least 2 points, got {low}, {high}, {count}")
    return np.geomspace(low, high, count)


def epsilon_sweep(
    attack: Attack,
    key: Key[Array, ""],
    logits_function: LogitsFunction,
    images: ArrayLike,
    labels: ArrayLike,
    epsilons: ArrayLike | Sequence[float],
    *,
    image_indices: ArrayLike | None = None,
    epsilon_block: int = 8,
    image_block: int = 2048,
    progress: Callable[[int], object] | None = None,
) -> Sweep:
    """Attacks all images at every epsilon; entry i is the attack's own result for ``epsilons[i]`` and index i.

    What the attack does not need epsilon for is done once. Blocks bound the memory (about six times an image block)
    and set the pace of the progress; the result does not depend on them beyond the rounding of matrix products.

    Args:
        attack: from :mod:`jax_bioadv.attacks`.
        key: seed of the attack's randomness.
        logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
        images: (images, inputs), floating, finite, within the attack's bounds.
        labels: (images,), integers that name a logit.
        epsilons: increasing positive numbers in the units of the images.
        image_indices: (images,), an integer per image that decides its randomness, so that an image meets the same
            noise whichever others are attacked with it; by default its position.
        epsilon_block: epsilons between two reports of progress.
        image_block: most images in one batch.
        progress: called with the number of epsilons finished since the last call, as ``tqdm.update`` wants it.

    Returns:
        Success and perturbation lengths by epsilon and image.

    Raises:
        ValueError: for input that does not fit the description above, before anything is attacked.
    """
    if epsilon_block < 1:
        raise ValueError(f"epsilon_block must be at least 1, got {epsilon_block}")
    given = checked_input(attack, key, logits_function, images, labels, epsilons, image_indices, image_block)
    grid, dtype = given.epsilons, given.blocks[0].images.dtype
    prepared = [_prepare(given.attack, given.logits_function, block) for block in given.blocks]
    attempts = []
    for first in range(0, len(grid), epsilon_block):
        count = min(epsilon_block, len(grid) - first)
        padded = jnp.asarray(np.resize(grid[first : first + count], epsilon_block), dtype)
        parts = [
            _attack_block(given.attack, given.logits_function, block, ready, padded, first, count)
            for block, ready in zip(given.blocks, prepared, strict=True)
        ]
        whole = jax.tree.map(lambda *part: np.concatenate(part, axis=1), *parts)
        attempts.append(Attempt(*(rows[:count, : given.images] for rows in whole)))
        if progress is not None:
            progress(count)
    success, l2, linf, vanished = jax.tree.map(lambda *rows: np.concatenate(rows), *attempts)
    return Sweep(grid, success, l2, linf, vanished.any(axis=0))


@jax.jit
def _prepare(attack: Attack, logits_function: LogitsFunction, block: ImageBlock) -> Any:
    return attack.prepare(block.keys.prepare, logits_function, block.images, block.labels)


@jax.jit
def _attack_block(
    attack: Attack,
    logits_function: LogitsFunction,
    block: ImageBlock,
    prepared: Any,
    epsilons: Float[Array, " epsilons"],
    first_index: ArrayLike,
    count: ArrayLike,
) -> Attempt:
    """The first ``count`` epsilons of a block; a loop of a traced length, so that a shorter block compiles nothing."""
    images, labels, keys = block

    def attack_once(place: Array, attempts: Attempt) -> Attempt:
        adversarial = attack.at_epsilon(
            prepared, keys.perturb, logits_function, images, labels, epsilons[place], first_index + place
        )
        return jax.tree.map(lambda rows, row: rows.at[place].set(row), attempts, attempt(adversarial, images))

    shape = (epsilons.shape[0], images.shape[0])
    flags, lengths = jnp.zeros(shape, bool), jnp.zeros(shape, images.dtype)
    return lax.fori_loop(0, count, attack_once, Attempt(flags, lengths, lengths, flags))


@partial(jax.jit, static_argnames="block")
def _is_correct(logits_function: LogitsFunction, images: Array, labels: Array, block: int) -> Array:
    logits = lax.map(lambda image: logits_function(image[None])[0], images, batch_size=block)
    return succeeded(logits, labels, targeted=True)


def correctly_classified(
    logits_function: LogitsFunction, images: ArrayLike, labels: ArrayLike, limit: int | None = None
) -> Int[np.ndarray, " chosen"]:
    """Indices of the first images whose largest logit is their label's, at most ``limit`` of them.

    Args:
        logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
        images: (images, inputs).
        labels: (images,), integers that name a logit.
        limit: most indices wanted, None for all.

    Returns:
        Increasing indices; images with a logit that is not finite are left out.

    Raises:
        ValueError: for images or labels of the wrong shape, type or range, or a limit below 1.
    """
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1 or None, got {limit}")
    given = checked_batch(logits_function, images, labels, may_be_empty_or_broken=True)
    is_correct = np.asarray(_is_correct(*given.filled_up(), 2048))[: len(given.labels)]
    return np.flatnonzero(is_correct)[:limit]


def relative_accuracy(sweep: Sweep) -> Float[np.ndarray, " epsilons"]:
    """Share of the attacked images that the attack fails on, at each epsilon."""
    return 1 - sweep.success.mean(axis=1)


def critical_perturbations(sweep: Sweep, norm: str = "l2") -> Float[np.ndarray, " images"]:
    """Length of each image's perturbation at the first epsilon that flips it, infinity if none does (censored).

    Args:
        sweep: of an attack over increasing epsilons.
        norm: length to take, ``"l2"`` or ``"linf"``.

    Returns:
        One length per image.

    Raises:
        ValueError: for another norm.
    """
    if norm not in ("l2", "linf"):
        raise ValueError(f"norm must be 'l2' or 'linf', got {norm!r}")
    first = sweep.success.argmax(axis=0)
    lengths = (sweep.l2 if norm == "l2" else sweep.linf)[first, np.arange(first.size)]
    return np.where(sweep.success.any(axis=0), lengths, np.inf)


def median_with_censoring(critical: Float[np.ndarray, " images"]) -> float:
    """Smallest length within which at least half of the images flip; infinity if more than half never do."""
    return float(np.quantile(_checked_critical(critical), 0.5, method="inverted_cdf"))


def censored_share(critical: Float[np.ndarray, " images"]) -> float:
    """Share of the images that never flip."""
    return float(np.isinf(_checked_critical(critical)).mean())


def median_interval(critical: Float[np.ndarray, " images"], confidence: float = 0.95) -> tuple[float, float]:
    """Confidence interval of the median over images, from order statistics: exact for any distribution.

    Its ends are critical perturbations themselves, so that censored ones are no trouble; the upper end is infinity if
    the interval reaches them. Where there are too few images for the confidence asked for, it is (0, infinity).

    Args:
        critical: one length per image, infinity where censored.
        confidence: between 0 and 1, by which the median is inside at least.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: if there is no image, a length is negative or not a number, or confidence is not in (0, 1).
    """
    lengths = _checked_critical(critical)
    _check_confidence(confidence)
    low, high = statistics.median_interval(lengths, confidence)
    return max(low, 0.0), high


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")


def _checked_critical(critical: np.ndarray) -> np.ndarray:
    critical = np.asarray(critical, np.float64)
    if critical.size == 0 or np.isnan(critical).any() or (critical < 0).any():
        raise ValueError("critical perturbations must be at least one length ≥ 0, infinity where censored")
    return critical
