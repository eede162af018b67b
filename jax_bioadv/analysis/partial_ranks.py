"""Rank correlations between two measures of networks where others are known: what is left of one beyond them.

Spearman's partial coefficient: all measures are ranked, the ranks of both are freed of what a linear fit to the ranks
of the others explains, and what is left of them is correlated. Seeds of one setting are near copies, so that intervals
and p-values count settings (groups), as :func:`jax_bioadv.analysis.statistics.rank_correlation` does::

    partial_rank_correlation(boundary_length, exponent, [accuracy], settings)
"""

from collections.abc import Hashable, Sequence

import numpy as np
import scipy

from jax_bioadv.analysis.statistics import RankCorrelation, Values, numbers_in

_DRAWN_ORDERS = 10_000


def partial_rank_correlation(
    x: Values,
    y: Values,
    given: Sequence[Values],
    groups: Sequence[Hashable],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> RankCorrelation:
    """Spearman's coefficient of two measures with others held fixed.

    The interval is a percentile bootstrap at 95 % that draws whole groups. The p-value permutes what is left of one
    measure over the groups (Freedman & Lane 1983), each group being represented by the mean ranks of its members; it is
    at the floor if none of 10 000 drawn orders is as strong, and 1 if the others leave nothing of those means.

    Args:
        x: one number per member.
        y: one number per member.
        given: the measures that are held fixed, one number per member each.
        groups: the setting of each member.
        resamples: how often groups are drawn anew.
        seed: decides the draws.

    Returns:
        Coefficient, interval, p-value, and how many members and groups they rest on.

    Raises:
        ValueError: lengths that differ, values that are not numbers, fewer than four groups more than there are
            measures held fixed, no resamples, or a measure of which those leave nothing (here, or in every resample).
    """
    columns = [numbers_in(values, what) for values, what in ((x, "x"), (y, "y"), *((one, "given") for one in given))]
    if len({len(groups), *map(len, columns)}) != 1:
        raise ValueError("x, y, given and groups need one entry per member")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    names = list(dict.fromkeys(groups))
    if len(names) < len(given) + 4:
        raise ValueError(
            f"{len(names)} groups are too few beside {len(given)} measures held fixed; four more are needed"
        )
    group = np.array([names.index(one) for one in groups])
    measures = np.stack(columns)
    coefficient = _partial(_ranked(measures))
    if np.isnan(coefficient):
        raise ValueError("what is held fixed leaves nothing of a measure")
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(group == one) for one in range(len(names))]
    drawn = []
    for _ in range(resamples):
        chosen = generator.integers(len(names), size=len(names))
        drawn.append(_partial(_ranked(measures[:, np.concatenate([members[one] for one in chosen])])))
    if np.isnan(drawn).all():
        raise ValueError("what is held fixed leaves nothing in any resample; raise resamples or add groups")
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    p_value, at_floor = _permuted(_ranked(measures), group, generator)
    return RankCorrelation(coefficient, (float(low), float(high)), p_value, at_floor, len(groups), len(names))


def _ranked(measures: np.ndarray) -> np.ndarray:
    """Ranks of each measure, centred."""
    ranks = scipy.stats.rankdata(measures, axis=1)
    return np.asarray(ranks - ranks.mean(axis=1, keepdims=True))


def _left(measures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a linear fit to all others leaves of the first two."""
    first_two, others = measures[:2], measures[2:]
    coefficients, *_ = np.linalg.lstsq(others.T, first_two.T, rcond=None)
    left = first_two - coefficients.T @ others
    # Ranks are multiples of a half: what is not explained is far above this.
    left[np.linalg.norm(left, axis=1) < 1e-6 * np.linalg.norm(first_two, axis=1)] = 0
    return left[0], left[1]


def _partial(ranks: np.ndarray) -> float:
    return _correlation(*_left(ranks))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    size = np.linalg.norm(x) * np.linalg.norm(y)
    return float(np.clip(x @ y / size, -1, 1)) if size > 0 else float("nan")


def _permuted(ranks: np.ndarray, group: np.ndarray, generator: np.random.Generator) -> tuple[float, bool]:
    """Share of the orders of the groups whose correlation is at least as strong; the order seen is one of them."""
    means = _ranked(np.stack([np.bincount(group, row) / np.bincount(group) for row in ranks]))
    x, y = _left(means)
    if not (x.any() and y.any()):  # every order leaves as little
        return 1.0, False
    others, _ = np.linalg.qr(means[2:].T)
    orders = generator.permuted(np.tile(np.arange(x.size), (_DRAWN_ORDERS, 1)), axis=1)
    shuffled = y[orders]
    # What is held fixed explains a part of a shuffled measure too.
    left = (shuffled**2).sum(axis=1) - ((shuffled @ others) ** 2).sum(axis=1)
    strengths = np.abs(shuffled @ x) / np.sqrt(np.maximum(left, 1e-12 * (y @ y)))
    as_strong = int((strengths >= abs(x @ y) / np.linalg.norm(y) - 1e-9).sum())
    return (as_strong + 1) / (_DRAWN_ORDERS + 1), as_strong == 0
