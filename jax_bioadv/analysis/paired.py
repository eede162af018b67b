"""How two models compare on the same images, over seeds and images at once.

Two sources of chance stand behind a number: which test images were drawn, and which network the seed gave. A claim
about a way of training must cover both: the seeds, however many images there are, and the images, which all seeds
share. Infinite lengths (censored) are ordered above every finite one; which of two infinite ones is the longer is not
known::

    comparison = paired_comparison(first, second)         # two models, several seeds, the same images
    comparison.log_ratio, comparison.interval, comparison.p_value
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float64

from jax_bioadv.analysis.statistics import Values, median_interval, numbers_in


class PairedComparison(NamedTuple):
    """How much farther the first model's critical perturbations lie than the second's on the same images.

    ``log_ratio``: mean over seeds of the per-seed median of log(first / second), natural logarithm. ``interval``: of
    it, over seeds and images. ``superiority``: mean over seeds of P(first > second on the same image) + ½ P(tie);
    0.5 is no difference; it describes, nothing is decided by it. ``p_value``: two-sided, that the log ratio is 0: the
    level at which the interval stops to hold 0. ``images``: how many images each seed compares.
    """

    log_ratio: float
    interval: tuple[float, float]
    superiority: float
    p_value: float
    seeds: int
    images: tuple[int, ...]


def paired_comparison(
    first: Sequence[Values], second: Sequence[Values], *, confidence: float = 0.95
) -> PairedComparison:
    """Compares two models by their critical perturbations on the same images, seed by seed.

    Each seed gives one effect, the median over images of log(first / second). The thousand images of one pair of
    networks share these networks' chance of initialization, so they cannot stand in for seeds; and all seeds share
    the images, so their effects agree more closely than those on other images would. The interval adds both parts as
    variances are added: Student's t over the effects, and the mean of the seeds' order-statistic intervals over images.
    p is that interval's own: the level at which it stops to hold 0.

    With **one seed** the images' part stands alone: for p this is the sign test with ties counted against the
    difference. It speaks about these two networks only. Where the t-test has no footing (an infinite effect, or equal
    ones, as a coarse grid of lengths gives them) the exact signed-rank test over seeds, which promises no p below
    2^(1 - seeds), and every seed's test over images must reject; the interval is then the hull of the seeds' own, and
    of the effects' order statistics where one is infinite.

    Args:
        first: for every seed each image's critical perturbation, infinity where censored.
        second: the other model's, for the same seeds and the same images in the same order.
        confidence: of the interval.

    Returns:
        Effect, interval, effect size and p-value. Equal lengths are ties: log ratio 0. So are, for effect and effect
        size, those censored in both; the interval and p allow for any order of these.

    Raises:
        ValueError: if seeds or images do not match, a seed has no image, or a length is negative or not a number.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if len(first) != len(second) or not first:
        raise ValueError(f"both models need the same seeds, at least one; got {len(first)} and {len(second)}")
    ratios = [_log_ratio(*pair, seed) for seed, pair in enumerate(zip(first, second, strict=True))]
    superiority = float(np.mean([np.mean(np.sign(ratio) + 1) / 2 for ratio in ratios]))
    unknown = [
        np.isinf(np.asarray(one)) & np.isinf(np.asarray(other)) for one, other in zip(first, second, strict=True)
    ]
    lowest, highest = (
        [np.where(open_, end, ratio) for open_, ratio in zip(unknown, ratios, strict=True)] for end in (-np.inf, np.inf)
    )
    effects = np.array([_symmetric_median(ratio) for ratio in ratios])

    def over_images(level: float) -> list[tuple[float, float]]:
        """The interval of every seed."""
        pairs = zip(lowest, highest, strict=True)
        return [(median_interval(low, level)[0], median_interval(high, level)[1]) for low, high in pairs]

    finite = bool(np.all(np.isfinite(effects)))
    centre = float(np.mean(effects)) if finite else _symmetric_median(effects)
    if finite and (len(ratios) == 1 or np.ptp(effects) > 1e-12 * np.abs(effects).max()):

        def interval_at(level: float) -> tuple[float, float]:
            return _added(effects, np.array(over_images(level)), level)

        p_value = _level_that_excludes_zero(centre, interval_at)
    else:

        def interval_at(level: float) -> tuple[float, float]:
            parts = over_images(level)
            parts += [(centre, centre)] if finite or len(ratios) == 1 else [median_interval(effects, level)]
            return min(low for low, _ in parts), max(high for _, high in parts)

        p_value = _level_that_excludes_zero(centre, interval_at)
        p_value = max(p_value, _signed_rank_test(effects)) if len(ratios) > 1 else p_value
    images = tuple(ratio.size for ratio in ratios)
    return PairedComparison(centre, interval_at(confidence), superiority, p_value, len(ratios), images)


