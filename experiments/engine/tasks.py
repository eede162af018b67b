"""Tasks with fingerprints: what is done is skipped, what depends on a changed setting runs again, nothing else does.

A task's fingerprint covers its name, the settings it reads, the data, the code that it runs, the packages and the
device, and the fingerprints of the tasks it builds on. What becomes of it stands in ``experiments.engine.ledger``.
"""

import contextlib
import dataclasses
import fcntl
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from experiments.engine import provenance
from experiments.engine.sources import code_digest, digest_of
from experiments.images import Images
from jax_bioadv.storage import StorageError

logger = logging.getLogger("experiments")


@dataclass(frozen=True)
class Outcome:
    """What a task found: a few JSON values, and arrays by name."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def diverged(self) -> str | None:
        """Which training diverged, this task's or one that it builds on: found, and kept like any other outcome."""
        return self.values.get("diverged")

    @property
    def failed(self) -> str | None:
        """Which task ended in an error, this one or one that it builds on: nothing was found, nothing is kept."""
        return self.values.get("failed")


class Work(NamedTuple):
    """What a task's run is given besides its settings."""

    task: "Task"
    needed: Mapping[str, Outcome]
    """Outcomes of the tasks that it builds on, by a short name each."""
    directory: Path
    """The folder of the run, where checkpoints go while a training runs."""

    @property
    def name(self) -> str:
        return self.task.name

    @property
    def images(self) -> Images:
        return self.task.images


@dataclass(frozen=True)
class Task:
    """One step of an experiment.

    Attributes:
        name: unique; also the name of its files.
        stage: the kind of step, as chosen on the command line and timed in the results.
        run: ``run(work, **given)`` computes the outcome; a partial application of a function, or a
            :class:`experiments.engine.populations.Population`, which also does many such tasks as one program.
        images: the data.
        precision: of matrix products on accelerators.
        given: the settings, by the names of the arguments of ``run``: it has no others.
        needs: tasks whose outcomes ``run`` is given, by a short name each.
        folder: where its arrays go, below the run's directory.
        optional: those of ``needs`` that it does without where they diverged.
    """

    name: str
    stage: str
    run: Callable[..., Outcome]
    images: Images
    precision: str
    given: Mapping[str, Any] = field(default_factory=dict)
    needs: Mapping[str, "Task"] = field(default_factory=dict)
    folder: str = "arrays"
    optional: tuple[str, ...] = ()

    @cached_property
    def settings(self) -> dict[str, Any]:
        """All that the outcome depends on besides the tasks that it builds on, the code and where it runs; as JSON."""
        given = {name: plain(value) for name, value in self.given.items()}
        return {"data": self.images.identity, "precision": self.precision, **given}

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the outcome depends on."""
        return {
            "name": self.name,
            "settings": self.settings,
            "needs": {short: task.fingerprint for short, task in self.needs.items()},
            "code": code_digest(self.run, type(self.images)),
            "influences": provenance.influences(),
        }

    @cached_property
    def fingerprint(self) -> str:
        return digest_of(self.identity)

    @property
    def made_by(self) -> dict[str, str]:
        """What the record of an outcome that is made now says of its making."""
        own = {provenance.OWN_PACKAGE: provenance.own_version(), "code": self.identity["code"]}
        return {**own, **self.identity["influences"]}

    def compute(self, needed: Mapping[str, Outcome], directory: Path) -> Outcome:
        """The outcome, from those of ``needs``."""
        return self.run(Work(self, needed, directory), **self.given)


def plain(value: Any) -> Any:
    """A setting as JSON has it: the values of a group by their names, and its files; a tuple as a list."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
        files = getattr(value, "files_read", {})
        return values | ({"files_read": files} if files else {})
    return [plain(one) for one in value] if isinstance(value, tuple) else value


def with_needs(tasks: Iterable[Task]) -> list[Task]:
    """The tasks and all that they build on, each once and after what it needs; ValueError if two have one name."""
    found: dict[str, Task] = {}

    def add(task: Task) -> None:
        if task.name not in found:
            for other in task.needs.values():
                add(other)
            found[task.name] = task
        elif task is not found[task.name] and task.fingerprint != found[task.name].fingerprint:
            raise ValueError(f"two different tasks are called {task.name}, which is also the name of their files")

    for task in tasks:
        add(task)
    return list(found.values())


@contextlib.contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Keep a second run out of a directory while this one works in it; the lock dies with the process."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
        lock = (directory / ".lock").open("w")
    except OSError as error:
        raise StorageError(f"cannot write into {directory}: {error.strerror}. Choose another --out.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StorageError(f"another run is working in {directory}; wait for it or choose another --out") from None
        yield


@dataclass
class Course:
    """How far a long part of a task is.

    Attributes:
        what: it does.
        total: steps that it has.
        unit: what a step is called.
        done: steps so far.
        begun: the time of the first advance, of steps that an earlier run may have made, and their number.
    """

    what: str
    total: int
    unit: str
    done: int = 0
    begun: tuple[float, int] | None = None

    def advance(self, steps: int) -> None:
        self.done += steps
        self.begun = self.begun or (time.monotonic(), self.done)

    def left(self) -> float:
        """Seconds that the other steps will take if they take as long as those before; 0 as long as none is known."""
        since, before = self.begun or (0.0, 0)
        if self.done <= before:
            return 0.0
        return (self.total - self.done) * (time.monotonic() - since) / (self.done - before)


AT_WORK: list[Course] = []
"""What of this process's tasks is on its way, the innermost last."""


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """A progress bar with rate and time left, on a terminal; elsewhere the lines of the run tell how far it is."""
    course = Course(what, total, unit)
    with tqdm(total=total, desc=f"{what:<24}", unit=unit, disable=None, leave=False, dynamic_ncols=True) as bar:

        def advance(steps: int) -> None:
            course.advance(steps)
            bar.update(steps)

        AT_WORK.append(course)
        try:
            yield advance
        finally:
            AT_WORK.remove(course)
