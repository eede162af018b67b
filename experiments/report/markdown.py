"""The tables of a run as the documentation has them: ``python -m experiments.report.markdown results/quick``."""

import sys
from collections.abc import Callable, Sequence
from typing import Any

from experiments.attacks import ATTACKS, short_label
from experiments.depth_plan import model_and_depth, of_depth
from experiments.models import in_order, label
from experiments.questions.question import findings as question_findings
from experiments.questions.registry import QUESTIONS
from experiments.report.claims.depth import answers
from experiments.report.numbers import centre, dig, number_text, per_seed, told, verdicts_text
from experiments.results.schema import read_results, whole_results
from experiments.stacks import STACK_MODELS
from experiments.threats import THREAT_LABELS
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.user_folders import user_path

HEADER = (
    *("", "test accuracy", "α on images", "α on noise", "r² on noise"),
    *(short_label(attack) for attack in ATTACKS),
    "mean ‖∂a/∂x‖",
)
PATHS: tuple[tuple[str, ...], ...] = (
    ("test_accuracy",),
    ("spectrum", "images", "alpha"),
    ("spectrum", "noise", "alpha"),
    ("spectrum", "noise", "r2"),
    *(("critical_l2", attack, "median") for attack in ATTACKS),
    ("jacobian_norm", "activation"),
)
"""In a model's results, of the columns of HEADER."""
BOUNDS = ("lipschitz", "relaxation")


def _cell(model: Any, *path: str) -> str:
    """What the seeds come to, with the 95 % interval over seeds and images where there are several."""
    values = dig(model, *path)
    middle = centre(values)
    if middle is None:
        return "–"
    return number_text(middle) if len(per_seed(values)) < 2 else told(model, *path)


def _verdict(model: Any, *path: str) -> str:
    return verdicts_text(dig(model, *path)) or "–"


def _table(
    results: dict[str, Any], header: Sequence[str], columns: Sequence[tuple[Callable[..., str], tuple[str, ...]]]
) -> str:
    """A row per model; a column is how its values are written and where they stand."""
    rows = [tuple(header), ("---",) * len(header)]
    for name in in_order(results["models"]):
        model = results["models"][name]
        rows.append((label(name), *(written(model, *path) for written, path in columns)))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def markdown_table(results: dict[str, Any]) -> str:
    """One row per model: accuracy, exponents, median critical L2 distances, smoothness; ± over seeds and images."""
    return _table(results, HEADER, [(_cell, path) for path in PATHS])


def evidence_table(results: dict[str, Any]) -> str:
    """One row per model: worst-case robust accuracy per threat model, certified distances, verdicts on the spectra."""
    models = results["models"].values()
    threats = [name for name in THREAT_LABELS if any(dig(model, "robust_accuracy", name) for model in models)]
    bounds = [name for name in BOUNDS if any(dig(model, "certified_l2", name) for model in models)]
    header = ["", *(THREAT_LABELS[name] for name in threats), *(f"certified L₂ ({name})" for name in bounds)]
    columns: list[tuple[Callable[..., str], tuple[str, ...]]] = [
        *((_cell, ("robust_accuracy", threat, "worst_case")) for threat in threats),
        *((_cell, ("certified_l2", bound, "median")) for bound in bounds),
    ]
    for kind in ("images", "noise"):
        header.append(f"spectrum on {kind}")
        columns.append((_verdict, ("spectrum", kind, "verdict")))
    return _table(results, header, columns)


def depth_table(results: dict[str, Any]) -> str:
    """The study of depth, one row per model: accuracy, minimum-norm distance and worst cases at each depth."""
    depths = results["depths"]
    columns = {
        "test accuracy": ("test_accuracy",),
        "minimum norm": ("critical_l2", "minimum_norm", "median"),
        "L∞ 8/255": ("robust_accuracy", "raw_linf", "worst_case"),
    }
    rows: list[Sequence[str]] = [("", *(f"{what}, depth {depth}" for what in columns for depth in depths))]
    rows.append(("---",) * len(rows[0]))
    for model in dict.fromkeys(model_and_depth(name)[0] for name in results["models"]):
        entries = [results["models"][of_depth(model, depth)] for depth in depths]
        cells = [_cell(entry, *path) for path in columns.values() for entry in entries]
        rows.append((STACK_MODELS[model].label, *cells))
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def depth_verdicts(results: dict[str, Any]) -> str:
    """The study of depth, one bullet per question: its verdict and the sentence with the numbers."""
    found = answers(results)
    return "\n".join(f"- **{claim.title}**: {one.verdict.value}. {one.sentence}" for claim, one in found)


def question_verdicts(results: dict[str, Any]) -> str:
    """An open question, one bullet per hypothesis: its verdict and the sentence with the numbers."""
    found = question_findings(QUESTIONS[results["question"]], results)
    return "\n".join(f"- **{claim.title}**: {one.verdict.value}. {one.sentence}" for claim, one in found.items())


def run(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise ValueError("name the folder of one finished run")
    directory = user_path(arguments[0])
    with whole_results(directory):
        found = read_results(directory)
        tables: tuple[Callable[[dict[str, Any]], str], ...] = (markdown_table, evidence_table)
        tables = (depth_table, depth_verdicts) if "depths" in found else tables
        tables = (question_verdicts,) if "question" in found else tables
        print(*(table(found) for table in tables), sep="\n\n")


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)
