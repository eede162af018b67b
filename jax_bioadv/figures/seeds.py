"""Numbers over seeds: what is missing is skipped, what is left is a mean with its 95 % interval."""

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
