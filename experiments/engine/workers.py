"""Tasks side by side, each in one of a few processes that share the device.

An accelerator is idle while a task compiles, draws or works on the host; other processes use it meanwhile. Each of them
finds in the run's directory what its task builds on, and leaves the outcome there.
"""

import contextlib
import functools
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task
from jax_bioadv.command_line import IncompleteError

Opened = Callable[[], contextlib.AbstractContextManager[tuple[Sequence[Task], Ledger]]]
"""Makes the tasks and the ledger of a run anew, in another process; it is pickled."""


@dataclass(frozen=True)
class Workers:
    """The processes that do a run's tasks."""

    count: int
    opened: Opened


def share_device(processes: int) -> None:
    """Let so many processes, and this one, have their shares of memory and cores; before JAX meets its device.

    Raises:
        ValueError: it is not a number of processes.
    """
    if processes < 1:
        raise ValueError(f"--workers must be at least 1, got {processes}")
    if processes > 1:
        os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 / (processes + 1):.3f}")
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            os.environ.setdefault(name, str(max(1, (os.cpu_count() or 1) // processes)))


def complete_side_by_side(
    workers: Workers, ledger: Ledger, missing: Sequence[Task], expected: Callable[[Task], float]
) -> None:
    """Do the tasks, each as soon as those that it builds on are done, the longest of these first.

    Args:
        workers: who does them.
        ledger: of the run, in this process; it learns of every outcome.
        missing: the tasks that are not done.
        expected: how long a task will take, in whatever unit.

    Raises:
        IncompleteError: a process died, or left no outcome that is found again.
        Exception: what ended a process's work, such as a full disk.
    """
    waiting = {task.fingerprint: task for task in missing}
    running: dict[Future[tuple[str | None, float]], Task] = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers.count, context, _open, (workers.opened,)) as pool:
        try:
            while waiting or running:
                for task in _startable(ledger, waiting, expected)[: workers.count - len(running)]:
                    running[pool.submit(_complete, task.name)] = waiting.pop(task.fingerprint)
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    failed, seconds = future.result()
                    task = running.pop(future)
                    ledger.take_over(task, failed, seconds)
                    if not failed and ledger.find(task) is None:
                        raise IncompleteError(
                            f"{task.name} is done, but {ledger.directory} does not hold its outcome: the folder, the "
                            "code or the packages have changed since the run began; the same command goes on"
                        )
        except BrokenProcessPool:
            raise IncompleteError(
                f"one of {workers.count} processes died, for want of memory if it says nothing above; "
                "the same command goes on, with fewer --workers for one"
            ) from None
        except BaseException:
            for process in multiprocessing.active_children():  # nothing is lost by it: see the ledger
                process.terminate()
            raise


def _startable(ledger: Ledger, waiting: dict[str, Task], expected: Callable[[Task], float]) -> list[Task]:
    """What builds on nothing that is still to come; tasks that build on a failed one are failed and left out."""
    for task in [task for task in waiting.values() if any(one.fingerprint in ledger.failures for one in _needs(task))]:
        failed = next(ledger.failures[one.fingerprint][1] for one in _needs(task) if one.fingerprint in ledger.failures)
        ledger.store(waiting.pop(task.fingerprint), Outcome({"failed": failed}), 0.0)
    ready = [task for task in waiting.values() if all(ledger.find(one) is not None for one in _needs(task))]
    return sorted(ready, key=expected, reverse=True)


def _needs(task: Task) -> Sequence[Task]:
    return list(task.needs.values())


# In the processes.


def _open(opened: Opened) -> None:
    """Signals are for the first process, which ends the others; where it is killed, they end by themselves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_first, daemon=True).start()
    global _opened
    _opened = opened


def _end_with_the_first() -> None:
    """Then nobody wants this work any more, and another run may begin in the folder, whose lock is gone."""
    first = multiprocessing.parent_process()
    assert first is not None
    multiprocessing.connection.wait([first.sentinel])
    os._exit(1)


@functools.cache
def _run() -> tuple[dict[str, Task], Ledger]:
    tasks, ledger = _kept_open.enter_context(_opened())
    return {task.name: task for task in tasks}, ledger


def _complete(name: str) -> tuple[str | None, float]:
    """Why the task of this name failed, or None; and the seconds that it took."""
    tasks, ledger = _run()
    started = time.perf_counter()
    return ledger.complete(tasks[name]).failed, time.perf_counter() - started


_opened: Opened
_kept_open = contextlib.ExitStack()
