"""The members of a sweep, the tasks that each needs, and the tidy table that they fill.

A member is one model with one seed at one point of the grid. Its tasks are those of a reproduction with the same
settings and seed, so that every number of the table is what ``experiments.reproduce`` would have found.
"""

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from experiments.attacks import ATTACKS
from experiments.engine.tasks import Outcome, Task
from experiments.measuring.populations import attack_together
from experiments.plan import Plan
from experiments.settings.grid import Grid, points, with_settings
from experiments.study import Study
from experiments.training.together import train_together
from experiments.training.trainable import Job
from jax_bioadv.analysis import robustness
from jax_bioadv.storage import atomic_file

# What runs the tasks of a stage side by side: their outcomes depend on its code too.
POPULATIONS: Mapping[str, Callable[..., Any]] = {
    "layer": train_together,
    "train": train_together,
    "attacks": attack_together,
}
MEASUREMENTS = ("spectra", "jacobian", *ATTACKS)


@dataclass(frozen=True)
class Member:
    """One model, seed and point of the grid."""

    number: int
    model: str
    seed: int
    point: Mapping[str, Any]
    plan: Plan

    def stages(self, measurements: Sequence[str]) -> dict[str, Task]:
        """Its tasks by the name of their stage, in the order in which they build on one another."""
        plan, model, seed = self.plan, self.model, self.seed
        measuring: dict[str, Callable[[str, int], Task]] = {"spectra": plan.spectra, "jacobian": plan.jacobian}
        measuring |= {name: partial(plan.attack, name) for name in ATTACKS}
        layer = {"layer": plan.layer(seed)} if model == "kh" else {}
        return {
            **layer,
            "train": plan.model(model, seed),
            **{name: measuring[name](model, seed) for name in measurements},
        }

    def job(self, task: Task) -> Job:
        return Job(task, self.plan.study, self.seed, "layer" if task.stage == "layer" else self.model)


def members_of(study: Study, grid: Grid) -> list[Member]:
    """Every model and seed at every point of the grid; ValueError for a point that cannot work."""
    members: list[Member] = []
    same_images: dict[tuple[float, int], Study] = {}
    for point in points(grid):
        settings = with_settings(study.settings, point)
        key = (settings.norm, settings.spectra.noise_images)
        try:
            variant = same_images.get(key, study).variant(settings)
        except ValueError as error:
            raise ValueError(f"at {describe(point) or 'the settings given'}: {error}") from error
        same_images.setdefault(key, variant)
        plan = Plan(variant, POPULATIONS)
        for model in plan.settings.model_names:
            members += [Member(len(members) + seed, model, seed, point, plan) for seed in range(plan.settings.seeds)]
    return members


def describe(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{path} = {show(value)}" for path, value in point.items())


def show(value: Any) -> str:
    """A value as the command line takes it."""
    return ":".join(map(str, value)) if isinstance(value, tuple) else str(value)


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


def rows(
    members: Sequence[Member], measurements: Sequence[str], find: Callable[[Task], Outcome | None]
) -> Iterator[dict[str, Any]]:
    """A row for each member and finished stage: who, where on the grid, which stage, what was found."""
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


def write_table(path: Path, table: Sequence[Mapping[str, Any]], grid: Grid) -> None:
    """The rows as CSV, atomically; what does not apply to a stage, or is not known, is left empty."""
    text = io.StringIO(newline="")
    columns = ("member", "model", "seed", *grid, "stage", "diverged", *METRICS)
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in table)
    with atomic_file(path) as stream:
        stream.write(text.getvalue().encode())


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return repr(float(value)) if isinstance(value, float | np.floating) else value
