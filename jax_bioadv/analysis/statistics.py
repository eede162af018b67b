"""What the numbers over the images of one network can carry, rank correlations over models, and Holm's correction.

Critical perturbations may be infinite (censored, :mod:`jax_bioadv.analysis.robustness`): throughout they are ordered
above every finite one and never dropped. Everything runs on the host and repeats exactly for a seed. What several
seeds come to stands in :mod:`jax_bioadv.analysis.crossed`, how two models compare in
:mod:`jax_bioadv.analysis.paired`::

    bootstrap_interval(correct)                           # one network's accuracy
    corrected = holm([pair.p_value for pair in comparisons])
"""

import functools
import itertools
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from jax import Array
from jaxtyping import Float64, Int

Values = Sequence[Any] | np.ndarray | Array
"""A one-dimensional array, or a sequence of numbers or truth values."""

# Numbers that a bootstrap holds in memory at a time.
_RESAMPLED_AT_ONCE = 10**7
# 8! = 40 320 orders of models are counted one by one; of more, as many are drawn.
_MOST_ORDERED_MODELS = 8
_DRAWN_ORDERS = 40_000


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
    numbers = numbers_in(values, "values")
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
    x, y = numbers_in(x, "x"), numbers_in(y, "y")
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


def numbers_in(values: Values, what: str) -> Float64[np.ndarray, " values"]:
    """The values as a one-dimensional array; ValueError, which names them as ``what``, for none or a NaN among them."""
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


def median_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Order statistics that enclose the median, for any distribution; unbounded from too few values."""
    rank = int(np.searchsorted(_binomial_distribution(values.size), (1 - confidence) / 2))
    ordered = np.sort(values)
    return (float(ordered[rank - 1]), float(ordered[-rank])) if rank else (-np.inf, np.inf)


@functools.lru_cache(64)
def _binomial_distribution(count: int) -> Float64[np.ndarray, " ranks"]:
    """Of how many of so many values lie below their median; kept, for a comparison asks at many levels."""
    return np.asarray(scipy.stats.binom.cdf(np.arange(count + 1), count, 0.5))


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
