"""Reading numbers out of results.json: one per seed, ``null`` where a member is missing, infinite where censored."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeGuard

from jax_bioadv.analysis.crossed import Overall, overall
from jax_bioadv.figures import overall_at

NOT_AVAILABLE = "not available"


def dig(results: Any, *path: str) -> Any:
    """The entry at the end of ``path``, or None where any step of it is missing."""
    for key in path:
        if not isinstance(results, Mapping) or key not in results:
            return None
        results = results[key]
    return results


def is_alone(found: Overall | None, planned: int) -> TypeGuard[Overall]:
    """Whether one seed of several is all that is left, as where the others diverged: it tells nothing of them."""
    return found is not None and found.seeds == 1 < planned


def near_first(radii: Iterable[str]) -> list[str]:
    """Names such as ``radius_2.44``, the smallest radius first."""
    return sorted(radii, key=lambda name: float(name.removeprefix("radius_")))


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


def centre(values: Any) -> float | None:
    """What the numbers of all seeds come to: their mean; their median, infinity the largest, if some are infinite."""
    found = overall(per_seed(values))
    return None if found is None else found.centre


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


def overall_text(found: Overall | None, seeds: int, digits: int = 3, error: float | None = None) -> str:
    """``0.472 ± 0.004``, or ``0.003 [0, 0.02]`` where the arms differ, with what is infinite or missing counted.

    Args:
        found: what the seeds come to, or None.
        seeds: how many there should be.
        digits: significant digits.
        error: shown after ± where there is no interval.
    """
    if found is None:
        return NOT_AVAILABLE
    counted = f" ({found.seeds} of {seeds} seeds)" if found.seeds < seeds else ""
    if found.infinite:
        how_many = f"∞ in {found.infinite} of {found.seeds} seeds"
        if math.isinf(found.centre):
            return ("∞" if found.infinite == found.seeds else how_many) + counted
        return f"≥ {number_text(found.centre, digits)} ({how_many}){counted}"
    if found.interval is None:
        return (
            number_text(found.centre, digits) if error is None else _plus_minus(found.centre, error, digits)
        ) + counted
    below, above = found.centre - found.interval[0], found.interval[1] - found.centre
    if max(below, above) <= 1e-9 * abs(found.centre):
        return number_text(found.centre, digits) + counted
    low, high = (number_text(end, digits) for end in found.interval)
    lopsided = max(below, above) > 1.5 * min(below, above) or found.interval[0] == 0
    if low != high and (found.over == "images" or lopsided):
        return f"{number_text(found.centre, digits)} [{low}, {high}]{counted}"
    return _plus_minus(found.centre, max(below, above), digits) + counted


def _plus_minus(middle: float, half: float, digits: int) -> str:
    text = number_text(middle, digits)
    if half <= 1e-9 * abs(middle):
        return text
    if "e" in text:
        return f"{text} ± {half:.1g}"
    decimals = len(text.partition(".")[2])
    decimals = min(max(decimals, -math.floor(math.log10(half))), decimals + 2)
    if half < 0.5 * 10**-decimals:
        return text
    return f"{middle:.{decimals}f} ± {half:.{decimals}f}"


def summary_text(values: Any, digits: int = 3, error: float | None = None) -> str:
    """As :func:`overall_text`, for numbers that no images stand behind, or none that were kept: over seeds alone."""
    numbers = per_seed(values)
    return overall_text(overall(numbers), len(numbers), digits, error)


def told(entry: Any, *path: str, digits: int = 3) -> str:
    """As :func:`overall_text`, for the entry of a results file at the end of a path: over seeds and images."""
    return overall_text(overall_at(entry, *path), len(per_seed(dig(entry, *path))), digits)


def verdicts_text(verdicts: Any) -> str:
    """The different verdicts of the seeds, ``broken or power law``; empty if there is none."""
    return " or ".join(sorted({str(verdict) for verdict in verdicts or [] if verdict is not None}))


def percent_text(share: float | None) -> str:
    """A share as per cent."""
    if share is None:
        return NOT_AVAILABLE
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "<1 %"


def p_text(p: float | None, at_floor: bool = False) -> str:
    """``= 0.03``, ``< 0.001`` for small ones; ``≤ 0.0005`` where the test cannot tell how much smaller it is."""
    if p is None:
        return NOT_AVAILABLE
    if at_floor:
        return f"≤ {p:.2g}"
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
