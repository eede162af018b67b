"""The members of a sweep as tasks: which are done, which run as one program, in what order, in how much memory.

Training and searched attacks run as populations; every other task runs by itself, spread over the processes. All of
them are tasks of a ledger, so that a sweep which was stopped, or whose grid has grown, does what is missing alone.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.engine.hosts import SharedLedger, is_first
from experiments.engine.ledger import checked, failure
from experiments.engine.populations import (
    Devices,
    Population,
    begun_chunks,
    drop_chunk,
    population_of,
    program_of,
)
from experiments.engine.tasks import Outcome, Task, Work
from experiments.settings.grid import Grid
from jax_bioadv.command_line import stop_if_told
from jax_bioadv.storage import StorageError

logger = logging.getLogger("experiments")

TRAINED = ("layer", "train")


class Sweep:
    """The members of a sweep and the ledger of what they found.

    Args:
        members: the tasks of each, by stage.
        grid: in what they differ.
        measurements: the stages after the training, in their order.
        devices: where populations run.
        directory: the folder of the sweep.
        publish: writes what is found so far, of which it is given the ledger's look-up.
    """

    def __init__(
        self,
        members: Sequence[Mapping[str, Task]],
        grid: Grid,
        measurements: Sequence[str],
        devices: Devices,
        directory: Path,
        publish: Callable[[Callable[[Task], Outcome | None]], None],
    ):
        self.members, self.grid, self.measurements = members, grid, measurements
        self.devices, self.directory, self.publish = devices, directory, publish
        self.ledger = SharedLedger(directory, many_settings=True)
        self.at_a_time: dict[Any, int] = {}

    def tasks(self, stage: str) -> list[Task]:
        """The different tasks of a stage."""
        return list({member[stage].fingerprint: member[stage] for member in self.members if stage in member}.values())

    def plan(self) -> None:
        """Group what is left to do and see how much of it fits into memory, before anything runs.

        Raises:
            ValueError: not one member of a group fits.
        """
        known: set[str] = set()
        for stage in (*TRAINED, *self.measurements):
            pending: dict[Any, list[Task]] = {}
            for task in self.tasks(stage):
                kind = population_of(task)
                known.add(task.fingerprint)
                if kind is not None and self.ledger.find(task) is None:
                    pending.setdefault(self._program(task, kind), []).append(task)
            for program, tasks in pending.items():
                kind, work = program[0], Work(tasks[0], {}, self.directory)
                fitting = kind.members_that_fit(work, self._varied(tasks[0], kind), self.devices)
                self.at_a_time[program] = fitting
                name = tasks[0].name.rpartition("-")[0]
                logger.info("%s: %d to do, at most %d at a time", name, len(tasks), min(fitting, len(tasks)))
        for members in begun_chunks(self.directory):
            if not known.issuperset(members):
                logger.warning("checkpoints of %d members together are of other tasks, and not used", len(members))

    def _varied(self, task: Task, kind: Population) -> list[str]:
        return [path for path in kind.vectorized if path in self.grid and path.split(".")[0] in task.given]

    def _program(self, task: Task, kind: Population) -> Any:
        return program_of(task, kind, self._varied(task, kind))

    def _is_of(self, program: Any, task: Task) -> bool:
        kind = population_of(task)
        return kind is not None and self._program(task, kind) == program

    def complete(self, stage: str) -> None:
        """Do what of a stage is not done yet: as populations where there are such, else task by task."""
        by_itself: list[Task] = []
        groups: dict[Any, list[Task]] = {}
        for task in self.tasks(stage):
            if self.ledger.find(task) is not None:
                continue
            kind = population_of(task)
            if kind is not None and self._has_what_it_needs(task):
                groups.setdefault(self._program(task, kind), []).append(task)
            else:
                by_itself.append(task)
        for program, tasks in groups.items():
            for chunk in self._chunks(program, tasks, self.tasks(stage)):
                self._complete_together(program[0], chunk)
            self.write()
        self.ledger.complete_all(by_itself)
        self.write()

    def _has_what_it_needs(self, task: Task) -> bool:
        return not any(outcome.diverged or outcome.failed for outcome in self._needed(task).values())

    def _chunks(self, program: Any, tasks: Sequence[Task], of_stage: Sequence[Task]) -> Iterator[list[Task]]:
        """Those that were begun, as they were, also where a stop has left only some to do; others, as many as fit."""
        left = {task.fingerprint: task for task in tasks}
        known = {task.fingerprint: task for task in of_stage}
        for members in begun_chunks(self.directory):
            chunk = [known[member] for member in members if member in known]
            begun = len(chunk) == len(members) and not left.keys().isdisjoint(members)
            if begun and all(self._is_of(program, task) for task in chunk):
                yield chunk
                left = {member: task for member, task in left.items() if member not in members}
        others, at_a_time = list(left.values()), self.at_a_time[program]
        yield from (others[first : first + at_a_time] for first in range(0, len(others), at_a_time))

    def _complete_together(self, kind: Population, tasks: Sequence[Task]) -> None:
        """Run members as one program; after an error by halves, until those that it comes from stand alone.

        Of a chunk that a stop has left half stored, what is there stays.
        """
        left = [task for task in tasks if self.ledger.find(task) is None]
        works = [Work(task, self._needed(task), self.directory) for task in tasks]
        try:
            for work, outcome, seconds in kind.together(works, self._varied(tasks[0], kind), self.devices):
                if work.task in left:
                    self.ledger.store(work.task, checked(work.task, outcome), seconds)
                    left.remove(work.task)
            return
        except StorageError:
            raise
        except Exception as error:
            stop_if_told()
            if len(tasks) == 1:
                self.ledger.store(left[0], failure(left[0], error), 0.0)
                return
            stage, count = tasks[0].stage, len(tasks)
            logger.warning("%s of %d members failed, tried again by halves: %s", stage, count, type(error).__name__)
        drop_chunk(works, self.devices)
        half = len(left) // 2  # out of the except clause, whose traceback holds arrays
        for part in (left[:half], left[half:]):
            if part:
                self._complete_together(kind, part)

    def _needed(self, task: Task) -> dict[str, Outcome]:
        return {short: self.ledger.complete(other) for short, other in task.needs.items()}

    def write(self) -> None:
        """The table of what is known so far."""
        if is_first():
            self.publish(self.ledger.on_disk)
