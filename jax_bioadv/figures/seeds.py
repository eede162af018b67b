"""Numbers over seeds: what is missing is skipped, what is left is a mean with its 95 % interval."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats
from jax import Array
from jaxtyping import Float

Numbers = Sequence[Any] | np.ndarray | Array
"""An array, or (nested) lists of numbers in which ``None`` stands for a member that diverged."""


def require(entries: Mapping[str, Any], what: str) -> None:
    """Raise ValueError if there is nothing to draw."""
    if not entries:
        raise ValueError(f"there is no {what} to draw: the mapping is empty")


def members(values: Numbers, what: str, length: int | None = None) -> Float[np.ndarray, "seeds points"]:
    """The rows of the seeds that are there, as float64; a row of nothing but NaN counts as missing.

    Args:
        values: one row of numbers per seed, or None.
        what: what the rows are, for the error message.
        length: how many numbers each row must have.

    Raises:
        ValueError: a row has another length than it should.
    """
    rows = [np.asarray(row, dtype=np.float64) for row in values if row is not None]
    for row in rows:
        wanted = length if length is not None else rows[0].size
        if row.ndim != 1 or row.size != wanted:
            raise ValueError(f"{what}: each seed needs {wanted} numbers, got an array of shape {row.shape}")
    rows = [row for row in rows if row.size and not np.isnan(row).all()]
    return np.stack(rows) if rows else np.empty((0, length or 0))


def numbers_at(entry: Any, *path: str) -> Float[np.ndarray, " seeds"]:
    """The numbers of all seeds at the end of a path in nested maps, NaN where one is missing; empty where the path is.

    Args:
        entry: maps within maps, as they stand in a results file.
        path: the keys, from outside.
    """
    for key in path:
        if not isinstance(entry, Mapping) or entry.get(key) is None:
            return np.empty(0)
        entry = entry[key]
    return np.asarray([np.nan if value is None else value for value in entry], dtype=np.float64).reshape(-1)


def over_seeds(entry: Any, *path: str) -> tuple[float, float, float] | None:
    """Mean, lower and upper end: of the 95 % interval over seeds, or for one seed of ``…_interval`` over images.

    None where no seed has a number, and infinite where half of them do not have a finite one.
    """
    numbers = numbers_at(entry, *path)
    numbers = numbers[~np.isnan(numbers)]
    if not numbers.size:
        return None
    finite = numbers[np.isfinite(numbers)]
    if 2 * finite.size <= numbers.size:
        return math.inf, math.inf, math.inf
    mean, half = mean_interval(finite)
    if finite.size > 1:
        return float(mean), float(mean - half), float(mean + half)
    intervals = entry
    for key in (*path[:-1], f"{path[-1]}_interval"):
        intervals = intervals.get(key) or {}
    ends = next((pair for pair in intervals if pair is not None and None not in pair), (mean, mean))
    return float(mean), float(ends[0]), float(ends[1])


def scalars(values: Numbers) -> Float[np.ndarray, " seeds"]:
    """One number per seed that is there (infinite ones stay), as float64."""
    array = np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
    return array[~np.isnan(array)]


def mean_interval(values: Float[np.ndarray, " seeds *rest"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds and half the width of its 95 % t-interval; NaN where fewer than two seeds are finite."""
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    present = np.where(finite, values, 0.0)
    mean = np.where(count > 0, present.sum(axis=0) / np.maximum(count, 1), np.nan)
    squares = np.where(finite, (present - mean) ** 2, 0.0).sum(axis=0)
    freedom = np.maximum(count - 1, 1)
    error = np.sqrt(squares / freedom / np.maximum(count, 1))
    half = scipy.stats.t.ppf(0.975, freedom) * error
    return mean, np.where(count > 1, half, np.nan)
