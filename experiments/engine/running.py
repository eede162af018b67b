"""Running tasks: what is done already, what runs again and why, how long it takes, how far it is."""

import contextlib
import logging
import shutil
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice

import jax

from experiments.engine.estimate import Estimate, in_words
from experiments.engine.ledger import Ledger
from experiments.engine.progress import Progress
from experiments.engine.sweeping import TRAINED, Sweep
from experiments.engine.tasks import Outcome, Task
from experiments.settings.grid import points
from experiments.settings.reproduction import Settings
from jax_bioadv.processes import is_first

logger = logging.getLogger("experiments")


def complete_all(settings: Settings, ledger: Ledger, tasks: Sequence[Task], what: str) -> None:
    """Do what of the tasks is not done.

    Args:
        settings: of the run.
        ledger: where the outcomes are, and go.
        tasks: each after those that it needs.
        what: the run in a few words.
    """
    missing = [task for task in tasks if ledger.find(task) is None]
    logger.info("%s: %d tasks, %d already done", what, len(tasks), len(tasks) - len(missing))
    ledger.say_what_runs_again(missing)
    with telling(settings, ledger, tasks, missing):
        complete_side_by_side(ledger, missing)


def complete_side_by_side(ledger: Ledger, tasks: Sequence[Task]) -> None:
    """Complete tasks in their order, each after those that it needs; on a CPU two at a time.

    Much of a task is work of one core: compiling, gathering minibatches, attacks of small batches. An outcome is the
    same bits beside another as alone.
    """
    waiting = {task.fingerprint: task for task in tasks}
    running: dict[Future[Outcome], str] = {}
    at_a_time = 2 if jax.default_backend() == "cpu" and jax.process_count() == 1 else 1
    pool = ThreadPoolExecutor(at_a_time)
    try:
        while waiting or running:
            blocked = waiting.keys() | running.values()
            ready = (
                task
                for task in waiting.values()
                if blocked.isdisjoint(need.fingerprint for need in task.needs.values())
            )
            for task in list(islice(ready, at_a_time - len(running))):
                running[pool.submit(ledger.complete, task)] = waiting.pop(task.fingerprint).fingerprint
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                del running[done]
                done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


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
    with telling(settings, sweep.ledger, tasks, missing):
        for stage in stages:
            sweep.complete(stage)
    sweep.write()
    if is_first() and not sweep.ledger.failures:
        shutil.rmtree(sweep.directory / "checkpoints", ignore_errors=True)


@contextlib.contextmanager
def telling(settings: Settings, ledger: Ledger, tasks: Sequence[Task], missing: Sequence[Task]) -> Iterator[None]:
    """While the missing among the tasks run: say how long they will take, and how far they are.

    Args:
        settings: whose sizes the estimate counts.
        ledger: that the outcomes go to.
        tasks: all, in the order in which they run.
        missing: those that are not done yet.
    """
    if not missing or not is_first():
        yield
        return
    estimate, unknown = Estimate(settings, missing[0].images), {task.fingerprint for task in missing}
    for task in tasks:
        if task.fingerprint not in unknown:
            estimate.learn(task, ledger.seconds(task))
    logger.info("it will take about %s on %s", in_words(estimate.seconds(missing)), jax.devices()[0].device_kind)
    progress = Progress(tasks, missing, estimate)
    ledger.listener = progress.done
    with progress.bar() if sys.stderr.isatty() else progress.lines():
        yield
