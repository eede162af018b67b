"""How a hypothesis is decided: shares over seeds, within a tolerance or not, and lines that say so."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.models import label
from experiments.report.claims import Results
from experiments.report.claims.comparing import LESS, MORE
from experiments.report.numbers import dig, is_alone, per_seed
from jax_bioadv.analysis.crossed import Overall, overall


def within(found: Overall | None, tolerance: float) -> bool | None:
    """Whether a share lies within plus or minus a tolerance; None if that hangs on it, or on the seeds."""
    if found is None:
        return None
    low, high = found.interval or (found.centre, found.centre)
    answers = set()
    for limit in (LESS * tolerance, tolerance, MORE * tolerance):
        inside, outside = -limit <= low and high <= limit, high < -limit or low > limit
        answers.add(True if inside else False if outside else None)
    return answers.pop() if len(answers) == 1 else None


def of_seeds(entry: Any, of: str, by: str) -> Overall | None:
    """The share of one number in another, over seeds."""
    pairs = zip(per_seed(dig(entry, of)), per_seed(dig(entry, by)), strict=True)
    return over_seeds([None if None in pair else pair[0] / pair[1] for pair in pairs])  # type: ignore[operator]


def over_seeds(values: Sequence[float | None] | np.ndarray) -> Overall | None:
    """What the seeds come to; where one of several is left, it tells nothing of the others."""
    found = overall(values)
    return found._replace(interval=(-np.inf, np.inf)) if is_alone(found, len(values)) else found


def alignments(results: Results) -> dict[str, Any]:
    """The exponents of all models that have any."""
    found = {model: dig(results, "models", model, "alignment") for model in dig(results, "models") or {}}
    return {
        model: entry for model, entry in found.items() if any(one is not None for one in dig(entry, "images") or [])
    }


def sorted_lines(
    answers: Mapping[str, bool | None], lines: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Evidence for and against; what is open is neither."""
    of = {True: "", False: "", None: "open, "}
    told = {model: f"{of[answer]}{label(model)}: {lines[model]}" for model, answer in answers.items()}
    return (
        tuple(told[model] for model, answer in answers.items() if answer),
        tuple(told[model] for model, answer in answers.items() if not answer),
    )


def numbers_of(values: Any) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in per_seed(values)])
