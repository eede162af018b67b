"""One run at a time works in a folder; and how far a task is, shown on a terminal alone."""

import os
import signal
import subprocess
import sys

import pytest

from experiments.engine.tasks import exclusive, progress
from jax_bioadv.storage import StorageError


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    with exclusive(tmp_path / "run"):
        with pytest.raises(StorageError, match=r"another run is working in .*run; wait for it or choose another --out"):
            exclusive(tmp_path / "run").__enter__()
        with exclusive(tmp_path / "other"):
            pass


def test_the_folder_is_free_again_after_a_run_and_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), exclusive(tmp_path):
        raise ZeroDivisionError
    for _ in range(2):
        with exclusive(tmp_path):
            pass


def test_the_folder_is_free_again_after_a_kill(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from experiments.engine.tasks import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('mine', flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "mine\n"
            with pytest.raises(StorageError, match="another run"), exclusive(tmp_path):
                pass
        finally:
            os.kill(process.pid, signal.SIGKILL)
    with exclusive(tmp_path):
        pass


@pytest.mark.parametrize("folder", ["file", "file/below"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, folder):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match=r"cannot write into .*Choose another --out"), exclusive(tmp_path / folder):
        pass


# Progress.


def test_without_a_terminal_no_progress_is_printed(capfd):
    with progress("training", 3, "epoch") as advance:
        advance(3)
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_what_is_done_how_fast_and_how_long_it_will_take(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("training", 3, "epoch") as advance:
        for _ in range(3):
            advance(1)
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "0/3" in shown
    assert "epoch/s" in shown
