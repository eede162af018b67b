"""Tasks side by side in processes come to what they come to one after another; failures stop what builds on them."""

import contextlib
import dataclasses
import os
from functools import partial

import numpy as np
import pytest
from task_cases import Chain

from experiments import reproduce
from experiments.engine.workers import Workers, complete_side_by_side
from jax_bioadv.command_line import IncompleteError
from jax_bioadv.storage import StorageError


def _die(work, *, settings):
    os._exit(3)


@contextlib.contextmanager
def opened(directory, fail=None, error=None, dies=False):
    chain = Chain(directory, fail=fail, error=error)
    yield [dataclasses.replace(task, run=_die) if dies else task for task in chain.tasks], chain.ledger


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


def test_a_full_disk_ends_the_run(tmp_path):
    with pytest.raises(StorageError, match="no space"):
        side_by_side(Chain(tmp_path), fail="first", error=StorageError("no space"))


def test_a_process_that_dies_is_told_of(tmp_path):
    with pytest.raises(IncompleteError, match=r"one of 1 processes died.*fewer --workers"):
        side_by_side(Chain(tmp_path), dies=True)


def test_a_run_by_no_process_is_refused(tmp_path, capsys):
    assert reproduce.main(["--preset", "smoke", "--workers", "0", "--out", str(tmp_path / "run")]) == 2
    assert "--workers must be at least 1, got 0" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
