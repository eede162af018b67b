"""A run from its folder to its page, the same for every command: open, do what is missing, end.

Processes that do its tasks side by side open it too, each for itself: a job is pickled.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from experiments.engine.command import SideBySide, check_devices, working_in
from experiments.engine.estimate import Estimate
from experiments.engine.ledger import Ledger
from experiments.engine.running import complete_all
from experiments.engine.tasks import Task
from experiments.engine.workers import Workers, share_device
from experiments.images import Images
from jax_bioadv.command_line import IncompleteError


class Job(NamedTuple):
    """What a command works on.

    Attributes:
        directory: of the run.
        command: its options.
        settings: which name the data set and the precision.
        planned: makes the plan from the images: it has ``settings``, ``images`` and ``all_tasks()``.
        images: makes them from command and settings; the data set that these name, if None.
    """

    directory: Path
    command: SideBySide
    settings: Any
    planned: Callable[[Any], Any]
    images: Callable[[Any, Any], Images] | None = None


def _all_tasks(plan: Any) -> Sequence[Task]:
    return list(plan.all_tasks())


def _estimate(plan: Any) -> Estimate:
    return Estimate(plan.settings, plan.images)


def complete(
    job: Job,
    what: Callable[[Any], str],
    close: Callable[[Any, Ledger], list[str]],
    wanted: Callable[[Any], Sequence[Task]] = _all_tasks,
    estimated: Callable[[Any], Estimate] = _estimate,
) -> None:
    """Do what of a plan is not done, and end the run.

    Args:
        job: the run.
        what: the run in a few words, from its plan.
        close: writes what a run leaves, from plan and ledger; returns what did not succeed, a sentence each.
        wanted: the tasks that are to be done, from the plan.
        estimated: how long they will take, from the plan.

    Raises:
        ValueError: a setting that cannot work, or a device that JAX cannot use, before any work.
        OSError: the folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    share_device(job.command.workers)
    check_devices()
    with _opened(job) as (plan, ledger):
        workers = Workers(job.command.workers, partial(_in_a_worker, job))
        complete_all(ledger, wanted(plan), what(plan), partial(estimated, plan), workers)
        ledger.clear_up(plan.all_tasks())
        complaints = [*ledger.complaints(), *close(plan, ledger)]
    if complaints:
        raise IncompleteError("; ".join(complaints))


@contextlib.contextmanager
def _opened(job: Job, locked: bool = True) -> Iterator[tuple[Any, Ledger]]:
    with working_in(job.directory, job.command, job.settings, job.images, locked) as images:
        yield job.planned(images), Ledger(job.directory)


@contextlib.contextmanager
def _in_a_worker(job: Job) -> Iterator[tuple[Sequence[Task], Ledger]]:
    with _opened(job, locked=False) as (plan, ledger):
        yield plan.all_tasks(), ledger
