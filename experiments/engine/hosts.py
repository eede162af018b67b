"""Several processes that do one run together: who writes, and how the others learn what it found.

Every process runs the same code in the same order, as ``jax.distributed`` wants it. The first one alone reads and
writes the run's directory, so that the hosts need no common disk.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any

import jax

from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task
from jax_bioadv.processes import broadcast, is_first

WAIT_SECONDS = 300.0
"""How long the processes of a run wait for each other at its start."""


def join_hosts(coordinator: str | None, processes: int | None, process: int | None, recognised: bool) -> None:
    """Become one of several processes, if the command says so.

    Where the others do not come, this process ends here, with exit code 2: JAX's own time limit would end it with a
    core dump.

    Args:
        coordinator: HOST:PORT of the first process, with ``processes`` and ``process``; or None.
        processes: how many there are.
        process: which of them this is, from 0.
        recognised: whether to ask the cluster that this runs on, where none of the three is given.

    Raises:
        ValueError: the three do not fit together, no cluster was recognised, or JAX refuses.
    """
    if coordinator is None and processes is None and process is None:
        if recognised:
            _initialize("the cluster's other processes")
        return
    if coordinator is None or processes is None or process is None:
        raise ValueError("--coordinator, --processes and --process go together")
    host, _, port = coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"--coordinator must be HOST:PORT, such as 10.0.0.1:8476, got {coordinator!r}")
    if processes < 1 or not 0 <= process < processes:
        raise ValueError(f"--process must be from 0 to --processes − 1, got {process} of {processes}")
    if process == 0:
        _check_free(int(port))
    others = f"all {processes} processes at {coordinator} (this is --process {process})"
    _initialize(others, coordinator_address=coordinator, num_processes=processes, process_id=process)


def _check_free(port: int) -> None:
    """ValueError if this machine cannot listen there, of which JAX would die."""
    both = socket.has_dualstack_ipv6()
    try:
        socket.create_server(
            ("", port), family=socket.AF_INET6 if both else socket.AF_INET, dualstack_ipv6=both
        ).close()
    except OSError as error:
        raise ValueError(f"port {port} of --coordinator cannot be used here: {error.strerror}; name another") from error


def _initialize(others: str, **options: Any) -> None:
    failed: list[Exception] = []

    def initialize() -> None:
        try:
            jax.distributed.initialize(**options, initialization_timeout=int(2 * WAIT_SECONDS) + 60)
        except Exception as error:
            failed.append(error)

    waiting = threading.Thread(target=initialize, daemon=True)  # so that this one hears Ctrl-C
    waiting.start()
    waiting.join(WAIT_SECONDS)
    if waiting.is_alive():
        print(
            f"error: waited {WAIT_SECONDS:g} s in vain for {others}; start every process, with the same coordinator",
            file=sys.stderr,
            flush=True,
        )
        os._exit(2)  # the waiting thread cannot be stopped
    if failed:
        reason = " ".join(str(failed[0]).split())
        if not options:
            reason = f"no cluster was recognised ({reason}); give --coordinator, --processes, --process"
        raise ValueError(reason) from failed[0]


class SharedLedger(Ledger):
    """A ledger that the first process keeps, and that all of them agree on."""

    def find(self, task: Task) -> Outcome | None:
        return broadcast(super().find(task) if is_first() else None)

    def store(self, task: Task, outcome: Outcome, seconds: float) -> None:
        if is_first() or outcome.failed:
            super().store(task, outcome, seconds)

    def on_disk(self, task: Task) -> Outcome | None:
        """What the first process has; to be asked by it alone."""
        return super().find(task)

    def complete_all(self, tasks: Sequence[Task]) -> None:
        """Complete tasks that build on finished ones, each in one of the processes."""
        pending = [task for task in tasks if self.find(task) is None]
        processes = jax.process_count()
        for group in (pending[first : first + processes] for first in range(0, len(pending), processes)):
            needed = [{short: self.complete(other) for short, other in task.needs.items()} for task in group]
            mine, started = jax.process_index(), time.perf_counter()
            outcome = self.compute(group[mine], needed[mine]) if mine < len(group) else None
            computed = outcome, time.perf_counter() - started
            for source, task in enumerate(group):
                self.store(task, *broadcast(computed, source))
