"""results.json: the schema that is written, and reading it back."""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA = 1


def read_results(directory: Path) -> dict[str, Any]:
    """The results of the run in ``directory``.

    Raises:
        FileNotFoundError: there is no results.json.
        ValueError: it is no JSON object of schema 1.
    """
    path = directory / "results.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: finish the run first (python -m experiments.reproduce --out …)")
    try:
        results = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no whole JSON file ({error}); run the experiment again") from error
    if not isinstance(results, dict) or results.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no results file of schema {SCHEMA}; render it with the version that wrote it")
    _restore_infinite_medians(results)
    return results


@contextlib.contextmanager
def whole_results(directory: Path) -> Iterator[None]:
    """Turn what a file of the right schema, but with something else inside, leads to into one clear ValueError."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"{directory / 'results.json'} lacks what is needed ({error!r}); run the experiment again, or read it with "
            "the version that wrote it"
        ) from error


def _restore_infinite_medians(results: dict[str, Any]) -> None:
    """JSON has no infinity: a null median with more than half of the images censored is one, and so is a null end.

    So is a null gap between certificate and attack that has an interval.
    """
    references = (results.get("references") or {}).get("models", {})
    for model in [*results.get("models", {}).values(), *references.values()]:
        for group in ("critical_l2", "critical_linf", "critical_l2_in_norms", "certified_l2"):
            for entry in model.get(group, {}).values():
                if isinstance(entry, dict) and "median" in entry:
                    _restore_infinite_median(entry)
        bounds = model.get("certified_l2", {})
        for place, ends in enumerate(bounds.get("gap_interval", [])):
            if ends is not None and bounds["gap"][place] is None:
                bounds["gap"][place] = math.inf


def _restore_infinite_median(entry: dict[str, Any]) -> None:
    medians, missing = entry["median"], [None] * len(entry["median"])
    censored, intervals = entry.get("censored", missing), entry.get("median_interval", missing)
    for place, (median, share, ends) in enumerate(zip(medians, censored, intervals, strict=False)):
        if median is None and ((share is not None and share > 0.5) or (ends is not None and ends[1] is None)):
            medians[place] = math.inf
        if ends is not None:
            ends[:] = [math.inf if end is None else end for end in ends]
