"""``report.html``: one file, no server, that says what a run measured and what of the paper it bears out.

``write_report(directory)`` reads ``results.json`` (schema 1) and ``figures/*.png`` of a finished run;
``python -m experiments.report DIRECTORY`` renders it again.
"""

import contextlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from experiments.report import sections
from experiments.report.page import document
from experiments.settings import SCHEMA
from jax_bioadv.storage import atomic_file


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
    """JSON has no infinity: a null median with more than half of the images censored is one, and so is a null end."""
    for model in results.get("models", {}).values():
        for group in ("critical_l2", "critical_linf", "certified_l2"):
            for entry in model.get(group, {}).values():
                if isinstance(entry, dict) and "median" in entry:
                    _restore_infinite_median(entry)


def _restore_infinite_median(entry: dict[str, Any]) -> None:
    medians, missing = entry["median"], [None] * len(entry["median"])
    censored, intervals = entry.get("censored", missing), entry.get("median_interval", missing)
    for place, (median, share, ends) in enumerate(zip(medians, censored, intervals, strict=False)):
        if median is None and ((share is not None and share > 0.5) or (ends is not None and ends[1] is None)):
            medians[place] = math.inf
        if ends is not None:
            ends[:] = [math.inf if end is None else end for end in ends]


def render(results: dict[str, Any], figures: Path) -> str:
    """The page for a results dictionary and the directory that holds the PNG files."""
    body = [
        sections.header(results),
        sections.contents(),
        sections.paper_beside_ours(results),
        sections.what_holds(results),
        sections.figures(figures),
        sections.measurements(results),
        sections.evidence(results),
        sections.what_did_not_converge(results),
        sections.deviations(results),
        sections.stages(results),
    ]
    return document(f"Robust representations: {results.get('preset', 'run')}", body)


def write_report(directory: Path) -> Path:
    """Write ``report.html`` into ``directory``, whole or not at all, and return its path.

    Raises:
        FileNotFoundError: there is no results.json.
        ValueError: it is no JSON object of schema 1.
    """
    page = render(read_results(directory), directory / "figures")
    path = directory / "report.html"
    with atomic_file(path) as stream:
        stream.write(page.encode())
    return path
