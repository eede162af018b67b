"""Running tasks: what is done already, what runs again and why, how long it takes, how far it is."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence

import jax

from experiments.engine.estimate import Estimate, in_words
from experiments.engine.ledger import Ledger
from experiments.engine.populations import drop_checkpoints
from experiments.engine.progress import Progress
from experiments.engine.sweeping import TRAINED, Sweep
from experiments.engine.tasks import Task
from experiments.engine.workers import Workers, complete_side_by_side
from experiments.settings.grid import points
from experiments.settings.reproduction import Settings
from jax_bioadv.processes import is_first

logger = logging.getLogger("experiments")
Estimated = Callable[[], Estimate]
"""Makes the estimate of how long tasks will take."""


def complete_all(
    ledger: Ledger,
    tasks: Sequence[Task],
    what: str,
    estimated: Estimated,
    workers: Workers | None = None,
) -> None:
    """Do what of the tasks is not done, one after another, or in several processes.

    Not in threads: scikit-learn sets the number of BLAS threads of the whole process while it works, which moves the
    last bits of what a task beside it decomposes.

    Args:
        ledger: where the outcomes are, and go.
        tasks: each after those that it needs.
        what: the run in a few words.
        estimated: makes the estimate.
        workers: the processes; None, or one of them, for this one alone.
    """
    missing = [task for task in tasks if ledger.find(task) is None]
    logger.info("%s: %d tasks, %d already done", what, len(tasks), len(tasks) - len(missing))
    ledger.say_what_runs_again(missing)
    count = 1 if workers is None else workers.count
    with telling(ledger, tasks, missing, estimated, count) as estimate:
        if workers is not None and count > 1 and estimate is not None:
            complete_side_by_side(workers, ledger, missing, lambda task: estimate.seconds([task]))
        else:
            for task in missing:
                ledger.complete(task)


def complete_sweep(sweep: Sweep, settings: Settings) -> None:
    """Do what of a sweep is not done: stage after stage, side by side where members share a program."""
    stages = (*TRAINED, *sweep.measurements)
    by_stage = {stage: sweep.tasks(stage) for stage in stages}
    logger.info(
        "%d members (%d points × seeds × models) on %d devices, %.1f GiB each for training; tasks: %s",
        *(len(sweep.members), len(points(sweep.grid)), sweep.devices.mesh.size, sweep.devices.budget / 2**30),
        ", ".join(f"{len(tasks)} {stage}" for stage, tasks in by_stage.items()),
    )
    tasks = [task for stage in stages for task in by_stage[stage]]
    missing = [task for task in tasks if sweep.ledger.find(task) is None]
    sweep.plan()
    with telling(sweep.ledger, tasks, missing, lambda: Estimate(settings, missing[0].images)):
        for stage in stages:
            sweep.complete(stage)
    sweep.write()
    if is_first() and not sweep.ledger.failures:
        drop_checkpoints(sweep.directory, tasks)


@contextlib.contextmanager
def telling(
    ledger: Ledger,
    tasks: Sequence[Task],
    missing: Sequence[Task],
    estimated: Estimated,
    side_by_side: int = 1,
) -> Iterator[Estimate | None]:
    """While the missing among the tasks run: say how long they will take, and how far they are.

    Args:
        ledger: that the outcomes go to.
        tasks: all, in the order in which they run.
        missing: those that are not done yet.
        estimated: makes the estimate.
        side_by_side: how many tasks run at once.

    Yields:
        The estimate; None where there is nothing to tell.
    """
    if not missing or not is_first():
        yield None
        return
    estimate, unknown = estimated(), {task.fingerprint for task in missing}
    for task in tasks:
        seconds = None if task.fingerprint in unknown else ledger.seconds(task)
        if seconds is not None:
            estimate.learn(task, seconds)
    needed = in_words(estimate.seconds(missing) / side_by_side)
    logger.info("it will take about %s on %s", needed, jax.devices()[0].device_kind)
    progress = Progress(tasks, missing, estimate, side_by_side)
    ledger.listener = progress.done
    with progress.bar() if sys.stderr.isatty() else progress.lines():
        yield estimate
