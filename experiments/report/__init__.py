"""``report.html``: one file, no server, that says what a run measured and what of the paper it bears out.

``write_report(directory)`` reads ``results.json`` (schema 1) and ``figures/*.png`` of a finished run;
``python -m experiments.report DIRECTORY`` renders it again.
"""

from pathlib import Path
from typing import Any

from experiments.report import depth, evaluation, sections
from experiments.report.claims import claims_by_group
from experiments.report.glossary import what_words_mean
from experiments.report.page import document
from experiments.results.schema import read_results
from jax_bioadv.storage import atomic_file


def render(results: dict[str, Any], figures: Path) -> str:
    """The page for a results dictionary and the directory that holds the PNG files."""
    groups = claims_by_group(results)
    body = [
        sections.header(results),
        sections.contents(),
        sections.opening(groups, figures),
        sections.paper_beside_ours(results),
        sections.what_holds(results, groups),
        sections.figures(figures),
        sections.measurements(results),
        sections.evidence(results),
        sections.what_did_not_converge(results),
        sections.deviations(results),
        sections.stages(results),
        what_words_mean(),
    ]
    return document(f"Robust representations: {results.get('preset', 'run')}", body)


def write_report(directory: Path) -> Path:
    """Write ``report.html`` into ``directory``, whole or not at all, and return its path.

    Raises:
        FileNotFoundError: there is no results.json.
        ValueError: it is no JSON object of schema 1.
    """
    results = read_results(directory)
    of_kind = {"network": evaluation.render, "depths": depth.render}
    page = next((made for key, made in of_kind.items() if key in results), render)(results, directory / "figures")
    path = directory / "report.html"
    with atomic_file(path) as stream:
        stream.write(page.encode())
    return path
