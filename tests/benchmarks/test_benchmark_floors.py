"""Floors: what a device was seen to do, and what a stage must spend."""

import pytest

from benchmarks.floors import Speed, Work, interference, jax_calls, measure
from benchmarks.timing import Stopwatch


def test_the_floor_is_the_larger_of_arithmetic_and_traffic():
    speed = Speed({"float32": 100.0, "float64": 50.0}, 10.0)
    assert speed.floor_seconds(Work(1000.0, 10.0)) == 10.0
    assert speed.floor_seconds(Work(1000.0, 10.0, "float64")) == 20.0
    assert speed.floor_seconds(Work(10.0, 1000.0)) == 100.0


class Script:
    """Calls that move a clock by what they are said to take."""

    def __init__(self):
        self.now = 0.0

    def call(self, seconds):
        def run():
            self.now += seconds

        return run

    def library(self, product32, product64, copy):
        return {
            "product float32": self.call(product32),
            "product float64": self.call(product64),
            "copy": self.call(copy),
        }

    def stopwatch(self):
        return Stopwatch(clock=lambda: self.now, sleep=lambda seconds: None)


def test_the_faster_library_sets_each_speed_and_a_copied_byte_is_read_and_written():
    script = Script()
    libraries = {"A": script.library(1.0, 4.0, 1.0), "B": script.library(2.0, 2.0, 0.5)}
    measured = measure(script.stopwatch(), libraries, (10, 20, 30), copied=1000)
    operations = 2 * 10 * 20 * 30
    assert measured.speed.operations_per_second == {"float32": operations / 1.0, "float64": operations / 2.0}
    assert measured.speed.bytes_per_second == 2 * 1000 / 0.5
    assert measured.by_library["A copy"] == 2 * 1000 / 1.0


def test_interference_compares_with_the_same_library_alone():
    script = Script()
    last = [None]

    def product(name):
        def run():
            script.now += 1.0 if last[0] in (None, name) else 3.0
            last[0] = name

        return {"product float32": run}

    def forget(seconds):
        if seconds:
            last[0] = None

    stopwatch = Stopwatch(pause_seconds=0.1, clock=lambda: script.now, sleep=forget)
    ratios = interference(stopwatch, {"A": product("A"), "B": product("B")})
    assert ratios == {
        "A after B": 3.0,
        "A after B and a pause": 1.0,
        "B after A": 3.0,
        "B after A and a pause": 1.0,
    }


def test_this_device_has_positive_speeds():
    measured = measure(Stopwatch(pause_seconds=0.0), {"JAX": jax_calls(32, 48, 16, 2**16)}, (32, 48, 16), 2**16, 3)
    assert all(rate > 0 for rate in measured.by_library.values())
    assert measured.speed.operations_per_second.keys() == {"float32", "float64"}


@pytest.mark.parametrize("scale", [1, 7])
def test_floors_grow_with_the_work(scale):
    speed = Speed({"float32": 3.0}, 2.0)
    assert speed.floor_seconds(Work(5.0 * scale, 1.0)) == pytest.approx(scale * speed.floor_seconds(Work(5.0, 1.0)))
