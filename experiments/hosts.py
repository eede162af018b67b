"""Several processes that do one run together: who writes, and how the others learn what it found.

Every process runs the same code in the same order, as ``jax.distributed`` wants it. The first one alone reads and
writes the run's directory, so that the hosts need no common disk.
"""

import time
from collections.abc import Iterator, Sequence

import jax

from experiments.ledger import Ledger
from experiments.tasks import Outcome, Task
from jax_bioadv.processes import broadcast, is_first


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

    def complete_all(self, tasks: Sequence[Task]) -> Iterator[Task]:
        """Complete tasks that build on finished ones, each in one of the processes; yields what is done."""
        pending = [task for task in tasks if self.find(task) is None]
        processes = jax.process_count()
        for group in (pending[first : first + processes] for first in range(0, len(pending), processes)):
            needed = [{short: self.complete(other) for short, other in task.needs.items()} for task in group]
            mine, started = jax.process_index(), time.perf_counter()
            outcome = self.compute(group[mine], needed[mine]) if mine < len(group) else None
            computed = outcome, time.perf_counter() - started
            for source, task in enumerate(group):
                self.store(task, *broadcast(computed, source))
                yield task
