"""Critical perturbations without a grid: each image's smallest successful epsilon, by bracketing and bisection.

Holzhausen et al., arXiv 2405.00679, attack every image at 400 epsilons and take the first success. Here every image has
a bracket on the same kind of logarithmic lattice: a coarse pass over few lattice points, the same for all images, finds
its first success and the failure before it, and bisection narrows that, all images at once, each at its own epsilon.
A lattice point is attacked exactly as :func:`jax_bioadv.analysis.robustness.epsilon_sweep` attacks it. Where success is
monotone in epsilon the result is therefore the sweep's over the whole lattice, for some 20 attacks instead of 400::

    lattice = epsilon_lattice(1e-6, 10**-1.5, relative_precision=0.03)
    search = critical_search(pgd(), key, logits, images[chosen], labels[chosen], lattice)
    median_with_censoring(search.l2)
    relative_accuracy_at(search, epsilon_grid(1e-6, 10**-1.5, 40))

Where it is not monotone, the result still is a success with a failure one lattice point below, but smaller successes
may have been stepped over; images for which the coarse pass shows this are marked.

The Gaussian needs ``protocol="fixed"``, one direction per image and key. With ``protocol="published"`` the noise is new
at every epsilon: there is no line to search along, and a sweep's first success is a minimum over draws that a search
cannot find. The search cannot tell such an attack from others, except that it marks many images as not monotone.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

from jax_bioadv.analysis.attack_input import AttackInput, Attempt, ImageBlock, attempt, checked_input
from jax_bioadv.analysis.robustness import epsilon_grid
from jax_bioadv.attacks.attack import Attack, LogitsFunction

# Neighbours closer than this are hardly told apart once they are float32.
FINEST_PRECISION = 1e-6


class CriticalSearch(NamedTuple):
    """Where each image first flips, as NumPy arrays.

    ``epsilons``: the lattice. ``critical_epsilon``: smallest successful one that was found; ``l2``, ``linf``: lengths
    of the perturbation at it, after clipping and rounding; all infinity where censored. ``not_monotone``: an epsilon
    above a successful one was tried and failed. ``gradient_vanished``: at one of the epsilons tried. ``evaluations``:
    attacks on each image.
    """

    epsilons: Float[np.ndarray, " epsilons"]
    critical_epsilon: Float[np.ndarray, " images"]
    l2: Float[np.ndarray, " images"]
    linf: Float[np.ndarray, " images"]
    not_monotone: Bool[np.ndarray, " images"]
    gradient_vanished: Bool[np.ndarray, " images"]
    evaluations: int

    @property
    def censored(self) -> Bool[np.ndarray, " images"]:
        """Images that no epsilon of the coarse pass flips, the largest one included."""
        return np.isinf(self.critical_epsilon)


class _Brackets(NamedTuple):
    """Per image: lattice indices of the first success and of the last failure before it, and what was seen so far.

    Below the lattice stands a failure at index -1, above it a success of infinite length.
    """

    failure: Int[np.ndarray, " images"]
    success: Int[np.ndarray, " images"]
    l2: Float[np.ndarray, " images"]
    linf: Float[np.ndarray, " images"]
    not_monotone: Bool[np.ndarray, " images"]
    vanished: Bool[np.ndarray, " images"]


def epsilon_lattice(
    low: float | int, high: float | int, relative_precision: float = 0.01
) -> Float[np.ndarray, " epsilons"]:
    """The fewest epsilons, evenly spaced in their logarithm, whose neighbours differ by no more than a given share.

    Args:
        low: smallest epsilon, positive.
        high: largest epsilon.
        relative_precision: r, so that every epsilon is at most 1 + r times the one before it.

    Returns:
        The lattice, float64, both ends exact.

    Raises:
        ValueError: unless 0 < low < high < infinity, or for a precision that is not a number or below 1e-6.
    """
    if not FINEST_PRECISION <= relative_precision < np.inf:
        raise ValueError(f"relative_precision must be at least {FINEST_PRECISION} and finite, got {relative_precision}")
    low, high = (float(end) for end in epsilon_grid(low, high, 2))
    steps = np.ceil(np.log(high / low) / np.log1p(relative_precision))
    return epsilon_grid(low, high, int(steps) + 1)


def search_evaluations(lattice_points: int, coarse: int = 16) -> int:
    """Attacks on each image that :func:`critical_search` needs: ``coarse + ceil(log2(lattice points per coarse one))``.

    Raises:
        ValueError: unless both are at least 1.
    """
    if lattice_points < 1 or coarse < 1:
        raise ValueError(f"a search needs at least 1 lattice and 1 coarse point, got {lattice_points} and {coarse}")
    coarse = min(coarse, lattice_points)
    widest = -(-lattice_points // coarse)
    return coarse + (widest - 1).bit_length()


def critical_search(
    attack: Attack,
    key: Key[Array, ""],
    logits_function: LogitsFunction,
    images: ArrayLike,
    labels: ArrayLike,
    epsilons: ArrayLike | Sequence[float],
    *,
    coarse: int = 16,
    image_indices: ArrayLike | None = None,
    image_block: int = 2048,
    progress: Callable[[int], object] | None = None,
) -> CriticalSearch:
    """Finds each image's smallest successful epsilon of a lattice in :func:`search_evaluations` attacks.

    Args:
        attack: from :mod:`jax_bioadv.attacks`; not the Gaussian with new noise at every epsilon, see the module.
        key: seed of the attack's randomness, the same as the sweep's to meet the same noise.
        logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
        images: (images, inputs), floating, finite, within the attack's bounds.
        labels: (images,), integers that name a logit.
        epsilons: the lattice, increasing positive numbers in the units of the images, as from :func:`epsilon_lattice`.
        coarse: lattice points of the coarse pass, evenly spaced and with the last one. More of them find more of the
            images whose success is not monotone.
        image_indices: (images,), an integer per image that decides its randomness; by default its position.
        image_block: most images in one batch.
        progress: called with 1 after every attack on all images, as ``tqdm.update`` wants it.

    Returns:
        Critical epsilon and perturbation lengths by image.

    Raises:
        ValueError: for input that does not fit the description above, before anything is attacked.
    """
    if coarse < 1:
        raise ValueError(f"coarse must be at least 1, got {coarse}")
    given = checked_input(attack, key, logits_function, images, labels, epsilons, image_indices, image_block)
    prepared = [prepare_each(given.attack, given.logits_function, block) for block in given.blocks]
    return bracketing_search(partial(_attack_at, given, prepared), given.epsilons, given.images, coarse, progress)


def bracketing_search(
    attack_at: Callable[[Int[np.ndarray, " images"]], Attempt],
    epsilons: Float[np.ndarray, " epsilons"],
    images: int,
    coarse: int = 16,
    progress: Callable[[int], object] | None = None,
) -> CriticalSearch:
    """The search itself, for whatever attacks images at lattice points: one model, or the members of a population.

    Args:
        attack_at: attacks every image at its own index of the lattice.
        epsilons: the lattice.
        images: how many there are, over all members.
        coarse: lattice points of the coarse pass.
        progress: called with 1 after every attack on all images.

    Returns:
        Critical epsilon and perturbation lengths by image.
    """
    points, coarse = len(epsilons), min(coarse, len(epsilons))
    evaluations = search_evaluations(points, coarse)
    never, far = np.zeros(images, bool), np.full(images, np.inf)
    brackets = _Brackets(np.full(images, -1), np.full(images, points), far, far, never, never)
    for evaluation in range(evaluations):
        if evaluation < coarse:
            tried = np.full(images, (evaluation + 1) * points // coarse - 1)
        else:
            # A bracket that is closed tries its success once more, which changes nothing.
            tried = np.minimum((brackets.failure + brackets.success + 1) // 2, points - 1)
        brackets = _narrowed(brackets, tried, attack_at(tried))
        if progress is not None:
            progress(1)
    critical = np.append(epsilons, np.inf)[brackets.success]
    _, _, l2, linf, not_monotone, vanished = brackets
    return CriticalSearch(epsilons, critical, l2, linf, not_monotone, vanished, evaluations)


def _attack_at(given: AttackInput, prepared: list[Any], tried: Int[np.ndarray, " images"]) -> Attempt:
    """Attacks every image at its own lattice point."""
    dtype = given.blocks[0].images.dtype
    parts = [
        attack_each(
            given.attack, given.logits_function, block, ready, given.epsilons[tried[rows]].astype(dtype), tried[rows]
        )
        for block, ready, rows in zip(given.blocks, prepared, given.rows, strict=True)
    ]
    return Attempt(*jax.tree.map(lambda *part: np.concatenate(part)[: given.images], *parts))


def _narrowed(brackets: _Brackets, tried: Int[np.ndarray, " images"], attempt: Attempt) -> _Brackets:
    """The brackets after one more attempt at each image."""
    flipped = attempt.success & (tried < brackets.success)
    failed = ~attempt.success & (tried > brackets.failure) & (tried < brackets.success)
    return _Brackets(
        np.where(failed, tried, brackets.failure),
        np.where(flipped, tried, brackets.success),
        np.where(flipped, attempt.l2, brackets.l2),
        np.where(flipped, attempt.linf, brackets.linf),
        brackets.not_monotone | (~attempt.success & (tried > brackets.success)),
        brackets.vanished | attempt.vanished,
    )


@jax.jit
def prepare_each(attack: Attack, logits_function: LogitsFunction, block: ImageBlock) -> Any:
    """What the attack prepares for each image as a batch of its own; jax.vmap makes one matrix product of them.

    Args:
        attack: with its functions as pytrees.
        logits_function: the classifier, as a pytree.
        block: the images.

    Returns:
        What ``attack.prepare`` gives, with a leading axis over images.
    """

    def prepare(image: Array, label: Array, key: Array) -> Any:
        return attack.prepare(key[None], logits_function, image[None], label[None])

    return jax.vmap(prepare)(block.images, block.labels, block.keys.prepare)


@jax.jit
def attack_each(
    attack: Attack,
    logits_function: LogitsFunction,
    block: ImageBlock,
    prepared: Any,
    epsilons: Float[Array, " images"],
    indices: Int[Array, " images"],
) -> Attempt:
    """Attacks each image, as a batch of its own, at its own epsilon.

    Args:
        attack: with its functions as pytrees.
        logits_function: the classifier, as a pytree.
        block: the images.
        prepared: from :func:`prepare_each`.
        epsilons: one for each image.
        indices: their places on the lattice, for attacks that draw anew at every epsilon.

    Returns:
        What came of it, by image.
    """

    def attack_one(image: Array, label: Array, key: Array, ready: Any, epsilon: Array, index: Array) -> Attempt:
        images = image[None]
        adversarial = attack.at_epsilon(ready, key[None], logits_function, images, label[None], epsilon, index)
        return jax.tree.map(lambda rows: rows[0], attempt(adversarial, images))

    return jax.vmap(attack_one)(block.images, block.labels, block.keys.perturb, prepared, epsilons, indices)


def relative_accuracy_at(
    search: CriticalSearch, epsilons: ArrayLike | Sequence[float]
) -> Float[np.ndarray, " epsilons"]:
    """Share of the attacked images that are not flipped yet at each epsilon: one less the distribution of the critical.

    At lattice points it is the sweep's relative accuracy, as long as success is monotone in epsilon; between two of
    them it is that of the lower one.

    Args:
        search: of an attack.
        epsilons: numbers within the lattice.

    Returns:
        One share per epsilon.

    Raises:
        ValueError: for an epsilon outside the lattice, where nothing is known.
    """
    grid = np.asarray(epsilons, np.float64)
    lowest, highest = search.epsilons[0], search.epsilons[-1]
    if grid.ndim != 1 or not ((grid >= lowest) & (grid <= highest)).all():
        raise ValueError(f"epsilons must be a list of numbers from {lowest} to {highest}, where the search looked")
    flipped = np.searchsorted(np.sort(search.critical_epsilon), grid, side="right")
    return 1 - flipped / len(search.critical_epsilon)
