"""The members of a sweep, and the tasks that each needs.

A member is one model with one seed at one point of the grid. Its tasks are those of a reproduction with the same
settings and seed, so that every number of the table is what ``experiments.reproduce`` would have found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from experiments.attacks import ATTACKS
from experiments.engine.tasks import Task
from experiments.images import Images
from experiments.plan import Plan
from experiments.settings.grid import Grid, points
from experiments.settings.paths import with_settings
from experiments.settings.reproduction import Settings

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


def members_of(settings: Settings, images: Images, grid: Grid) -> list[Member]:
    """Every model and seed at every point of the grid; ValueError for a point that cannot work."""
    members: list[Member] = []
    normed = {settings.norm: images}
    for point in points(grid):
        chosen = with_settings(settings, point)
        try:
            of_its_norm = normed.setdefault(chosen.norm, images.with_norm(chosen.norm))
            plan = Plan(chosen, of_its_norm, chosen.model_names)
        except ValueError as error:
            raise ValueError(f"at {describe(point) or 'the settings given'}: {error}") from error
        for model in plan.models:
            members += [Member(len(members) + seed, model, seed, point, plan) for seed in range(chosen.seeds)]
    return members


def describe(point: Mapping[str, Any]) -> str:
    return ", ".join(f"{path} = {show(value)}" for path, value in point.items())


def show(value: Any) -> str:
    """A value as the command line takes it."""
    return ":".join(map(str, value)) if isinstance(value, tuple) else str(value)
