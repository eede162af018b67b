"""Tasks: done once, done again when and only when something they depend on has changed or was damaged."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from task_cases import IMAGES, Chain

from experiments.engine import ledger, provenance
from experiments.engine.populations import Finished, alone, begin_chunk, drop_chunk, one_device
from experiments.engine.tasks import Outcome, Task, Work, with_needs
from jax_bioadv.storage import StorageError

names = st.text("abc", max_size=3)
contents = st.tuples(
    names,
    st.dictionaries(names, st.one_of(st.integers(), names, st.lists(st.integers(), max_size=2)), max_size=3),
    st.dictionaries(names, names, max_size=2),
)


def _task(content: tuple) -> Task:
    name, settings, needs = content
    built_on = {short: _task((other, {}, {})) for short, other in needs.items()}
    return Task(name, "train", dict, IMAGES, "highest", settings, built_on)


@given(contents, contents)
def test_fingerprints_are_equal_exactly_for_equal_names_settings_and_needs(one, other):
    assert _task(one).fingerprint == _task(one).fingerprint
    assert (_task(one).fingerprint == _task(other).fingerprint) == (one == other)


def test_two_different_tasks_of_one_name_are_refused():
    one, same = _task(("n", {"a": 1}, {})), _task(("n", {"a": 1}, {}))
    other, above = _task(("n", {}, {})), _task(("m", {}, {"x": "n"}))
    assert with_needs([one, same]) == [one]
    for second in (other, above):
        with pytest.raises(ValueError, match="two different tasks are called n"):
            with_needs([one, second])


def test_the_order_in_which_settings_are_written_changes_nothing():
    one, other = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert _task(("n", one, {})).fingerprint == _task(("n", other, {})).fingerprint


@pytest.mark.parametrize("name", ["jax", "jaxlib", "flax", "optax", "numpy", "scipy", "device", "platform"])
def test_another_package_or_device_runs_everything_again(name, tmp_path, monkeypatch):
    Chain(tmp_path).complete()
    other = {**provenance.influences(), name: "another"}
    monkeypatch.setattr(provenance, "influences", lambda: other)
    chain = Chain(tmp_path)
    assert chain.complete() == ["first", "middle", "last", "beside"]
    assert chain.ledger.record(chain.middle)["made_by"][name] == "another"


def test_options_that_change_random_numbers_are_told_where_they_are_unusual():
    usual = provenance.influences()
    assert not set(usual) & set(provenance.USUALLY)
    with jax.threefry_partitionable(False):
        assert provenance.influences.__wrapped__() == {**usual, "jax_threefry_partitionable": "False"}


def test_a_changed_code_runs_its_tasks_again(tmp_path, monkeypatch):
    Chain(tmp_path).complete()
    monkeypatch.setattr("experiments.engine.tasks.code_digest", lambda *functions: "another")
    assert Chain(tmp_path).complete() == ["first", "middle", "last", "beside"]


def test_a_record_says_what_made_it_and_a_stage_made_by_several_things_says_so(tmp_path):
    chain = Chain(tmp_path)
    chain.complete()
    made_by = chain.ledger.record(chain.first)["made_by"]
    assert set(made_by) == {"jax-bioadv", "code", *provenance.influences()}
    records = [chain.ledger.record(task) for task in chain.tasks]
    stages, notes = provenance.stages_made_by(records)
    assert set(stages) == {"train"}
    assert stages["train"]["jax"] == made_by["jax"]
    assert notes == []
    records[0] = {**records[0], "made_by": {**made_by, "jax-bioadv": "9.9"}}
    stages, [note] = provenance.stages_made_by(records)
    assert note.startswith("stage train: its tasks were made by different versions of jax-bioadv: ")
    assert "9.9 (1)" in note
    assert "9.9" in stages["train"]["jax-bioadv"]


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


def test_checkpoints_of_the_same_task_under_other_settings_are_named(tmp_path, caplog):
    caplog.set_level("INFO")
    one, other = Chain(tmp_path, settings=0), Chain(tmp_path, settings=5)
    for _ in range(2):
        begin_chunk([Work(one.middle, {}, tmp_path)], one_device())
    assert not caplog.messages
    begin_chunk([Work(other.middle, {}, tmp_path)], one_device())
    [message] = caplog.messages
    assert message.startswith("middle: the checkpoints in ")


def test_a_run_that_is_done_leaves_the_checkpoints_of_others(tmp_path):
    """Also where one of its tasks was begun together with one that is not; stacks and streams write no members."""
    done, other = Chain(tmp_path), Chain(tmp_path, settings=5)

    def begun(*tasks):
        return begin_chunk([Work(task, {}, tmp_path) for task in tasks], one_device()).folder

    begun(done.first), begun(done.first, done.beside)
    (tmp_path / "checkpoints" / done.middle.fingerprint[:16]).mkdir()
    left = {begun(other.middle), begun(done.first, other.last), tmp_path / "checkpoints" / other.last.fingerprint[:16]}
    (tmp_path / "checkpoints" / other.last.fingerprint[:16]).mkdir()
    done.complete()
    done.ledger.clear_up(done.tasks)
    assert set((tmp_path / "checkpoints").iterdir()) == left
    other.complete()
    other.ledger.clear_up([*other.tasks, *done.tasks])
    assert not (tmp_path / "checkpoints").exists()


@dataclasses.dataclass(frozen=True)
class Begun:
    """A training that has its checkpoints before it is done, as a population of one."""

    vectorized: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    def together(self, works, varied, devices):
        begin_chunk(works, devices)
        yield Finished(works[0], Outcome({"sum": 1}), 0.0)
        drop_chunk(works, devices)

    def __call__(self, work):
        return alone(self, work)

    shape_of = members_that_fit = together


def test_checkpoints_stay_until_the_outcome_is_kept(tmp_path, monkeypatch):
    def full(*written):
        raise StorageError("no space")

    task = Task("begun", "train", Begun(), IMAGES, "highest")
    with monkeypatch.context() as patch:
        patch.setattr(ledger, "write_json", full)
        with pytest.raises(StorageError, match="no space"):
            ledger.Ledger(tmp_path).complete(task)
    assert list((tmp_path / "checkpoints").iterdir())
    assert ledger.Ledger(tmp_path).complete(task).values == {"sum": 1}
    assert not list((tmp_path / "checkpoints").iterdir())


def test_the_seconds_of_a_task_are_those_of_its_run(tmp_path, monkeypatch):
    """And not those of what it needs, which runs before it here."""
    clock = [0.0]
    monkeypatch.setattr(ledger.time, "perf_counter", lambda: clock[0])

    def lasting(task, seconds, **changed):
        def run(work, **given):
            clock[0] += seconds
            return task.run(work, **given)

        return dataclasses.replace(task, run=run, **changed)

    chain = Chain(tmp_path)
    first = lasting(chain.first, 5.0)
    middle = lasting(chain.middle, 2.0, needs={"before": first})
    chain.ledger.complete(middle)
    assert [chain.ledger.seconds(task) for task in (first, middle)] == [5.0, 2.0]
    assert [Chain(tmp_path).ledger.seconds(task) for task in (first, middle)] == [5.0, 2.0]
