"""Tasks that diverge, fail or are stopped: what needs them is not run, all else is, and may be tried again."""

import pytest
from task_cases import IMAGES, Chain

from experiments.engine import ledger
from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task
from jax_bioadv.storage import StorageError


@pytest.mark.parametrize("stopped", ["write_arrays", "write_json"])
def test_a_stop_while_an_outcome_is_stored_leaves_no_outcome(tmp_path, monkeypatch, stopped):
    """But the one that the same task had under other settings."""
    Chain(tmp_path).complete()

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger, stopped, stop)
        with pytest.raises(KeyboardInterrupt):
            Chain(tmp_path, settings=5).complete()
    assert Chain(tmp_path, settings=0).complete() == []
    assert Chain(tmp_path, settings=5).complete() == ["middle", "last"]


def test_a_divergence_is_an_outcome_and_stops_only_what_builds_on_it(tmp_path):
    chain = Chain(tmp_path, fail="middle")
    assert chain.complete() == ["first", "middle", "beside"]
    for task in (chain.middle, chain.last):
        reason = chain.ledger.find(task).diverged
        assert reason.startswith("middle: training diverged in epoch 3: loss is nan")
        assert not chain.ledger.find(task).arrays
    assert chain.ledger.find(chain.first).diverged is chain.ledger.find(chain.beside).diverged is None
    assert Chain(tmp_path).complete() == [], "it would only diverge again"


def test_a_divergence_leaves_no_arrays_of_other_settings_behind(tmp_path):
    Chain(tmp_path).complete()
    Chain(tmp_path, settings=5, fail="middle").complete()
    assert sorted(path.stem for path in (tmp_path / "arrays").iterdir()) == ["beside", "first"]


def test_other_settings_give_a_diverged_task_another_chance(tmp_path):
    Chain(tmp_path, fail="middle").complete()
    assert Chain(tmp_path, settings=1).complete() == ["middle", "last"]


@pytest.mark.parametrize("error", [MemoryError(), ValueError("impossible fit\nand more"), OSError("odd"), KeyError(3)])
def test_a_failed_task_stops_only_what_needs_it_is_named_and_tried_again(error, tmp_path, caplog):
    caplog.set_level("INFO")
    chain = Chain(tmp_path, fail="middle", error=error)
    assert chain.complete() == ["first", "middle", "beside"]
    assert chain.complete() == ["first", "middle", "beside"], "not twice in one run"
    assert chain.ledger.find(chain.middle) is chain.ledger.find(chain.last) is None
    [note] = chain.ledger.failure_notes()
    assert note.startswith(f"middle failed ({type(error).__name__}")
    assert note.endswith("; 1 tasks that need it were not run")
    assert "Traceback" in caplog.text
    assert "raise self.error" in caplog.text
    [complaint] = chain.ledger.complaints()
    assert complaint.startswith("middle failed ")
    assert complaint.endswith("the same command tries again.")
    again = Chain(tmp_path)
    assert again.complete() == ["middle", "last"]
    assert again.ledger.complaints() == []


def test_an_error_that_a_signal_is_behind_stops_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr("jax_bioadv.command_line._stopped_by", 2)
    with pytest.raises(KeyboardInterrupt):
        Chain(tmp_path, fail="middle", error=RuntimeError("a library says something else")).complete()


def test_what_json_cannot_hold_fails_its_task_alone(tmp_path):
    task = Task("broken", "train", lambda work: Outcome({"alpha": float("inf")}), IMAGES, "highest")
    assert Ledger(tmp_path).complete(task).failed.startswith("broken: ValueError")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StorageError("disk full"), SystemExit(3)])
def test_an_interruption_and_a_full_disk_stop_the_run(error, tmp_path):
    with pytest.raises(type(error)):
        Chain(tmp_path, fail="middle", error=error).complete()
