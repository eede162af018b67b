"""A chain of small tasks in one folder."""

import contextlib
import dataclasses
import os
from pathlib import Path

import numpy as np

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task, Work
from experiments.images import Images
from jax_bioadv.data import Dataset
from jax_bioadv.learning.training import DivergenceError

PIXELS, LABELS = np.eye(2, dtype=np.uint8).reshape(2, 2, 1, 1), np.arange(2, dtype=np.uint8)
IMAGES = Images(Dataset("two", PIXELS, LABELS, PIXELS, LABELS, ("no", "yes"), "made"), 3.0)


class Chain:
    """Three tasks, ``first -> middle -> last``, and one beside them; counts how often each runs."""

    def __init__(self, directory: Path, settings: int = 0, fail: str | None = None, error: Exception | None = None):
        self.ledger, self.runs, self.fail = Ledger(directory), [], fail
        self.error = error or DivergenceError(3, "loss is nan", "Lower it.")
        self.first = self._task("first", {}, settings=0)
        self.middle = self._task("middle", {"before": self.first}, settings)
        self.last = self._task("last", {"before": self.middle}, settings=0)
        self.beside = self._task("beside", {}, settings=0)
        self.tasks = (self.first, self.middle, self.last, self.beside)

    def _task(self, name: str, needs: dict[str, Task], settings: int) -> Task:
        def run(work: Work, *, settings: int) -> Outcome:
            assert work.name == name
            self.runs.append(name)
            if name == self.fail:
                raise self.error
            before = work.needed["before"].values["sum"] if work.needed else 0
            return Outcome({"sum": before + settings + 1}, {"numbers": np.arange(5.0) + before + settings})

        return Task(name, "train", run, IMAGES, "highest", {"settings": settings}, needs)

    def complete(self) -> list[str]:
        """The names of the tasks that had to run."""
        for task in self.tasks:
            self.ledger.complete(task)
        return self.runs


def _die(work: Work, *, settings: int) -> None:
    os._exit(3)


@contextlib.contextmanager
def opened(directory: Path, fail: str | None = None, error: Exception | None = None, dies=False, settings: int = 0):
    """A chain as other processes open it, which import little else; in these it ends the process if it ``dies``."""
    chain = Chain(directory, settings, fail, error)
    yield [dataclasses.replace(task, run=_die) if dies else task for task in chain.tasks], chain.ledger
