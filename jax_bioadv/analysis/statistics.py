"""What the numbers over images and over seeds can carry: intervals, paired comparisons, rank correlations.

Two sources of chance stand behind a number: which test images were drawn, and which network the seed gave. A claim
about a way of training must cover both: the seeds, however many images there are, and the images, which all seeds share
(:mod:`jax_bioadv.analysis.crossed` has the intervals of single quantities). Critical perturbations may be infinite
(censored, :mod:`jax_bioadv.analysis.robustness`): throughout they are ordered above every finite one and never dropped.
Everything runs on the host and repeats exactly for a seed::

    bootstrap_interval(correct)                           # one network's accuracy
    comparison = paired_comparison(first, second)         # two models, several seeds, the same images
    corrected = holm([pair.p_value for pair in comparisons])
"""

import functools
import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from jax import Array
from jaxtyping import Float64, Int

Values = Sequence[Any] | np.ndarray | Array
"""A one-dimensional array, or a sequence of numbers or truth values."""

# Numbers that a bootstrap holds in memory at a time.
_RESAMPLED_AT_ONCE = 10**7
# 8! = 40 320 orders of models are counted one by one; of more, as many are drawn.
_MOST_ORDERED_MODELS = 8
_DRAWN_ORDERS = 40_000


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


class RankCorrelation(NamedTuple):
    """Spearman's coefficient over members, with an interval and a two-sided p-value that count models.

    ``at_floor``: no drawn order of the models is as strong as the one seen, so that p is at most ``p_value``.
    """

    spearman: float
    interval: tuple[float, float]
    p_value: float
    at_floor: bool
    members: int
    models: int


