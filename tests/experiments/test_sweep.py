"""Sweeps inside this process, from one of three networks: the same again, stopping, going on, growing; memory."""

import contextlib
import re
import shutil
from functools import partial

import pytest
from sweep_cases import BUDGET, Found, run_sweep, stamps

from experiments.engine import sweeping
from experiments.engine.populations import begun_chunks
from experiments.training import trainer
from jax_bioadv import population

# One finished sweep of three networks, which the tests copy.

RATES = ["--models", "bp", "--measure", "spectra", *BUDGET, "--grid", "backprop.learning-rates=1e-2,3e-3,1e-3"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    directory = tmp_path_factory.mktemp("finished") / "sweep"
    assert run_sweep(directory, *RATES) == (0, "")
    return Found(directory, *RATES, measure=("spectra",))


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished.directory, tmp_path / "sweep")


def test_what_a_finished_sweep_leaves_behind(finished):
    names = {path.name for path in finished.directory.iterdir()}
    wanted = {".lock", "log.txt", "sweep.csv", "sweep.json", "sweep.png", "sweep.pdf", "stages", "models", "arrays"}
    assert names == wanted
    assert "bp: 3 to do, at most 3 at a time" in finished.log.replace("train of ", "")


def test_the_same_sweep_again_computes_nothing(copied, finished, no_figure):
    before = stamps(copied)
    assert run_sweep(copied, *RATES) == (0, "")
    assert stamps(copied) == before
    assert (copied / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()


def test_a_grid_that_grows_or_turns_computes_what_is_missing_alone(copied, finished, no_figure):
    before = stamps(copied)
    assert run_sweep(copied, *RATES[:-1], "backprop.learning-rates=2e-3,1e-3,1e-2,3e-3")[0] == 0
    after = stamps(copied)
    assert before.items() <= after.items()
    assert len(after) == len(before) * 4 // 3
    rows = (copied / "sweep.csv").read_text().splitlines()
    kept = [re.sub("^[0-9]*", "", row) for row in (finished.directory / "sweep.csv").read_text().splitlines()]
    assert set(kept) <= {re.sub("^[0-9]*", "", row) for row in rows}
    assert len(rows) == 1 + 4 * 2


@pytest.mark.parametrize("folder", ["models", "stages"])
def test_a_truncated_file_runs_again_and_nothing_else_does(folder, copied, finished, no_figure):
    before = stamps(copied)
    [victim] = [path for path in before if path.parts[0] == folder and path.name in first_member(finished)]
    content = (copied / victim).read_bytes()
    (copied / victim).write_bytes(content[: len(content) // 2])
    code, said = run_sweep(copied, *RATES)
    assert code == 0
    assert "cannot be used, it runs again" in said
    changed = {path.stem for path, stamp in stamps(copied).items() if stamp != before[path]}
    assert changed == {victim.stem}
    assert (copied / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()


def first_member(finished):
    task = finished.tasks(finished.members[0])["train"]
    return {f"{task.name}-{task.fingerprint[:16]}.{suffix}" for suffix in ("npz", "json")}


def stopping(monkeypatch, what, after):
    """Raises KeyboardInterrupt when a progress bar has advanced so far; gives all the steps of that bar."""
    steps = []

    @contextlib.contextmanager
    def progress(name, total, unit):
        def advance(more):
            if name.startswith(what):
                steps.append(more)
                if sum(steps) == after:
                    raise KeyboardInterrupt

        yield advance

    monkeypatch.setattr(trainer, "progress", progress)
    pace = partial(population.train_population, checkpoint_seconds=0.0, check_every=1)
    monkeypatch.setattr(population, "train_population", pace)
    return steps


def test_a_sweep_stopped_in_the_middle_of_a_training_goes_on_from_its_checkpoint(
    finished, tmp_path, monkeypatch, no_figure
):
    with monkeypatch.context() as patch:
        stopping(patch, "train bp", after=2)
        code, said = run_sweep(tmp_path / "sweep", *RATES)
    assert (code, said) == (130, "stopped; the same command goes on from here\n")
    assert not stamps(tmp_path / "sweep")
    with monkeypatch.context() as patch:
        steps = stopping(patch, "train bp", after=None)
        assert run_sweep(tmp_path / "sweep", *RATES) == (0, "")
    assert steps == [1, 1, 1], "the first epoch comes from the checkpoint, the others are run"
    assert (tmp_path / "sweep" / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()
    assert not (tmp_path / "sweep" / "checkpoints").exists()


def test_a_sweep_goes_on_from_its_checkpoint_when_other_numbers_of_members_fit(
    finished, tmp_path, monkeypatch, no_figure
):
    with monkeypatch.context() as patch:
        stopping(patch, "train bp", after=2)
        assert run_sweep(tmp_path / "sweep", *RATES)[0] == 130
    with monkeypatch.context() as patch:
        steps = stopping(patch, "train bp", after=None)
        patch.setattr(population, "members_that_fit", lambda *arguments: 1)
        assert run_sweep(tmp_path / "sweep", *RATES) == (0, "")
    assert steps == [1, 1, 1], "one training of all three members, from its checkpoint"
    assert (tmp_path / "sweep" / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()


def test_a_sweep_stopped_while_a_chunk_is_stored_trains_none_of_its_members_anew(
    finished, tmp_path, monkeypatch, no_figure
):
    store, stored = sweeping.SharedLedger.store, []

    def stopped_at_the_second(ledger, task, *found):
        if stored:
            raise KeyboardInterrupt
        stored.append(task)
        store(ledger, task, *found)

    with monkeypatch.context() as patch:
        stopping(patch, "train bp", after=None)
        patch.setattr(sweeping.SharedLedger, "store", stopped_at_the_second)
        assert run_sweep(tmp_path / "sweep", *RATES)[0] == 130
    before = stamps(tmp_path / "sweep")
    with monkeypatch.context() as patch:
        steps = stopping(patch, "train bp", after=None)
        assert run_sweep(tmp_path / "sweep", *RATES) == (0, "")
    assert steps == [2, 1], "all but the last epoch, which has no checkpoint"
    assert before.items() <= stamps(tmp_path / "sweep").items()
    assert (tmp_path / "sweep" / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()
    assert not (tmp_path / "sweep" / "checkpoints").exists()


def test_a_begun_chunk_of_other_settings_is_named(tmp_path, monkeypatch, no_figure):
    arguments = ["--models", "bp", "--measure", "none", *RATES[4:]]
    with monkeypatch.context() as patch:
        stopping(patch, "train bp", after=2)
        assert run_sweep(tmp_path, *arguments)[0] == 130
    assert run_sweep(tmp_path, "--backprop.epochs", "2", *arguments)[0] == 0
    assert "checkpoints of 3 members together are of other tasks, and not used" in (tmp_path / "log.txt").read_text()
    assert [len(members) for members in begun_chunks(tmp_path)] == [3], "who goes back to them finds them"


def test_a_member_that_fails_harms_no_other_is_named_and_tried_again(finished, copied, monkeypatch, no_figure):
    """Memory lacks for one of three that are trained together."""
    for path in stamps(copied):
        (copied / path).unlink()
    broken, train, chunks = finished.tasks(finished.members[1])["train"], trainer._train, []

    def out_of_memory(trainable, works, *arguments):
        chunks.append(len(works))
        if any(work.task.fingerprint == broken.fingerprint for work in works):
            raise MemoryError("no room")
        return train(trainable, works, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_train", out_of_memory)
        code, said = run_sweep(copied, *RATES)
    assert code == 1
    assert chunks == [3, 1, 2, 1, 1]
    assert said.splitlines()[-1].startswith("error: bp-0 failed (MemoryError: no room); 1 tasks that need it were not")
    missing = [row for row in finished.table if row["member"] == "1"]
    assert Found(copied, *RATES).table == [row for row in finished.table if row not in missing]
    assert run_sweep(copied, *RATES) == (0, "")
    assert (copied / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()


def test_a_sweep_stopped_between_two_tasks_keeps_those_that_are_done(finished, tmp_path, monkeypatch, no_figure):
    stored = []

    def store(ledger, task, outcome, seconds):
        if len(stored) == 2:
            raise KeyboardInterrupt
        stored.append(task.name)
        original(ledger, task, outcome, seconds)

    original = sweeping.SharedLedger.store
    with monkeypatch.context() as patch:
        patch.setattr(sweeping.SharedLedger, "store", store)
        assert run_sweep(tmp_path / "sweep", *RATES)[0] == 130
    before = stamps(tmp_path / "sweep")
    assert len(before) == 2 * 2
    assert run_sweep(tmp_path / "sweep", *RATES)[0] == 0
    assert before.items() <= stamps(tmp_path / "sweep").items()
    assert (tmp_path / "sweep" / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()


# Memory.


def test_members_that_do_not_fit_at_once_are_trained_in_chunks_to_the_same_table(
    finished, tmp_path, monkeypatch, no_figure
):
    needed, chunks, train = [], [], trainer._train
    fit = population.members_that_fit

    def members_that_fit(needs, budget, mesh, together):
        needed.append(needs)
        return fit(needs, needs.shared + 2 * needs.resident + needs.scratch, mesh, together)

    def counted(trainable, works, *arguments):
        chunks.append(len(works))
        return train(trainable, works, *arguments)

    monkeypatch.setattr(population, "members_that_fit", members_that_fit)
    monkeypatch.setattr(trainer, "_train", counted)
    assert run_sweep(tmp_path, *RATES) == (0, "")
    assert chunks == [2, 1]
    assert "at most 2 at a time" in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "sweep.csv").read_bytes() == (finished.directory / "sweep.csv").read_bytes()
    images = 1500 * 64 * 4
    weights = 4 * (64 * 12 + 12 * 10)
    assert all(needs.shared >= images for needs in needed)
    starting, training = needed
    assert starting.resident >= 3 * weights
    assert training.resident >= 2 * 3 * weights, "weights and Adam's moments, before and after"


@pytest.mark.parametrize("model", ["kh", "bp"])
def test_a_budget_that_no_member_fits_is_refused_before_any_training(model, tmp_path):
    code, said = run_sweep(tmp_path, "--models", model, "--grid", "hidden=12,13", "--memory-gib", "1e-4")
    assert code == 2
    assert re.fullmatch(r"error: one member needs [0-9.]+ GiB and the budget is 0.00 GiB a device: .*\n", said)
    assert not stamps(tmp_path)
