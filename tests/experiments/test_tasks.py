"""Tasks: done once, done again when and only when something they depend on has changed or was damaged."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments import tasks
from experiments.tasks import Ledger, Outcome, Task, exclusive, progress
from jax_bioadv.learning.training import DivergenceError
from jax_bioadv.storage import StorageError


class Chain:
    """Three tasks, ``first -> middle -> last``, and one beside them; counts how often each runs."""

    def __init__(self, directory: Path, settings: int = 0, fail: str | None = None):
        self.ledger, self.runs, self.fail = Ledger(directory), [], fail
        self.first = self._task("first", {}, settings=0)
        self.middle = self._task("middle", {"before": self.first}, settings)
        self.last = self._task("last", {"before": self.middle}, settings=0)
        self.beside = self._task("beside", {}, settings=0)
        self.tasks = (self.first, self.middle, self.last, self.beside)

    def _task(self, name: str, needs: dict[str, Task], settings: int) -> Task:
        def run(task: Task, needed: dict[str, Outcome]) -> Outcome:
            assert task.name == name
            self.runs.append(name)
            if name == self.fail:
                raise DivergenceError(3, "loss is nan", "Lower it.")
            before = needed["before"].values["sum"] if needed else 0
            return Outcome({"sum": before + settings + 1}, {"numbers": np.arange(5.0) + before + settings})

        return Task(name, "train", {"settings": settings}, needs, run)

    def complete(self) -> list[str]:
        """The names of the tasks that had to run."""
        for task in self.tasks:
            self.ledger.complete(task)
        return self.runs


names = st.text("abc", max_size=3)
contents = st.tuples(
    names,
    st.dictionaries(names, st.one_of(st.integers(), names, st.lists(st.integers(), max_size=2)), max_size=3),
    st.dictionaries(names, names, max_size=2),
)


def _task(content: tuple) -> Task:
    name, settings, needs = content
    return Task(name, "train", settings, {short: _task((other, {}, {})) for short, other in needs.items()}, dict)


@given(contents, contents)
def test_fingerprints_are_equal_exactly_for_equal_names_settings_and_needs(one, other):
    assert _task(one).fingerprint == _task(one).fingerprint
    assert (_task(one).fingerprint == _task(other).fingerprint) == (one == other)


def test_the_order_in_which_settings_are_written_changes_nothing():
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert _task(("n", one, {})).fingerprint == _task(("n", other, {})).fingerprint


def test_a_new_version_of_the_code_runs_everything_again(tmp_path, monkeypatch):
    Chain(tmp_path).complete()
    monkeypatch.setattr(tasks, "VERSION", tasks.VERSION + 1)
    assert Chain(tmp_path).complete() == ["first", "middle", "last", "beside"]


def test_what_is_done_is_found_again_and_not_run_again(tmp_path):
    assert Chain(tmp_path).complete() == ["first", "middle", "last", "beside"]
    again = Chain(tmp_path)
    assert again.complete() == []
    found = again.ledger.find(again.last)
    assert found.values == {"sum": 3}
    np.testing.assert_array_equal(found.arrays["numbers"], np.arange(5.0) + 2)


def test_what_a_task_needs_is_run_first(tmp_path):
    chain = Chain(tmp_path)
    assert chain.ledger.complete(chain.last).values == {"sum": 3}
    assert chain.runs == ["first", "middle", "last"]


def test_a_changed_setting_runs_again_what_depends_on_it_and_nothing_else(tmp_path):
    Chain(tmp_path).complete()
    changed = Chain(tmp_path, settings=5)
    assert changed.complete() == ["middle", "last"]
    assert changed.ledger.find(changed.last).values == {"sum": 8}


def _break(path: Path, damage: str) -> None:
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage.startswith("cut"):
        path.write_bytes(content[: int(len(content) * float(damage.removeprefix("cut ")))])
    elif damage == "another's":
        path.write_bytes((path.parent / f"beside{path.suffix}").read_bytes())
    else:
        path.write_bytes(damage.encode())


DAMAGES = ("gone", "cut 0", "cut 0.5", "cut 0.99", "another's", "garbage \0", "null", "[]", "3", '"text"', "{}")


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("file", ["arrays/middle.npz", "stages/middle.json"])
def test_a_damaged_file_runs_its_task_again_and_nothing_else(tmp_path, file, damage):
    Chain(tmp_path).complete()
    before = {path: path.read_bytes() for path in (tmp_path / "arrays").iterdir()}
    _break(tmp_path / file, damage)
    assert Chain(tmp_path).complete() == ["middle"]
    assert {path: path.read_bytes() for path in (tmp_path / "arrays").iterdir()} == before
    assert Chain(tmp_path).complete() == []


def test_every_flipped_bit_of_the_arrays_is_noticed(tmp_path):
    Chain(tmp_path).complete()
    path = tmp_path / "arrays" / "middle.npz"
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        chain = Chain(tmp_path)
        assert chain.ledger.find(chain.middle) is None, f"byte {place}"


@pytest.mark.parametrize("key", ["fingerprint", "stage", "settings", "seconds", "values", "arrays", "checksum"])
@pytest.mark.parametrize("value", [None, 7, "text", [], {}])
def test_an_altered_or_missing_entry_of_a_record_is_noticed(tmp_path, key, value):
    Chain(tmp_path).complete()
    path = tmp_path / "stages" / "middle.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, key: value}))
    chain = Chain(tmp_path)
    assert chain.ledger.find(chain.middle) is None
    del record[key]
    path.write_text(json.dumps(record))
    assert chain.ledger.find(chain.middle) is None
    assert chain.complete() == ["middle"]


@pytest.mark.parametrize("stopped", ["write_arrays", "write_json"])
def test_a_stop_while_an_outcome_is_stored_leaves_no_outcome(tmp_path, monkeypatch, stopped):
    """Not even the one that the same task had under other settings: its arrays may be gone."""
    Chain(tmp_path).complete()

    def stop(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tasks, stopped, stop)
        with pytest.raises(KeyboardInterrupt):
            Chain(tmp_path, settings=5).complete()
    assert Chain(tmp_path, settings=0).complete() == ["middle"]
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


def test_other_errors_are_not_swallowed(tmp_path):
    def run(task: Task, needed: dict[str, Outcome]) -> Outcome:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Ledger(tmp_path).complete(Task("broken", "train", {}, {}, run))


def test_the_seconds_of_a_task_are_those_of_its_run(tmp_path):
    chain = Chain(tmp_path)
    chain.complete()
    seconds = chain.ledger.seconds(chain.middle)
    assert 0 <= seconds < 60
    assert Chain(tmp_path).ledger.seconds(chain.middle) == seconds


# The lock.


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
        "import sys, time; from pathlib import Path; from experiments.tasks import exclusive\n"
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
