"""The time of tasks that run side by side: each has its share, so that all of them add up to what has passed."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator


class SharedTime:
    """A clock that counts, for each of those that run, the time that passes by their number."""

    def __init__(self, now: Callable[[], float] = time.perf_counter):
        self._now, self._lock = now, threading.Lock()
        self._shares: dict[object, float] = {}
        self._counted = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[Callable[[], float]]:
        """Run; gives what tells the share so far, in seconds."""
        one = object()
        with self._lock:
            self._count()
            self._shares[one] = 0.0

        def share() -> float:
            with self._lock:
                self._count()
                return self._shares[one]

        try:
            yield share
        finally:
            share()
            del self._shares[one]

    def _count(self) -> None:
        before, self._counted = self._counted, self._now()
        for one in self._shares:
            self._shares[one] += (self._counted - before) / len(self._shares)
