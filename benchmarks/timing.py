"""Contestants against the clock: first calls apart, then interleaved rounds, medians and quartiles.

A contestant may time a fraction of a stage: each of its parts says how many times it happens in the whole stage. Rounds
go A B C, A B C, …, so that what the machine does besides hits all of them alike, with a pause before each, in which
the threads of the library that ran before go to sleep.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

LEAST_ROUNDS = 3


class Part(NamedTuple):
    """A piece of a stage; ``run`` returns its result when the device is done."""

    run: Callable[[], Any]
    times: float = 1.0
    """How many times it happens in the whole stage."""


class Contestant(NamedTuple):
    """One way to do a stage."""

    label: str
    parts: tuple[Part, ...]
    timed: str = "whole stage"
    """What is timed of it, in words."""


class FirstCall(NamedTuple):
    """The results of a contestant's parts, when it was called for the first time, and what that took."""

    results: tuple[Any, ...]
    seconds: tuple[float, ...]


class Timing(NamedTuple):
    """Seconds of each round, extrapolated to the whole stage, and what the first call took beyond a later one."""

    seconds: tuple[float, ...]
    compile_seconds: float

    @property
    def median(self) -> float:
        return float(np.median(self.seconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        low, high = np.quantile(self.seconds, [0.25, 0.75])
        return float(low), float(high)


class Stopwatch(NamedTuple):
    """The clock and the rules of a race; tests bring their own clock."""

    rounds: int = 7
    budget_seconds: float = 60.0
    """After this long no new round starts, except that there are never fewer than three."""
    pause_seconds: float = 0.05
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], object] = time.sleep

    def seconds(self, run: Callable[[], Any]) -> tuple[float, Any]:
        """How long a call takes, after a pause, and its result."""
        self.sleep(self.pause_seconds)
        start = self.clock()
        result = run()
        return self.clock() - start, result

    def first_call(self, contestant: Contestant) -> FirstCall:
        """Compile, warm up and keep the results, for a look at whether all contestants agree."""
        seconds, results = zip(*(self.seconds(part.run) for part in contestant.parts), strict=True)
        return FirstCall(results, seconds)

    def race(self, contestants: Mapping[str, Contestant], firsts: Mapping[str, float]) -> dict[str, Timing]:
        """Time the contestants in interleaved rounds.

        Args:
            contestants: by name, in the order in which they run; each has been called once.
            firsts: seconds of those first calls, all parts together.

        Returns:
            The timing of each contestant.
        """
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        once: dict[str, list[float]] = {name: [] for name in contestants}
        start = self.clock()
        for index in range(max(self.rounds, 1)):
            if index >= LEAST_ROUNDS and self.clock() - start >= self.budget_seconds:
                break
            for name, contestant in contestants.items():
                parts = [self.seconds(part.run)[0] for part in contestant.parts]
                once[name].append(sum(parts))
                seconds[name].append(sum(s * part.times for s, part in zip(parts, contestant.parts, strict=True)))
        return {
            name: Timing(tuple(seconds[name]), max(firsts[name] - float(np.median(once[name])), 0.0))
            for name in contestants
        }
