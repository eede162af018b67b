"""Reading numbers out of results.json: one per seed, ``null`` where a member is missing, infinite where censored."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jax_bioadv.figures import mean_interval

NOT_AVAILABLE = "not available"


def dig(results: Any, *path: str) -> Any:
    """The entry at the end of ``path``, or None where any step of it is missing."""
    for key in path:
        if not isinstance(results, Mapping) or key not in results:
            return None
        results = results[key]
    return results


class Summary(NamedTuple):
    """Numbers over seeds: mean of the finite ones, half of its 95 % interval, and how many were of which kind."""

    mean: float | None
    half: float | None
    available: int
    total: int
    infinite: int


def per_seed(values: Any) -> list[float | None]:
    """One number or None per seed; a missing list has no seeds, and NaN counts as missing."""
    if values is None or isinstance(values, str | Mapping):
        return []
    numbers = [
        None if value is None else float(value) for value in (values if isinstance(values, Sequence) else [values])
    ]
    return [None if number is None or math.isnan(number) else number for number in numbers]


def present(values: Any) -> list[float]:
    """The numbers of the seeds that are there, infinite ones among them."""
    return [number for number in per_seed(values) if number is not None]


def summarise(values: Any) -> Summary:
    """Mean and 95 % t-interval over the seeds that are there; both None if any of them is infinite."""
    numbers, total = present(values), len(per_seed(values))
    infinite = sum(math.isinf(number) for number in numbers)
    if not numbers or infinite:
        return Summary(None, None, len(numbers), total, infinite)
    mean, half = mean_interval(np.asarray(numbers, dtype=np.float64))
    return Summary(float(mean), None if len(numbers) < 2 else float(half), len(numbers), total, 0)


def centre(values: Any) -> float | None:
    """Mean over seeds; infinite if it is for half of them or more, else the mean of the finite ones."""
    numbers = present(values)
    if not numbers:
        return None
    finite = [number for number in numbers if math.isfinite(number)]
    return sum(finite) / len(finite) if 2 * len(finite) > len(numbers) else math.inf


def number_text(number: float | None, digits: int = 3) -> str:
    """A number with ``digits`` significant digits, ∞, or 'not available'."""
    if number is None:
        return NOT_AVAILABLE
    if math.isinf(number):
        return "∞"
    if float(number).is_integer() and abs(number) < 1e5:
        return str(int(number))
    size = abs(number)
    if size >= 1e5 or size < 1e-3:
        return f"{number:.{digits - 1}e}"
    return f"{number:.{max(digits - 1 - math.floor(math.log10(size)), 0)}f}"


def signed_text(number: float) -> str:
    """A difference to two decimals, with its sign unless it rounds to nothing."""
    text = f"{number:+.2f}".replace("-", "−")
    return "0.00" if text[1:] == "0.00" else text


def summary_text(values: Any, digits: int = 3, error: float | None = None) -> str:
    """``0.472 ± 0.004``, with what is infinite, and what is there at all, counted.

    Args:
        values: one number per seed, or None.
        digits: significant digits.
        error: shown after ± where there is one seed only.
    """
    summary = summarise(values)
    counted = f" ({summary.available} of {summary.total} seeds)" if summary.available < summary.total else ""
    if not summary.available:
        return NOT_AVAILABLE
    if summary.infinite:
        text = "∞" if summary.infinite == summary.available else f"∞ in {summary.infinite} of {summary.available} seeds"
        return text + counted
    half = summary.half if summary.half is not None else error
    text = number_text(summary.mean, digits)
    if half is None or summary.mean is None or half <= 1e-9 * abs(summary.mean):
        return text + counted
    if "e" in text:
        return f"{text} ± {half:.1g}{counted}"
    decimals = len(text.partition(".")[2])
    decimals = min(max(decimals, -math.floor(math.log10(half))), decimals + 2)
    return f"{summary.mean:.{decimals}f} ± {half:.{decimals}f}{counted}"


def verdicts_text(verdicts: Any) -> str:
    """The different verdicts of the seeds, ``broken or power law``; empty if there is none."""
    return " or ".join(sorted({str(verdict) for verdict in verdicts or [] if verdict is not None}))


def percent_text(share: float | None) -> str:
    """A share as per cent."""
    if share is None:
        return NOT_AVAILABLE
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "<1 %"


def p_text(p: float | None) -> str:
    """``= 0.03``, ``< 0.001`` for small ones."""
    if p is None:
        return NOT_AVAILABLE
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"


def interval_text(values: Any, intervals: Any, digits: int = 3) -> str:
    """As :func:`summary_text`; for a single seed with its interval over images, ``0.425 [0.415, 0.435]``."""
    numbers = present(values)
    ends = [pair for pair in intervals or [] if pair is not None]
    if len(numbers) != 1 or len(ends) != 1 or len(per_seed(values)) != 1:
        return summary_text(values, digits)
    low, high = (number_text(math.inf if end is None else float(end), digits) for end in ends[0])
    return f"{number_text(numbers[0], digits)} [{low}, {high}]"
