"""Floors: what a device was seen to do, and what a stage must spend."""

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks import running
from benchmarks.floors import (
    Probe,
    Speed,
    Work,
    best,
    fastest_probes,
    interference,
    jax_probes,
    measure,
    products,
    speed_of,
)
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

    def probe(self, kind, amount, *seconds):
        """A call that takes these seconds in turn, then the last of them for ever."""
        left = list(seconds)

        def run():
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return Probe(kind, amount, run)

    def stopwatch(self):
        return Stopwatch(clock=lambda: self.now, sleep=lambda seconds: None)


@pytest.fixture
def script():
    return Script()


def test_the_fastest_probe_of_each_kind_sets_its_speed(script):
    probes = {
        "A, forward": script.probe("float32", 100.0, 2.0),
        "A, by weights": script.probe("float32", 400.0, 4.0),
        "B, forward": script.probe("float32", 100.0, 5.0),
        "B, forward, float64": script.probe("float64", 100.0, 10.0),
        "A, copy": script.probe("copy", 30.0, 3.0),
        "B, copy": script.probe("copy", 30.0, 1.0),
    }
    rates = measure(script.stopwatch(), probes)
    assert rates["A, forward"] == 50.0
    assert speed_of(probes, rates) == Speed({"float32": 100.0, "float64": 10.0}, 30.0)
    assert fastest_probes(probes, rates).keys() == {"A, by weights", "B, forward, float64", "B, copy"}


def test_a_probe_is_warmed_up_and_its_fastest_call_counts(script):
    probes = {"A": script.probe("float32", 12.0, 0.1, 4.0, 3.0, 6.0)}
    assert measure(script.stopwatch(), probes, rounds=3) == {"A": 4.0}


def test_the_best_of_a_run_is_what_was_seen_at_any_time():
    seen = [Speed({"float32": 3.0, "float64": 1.0}, 5.0), Speed({"float32": 2.0, "float64": 2.0}, 7.0)]
    assert best(seen) == Speed({"float32": 3.0, "float64": 2.0}, 7.0)


def test_a_stage_that_saw_a_faster_machine_lowers_the_floors_of_all():
    def entry(seconds, rate):
        return {
            "contestants": {"ours": {"median": seconds}},
            "work": Work(100.0, 1.0)._asdict(),
            "seen": Speed({"float32": rate}, 10.0)._asdict(),
        }

    device = {"seen": Speed({"float32": 10.0}, 10.0)._asdict()}
    stages = {"a": entry(20.0, 5.0), "b": entry(5.0, 25.0), "disagreeing": {"contestants": {}}}
    results = running.with_floors({"device": device, "stages": stages})
    assert results["device"]["best"]["operations_per_second"] == {"float32": 25.0}
    assert results["stages"]["a"]["floor"] == {"seconds": 4.0, "share_reached": 0.2}
    assert results["stages"]["b"]["floor"] == {"seconds": 4.0, "share_reached": 0.8}
    assert running.with_floors(results) == results


def test_interference_compares_with_the_same_library_alone(script):
    last = [None]

    def product(name):
        def run():
            script.now += 1.0 if last[0] in (None, name) else 3.0
            last[0] = name

        return run

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


@pytest.mark.parametrize("probes_of", [jax_probes, running.torch_probes])
def test_every_product_is_the_one_that_its_operations_are_counted_for(probes_of):
    probes = probes_of(4, 6, 8, 2**10)
    for name, product in products(4, 6, 8).items():
        (found,) = [probe for full, probe in probes.items() if full.endswith(f", {name}") and probe.kind == "float32"]
        result = np.asarray(found.run())
        assert product.operations == found.amount == 2 * result.size * inner(product)
    assert {probe.kind for probe in probes.values()} == {"float32", "float64", "copy"}


def inner(product):
    """The length that a product sums over."""
    left, rest = product.subscripts.split(",")
    right, out = rest.split("->")
    (summed,) = (set(left) & set(right)) - set(out)
    return product.left[left.index(summed)]


@pytest.mark.parametrize("scale", [1, 7])
def test_floors_grow_with_the_work(scale):
    speed = Speed({"float32": 3.0}, 2.0)
    assert speed.floor_seconds(Work(5.0 * scale, 1.0)) == pytest.approx(scale * speed.floor_seconds(Work(5.0, 1.0)))
