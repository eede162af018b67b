"""How far a run is: a bar on a terminal; elsewhere a line with the time spent and left, every half minute or so."""

import contextlib
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from tqdm import tqdm

from experiments.engine.estimate import Estimate, in_words
from experiments.engine.tasks import AT_WORK, Task

EVERY_SECONDS = 30.0
"""Between two lines; in a run of hours up to ten times as long."""


class Progress:
    """What is left of the tasks of a run.

    Args:
        tasks: all of them, in the order in which they run.
        missing: those that are not done yet.
        estimate: of their duration, which learns from those that become done.
        side_by_side: how many of them run at once.
    """

    def __init__(self, tasks: Sequence[Task], missing: Sequence[Task], estimate: Estimate, side_by_side: int = 1):
        self.side_by_side = side_by_side
        self.counts = Counter(task.stage for task in tasks)
        self.estimate, self._pending = estimate, {task.fingerprint: task for task in missing}
        self._lock = threading.Lock()
        self._moved: Callable[[], object] = lambda: None
        self._started = self._last_done = time.monotonic()

    def done(self, task: Task, seconds: float | None) -> None:
        """A task of the run, or another that one of them needed, has come to its end; in so long, if it succeeded."""
        with self._lock:
            if self._pending.pop(task.fingerprint, None) and seconds is not None:
                self.estimate.learn(task, seconds)
            self._last_done = time.monotonic()
        self._moved()

    @property
    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def left(self) -> float:
        """Seconds that the rest will take, less what the stage at work has had since a task was last done.

        At least as many as the task at work still needs, by its own count of steps.
        """
        with self._lock:
            pending = list(self._pending.values())
            if not pending:
                return 0.0
            at_work = [task for task in pending if task.stage == pending[0].stage]
            had = min(time.monotonic() - self._last_done, self.estimate.seconds(at_work))
            left = (self.estimate.seconds(pending) - had) / self.side_by_side
            return max([left, *(course.left() for course in AT_WORK)])

    def line(self) -> str:
        """``train: 12 of 31 tasks (train bp-0: epoch 4 of 15), 3 min spent, about 9 min left``: of the whole run.

        Side by side tasks of many stages are at work, and all are counted: ``60 of 493 tasks, …``.
        """
        with self._lock:
            pending = [task.stage for task in self._pending.values()]
        if not pending:
            return f"all tasks done, {in_words(self.spent)} spent"
        times = f"{in_words(self.spent)} spent, about {in_words(self.left())} left"
        if self.side_by_side > 1:
            count = self.counts.total()
            return f"{count - len(pending)} of {count} tasks, {times}"
        stage, count = pending[0], self.counts[pending[0]]
        inside = "".join(f" ({one.what}: {one.unit} {one.done} of {one.total})" for one in AT_WORK[-1:])
        return f"{stage}: {count - pending.count(stage)} of {count} tasks{inside}, {times}"

    @contextlib.contextmanager
    def lines(self) -> Iterator[None]:
        """Print a line now and then, from a thread of its own: a task that takes long gives a sign of life as well."""
        ended = threading.Event()

        def tell() -> None:
            while not ended.wait(min(max(EVERY_SECONDS, self.spent / 20), 10 * EVERY_SECONDS)):
                print(self.line(), file=sys.stderr, flush=True)

        thread = threading.Thread(target=tell, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    @contextlib.contextmanager
    def bar(self) -> Iterator[None]:
        """A bar that moves with every task."""
        shape = "{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} tasks [{elapsed} spent{postfix}]"
        total = self.counts.total()
        with tqdm(total=total, desc=f"{'all tasks':<24}", bar_format=shape, leave=False, dynamic_ncols=True) as bar:

            def move() -> None:
                bar.update(total - len(self._pending) - bar.n)
                bar.set_postfix_str(f"about {in_words(self.left())} left")

            self._moved = move
            move()
            yield
