"""The outcomes in a run's directory: found again, kept, and what becomes of a task that fails.

An outcome is two files written one after the other, atomically: the arrays, then a small JSON file with the
fingerprint and checksums of both. A kill between them, or at any other moment, leaves a task that simply runs again,
and so does a file that was altered. An outcome under other settings, code or packages is set aside, not overwritten:
who goes back to them finds it again.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.engine import provenance
from experiments.engine.populations import drop_checkpoints, outcomes
from experiments.engine.sources import digest_of
from experiments.engine.tasks import Outcome, Task
from experiments.engine.terminal import EACH_TASK
from jax_bioadv.command_line import stop_if_told
from jax_bioadv.learning.training import DivergenceError
from jax_bioadv.storage import StorageError, read_arrays, read_json, write_arrays, write_json

logger = logging.getLogger("experiments")
each_task = logging.getLogger(EACH_TASK)

EARLIER = "earlier"
ARRAY_FOLDERS = ("arrays", "models")


def _file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _move(path: Path, to: Path) -> None:
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.replace(path, to)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            part = to.with_name(f"{to.name}.part")  # a folder that is a link to another disk
            shutil.copy2(path, part)
            os.replace(part, to)
            path.unlink()
    except OSError as error:
        raise StorageError(f"cannot move {path} to {to}: {error.strerror}. Choose a writable folder.") from error


class Ledger:
    """The outcomes in a run's directory.

    Args:
        directory: of the run.
        many_settings: whether tasks of one name but with different settings stand side by side, as in a sweep; their
            files are then told apart by the fingerprint, and outcomes are read again rather than kept in memory.

    Attributes:
        failures: by fingerprint, the name of a task that failed or needs one that did, and whose error it was.
        listener: is told of every task that has come to its end, and of its seconds if it came to what it was to find.
    """

    def __init__(self, directory: Path, many_settings: bool = False):
        self.directory, self.many_settings = directory, many_settings
        self.failures: dict[str, tuple[str, str]] = {}
        self.listener: Callable[[Task, float | None], object] = lambda task, seconds: None
        self._cache: dict[str, Outcome] = {}
        self._found_again = 0

    def _file(self, task: Task, folder: str, suffix: str) -> Path:
        distinction = f"-{task.fingerprint[:16]}" if self.many_settings else ""
        return self.directory / folder / f"{task.name}{distinction}{suffix}"

    def _record(self, task: Task) -> Path:
        return self._file(task, "stages", ".json")

    def _arrays(self, task: Task) -> Path:
        return self._file(task, task.folder, ".npz")

    def _set_aside_file(self, folder: str, name: str, fingerprint: str, suffix: str) -> Path:
        return self.directory / EARLIER / folder / f"{name}-{fingerprint[:16]}{suffix}"

    def _remember(self, task: Task, outcome: Outcome) -> Outcome:
        if not self.many_settings:
            self._cache[task.fingerprint] = outcome
        return outcome

    def record(self, task: Task) -> dict[str, Any]:
        """What stands beside a finished task's outcome: seconds, settings, what made it."""
        return read_json(self._record(task))

    def seconds(self, task: Task) -> float | None:
        """How long a finished task took; None if a training diverged, which says nothing of how long tasks take."""
        record = self.record(task)
        return None if Outcome(record["values"]).diverged else float(record["seconds"])

    def find(self, task: Task) -> Outcome | None:
        """The task's outcome if it stands on disk, under the same fingerprint and unaltered."""
        if task.fingerprint in self._cache:
            return self._cache[task.fingerprint]
        outcome = self._read(task)
        if outcome is None and not self.many_settings and self._bring_back(task):
            outcome = self._read(task)
            self._found_again += outcome is not None
        return None if outcome is None else self._remember(task, outcome)

    def _read(self, task: Task) -> Outcome | None:
        path = self._record(task)
        if not path.exists():
            return None
        try:
            record = read_json(path)
            if record["fingerprint"] != task.fingerprint:
                return None
            if record.pop("checksum") != digest_of(record):
                raise StorageError("the record was altered")
            return Outcome(record["values"], self._read_arrays(task, record["arrays"]))
        except (OSError, KeyError, TypeError, AttributeError) as error:
            logger.warning("%s: its record cannot be used, it runs again (%s)", task.name, error)
            return None

    def _read_arrays(self, task: Task, digest: str | None) -> dict[str, Any]:
        if digest is None:
            return {}
        if _file_digest(self._arrays(task)) != digest:
            raise StorageError(f"{self._arrays(task)} was altered")
        return read_arrays(self._arrays(task))

    def _bring_back(self, task: Task) -> bool:
        """Put an outcome that was set aside where the current one belongs, which is set aside in its turn."""
        record = self._set_aside_file("stages", task.name, task.fingerprint, ".json")
        arrays = self._set_aside_file(task.folder, task.name, task.fingerprint, ".npz")
        if not record.exists():
            if not arrays.exists() or self._current(task.name) != task.fingerprint:
                return False
            _move(arrays, self._arrays(task))  # a kill left the record where it was
            return True
        self._set_aside(task.name, task.fingerprint)
        if arrays.exists():
            _move(arrays, self._arrays(task))
        _move(record, self._record(task))
        return True

    def _set_aside(self, name: str, wanted: str | None) -> None:
        """Keep a task's current files, by their fingerprint, out of the way of others; not where it is the wanted."""
        fingerprint = self._current(name)
        if fingerprint is None or fingerprint == wanted:
            return
        for folder in ARRAY_FOLDERS:
            arrays = self.directory / folder / f"{name}.npz"
            if arrays.exists():
                _move(arrays, self._set_aside_file(folder, name, fingerprint, ".npz"))
        record = self.directory / "stages" / f"{name}.json"
        _move(record, self._set_aside_file("stages", name, fingerprint, ".json"))

    def _current(self, name: str) -> str | None:
        """The fingerprint of what stands under a name; None for nothing, or nothing that could be found again."""
        try:
            return str(read_json(self.directory / "stages" / f"{name}.json")["fingerprint"])
        except (StorageError, KeyError, TypeError):
            return None

    def clear_up(self, tasks: Sequence[Task]) -> None:
        """Leave the outcomes of these tasks alone where they belong, and no checkpoints of them once all are there."""
        if all(self.find(task) is not None for task in tasks):
            drop_checkpoints(self.directory, tasks)
        self.set_aside_all_but(tasks)

    def set_aside_all_but(self, tasks: Sequence[Task]) -> None:
        """Leave in the folders of the current outcomes those of these tasks alone, so that nothing else mixes in."""
        current = {task.name: task.fingerprint for task in tasks}
        for path in sorted((self.directory / "stages").glob("*.json")):
            self._set_aside(path.stem, current.get(path.stem))

    def store(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """Keep an outcome; a failure is remembered for this run alone, so that the next one tries again."""
        if outcome.failed:
            self.failures[task.fingerprint] = task.name, outcome.failed
        else:
            self._keep(task, outcome, seconds)
        self.listener(task, None if outcome.failed or outcome.diverged else seconds)

    def take_over(self, task: Task, failed: str | None, seconds: float) -> None:
        """Learn of an outcome that another process left in the directory, or why there is none."""
        if failed:
            self.failures[task.fingerprint] = task.name, failed
        found = self.find(task)
        self.listener(task, None if found is None or found.diverged else seconds)

    def _keep(self, task: Task, outcome: Outcome, seconds: float) -> None:
        if not self.many_settings:
            self._set_aside(task.name, task.fingerprint)
        self._record(task).unlink(missing_ok=True)
        if outcome.arrays:
            write_arrays(self._arrays(task), outcome.arrays)
        else:
            self._arrays(task).unlink(missing_ok=True)
        record = {
            "fingerprint": task.fingerprint,
            "stage": task.stage,
            "settings": task.settings,
            "made_by": task.made_by,
            "seconds": seconds,
            "values": outcome.values,
            "arrays": _file_digest(self._arrays(task)) if outcome.arrays else None,
        }
        write_json(self._record(task), {**record, "checksum": digest_of(record)})
        self._remember(task, outcome)
        verdict = f"  DIVERGED: {outcome.diverged}" if outcome.diverged else ""
        itself = outcome.diverged is not None and _own(task.name, outcome.diverged)
        each_task.log(logging.WARNING if itself else logging.INFO, "%-28s %7.1f s%s", task.name, seconds, verdict)

    def complete(self, task: Task) -> Outcome:
        """The task's outcome, computed if it is not there yet, and what it needs before it.

        A training that diverges is an outcome too, and so are all that build on it: the other tasks go on. So they do
        after any other error, whose task has no outcome, nor have those that build on it.
        """
        if task.fingerprint in self.failures:
            return Outcome({"failed": self.failures[task.fingerprint][1]})
        found = self.find(task)
        if found is not None:
            return found
        needed = {short: self.complete(other) for short, other in task.needs.items()}
        started = time.perf_counter()
        computed = self._computed(task, needed)
        outcome = next(computed)
        seconds = time.perf_counter() - started
        self.store(task, outcome, seconds)
        next(computed, None)  # not before it is kept
        return outcome

    def compute(self, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
        """The task's outcome from those of the tasks that it needs."""
        (outcome,) = self._computed(task, needed)
        return outcome

    def _computed(self, task: Task, needed: Mapping[str, Outcome]) -> Iterator[Outcome]:
        """The one outcome; who goes on after it has kept it: a training's checkpoints are dropped."""
        failed = next((outcome.failed for outcome in needed.values() if outcome.failed), None)
        if failed:
            yield Outcome({"failed": failed})
            return
        required = (outcome for short, outcome in needed.items() if short not in task.optional)
        diverged = next((outcome.diverged for outcome in required if outcome.diverged), None)
        if diverged:
            yield Outcome({"diverged": diverged})
            return
        found = outcomes(task, needed, self.directory)
        try:
            outcome = checked(task, next(found))
        except DivergenceError as error:
            outcome = Outcome({"diverged": f"{task.name}: {error}"})
        except StorageError:
            raise
        except Exception as error:
            stop_if_told()
            outcome = failure(task, error)
        yield outcome
        next(found, None)

    def say_what_runs_again(self, missing: Sequence[Task]) -> None:
        """A line on what was found again among set-aside outcomes, and on what of the missing runs again, and why."""
        reasons: Counter[str] = Counter()
        for task in missing:
            if self._record(task).exists():
                try:
                    new = {"made_by": task.made_by, "settings": task.settings}
                    reasons[provenance.why_it_runs_again(read_json(self._record(task)), new)] += 1
                except (StorageError, AttributeError):
                    reasons["damaged files"] += 1
        if reasons or self._found_again:
            because = ", ".join(f"{count} because of {reason}" for reason, count in reasons.most_common())
            logger.info(
                "%d found again among earlier outcomes; %d run again%s",
                *(self._found_again, reasons.total(), f": {because}" if because else ""),
            )

    def failure_notes(self) -> list[str]:
        """Which tasks failed, and which were not run because of them."""
        blocked = Counter(why for name, why in self.failures.values() if not _own(name, why))
        notes = []
        for name, why in self.failures.values():
            if _own(name, why):
                others = f"; {blocked[why]} tasks that need it were not run" if blocked[why] else ""
                notes.append(f"{name} failed ({why.removeprefix(name + ': ')}){others}")
        return notes

    def complaints(self) -> list[str]:
        """What a command ends with if tasks failed, naming them."""
        if not self.failures:
            return []
        log, notes = self.directory / "log.txt", "; ".join(self.failure_notes())
        return [f"{notes}. The tracebacks are in {log}; the same command tries again."]


def _own(name: str, why: str) -> bool:
    return why.startswith(f"{name}: ")


def checked(task: Task, outcome: Outcome) -> Outcome:
    """The outcome, or a failure where it holds what cannot be stored."""
    try:
        json.dumps(outcome.values, allow_nan=False)
    except (ValueError, TypeError) as error:
        return failure(task, error)
    return outcome


def failure(task: Task, error: Exception) -> Outcome:
    """What becomes of a task that ended in an error, which the log gets with its traceback."""
    first, *_ = str(error).strip().splitlines() or [""]
    said = f"{type(error).__name__}: {first[:300]}" if first else type(error).__name__
    logger.warning("%s FAILED, what does not need it goes on: %s", task.name, said, exc_info=error)
    return Outcome({"failed": f"{task.name}: {said}"})