def bootstrap_interval(
    values: Values,
    statistic: str = "mean",
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap over images: how well a number is known for this one network.

    The ends are values that the statistic took on a resample, so infinities interpolate with nothing. Identical values
    (and a single image) give an interval of no width, which is a limit of the bootstrap, not certainty.

    Args:
        values: one number (or truth value) per image; infinity where censored, which suits the median.
        statistic: ``"mean"``, or ``"median"`` (the smallest value that half of the images do not exceed).
        confidence: share of the resamples inside.
        resamples: how often the images are drawn anew.
        seed: decides the draws.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: if there is no image, a value is not a number, or an argument is out of range.
    """
    numbers = _numbers(values, "values")
    if np.isneginf(numbers).any():
        raise ValueError("values may be infinite where censored, but not minus infinity")
    if statistic not in _STATISTICS:
        raise ValueError(f"statistic must be 'mean' or 'median', got {statistic!r}")
    _check_resampling(confidence, resamples)
    generator = np.random.default_rng(seed)
    draws = np.empty(resamples)
    at_once = max(_RESAMPLED_AT_ONCE // numbers.size, 1)
    for first in range(0, resamples, at_once):
        part = draws[first : first + at_once]
        part[:] = _STATISTICS[statistic](numbers[generator.integers(numbers.size, size=(part.size, numbers.size))])
    return _central(draws, confidence)


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
        Effect, interval, effect size and p-value. Equal lengths, censored in both included, are ties: log ratio 0.

    Raises:
        ValueError: if seeds or images do not match, a seed has no image, or a length is negative or not a number.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    if len(first) != len(second) or not first:
        raise ValueError(f"both models need the same seeds, at least one; got {len(first)} and {len(second)}")
    ratios = [np.sort(_log_ratio(*pair, seed)) for seed, pair in enumerate(zip(first, second, strict=True))]
    superiority = float(np.mean([np.mean(np.sign(ratio) + 1) / 2 for ratio in ratios]))
    effects = np.array([_symmetric_median(ratio) for ratio in ratios])
    finite = bool(np.all(np.isfinite(effects)))
    centre = float(np.mean(effects)) if finite else _symmetric_median(effects)
    if finite and (len(ratios) == 1 or np.ptp(effects) > 1e-12 * np.abs(effects).max()):

        def interval_at(level: float) -> tuple[float, float]:
            return _added(effects, ratios, level)

        p_value = _level_that_excludes_zero(centre, interval_at)
    else:

        def interval_at(level: float) -> tuple[float, float]:
            parts = [median_interval(ratio, level) for ratio in ratios]
            parts += [(centre, centre)] if finite or len(ratios) == 1 else [median_interval(effects, level)]
            return min(low for low, _ in parts), max(high for _, high in parts)

        p_value = _level_that_excludes_zero(centre, interval_at)
        p_value = max(p_value, _signed_rank_test(effects)) if len(ratios) > 1 else p_value
    images = tuple(ratio.size for ratio in ratios)
    return PairedComparison(centre, interval_at(confidence), superiority, p_value, len(ratios), images)


def _added(effects: np.ndarray, ratios: Sequence[np.ndarray], confidence: float) -> tuple[float, float]:
    """Interval of the mean effect: the seeds' part and the images' part, added as variances are."""
    centre, ends = effects.mean(), np.array([median_interval(ratio, confidence) for ratio in ratios])
    seeds = 0.0
    if effects.size > 1:
        error = effects.std(ddof=1) / math.sqrt(effects.size)
        seeds = float(scipy.stats.t.ppf((1 + confidence) / 2, effects.size - 1) * error)
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


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down correction: the chance of any false claim in the family stays below the level, always.

    Args:
        p_values: one per test; None or NaN where there was no test, which then does not count.

    Returns:
        Corrected p-values in the same order, None where there was no test.

    Raises:
        ValueError: if a p-value lies outside 0 to 1.
    """
    tested = [place for place, p in enumerate(p_values) if p is not None and not math.isnan(p)]
    given = np.array([p_values[place] for place in tested], dtype=np.float64)
    if np.any((given < 0) | (given > 1)):
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    corrected: list[float | None] = [None] * len(p_values)
    for rank, place in enumerate(order):
        corrected[tested[place]] = min(float(stepped[rank]), 1.0)
    return corrected


def rank_correlation(
    x: Values,
    y: Values,
    groups: Sequence[Hashable],
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> RankCorrelation:
    """Spearman's rank correlation of two measures over members (model × seed) that come in groups (models).

    Seeds of one model are near copies, so neither interval nor p-value may count them as independent. The interval is
    a percentile bootstrap that draws whole models, centred on the coefficient on Fisher's scale. The p-value permutes
    models: each is represented once, by the mean rank of its seeds, which works for unequal numbers of seeds, and the
    coefficients of all orders of the models (of 40 000 random ones above eight models) are compared with the one seen.
    So five models can reach p = 2/120 at best, however many seeds they have. With so few the interval is rough as well.

    Args:
        x: one number per member; infinities are ranked last.
        y: one number per member.
        groups: the model of each member.
        confidence: of the interval.
        resamples: how often the models are drawn anew.
        seed: decides the draws.

    Returns:
        Coefficient, interval, p-value, and how many members and models they rest on.

    Raises:
        ValueError: for lengths that differ, values that are not numbers, a constant measure or fewer than three models.
    """
    x, y = _numbers(x, "x"), _numbers(y, "y")
    if not x.size == y.size == len(groups):
        raise ValueError(f"x, y and groups need one entry per member, got {x.size}, {y.size} and {len(groups)}")
    _check_resampling(confidence, resamples)
    names = list(dict.fromkeys(groups))
    if len(names) < 3:
        raise ValueError(f"a correlation over models needs at least three of them, got {len(names)}")
    if np.all(x == x[0]) or np.all(y == y[0]):
        raise ValueError("a measure that is the same for every member has no rank correlation")
    model = np.array([names.index(group) for group in groups])
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
    drawn = drawn[np.count_nonzero(drawn, axis=1) > 1]  # one model alone says nothing about models
    coefficients = _repeated_spearman(x, y, drawn[:, model])
    coefficients = coefficients[~np.isnan(coefficients)]
    if not coefficients.size:
        raise ValueError("no resample of the models has a correlation; raise resamples or add models")
    spearman = float(_repeated_spearman(x, y, np.ones((1, x.size)))[0])
    # A model drawn twice brings the scatter of its seeds twice, so that resamples lean towards 0: moved back.
    drawn_z, z = _fisher(coefficients), _fisher(np.array(spearman))
    coefficients = np.tanh(drawn_z - np.median(drawn_z) + z)
    p_value, at_floor = _permutation_test(_mean_ranks(x, model), _mean_ranks(y, model), generator)
    return RankCorrelation(spearman, _central(coefficients, confidence), p_value, at_floor, x.size, len(names))


def _numbers(values: Values, what: str) -> Float64[np.ndarray, " values"]:
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1 or numbers.size == 0 or np.isnan(numbers).any():
        raise ValueError(f"{what} must be a list of at least one number and hold no NaN")
    return numbers


def _check_resampling(confidence: float, resamples: int) -> None:
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(f"confidence must be between 0 and 1 and resamples positive, got {confidence}, {resamples}")


def _lower_medians(values: np.ndarray) -> Float64[np.ndarray, " resamples"]:
    middle = (values.shape[1] - 1) // 2
    return np.asarray(np.partition(values, middle, axis=1)[:, middle])


_STATISTICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean(axis=1),
    "median": _lower_medians,
}


def _central(draws: Float64[np.ndarray, " draws"], confidence: float) -> tuple[float, float]:
    tails = [(1 - confidence) / 2, (1 + confidence) / 2]
    low, high = np.quantile(draws, tails, method="inverted_cdf")
    return float(low), float(high)


def _log_ratio(first: Values, second: Values, seed: int) -> Float64[np.ndarray, " images"]:
    left, right = _numbers(first, f"seed {seed}'s lengths"), _numbers(second, f"seed {seed}'s lengths")
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


def median_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Order statistics that enclose the median, for any distribution; unbounded from too few values."""
    rank = int(scipy.stats.binom.ppf((1 - confidence) / 2, values.size, 0.5))
    ordered = np.sort(values)
    return (float(ordered[rank - 1]), float(ordered[-rank])) if rank else (-np.inf, np.inf)


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


def _repeated_spearman(x: np.ndarray, y: np.ndarray, times: np.ndarray) -> Float64[np.ndarray, " draws"]:
    """Spearman's coefficient with every member repeated so many times, per draw; NaN where a measure is constant."""
    share = times / times.sum(axis=1, keepdims=True)
    # A member's rank, centred: the share of those below it less the share of those above it, halved.
    below = [(values[:, None] < values) * 0.5 - (values[:, None] > values) * 0.5 for values in (x, y)]
    ranks_x, ranks_y = (share @ signs for signs in below)
    spread = np.sum(share * ranks_x**2, axis=1) * np.sum(share * ranks_y**2, axis=1)
    covariances = np.sum(share * ranks_x * ranks_y, axis=1)
    # Ranks are multiples of half a share, so that what is not constant is far above this.
    return np.clip(covariances / np.sqrt(np.where(spread > 1e-20, spread, np.nan)), -1.0, 1.0)


def _fisher(coefficients: np.ndarray) -> np.ndarray:
    return np.asarray(np.arctanh(np.clip(coefficients, -1 + 1e-9, 1 - 1e-9)))


def _mean_ranks(values: np.ndarray, model: Int[np.ndarray, " members"]) -> Float64[np.ndarray, " models"]:
    """Ranks of the models by the mean rank of their members."""
    return scipy.stats.rankdata(np.bincount(model, scipy.stats.rankdata(values)) / np.bincount(model))


def _permutation_test(x: np.ndarray, y: np.ndarray, generator: np.random.Generator) -> tuple[float, bool]:
    """Share of the orders of y whose correlation with x is at least as strong; the order seen is one of them.

    Returns:
        The share, and whether no drawn order is among them: all that is then known is that p is no larger.
    """
    if x.size <= _MOST_ORDERED_MODELS:
        orders = _all_orders(x.size)
    else:
        drawn = generator.permuted(np.tile(np.arange(x.size), (_DRAWN_ORDERS, 1)), axis=1)
        orders = np.concatenate([np.arange(x.size)[None], drawn])
    strengths = np.abs((y - y.mean())[orders] @ (x - x.mean()))
    as_strong = strengths >= strengths[0] - 1e-9
    return float(as_strong.mean()), x.size > _MOST_ORDERED_MODELS and int(as_strong.sum()) == 1


@functools.cache
def _all_orders(size: int) -> np.ndarray:
    return np.array(list(itertools.permutations(range(size))))
