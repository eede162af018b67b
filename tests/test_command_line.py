"""How commands start and end, tried on real processes and real signals."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jax_bioadv.command_line import STOPPED

COMMANDS = (
    "experiments.reproduce",
    "experiments.sweep",
    "experiments.evaluate",
    "experiments.report",
    "experiments.report.markdown",
    "jax_bioadv.data",
)


def begin(*words, **variables):
    """Start Python without a terminal, and with Ctrl-C as a shell in the foreground leaves it."""
    reset = "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    return subprocess.Popen(
        [sys.executable, "-c", reset, sys.executable, *words],
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition, process, seconds=120.0):
    deadline = time.monotonic() + seconds
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def importing(process):
    """Whether a process has begun to import the large packages."""
    try:
        return "_multiarray_umath" in Path(f"/proc/{process.pid}/maps").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells by /proc what is imported")
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_imports_ends_every_command_in_one_line(command, number):
    process = begin("-m", command)
    wait_until(lambda: importing(process), process)
    process.send_signal(number)
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (128 + number, "", f"{STOPPED}\n")


@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="PyTorch is there")
@pytest.mark.parametrize(
    "command", ["benchmarks", "benchmarks.attack_check", "benchmarks.autoattack", "benchmarks.profiling"]
)
def test_benchmarks_without_pytorch_say_how_to_get_it(command):
    process = begin("-m", command)
    output, errors = process.communicate()
    assert (process.returncode, output) == (1, "")
    assert errors == "error: torch is missing; it comes with: pip install -e '.[test,benchmark]'\n"


@pytest.mark.parametrize(
    ("tasks", "number"), [(0, signal.SIGINT), (0, signal.SIGTERM), (1, signal.SIGINT), (12, signal.SIGTERM)]
)
def test_a_signal_during_a_run_ends_it_in_one_line(tmp_path, tasks, number):
    """When the log begins, or after so many tasks."""
    many_small = ("--stages", "train", "--models", "bp", "--seeds", "20")
    process = begin("-m", "experiments.reproduce", "--preset", "smoke", *many_small, "--out", str(tmp_path))
    log = tmp_path / "log.txt"
    wait_until(lambda: log.exists() and len(list(tmp_path.glob("stages/*.json"))) >= tasks, process)
    process.send_signal(number)
    output, errors = process.communicate()
    assert (process.returncode, output) == (128 + number, "")
    *before, last = errors.splitlines()
    assert last == STOPPED
    assert all(re.match(r"smoke on digits: |it will take |\w+: \d+ of ", line) for line in before)
    assert log.read_text().rstrip().endswith("stopped by a signal") or not tasks


SCRIPT = """
import os, signal, sys
from jax_bioadv.command_line import exit_code, start

def interrupt():
    os.kill(os.getpid(), signal.SIGINT)

class Interrupted:
    def __del__(self):
        interrupt()

def in_a_destructor():
    Interrupted()

def made_an_error():
    try:
        interrupt()
    except BaseException as error:
        raise OSError("a library says something else") from error

def swallowed_once():
    try:
        interrupt()
    except BaseException:
        pass
    interrupt()

def while_it_is_put_in_order():
    try:
        interrupt()
    finally:
        interrupt()
        print("not reached")

start(lambda: exit_code(WORK))
"""


@pytest.mark.parametrize(
    "work", ["interrupt", "in_a_destructor", "made_an_error", "swallowed_once", "while_it_is_put_in_order"]
)
def test_a_signal_is_not_lost_wherever_it_comes(work):
    process = begin("-c", SCRIPT.replace("WORK", work))
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (130, "", f"{STOPPED}\n")


@pytest.mark.parametrize("work", ["interrupt", "in_a_destructor"])
def test_the_log_of_a_run_says_that_a_signal_ended_it(work, tmp_path):
    logged = f"""
from pathlib import Path
from experiments.engine.terminal import logging_to

def logged():
    with logging_to(Path({str(tmp_path)!r})):
        {work}()
"""
    before, last = SCRIPT.replace("WORK", "logged").rsplit("start(", 1)
    process = begin("-c", f"{before}{logged}\nstart({last}")
    output, errors = process.communicate()
    assert (process.returncode, output, errors) == (130, "", f"{STOPPED}\n")
    assert (tmp_path / "log.txt").read_text().rstrip().endswith("stopped by a signal")


def test_a_signal_that_the_shell_wants_ignored_is(tmp_path):
    """As under nohup, or behind a & in a script."""
    script = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + SCRIPT.replace("WORK", "interrupt")
    process = begin("-c", script)
    assert process.communicate() == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("command", COMMANDS[:2] + COMMANDS[5:6])
def test_help_can_be_read_on_a_terminal_that_knows_ascii_alone(command):
    process = begin("-m", command, "--help", PYTHONIOENCODING="ascii")
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert "usage" in output
    assert output.isascii()


def test_a_backend_that_is_not_there_spoils_no_command(tmp_path):
    ended = begin("-m", "experiments.report", str(tmp_path), MPLBACKEND="absent")
    said = ended.communicate(timeout=120)[1]
    assert ended.returncode == 2
    assert said.startswith("error: ")
    assert said.count("\n") == 1
