"""The race: order, medians, extrapolation, told by a clock of our own."""

import pytest

from benchmarks.timing import LEAST_ROUNDS, Contestant, Part, Stopwatch


class World:
    """A clock that only work and sleep move."""

    def __init__(self):
        self.now, self.log = 0.0, []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.log.append("sleep")
        self.now += seconds

    def work(self, name, *seconds):
        """A call that takes these seconds in turn, then the last of them for ever."""
        left = list(seconds)

        def run():
            self.log.append(name)
            self.now += left.pop(0) if len(left) > 1 else left[0]
            return name

        return run

    def stopwatch(self, **options):
        return Stopwatch(clock=self.clock, sleep=self.sleep, **options)


def race(world, contestants, **options):
    stopwatch = world.stopwatch(**options)
    firsts = {name: sum(stopwatch.first_call(c).seconds) for name, c in contestants.items()}
    world.log.clear()
    return stopwatch.race(contestants, firsts)


def test_rounds_are_interleaved_with_a_pause_before_every_call():
    world = World()
    contestants = {name: Contestant(name, (Part(world.work(name, 1.0)),)) for name in "abc"}
    race(world, contestants, rounds=4, budget_seconds=1e9)
    assert world.log == ["sleep", "a", "sleep", "b", "sleep", "c"] * 4


def test_a_median_ignores_one_slow_round_and_pauses_are_not_timed():
    world = World()
    contestants = {"a": Contestant("a", (Part(world.work("a", 2.0, 2.0, 99.0, 2.0, 3.0, 2.0)),))}
    timing = race(world, contestants, rounds=5, budget_seconds=1e9, pause_seconds=7.0)["a"]
    assert timing.seconds == (2.0, 99.0, 2.0, 3.0, 2.0)
    assert timing.median == 2.0
    assert timing.quartiles == (2.0, 3.0)


def test_parts_are_extrapolated_to_the_whole_stage():
    world = World()
    parts = (Part(world.work("epoch", 2.0), times=5.0), Part(world.work("once", 4.0), times=0.25))
    timing = race(world, {"a": Contestant("a", parts)}, rounds=3)["a"]
    assert timing.median == 5 * 2.0 + 0.25 * 4.0


def test_what_the_first_call_took_beyond_a_later_one_is_compilation():
    world = World()
    parts = (Part(world.work("step", 10.0, 1.0), times=50.0), Part(world.work("other", 1.0)))
    timing = race(world, {"a": Contestant("a", parts)}, rounds=3)["a"]
    assert timing.compile_seconds == 9.0
    assert timing.median == 51.0


@pytest.mark.parametrize(("budget", "rounds"), [(0.0, LEAST_ROUNDS), (9.5, 5), (1e9, 12)])
def test_a_budget_ends_the_race_but_never_before_three_rounds(budget, rounds):
    world = World()
    contestants = {name: Contestant(name, (Part(world.work(name, 1.0)),)) for name in "ab"}
    timings = race(world, contestants, rounds=12, budget_seconds=budget, pause_seconds=0.0)
    assert [len(timing.seconds) for timing in timings.values()] == [rounds, rounds]


def test_first_calls_keep_every_parts_result():
    world = World()
    parts = (Part(world.work("x", 1.0)), Part(world.work("y", 2.0)))
    first = world.stopwatch().first_call(Contestant("a", parts))
    assert first.results == ("x", "y")
    assert first.seconds == (1.0, 2.0)
