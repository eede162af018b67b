"""The tidy table of a sweep: a row for each member and finished stage."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.attacks import ATTACKS
from experiments.engine.tasks import Outcome, Task
from experiments.members import Member, show
from experiments.settings.grid import Grid
from jax_bioadv.analysis import robustness
from jax_bioadv.storage import atomic_file


def _of_layer(outcome: Outcome) -> dict[str, Any]:
    names = ("converged", "unconverged_rows", "wrong_attractor_rows")
    return {name: outcome.values[name] for name in names}


def _of_training(outcome: Outcome) -> dict[str, Any]:
    names = ("test_accuracy", "converged", "decoder_converged", "pruned_units")
    values = {name: outcome.values[name] for name in names if name in outcome.values}
    return {**values, "loss": float(outcome.arrays["history/loss"][-1])}


def _of_spectra(outcome: Outcome) -> dict[str, Any]:
    fits = outcome.values["fits"]
    return {f"{name}_{kind}": fits[kind].get(name) for kind in ("images", "noise") for name in ("alpha", "r2")}


def _of_jacobian(outcome: Outcome) -> dict[str, Any]:
    return {
        "preactivation_norm": outcome.values["preactivation"],
        "activation_norm": float(outcome.arrays["activation"].mean()),
    }


def _of_attack(outcome: Outcome) -> dict[str, Any]:
    if not outcome.values["n_attacked"]:
        return {"n_attacked": 0}
    critical = outcome.arrays["critical_l2"]
    return {
        "n_attacked": outcome.values["n_attacked"],
        "median_critical_l2": robustness.median_with_censoring(critical),
        "censored": robustness.censored_share(critical),
        "not_monotone": outcome.values.get("not_monotone"),
    }


_READERS: dict[str, Callable[[Outcome], dict[str, Any]]] = {
    "layer": _of_layer,
    "train": _of_training,
    "spectra": _of_spectra,
    "jacobian": _of_jacobian,
    **dict.fromkeys(ATTACKS, _of_attack),
}
METRICS = (
    *("converged", "unconverged_rows", "wrong_attractor_rows"),
    *("test_accuracy", "decoder_converged", "pruned_units", "loss"),
    *("alpha_images", "r2_images", "alpha_noise", "r2_noise"),
    *("preactivation_norm", "activation_norm"),
    *("n_attacked", "median_critical_l2", "censored", "not_monotone"),
)


def write_table(
    path: Path,
    members: Sequence[Member],
    measurements: Sequence[str],
    grid: Grid,
    find: Callable[[Task], Outcome | None],
) -> None:
    """A row for each member and finished stage as CSV, atomically: who, where on the grid, which stage, what was found.

    What does not apply to a stage, or is not known, is left empty.

    Args:
        path: of the table.
        members: of the sweep.
        measurements: their stages after the training.
        grid: in what they differ.
        find: the outcome of a task, if there is one yet.
    """
    text = io.StringIO(newline="")
    columns = ("member", "model", "seed", *grid, "stage", "diverged", *METRICS)
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    for row in _rows(members, measurements, find):
        writer.writerow({name: _cell(value) for name, value in row.items()})
    with atomic_file(path) as stream:
        stream.write(text.getvalue().encode())


def _rows(
    members: Sequence[Member], measurements: Sequence[str], find: Callable[[Task], Outcome | None]
) -> Iterator[dict[str, Any]]:
    for member in members:
        for stage, task in member.stages(measurements).items():
            outcome = find(task)
            if outcome is None:
                continue
            point = {path: show(value) for path, value in member.point.items()}
            found = {"diverged": outcome.diverged} if outcome.diverged else _READERS[stage](outcome)
            yield {
                "member": member.number,
                "model": member.model,
                "seed": member.seed,
                **point,
                "stage": stage,
                **found,
            }


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float | np.floating) else value
