"""Sweeps as a user starts them: by two processes that share the work, and killed on the way."""

import os
import signal
import socket
import subprocess
import sys

import pytest
from sweep_cases import SMALL, run_sweep, stamps

from experiments.report import closing

OPTIONS = ["--models", "kh", "--measure", "fgsm", "--grid", "layer.delta=0,0.2,0.4"]
SECONDS = 240.0


@pytest.fixture(autouse=True, scope="module")
def no_figure():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(closing, "draw_sweep", lambda directory: [])
        yield


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The table of one process with one device."""
    directory = tmp_path_factory.mktemp("alone") / "sweep"
    assert run_sweep(directory, *OPTIONS) == (0, "")
    return directory


def started(directory, *arguments, program, **environment):
    command = [sys.executable, *program, *SMALL, "--out", str(directory), *OPTIONS[:-2], *arguments, *OPTIONS[-2:]]
    return subprocess.Popen(
        command,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(*processes):
    """What they said, in order; none of them outlives this."""
    try:
        said = [process.communicate(timeout=SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    return ["".join(streams) for streams in said]


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


STOPPER = """
import contextlib, sys
from functools import partial
from experiments import sweep
from experiments.report import closing
from experiments.training import trainer
from jax_bioadv import population

steps, stops = [], True

@contextlib.contextmanager
def progress(what, total, unit):
    def advance(more):
        if what.startswith("train kh"):
            steps.append(more)
            print("epochs", more, flush=True)
            if stops and sum(steps) >= 3:
                raise KeyboardInterrupt
    yield advance

trainer.progress, closing.draw_sweep = progress, lambda directory: []
train_population = population.train_population
population.train_population = partial(train_population, checkpoint_seconds=0.0, check_every=1)
print("code", sweep.main(sys.argv[1:]), flush=True)
stops, population.train_population = False, train_population
sweep.join_hosts = lambda *_: None  # they still are
sys.exit(sweep.main(sys.argv[1:]))
"""


def test_two_processes_find_what_one_finds_and_the_first_alone_writes(alone, tmp_path):
    """They have nothing in common but a port. Each has two devices, so that three members leave one with nothing.

    Stopped in the third epoch of a training, both go on from the checkpoint that the first keeps.
    """
    two_devices = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=2"
    flags = ["--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--memory-gib", "1", "--process"]
    processes = [
        started(tmp_path / f"of {number}", *flags, str(number), program=("-c", STOPPER), XLA_FLAGS=two_devices)
        for number in range(2)
    ]
    said = ended(*processes)
    assert [process.returncode for process in processes] == [0, 0], said
    epochs = [[line for line in one.splitlines() if line.startswith(("epochs ", "code "))] for one in said]
    went_on = ["epochs 2", "epochs 1"]  # two at once, from the checkpoint: the third alone is run
    assert epochs == [["epochs 1"] * 3 + ["code 130", *went_on]] * 2
    assert (tmp_path / "of 0" / "sweep.csv").read_bytes() == (alone / "sweep.csv").read_bytes()
    assert set(stamps(tmp_path / "of 0")) == set(stamps(alone))
    assert not (tmp_path / "of 1").exists()
    assert "on 4 devices" in (tmp_path / "of 0" / "log.txt").read_text()


KILLER = """
import contextlib, os, signal, sys
from experiments import sweep
from experiments.training import trainer

@contextlib.contextmanager
def progress(what, total, unit):
    def advance(more):
        if what.startswith("train kh"):
            os.kill(os.getpid(), signal.SIGKILL)
    yield advance

trainer.progress = progress
sys.exit(sweep.main(sys.argv[1:]))
"""


def test_after_a_kill_the_same_command_goes_on_to_the_same_table(alone, tmp_path):
    process = started(tmp_path, program=("-c", KILLER))
    ended(process)
    assert process.returncode == -signal.SIGKILL
    before = stamps(tmp_path)
    assert {path.stem.split("-")[0] for path in before} == {"layer"}, "the layers are done, the decoders are not"
    assert run_sweep(tmp_path, *OPTIONS) == (0, "")
    assert before.items() <= stamps(tmp_path).items()
    assert (tmp_path / "sweep.csv").read_bytes() == (alone / "sweep.csv").read_bytes()
