"""Tasks side by side in processes come to what they come to one after another; failures stop what builds on them."""

import dataclasses
import os
import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from task_cases import Chain, opened

from experiments import depth, evaluate, reproduce
from experiments.engine import job
from experiments.engine.workers import Workers, complete_side_by_side
from experiments.questions import command as questions
from jax_bioadv.command_line import IncompleteError
from jax_bioadv.storage import StorageError

ROOT = Path(__file__).parents[2]


def side_by_side(chain, processes=1, **what):
    told = []
    chain.ledger.listener = lambda task, seconds: told.append((task.name, seconds is not None))
    workers = Workers(processes, partial(opened, chain.ledger.directory, **what))
    complete_side_by_side(workers, chain.ledger, chain.tasks, lambda task: 1.0)
    return told


def test_they_come_to_the_same(tmp_path):
    one, two = Chain(tmp_path / "one"), Chain(tmp_path / "two")
    one.complete()
    told = side_by_side(two, processes=2)
    assert sorted(told) == [("beside", True), ("first", True), ("last", True), ("middle", True)]
    assert two.runs == [], "others did the work"
    for mine, theirs in zip(one.tasks, two.tasks, strict=True):
        expected, found = one.ledger.find(mine), two.ledger.find(theirs)
        assert found.values == expected.values
        np.testing.assert_array_equal(found.arrays["numbers"], expected.arrays["numbers"])
    assert Chain(tmp_path / "two").complete() == []


def test_a_failure_stops_what_builds_on_it_alone(tmp_path):
    chain = Chain(tmp_path)
    told = side_by_side(chain, fail="middle", error=ValueError("impossible"))
    assert dict(told) == {"first": True, "beside": True, "middle": False, "last": False}
    [note] = chain.ledger.failure_notes()
    assert note == "middle failed (ValueError: impossible); 1 tasks that need it were not run"


def test_what_else_a_task_needs_that_cannot_be_done_is_left_to_the_other_processes(tmp_path):
    chain = Chain(tmp_path)
    needs = {**chain.last.needs, "beside": chain.beside}
    chain.tasks = (chain.first, chain.middle, dataclasses.replace(chain.last, needs=needs), chain.beside)
    told = side_by_side(chain, fail="middle", error=ValueError("impossible"))
    assert told == [("first", True), ("middle", False), ("last", False), ("beside", True)]
    assert chain.runs == []


def test_a_full_disk_ends_the_run(tmp_path):
    with pytest.raises(StorageError, match="no space"):
        side_by_side(Chain(tmp_path), fail="first", error=StorageError("no space"))


def test_a_process_that_dies_is_told_of(tmp_path):
    with pytest.raises(IncompleteError, match=r"one of 1 processes died.*fewer --workers"):
        side_by_side(Chain(tmp_path), dies=True)


def test_an_outcome_that_is_not_found_again_ends_the_run(tmp_path):
    """As of a process that began after the code had changed: what needs it would be waited for without end."""
    with pytest.raises(IncompleteError, match=r"middle is done, but .* does not hold its outcome"):
        side_by_side(Chain(tmp_path), settings=1)


AT_WORK = """
import multiprocessing, threading
from concurrent.futures import ProcessPoolExecutor
from experiments.engine import workers

def work():
    print("at work", flush=True)
    threading.Event().wait(100)

if __name__ == "__main__":
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), workers._open, (None,)) as pool:
        pool.submit(work).result()
"""


def test_a_process_ends_with_the_one_that_started_it(tmp_path):
    """Killed, that one cannot end others; the pipe is closed when all are gone."""
    script = tmp_path / "at_work.py"
    script.write_text(AT_WORK)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as first:
        assert first.stdout.readline() == "at work\n"
        first.kill()
        assert first.communicate(timeout=30) == ("", None)


COMMANDS = {
    "reproduce": (reproduce, []),
    "depth": (depth, []),
    "questions": (questions, ["1"]),
    "evaluate": (evaluate, ["--network", "brought_cases:Convolutional"]),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_by_no_process_is_refused(name, tmp_path, capsys):
    command, arguments = COMMANDS[name]
    given = [*arguments, "--preset", "smoke", "--workers", "0", "--out", str(tmp_path / "run")]
    assert command.main(given) == 2
    assert "--workers must be at least 1, got 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", COMMANDS)
def test_another_process_makes_the_same_tasks(name, tmp_path, monkeypatch):
    """A job is opened there as it was pickled here; the folder need not be locked again."""
    command, arguments = COMMANDS[name]
    jobs = []
    monkeypatch.setattr(command, "complete", lambda job, *more, **others: jobs.append(job))
    assert command.main([*arguments, "--preset", "smoke", "--attacks.images", "7", "--out", str(tmp_path)]) == 0
    opened = pickle.loads(pickle.dumps(jobs[0]))
    with job._opened(jobs[0]) as (plan, _), job._in_a_worker(opened) as (tasks, ledger):
        assert [task.fingerprint for task in tasks] == [task.fingerprint for task in plan.all_tasks()]
        assert any(task.settings.get("attacks", {}).get("images") == 7 for task in tasks), "not the preset's"
        assert ledger.directory == jobs[0].directory


STARTED = """
import multiprocessing, runpy, sys
from concurrent.futures import ProcessPoolExecutor
from experiments.engine import job

def complete(one, *more, **others):
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        print(pool.submit(type, one).result().__name__)

job.complete = complete
if __name__ == "__main__":
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def test_another_process_can_be_sent_what_a_user_started(tmp_path):
    """As ``python -m`` runs it: a module is found there, the ``__main__`` of a package is not."""
    script = tmp_path / "started.py"
    script.write_text(STARTED)
    command = [sys.executable, str(script), "experiments.questions", "1", "--preset", "smoke", "--out", str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.split() == ["Job"]
