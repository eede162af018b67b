"""torch.compile: the fastest mode is chosen, what fails is told, and what a CUDA graph returns is copied."""

# ruff: noqa: E402

import os
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch")

from benchmarks import torch_compile
from benchmarks.timing import Stopwatch


class Clock:
    def __init__(self):
        self.now = 0.0

    def step(self, first, later):
        """A call that compiles at first."""
        left = [first]

        def run():
            self.now += left.pop() if left else later

        return run

    def stopwatch(self):
        return Stopwatch(clock=lambda: self.now, sleep=lambda seconds: None)


def fails():
    raise RuntimeError("no compiler\nand more")


def test_the_mode_that_is_the_fastest_once_compiled_is_chosen():
    clock = Clock()
    steps = {"default": clock.step(1.0, 3.0), "max-autotune": clock.step(100.0, 2.0), "reduce-overhead": fails}
    mode, report = torch_compile.choose_mode(clock.stopwatch(), steps)
    assert mode == "max-autotune"
    failure = "torch.compile failed: RuntimeError: no compiler"
    assert report == {"default": 3.0, "max-autotune": 2.0, "reduce-overhead": failure}


def test_where_no_mode_compiles_it_is_the_default():
    mode, report = torch_compile.choose_mode(Clock().stopwatch(), {"default": fails, "max-autotune": fails})
    assert mode == "default"
    assert len(report) == 2


def test_every_mode_of_this_device_is_tried_on_a_step_that_has_gradients(monkeypatch):
    asked = []

    def traced(function, **options):
        asked.append(options)
        return function

    monkeypatch.setattr(torch, "compile", traced)
    steps = torch_compile.steps(hidden=5, inputs=4, batch_size=3)
    for run in steps.values():
        run()
    assert [options["mode"] for options in asked] == list(steps) == list(torch_compile.modes())
    assert all(options["fullgraph"] and options["dynamic"] is False for options in asked)


def test_what_a_cuda_graph_returns_outlives_its_next_replay(monkeypatch):
    memory, replays = torch.zeros(2), []

    def replay(value):
        return memory.copy_(value), [memory]

    monkeypatch.setattr(torch_compile, "choose_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch, "compile", lambda function, **options: replay)
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: replays.append(len(replays)))
    run = torch_compile.compiled(lambda value: value, "reduce-overhead")
    first, second = run(torch.ones(2)), run(2 * torch.ones(2))
    assert first[0].tolist() == first[1][0].tolist() == [1.0, 1.0]
    assert second[0].tolist() == [2.0, 2.0]
    assert len(replays) == 2


@pytest.mark.parametrize(("chosen", "there"), [(None, "false"), ("true", "true")])
def test_jax_leaves_room_on_a_gpu_for_pytorch_unless_told_otherwise(chosen, there):
    name = "XLA_PYTHON_CLIENT_PREALLOCATE"
    environment = {key: value for key, value in os.environ.items() if key != name}
    environment |= {} if chosen is None else {name: chosen}
    code = f"import benchmarks, os, jax; print(os.environ['{name}'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == there
