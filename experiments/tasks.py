"""Tasks with fingerprints: what is done is skipped, what depends on a changed setting runs again, nothing else does.

A task's fingerprint covers its name, the settings it reads, the data and the fingerprints of the tasks it builds on.
Its outcome is two files written one after the other, atomically: the arrays, then a small JSON file with the
fingerprint and checksums of both. A kill between them, or at any other moment, leaves a task that simply runs again,
and so does a file that was altered.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from jax_bioadv.learning.training import DivergenceError
from jax_bioadv.storage import StorageError, read_arrays, read_json, write_arrays, write_json

# Raise it when a change of the code changes what a task computes: results of older versions then run again.
VERSION = 5

logger = logging.getLogger("experiments")


@dataclass(frozen=True)
class Outcome:
    """What a task found: a few JSON values, and arrays by name."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def diverged(self) -> str | None:
        return self.values.get("diverged")


@dataclass(frozen=True)
class Task:
    """One step of an experiment.

    Attributes:
        name: unique; also the name of its files.
        stage: the kind of step, as chosen on the command line and timed in the results.
        settings: everything that the outcome depends on besides the data and ``needs``.
        needs: tasks whose outcomes ``run`` is given, by a short name each.
        run: computes the outcome, given the task itself and the outcomes of ``needs``.
        folder: where its arrays go, below the run's directory.
        optional: those of ``needs`` that it does without where they diverged.
    """

    name: str
    stage: str
    settings: Mapping[str, Any]
    needs: Mapping[str, "Task"]
    run: Callable[["Task", Mapping[str, Outcome]], Outcome]
    folder: str = "arrays"
    optional: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        content = {
            "version": VERSION,
            "name": self.name,
            "settings": self.settings,
            "needs": {short: task.fingerprint for short, task in self.needs.items()},
        }
        return _digest(content)


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Ledger:
    """The outcomes in a run's directory.

    Args:
        directory: of the run.
        many_settings: whether tasks of one name but with different settings stand side by side, as in a sweep; their
            files are then told apart by the fingerprint, and outcomes are read again rather than kept in memory.
    """

    def __init__(self, directory: Path, many_settings: bool = False):
        self.directory, self.many_settings = directory, many_settings
        self._cache: dict[str, Outcome] = {}

    def _file(self, task: Task, folder: str, suffix: str) -> Path:
        distinction = f"-{task.fingerprint[:16]}" if self.many_settings else ""
        return self.directory / folder / f"{task.name}{distinction}{suffix}"

    def _record(self, task: Task) -> Path:
        return self._file(task, "stages", ".json")

    def _arrays(self, task: Task) -> Path:
        return self._file(task, task.folder, ".npz")

    def _remember(self, task: Task, outcome: Outcome) -> Outcome:
        if not self.many_settings:
            self._cache[task.fingerprint] = outcome
        return outcome

    def seconds(self, task: Task) -> float:
        return float(read_json(self._record(task))["seconds"])

    def find(self, task: Task) -> Outcome | None:
        """The task's outcome if it stands on disk, under the same fingerprint and unaltered."""
        if task.fingerprint in self._cache:
            return self._cache[task.fingerprint]
        path = self._record(task)
        if not path.exists():
            return None
        try:
            record = read_json(path)
            if record["fingerprint"] != task.fingerprint:
                return None
            if record.pop("checksum") != _digest(record):
                raise StorageError("the record was altered")
            arrays = self._read_arrays(task, record["arrays"])
        except (OSError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s: its record cannot be used, it runs again (%s)", task.name, error)
            return None
        return self._remember(task, Outcome(record["values"], arrays))

    def _read_arrays(self, task: Task, digest: str | None) -> dict[str, np.ndarray]:
        if digest is None:
            return {}
        if _file_digest(self._arrays(task)) != digest:
            raise StorageError(f"{self._arrays(task)} was altered")
        return read_arrays(self._arrays(task))

    def store(self, task: Task, outcome: Outcome, seconds: float) -> None:
        self._record(task).unlink(missing_ok=True)
        if outcome.arrays:
            write_arrays(self._arrays(task), outcome.arrays)
        else:
            self._arrays(task).unlink(missing_ok=True)
        record = {
            "fingerprint": task.fingerprint,
            "stage": task.stage,
            "settings": task.settings,
            "seconds": seconds,
            "values": outcome.values,
            "arrays": _file_digest(self._arrays(task)) if outcome.arrays else None,
        }
        write_json(self._record(task), {**record, "checksum": _digest(record)})
        self._remember(task, outcome)
        verdict = f"  DIVERGED: {outcome.diverged}" if outcome.diverged else ""
        logger.info("%-28s %7.1f s%s", task.name, seconds, verdict)

    def complete(self, task: Task) -> Outcome:
        """The task's outcome, computed if it is not there yet, and what it needs before it.

        A training that diverges is an outcome too, and so are all that build on it: the other tasks go on.
        """
        found = self.find(task)
        if found is not None:
            return found
        needed = {short: self.complete(other) for short, other in task.needs.items()}
        started = time.perf_counter()
        outcome = self.compute(task, needed)
        seconds = time.perf_counter() - started
        self.store(task, outcome, seconds)
        return outcome

    def compute(self, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
        """The task's outcome from those of the tasks that it needs."""
        required = (outcome for short, outcome in needed.items() if short not in task.optional)
        diverged = next((outcome.diverged for outcome in required if outcome.diverged), None)
        try:
            return Outcome({"diverged": diverged}) if diverged else task.run(task, needed)
        except DivergenceError as error:
            return Outcome({"diverged": f"{task.name}: {error}"})


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


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """A progress bar with rate and time left, on a terminal; elsewhere nothing is printed."""
    with tqdm(total=total, desc=f"{what:<24}", unit=unit, disable=None, leave=False, dynamic_ncols=True) as bar:
        yield bar.update
