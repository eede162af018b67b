"""Numbers over seeds: what is missing is skipped, what is left has a centre and a 95 % interval."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy
from jax import Array
from jaxtyping import Float

from jax_bioadv.analysis.crossed import Overall, overall

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

    A median that is null because more than half of the images were never flipped (``censored`` beside it says so, or an
    interval without an upper end) is infinite, not missing.

    Args:
        entry: maps within maps, as they stand in a results file.
        path: the keys, from outside.
    """
    above, values = _at(entry, path[:-1]), _at(entry, path)
    if values is None:
        return np.empty(0)
    numbers = np.asarray([np.nan if value is None else value for value in values], dtype=np.float64).reshape(-1)
    if path and path[-1] == "median":
        for place, share in enumerate((above.get("censored") or [])[: numbers.size]):
            if np.isnan(numbers[place]) and share is not None and share > 0.5:
                numbers[place] = np.inf
        for place, ends in enumerate((above.get("median_interval") or [])[: numbers.size]):
            if np.isnan(numbers[place]) and ends is not None and ends[1] is None:
                numbers[place] = np.inf
    return numbers


def overall_at(entry: Any, *path: str, confidence: float = 0.95) -> Overall | None:
    """What the seeds at the end of a path come to, with an interval over them and their images.

    Each seed's interval over images stands beside the list, as ``NAME_interval``, or in a map of the same keys beside
    the map that holds the list, as ``smoothness_interval`` beside ``smoothness``.

    Args:
        entry: maps within maps, as they stand in a results file.
        path: the keys, from outside.
        confidence: of the interval.

    Returns:
        None where no seed has a number.
    """
    intervals = _at(entry, (*path[:-1], f"{path[-1]}_interval"))
    if intervals is None and len(path) > 1:
        intervals = _at(entry, (*path[:-2], f"{path[-2]}_interval", path[-1]))
    return overall(numbers_at(entry, *path), intervals, confidence=confidence)


def _at(entry: Any, path: Sequence[str]) -> Any:
    for key in path:
        if not isinstance(entry, Mapping):
            return None
        entry = entry.get(key)
    return entry


def scalars(values: Numbers) -> Float[np.ndarray, " seeds"]:
    """One number per seed that is there (infinite ones stay), as float64."""
    array = np.asarray([np.nan if value is None else value for value in values], dtype=np.float64)
    return array[~np.isnan(array)]


def mean_interval(values: Float[np.ndarray, " seeds *rest"]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over seeds and half the width of its 95 % t-interval over them alone; NaN where fewer than two are finite.

    For curves and spectra. A single quantity, which may be infinite, has :func:`overall_at`.
    """
    finite = np.isfinite(values)
    count = finite.sum(axis=0)
    present = np.where(finite, values, 0.0)
    mean = np.where(count > 0, present.sum(axis=0) / np.maximum(count, 1), np.nan)
    squares = np.where(finite, (present - mean) ** 2, 0.0).sum(axis=0)
    freedom = np.maximum(count - 1, 1)
    error = np.sqrt(squares / freedom / np.maximum(count, 1))
    half = scipy.stats.t.ppf(0.975, freedom) * error
    return mean, np.where(count > 1, half, np.nan)
