"""A row of the table: contestants on one stage, what they must agree on, and what the stage must spend."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from benchmarks.floors import Work
from benchmarks.timing import Contestant
from benchmarks.workload import Workload

PYTORCH = ("eager", "lean", "same", "compiled")
CONTESTANTS = (*PYTORCH, "ours")
"""Those that have a column; any other name stands beside them in the row's notes."""

Results = Mapping[str, tuple[Any, ...]]
"""Of the first call of each contestant, part by part."""


class Check(NamedTuple):
    """A comparison of ours with a contestant; it passes up to the tolerance."""

    compared: str
    difference: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.difference <= self.tolerance)  # not for NaN


class Row(NamedTuple):
    """A stage that is ready to run."""

    contestants: dict[str, Contestant]
    agree: Callable[[Results], list[Check]]
    work: Work
    note: str = ""


class Stage(NamedTuple):
    """A stage by its name in the results; ``build`` sets the contestants up."""

    title: str
    build: Callable[[Workload], Row]


def relative(ours: Any, theirs: Any) -> float:
    """``‖ours − theirs‖ / ‖theirs‖``, in float64."""
    ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
    return float(np.linalg.norm(ours - theirs) / max(float(np.linalg.norm(theirs)), np.finfo(np.float64).tiny))


def share_different(ours: Any, theirs: Any) -> float:
    """Share of the entries that differ."""
    return float(np.mean(np.asarray(ours) != np.asarray(theirs)))


def present(results: Results, *names: str) -> list[str]:
    """Those contestants that took part."""
    return [name for name in names if name in results]
