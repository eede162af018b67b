"""What the next run of the same command does: after a task that failed, and under other versions of packages."""

import json

from contract import read_results

from experiments.engine import provenance
from experiments.training import trainer

# Two trainings and the layer that one of them builds on, as short as they can be.
LITTLE = [
    *("--stages", "layer,train", "--models", "kh,bp", "--pruning.method", "none"),
    *("--layer.epochs", "1", "--noise-start.epochs", "1", "--decoder.epochs", "1", "--backprop.epochs", "1"),
]
KH, OTHERS = {"layer-0", "kh-0"}, {"bp-0", "noise-start-layer-0", "noise-start-whole-0", "noise-start-pruned-0"}


def done_in(directory):
    return {path.stem for path in (directory / "stages").iterdir()}


def test_a_task_that_fails_takes_those_that_need_it_along_and_no_other(tmp_path, run_smoke, monkeypatch, no_figures):
    train = trainer._train

    def out_of_memory(trainable, works, *arguments):
        if works[0].name == "layer-0":
            raise MemoryError("no room for layer-0\nand a second line")
        return train(trainable, works, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "_train", out_of_memory)
        run = run_smoke(tmp_path, *LITTLE)
    assert run.code == 1
    assert done_in(tmp_path) == OTHERS
    assert "layer-0 FAILED, what does not need it goes on: MemoryError: no room for layer-0\n" in run.errors
    last = run.errors.splitlines()[-1]
    assert last == (
        "error: layer-0 failed (MemoryError: no room for layer-0); 1 tasks that need it were not run. "
        f"The tracebacks are in {tmp_path / 'log.txt'}; the same command tries again."
    )
    assert "Traceback" in run.log
    assert "Traceback" not in run.errors
    results = read_results(tmp_path)
    assert results["models"]["kh"]["test_accuracy"] == [None]
    assert results["models"]["bp"]["test_accuracy"] != [None]
    assert any(note.startswith("layer-0 failed (MemoryError") for note in results["notes"])

    again = run_smoke(tmp_path, *LITTLE)
    assert again.code == 0
    assert f"{len(KH | OTHERS)} tasks, {len(OTHERS)} already done\n" in again.errors
    assert done_in(tmp_path) == KH | OTHERS
    results = read_results(tmp_path)
    assert results["models"]["kh"]["test_accuracy"] != [None]
    assert not any("failed" in note for note in results["notes"])


def test_under_another_version_of_a_package_everything_runs_again_and_the_run_says_why(
    tmp_path, run_smoke, monkeypatch, no_figures
):
    count, known = len(KH | OTHERS), provenance.influences()
    first = run_smoke(tmp_path, *LITTLE)
    assert (first.code, "run again" in first.errors) == (0, False)
    accuracy = read_results(tmp_path)["models"]["bp"]["test_accuracy"]

    with monkeypatch.context() as patch:
        patch.setattr(provenance, "influences", lambda: {**known, "optax": "99.0", "flax": "98.0"})
        other = run_smoke(tmp_path, *LITTLE)
    assert other.code == 0
    assert f"{count} tasks, 0 already done\n" in other.errors
    said = f"0 found again among earlier outcomes; {count} run again: {count} because of another flax and optax\n"
    assert said in other.errors
    made_by = read_results(tmp_path)["stages"]["train"]["made_by"]
    assert (made_by["optax"], made_by["jax"]) == ("99.0", known["jax"])

    back = run_smoke(tmp_path, *LITTLE)
    assert (
        f"{count} tasks, {count} already done\n{count} found again among earlier outcomes; 0 run again\n" in back.errors
    )
    assert read_results(tmp_path)["models"]["bp"]["test_accuracy"] == accuracy


def test_a_new_version_of_this_package_alone_runs_nothing_again(tmp_path, run_smoke, monkeypatch, no_figures):
    """Its code has a digest of its own."""
    little = ["--stages", "layer", "--models", "bp", "--noise-start.epochs", "1"]
    run_smoke(tmp_path, *little)
    record = json.loads((tmp_path / "stages" / "noise-start-layer-0.json").read_text())
    monkeypatch.setattr(provenance, "own_version", lambda: "99.0")
    again = run_smoke(tmp_path, *little)
    assert "1 tasks, 1 already done\n" in again.errors
    assert json.loads((tmp_path / "stages" / "noise-start-layer-0.json").read_text()) == record
