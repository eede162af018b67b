"""Outcomes under other settings are put by, found again by who goes back to them, and never lost."""

import errno
from pathlib import Path

import pytest
from task_cases import Chain

from experiments.engine import ledger, provenance


def test_earlier_settings_find_the_earlier_outcome_again(tmp_path):
    Chain(tmp_path, settings=0).complete()
    before = (tmp_path / "arrays" / "middle.npz").read_bytes()
    for settings in (5, 7):
        assert Chain(tmp_path, settings).complete() == ["middle", "last"]
    assert (tmp_path / "arrays" / "middle.npz").read_bytes() != before
    for settings in (0, 7, 5, 0):
        again = Chain(tmp_path, settings)
        assert again.complete() == []
        assert again.ledger.find(again.last).values == {"sum": 3 + settings}
    assert (tmp_path / "arrays" / "middle.npz").read_bytes() == before
    assert sorted(path.stem for path in (tmp_path / "arrays").iterdir()) == ["beside", "first", "last", "middle"]


@pytest.mark.parametrize("at", range(1, 5))
def test_a_kill_while_outcomes_are_set_aside_loses_none(tmp_path, monkeypatch, at):
    Chain(tmp_path, settings=0).complete()
    moved, move = [], ledger.os.replace

    def killed(path, to):
        move(path, to)
        moved.extend([to] if "earlier" in Path(to).parts else [])
        if len(moved) == at:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger.os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            Chain(tmp_path, settings=5).complete()
    assert Chain(tmp_path, settings=0).complete() == []


def test_arrays_may_lie_on_another_disk(tmp_path, monkeypatch):
    Chain(tmp_path, settings=0).complete()
    move = ledger.os.replace

    def across(path, to):
        if Path(path).suffix == ".npz" and Path(path).parent != Path(to).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        move(path, to)

    monkeypatch.setattr(ledger.os, "replace", across)
    assert Chain(tmp_path, settings=5).complete() == ["middle", "last"]
    assert Chain(tmp_path, settings=0).complete() == []
    assert not list(tmp_path.rglob("*.part"))


def test_a_damaged_earlier_outcome_runs_again(tmp_path):
    Chain(tmp_path, settings=0).complete()
    Chain(tmp_path, settings=5).complete()
    [earlier] = (tmp_path / "earlier" / "arrays").glob("middle-*.npz")
    earlier.write_bytes(b"damaged")
    assert Chain(tmp_path, settings=0).complete() == ["middle"]


def test_outcomes_of_other_tasks_and_settings_do_not_stay_among_the_current_ones(tmp_path):
    Chain(tmp_path, settings=0).complete()
    chain = Chain(tmp_path, settings=5)
    chain.ledger.set_aside_all_but([chain.first, chain.middle])
    assert [path.name for path in (tmp_path / "arrays").iterdir()] == ["first.npz"]
    assert Chain(tmp_path, settings=0).complete() == []


def test_the_log_says_what_is_found_again_and_why_the_rest_runs_again(tmp_path, caplog, monkeypatch):
    def resumed(chain):
        caplog.clear()
        chain.ledger.say_what_runs_again([task for task in chain.tasks if chain.ledger.find(task) is None])
        return [message for message in caplog.messages if "run again" in message]

    caplog.set_level("INFO")
    assert resumed(Chain(tmp_path)) == []
    Chain(tmp_path).complete()
    assert resumed(Chain(tmp_path)) == []
    assert resumed(Chain(tmp_path, settings=5)) == [
        "0 found again among earlier outcomes; 2 run again: 1 because of settings settings,"
        " 1 because of what they build on"
    ]
    Chain(tmp_path, settings=5).complete()
    assert resumed(Chain(tmp_path)) == ["2 found again among earlier outcomes; 0 run again"]
    other = {**provenance.influences(), "jax": "9.9"}
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "influences", lambda: other)
        [line] = resumed(Chain(tmp_path))
    assert line.endswith("4 run again: 4 because of another jax")
    monkeypatch.setattr("experiments.engine.tasks.code_digest", lambda *functions: "another")
    [line] = resumed(Chain(tmp_path))
    assert line.endswith("4 run again: 4 because of code")
