"""What a run found, on one screen of a terminal: a row for each model, and how the claims came out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.attacks import ATTACKS, short_label
from experiments.depth_plan import model_and_depth, of_depth
from experiments.models import MODELS, label
from experiments.report.claims import Finding, Verdict, findings
from experiments.report.claims.depth import answers
from experiments.report.evaluation import same_threats
from experiments.report.numbers import centre, dig
from experiments.report.tables import models_of
from experiments.stacks import STACK_MODELS

COLUMNS = {
    "accuracy": ("test_accuracy",),
    "α images": ("spectrum", "images", "alpha"),
    "α noise": ("spectrum", "noise", "alpha"),
    **{short_label(attack): ("critical_l2", attack, "median") for attack in ATTACKS},
}


def in_short(results: dict[str, Any], report: Path) -> str:
    """The whole of it.

    Args:
        results: what results.json holds.
        report: the page that has the rest.

    Returns:
        Lines, those of the table within 80 columns.
    """
    seeds = len(dig(results, "seeds") or [])
    of = "one seed" if seeds == 1 else f"means over {seeds} seeds"
    about = f"α: exponents of spectra; attacks: median critical L₂; {of}"
    rows = [("", *COLUMNS)]
    for name, model in results["models"].items():
        shown = MODELS[name].label if name in MODELS else name
        rows.append((shown, *(_cell(model, path) for path in COLUMNS.values())))
    return "\n".join([*_aligned(rows), about, "", *_verdicts(findings(results)), "", f"report: {report}"])


def depth_in_short(results: dict[str, Any], report: Path) -> str:
    """The study of depth: a row for each model, a column for each depth.

    Args:
        results: what results.json holds.
        report: the page that has the rest.
    """
    depths = results["depths"]
    rows = [("", *(f"depth {depth}" for depth in depths))]
    for model in dict.fromkeys(model_and_depth(name)[0] for name in results["models"]):
        entries = [results["models"][of_depth(model, depth)] for depth in depths]
        paths = ("test_accuracy",), ("critical_l2", "minimum_norm", "median")
        rows.append(
            (STACK_MODELS[model].label, *(" / ".join(_cell(entry, path) for path in paths) for entry in entries))
        )
    about = "accuracy / median length of the shortest adversarial perturbation, in raw pixels"
    verdicts = _verdicts({claim.title: finding for claim, finding in answers(results)})
    return "\n".join([*_aligned(rows), about, "", *verdicts, "", f"report: {report}"])


def evaluation_in_short(results: dict[str, Any], report: Path) -> str:
    """An evaluation: the network, and the references in what has one meaning for all of them.

    Args:
        results: what results.json holds.
        report: the page that has the rest.
    """
    [model] = results["models"].values()
    columns = {"accuracy": ("test_accuracy",)}
    columns |= {threat: ("robust_accuracy", threat, "worst_case") for threat in model["robust_accuracy"]}
    rows = [("", *columns)]
    for name, one in models_of(same_threats(results)).items():
        rows.append((label(name), *(_cell(one, path) for path in columns.values())))
    about = "robust accuracy under the worst of all attacks; references as published, where they have this threat"
    taps = [("", "α images", "α noise")]
    for name, tap in model["taps"].items():
        taps.append((name, *(_cell(tap, ("spectrum", kind, "alpha")) for kind in ("images", "noise"))))
    return "\n".join([*_aligned(rows), about, "", *_aligned(taps), "", f"report: {report}"])


def _cell(model: Any, path: Sequence[str]) -> str:
    middle = centre(dig(model, *path))
    return "–" if middle is None else f"{middle:#.3g}".replace("inf", "∞")


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    names, *columns = zip(*rows, strict=True)
    name_width, widths = max(map(len, names)), [max(map(len, column)) for column in columns]
    return [
        " ".join([name.ljust(name_width + 1), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))])
        for name, *cells in rows
    ]


def _verdicts(found: Mapping[str, Finding]) -> list[str]:
    """A line for each claim of which something can be told, and how many the others are."""
    told = [f"  {one.verdict.value}: {title}" for title, one in found.items() if one.verdict is not Verdict.UNDECIDED]
    return [f"{len(told)} of {len(found)} claims can be told:", *told]
