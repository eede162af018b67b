"""Several processes: what is refused, and waiting for those that never come."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from experiments.engine import hosts
from jax_bioadv.command_line import STOPPED

WAITING = """
import sys
from experiments import sweep
from experiments.engine import hosts
from jax_bioadv.command_line import start
hosts.WAIT_SECONDS = float(sys.argv[1])
print("waits", flush=True)
start(lambda: sweep.main(sys.argv[2:]))
"""


def waiting(process, seconds, out):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    words = ["--preset", "smoke", "--out", str(out), "--processes", "2", "--process", str(process)]
    return subprocess.Popen(
        [sys.executable, "-c", WAITING, str(seconds), *words, "--coordinator", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("process", [0, 1])
def test_a_partner_that_never_comes_is_told_in_one_line(process, tmp_path):
    alone = waiting(process, 0.5, tmp_path / "run")
    output, errors = alone.communicate()
    assert (alone.returncode, output) == (2, "waits\n")
    assert errors.startswith("error: waited 0.5 s in vain for all 2 processes at 127.0.0.1:")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_waiting_for_a_partner_can_be_stopped(tmp_path):
    alone = waiting(1, 60.0, tmp_path / "run")
    assert alone.stdout is not None
    assert alone.stdout.readline() == "waits\n"
    time.sleep(1.0)  # it may not wait yet, and must end all the same
    alone.send_signal(signal.SIGTERM)
    _, errors = alone.communicate()
    assert (alone.returncode, errors) == (143, f"{STOPPED}\n")


@pytest.mark.parametrize(
    ("coordinator", "process", "said"),
    [
        ("localhost", 0, "must be HOST:PORT"),
        ("localhost:", 0, "must be HOST:PORT"),
        (":8476", 0, "must be HOST:PORT"),
        ("localhost:http", 0, "must be HOST:PORT"),
        ("localhost:99999", 0, "must be HOST:PORT"),
        ("localhost:8476", 2, "must be from 0"),
        ("localhost:8476", -1, "must be from 0"),
    ],
)
def test_a_coordinator_that_cannot_be_is_refused(coordinator, process, said):
    with pytest.raises(ValueError, match=said):
        hosts.join_hosts(coordinator, 2, process, False)


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("", 0)) as taken, pytest.raises(ValueError, match="cannot be used here"):
        hosts.join_hosts(f"localhost:{taken.getsockname()[1]}", 2, 0, False)