def _added(effects: np.ndarray, ends: np.ndarray, confidence: float) -> tuple[float, float]:
    """Interval of the mean effect: the seeds' part and the images' part, given by its ends, added as variances are."""
    centre = effects.mean()
    seeds = 0.0
    if effects.size > 1:
        error = effects.std(ddof=1) / math.sqrt(effects.size)
        seeds = float(scipy.special.stdtrit(effects.size - 1, (1 + confidence) / 2) * error)
    below, above = (effects - ends[:, 0]).mean(), (ends[:, 1] - effects).mean()
    return float(centre - math.hypot(seeds, below)), float(centre + math.hypot(seeds, above))


def _level_that_excludes_zero(centre: float, interval_at: Callable[[float], tuple[float, float]]) -> float:
    """The smallest two-sided level at which an interval about the centre does not hold 0; at least 1e-12."""

    def excludes(logarithm: float) -> bool:
        low, high = interval_at(1 - math.exp(logarithm))
        return low > 0 or high < 0

    high, low = math.log(1 - 1e-9), math.log(1e-12)
    if centre == 0 or not excludes(high):
        return 1.0
    if excludes(low):
        return 1e-12
    for _ in range(45):
        middle = (low + high) / 2
        low, high = (low, middle) if excludes(middle) else (middle, high)
    return math.exp(high)


def _log_ratio(first: Values, second: Values, seed: int) -> Float64[np.ndarray, " images"]:
    left, right = numbers_in(first, f"seed {seed}'s lengths"), numbers_in(second, f"seed {seed}'s lengths")
    if left.size != right.size or (left < 0).any() or (right < 0).any():
        raise ValueError(f"seed {seed} needs lengths of the same images, not negative; got {left.size}, {right.size}")
    equal = left == right
    with np.errstate(divide="ignore"):
        logarithms = np.log(np.where(equal, 1.0, left)), np.log(np.where(equal, 1.0, right))
    return logarithms[0] - logarithms[1]


def _symmetric_median(values: np.ndarray) -> float:
    """A median that changes its sign with the values; half -∞ and half +∞ is 0."""
    ordered = np.sort(values)
    low, high = float(ordered[(values.size - 1) // 2]), float(ordered[values.size // 2])
    return 0.0 if low == -np.inf and high == np.inf else low / 2 + high / 2


def _sign_test(values: np.ndarray) -> float:
    wins, losses = int(np.count_nonzero(values > 0)), int(np.count_nonzero(values < 0))
    return float(scipy.stats.binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0


def _signed_rank_test(effects: np.ndarray) -> float:
    """Exact, by all flips of signs up to 12 effects, the sign test beyond; infinities have the highest ranks."""
    if effects.size > 12:
        return _sign_test(effects)
    ranks = scipy.stats.rankdata(np.abs(effects)) * (effects != 0)
    flips = np.array(list(itertools.product((-1, 1), repeat=effects.size))) @ ranks
    return float(np.mean(np.abs(flips) >= np.abs(np.sign(effects) @ ranks) - 1e-9))
