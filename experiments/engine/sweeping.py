"""The members of a sweep as tasks: which are done, which run as one program, in what order, in how much memory.

Training and searched attacks run as populations; every other task runs by itself, spread over the processes. All of
them are tasks of a ledger, so that a sweep which was stopped, or whose grid has grown, does what is missing alone.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from experiments.attacks import ATTACKS
from experiments.engine.hosts import SharedLedger, is_first
from experiments.engine.ledger import checked, failure
from experiments.engine.members import Member, members_of, rows, write_table
from experiments.engine.tasks import Outcome, Task
from experiments.measuring.populations import attack_together, attacks_that_fit
from experiments.settings.grid import Grid
from experiments.study import Study
from experiments.training.together import Devices, Finished, begun_chunks, drop_chunk, members_that_fit, train_together
from experiments.training.trainable import ALWAYS_TRACED, VECTORIZED, Job, program_shape
from jax_bioadv.command_line import stop_if_told
from jax_bioadv.storage import StorageError

logger = logging.getLogger("experiments")

TRAINED = ("layer", "train")


class Sweep:
    """The members of a sweep and the ledger of what they found."""

    def __init__(self, study: Study, grid: Grid, measurements: Sequence[str], devices: Devices):
        self.study, self.grid, self.measurements, self.devices = study, grid, measurements, devices
        self.ledger = SharedLedger(study.directory, many_settings=True)
        self.members = members_of(study, grid)
        self.at_a_time: dict[Any, int] = {}
        self.stages = [member.stages(measurements) for member in self.members]

    def tasks(self, stage: str) -> list[tuple[Task, Member]]:
        """The different tasks of a stage, each with the first member that needs it."""
        found: dict[str, tuple[Task, Member]] = {}
        for stages, member in zip(self.stages, self.members, strict=True):
            if stage in stages:
                found.setdefault(stages[stage].fingerprint, (stages[stage], member))
        return list(found.values())

    def plan(self) -> None:
        """Group what is left to do and see how much of it fits into memory, before anything runs.

        Raises:
            ValueError: not one member of a group fits.
        """
        planned: set[str] = set()
        for stage in (*TRAINED, *(stage for stage in self.measurements if stage in ATTACKS)):
            pending: dict[Any, list[Job]] = {}
            for task, member in self.tasks(stage):
                if self.ledger.find(task) is None and self._is_population(stage, member):
                    pending.setdefault(self._shape(stage, member), []).append(member.job(task))
            for shape, jobs in pending.items():
                fitting = self._fitting(stage, jobs[0])
                self.at_a_time[stage, shape] = fitting
                what = stage if stage == jobs[0].kind else f"{stage} of {jobs[0].kind}"
                logger.info("%s: %d to do, at most %d at a time", what, len(jobs), min(fitting, len(jobs)))
                planned.update(job.task.fingerprint for job in jobs)
        for members in begun_chunks(self.study.directory):
            if not planned.issuperset(members):
                logger.warning("checkpoints of %d members together are of other tasks, and not used", len(members))

    def _fitting(self, stage: str, job: Job) -> int:
        if stage in ATTACKS:
            return attacks_that_fit(stage, job, self.devices)
        return members_that_fit(job, self._varied(job), self.devices)

    def _varied(self, job: Job) -> list[str]:
        return [path for path in VECTORIZED[job.kind] if path in self.grid or path in ALWAYS_TRACED]

    def complete(self, stage: str, advance: Callable[[int], object]) -> None:
        """Do what of a stage is not done yet: as populations where there are such, else task by task."""
        alone: list[Task] = []
        groups: dict[Any, list[Job]] = {}
        for task, member in self.tasks(stage):
            if self.ledger.find(task) is not None:
                advance(1)
            elif self._is_population(stage, member) and self._has_what_it_needs(task):
                groups.setdefault(self._shape(stage, member), []).append(member.job(task))
            else:
                alone.append(task)
        for shape, jobs in groups.items():
            for chunk in self._chunks(jobs, self.at_a_time[stage, shape]):
                self._complete_together(stage, chunk, advance)
            self.write()
        for _ in self.ledger.complete_all(alone):
            advance(1)
        self.write()

    def _is_population(self, stage: str, member: Member) -> bool:
        return stage in TRAINED or (stage in ATTACKS and member.plan.settings.attacks.method == "search")

    def _has_what_it_needs(self, task: Task) -> bool:
        return not any(outcome.diverged or outcome.failed for outcome in self._needed(task).values())

    def _chunks(self, jobs: Sequence[Job], at_a_time: int) -> Iterator[list[Job]]:
        """Those that were begun, as they were; the others as many at a time as fit."""
        left = {job.task.fingerprint: job for job in jobs}
        for members in begun_chunks(self.study.directory):
            if all(member in left for member in members):
                yield [left.pop(member) for member in members]
        others = list(left.values())
        yield from (others[first : first + at_a_time] for first in range(0, len(others), at_a_time))

    def _complete_together(self, stage: str, jobs: Sequence[Job], advance: Callable[[int], object]) -> None:
        """Run members as one program; after an error by halves, until those that it comes from stand alone."""
        left = list(jobs)
        try:
            for job, outcome, seconds in self._run_together(stage, jobs):
                self.ledger.store(job.task, checked(job.task, outcome), seconds)
                left.remove(job)
                advance(1)
            return
        except StorageError:
            raise
        except Exception as error:
            stop_if_told()
            if len(left) == 1:
                self.ledger.store(left[0].task, failure(left[0].task, error), 0.0)
                advance(1)
                return
            logger.warning("%s of %d members failed, tried again by halves: %s", stage, len(left), type(error).__name__)
        drop_chunk(self.study.directory, jobs)
        half = len(left) // 2  # out of the except clause, whose traceback holds arrays
        self._complete_together(stage, left[:half], advance)
        self._complete_together(stage, left[half:], advance)

    def _shape(self, stage: str, member: Member) -> Any:
        """What the members of one program share."""
        kind = "layer" if stage == "layer" else member.model
        if stage in TRAINED:
            return kind, program_shape(kind, member.point)
        read = ("hidden", "norm", "decoder.power")
        return kind, tuple(
            (path, value) for path, value in member.point.items() if path in read or path.startswith("attacks.")
        )

    def _run_together(self, stage: str, jobs: Sequence[Job]) -> Iterator[Finished]:
        if stage in ATTACKS:
            return attack_together(stage, jobs, self._needed, self.devices)
        return train_together(jobs, self._varied(jobs[0]), self._needed, self.devices, self.study.directory)

    def _needed(self, task: Task) -> dict[str, Outcome]:
        return {short: self.ledger.complete(other) for short, other in task.needs.items()}

    def write(self) -> None:
        """The table of what is known so far."""
        if is_first():
            table = list(rows(self.members, self.measurements, self.ledger.on_disk))
            write_table(self.study.directory / "sweep.csv", table, self.grid)
