"""Going on: after an end, a change, and kills, a run does what is missing and ends in the same bits."""

import contextlib
import dataclasses
import signal
import subprocess
import sys
from functools import partial

from contract import Contract, read_results

from experiments.measuring import attacks
from experiments.models import PAPER_MODELS
from experiments.report.summary import in_short
from experiments.settings.presets import PRESETS
from experiments.training import trainer
from jax_bioadv import population

SMOKE = PRESETS["smoke"]


def without_seconds(results):
    return {**results, "stages": list(results["stages"])}


def without(content, keys):
    return {key: value for key, value in content.items() if key not in keys}


def stamps(directory):
    return {
        path: path.stat().st_mtime_ns
        for name in ("stages", "arrays", "models")
        for path in (directory / name).iterdir()
    }


UNDRAWN = """
import sys
from experiments import reproduce
from experiments.report import closing

closing.drawing.draw_all = lambda directory: closing.drawing.Undrawn([], [])
sys.exit(reproduce.main(sys.argv[1:]))
"""


def test_the_same_command_again_runs_nothing_and_finds_the_same(copied):
    """As a user starts it: from the shell, without a terminal.

    What the figures are drawn from is the same; that they are then, in another process, is in test_redrawn.py.
    """
    before = stamps(copied)
    files = {copied / name: (copied / name).read_bytes() for name in ("results.json", "figures.npz", "report.html")}
    words = [sys.executable, "-c", UNDRAWN, "--preset", "smoke", "--out", str(copied)]
    ended = subprocess.run(words, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
    count = len(list((copied / "stages").iterdir()))
    found = in_short(read_results(copied), copied / "report.html")
    assert ended.stdout == ""
    assert ended.stderr == f"smoke on digits: {count} tasks, {count} already done\n{found}\n"
    assert stamps(copied) == before
    assert {path: path.read_bytes() for path in files} == files


def test_a_changed_setting_runs_again_what_depends_on_it(copied, run_smoke, no_figures):
    before = stamps(copied)
    run = run_smoke(copied, "--landscape.resolution", "10")
    assert run.code == 0
    changed = {path.stem for path, stamp in stamps(copied).items() if stamp != before[path]}
    assert changed == {f"landscape-{model}" for model in PAPER_MODELS}
    assert "5 run again: 5 because of settings landscape.resolution" in run.log
    results = read_results(copied)
    assert results["changed_settings"] == ["landscape"]
    Contract(results, dataclasses.replace(SMOKE, landscape=dataclasses.replace(SMOKE.landscape, resolution=10))).check()


def test_fewer_models_are_taken_from_what_is_there(copied, run_smoke, no_figures, smoke):
    """Only what is measured between models, transfer of attacks, runs again."""
    before = stamps(copied)
    assert run_smoke(copied, "--models", "l2,kh").code == 0
    changed = {path.stem for path, stamp in stamps(copied).items() if stamp != before[path]}
    transfers = {f"transfer-{threat}-0" for threat in SMOKE.threats.names}
    assert changed == transfers | {"masking-l2-0", "masking-kh-0"}
    found, whole = read_results(copied), read_results(smoke.directory)
    assert list(found["models"]) == ["l2", "kh"]
    for model, measured in found["models"].items():
        between = ("masking", "robust_accuracy")
        assert without(measured, between) == without(whole["models"][model], between)


def test_stages_that_were_not_run_are_told(tmp_path, run_smoke, unprinted):
    run = run_smoke(tmp_path, "--stages", "layer", "--models", "bp")
    assert run.code == 0
    assert {path.stem for path in (tmp_path / "stages").iterdir()} == {"noise-start-layer-0"}
    results = read_results(tmp_path)
    Contract(results, dataclasses.replace(SMOKE, models="bp")).check()
    for stage in ("train", "spectra", "jacobian", "attacks", "landscape"):
        assert any(f"stage {stage} have not been run" in note for note in results["notes"])
    assert any(note.startswith("figure1 was not drawn") for note in results["notes"])
    assert "have not been run" in (tmp_path / "report.html").read_text()


DRIVER = """
import contextlib, functools, os, signal, sys
from experiments import reproduce
from experiments.engine import tasks
from experiments.training import trainer
from jax_bioadv import population

victim, limit, arguments = sys.argv[1], int(sys.argv[2]), sys.argv[3:]

@contextlib.contextmanager
def progress(what, total, unit):
    with tasks.progress(what, total, unit) as advance:
        done = 0
        def counted(more):
            nonlocal done
            done += more
            print(what, more, flush=True)
            if what == victim and done >= limit:
                os.kill(os.getpid(), signal.SIGKILL)
            advance(more)
        yield counted

trainer.progress = progress
population.train = functools.partial(population.train, checkpoint_seconds=0.0, check_every=2)
sys.exit(reproduce.main(arguments))
"""


def killed(directory, victim, limit):
    """Run the smoke preset with a checkpoint every two epochs, until a bar has advanced so far, and kill it there."""
    words = [sys.executable, "-c", DRIVER, victim, str(limit), "--preset", "smoke", "--out", str(directory)]
    ended = subprocess.run(words, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    return ended.stdout.splitlines()


def stopped_in_an_attack(directory, run_smoke, monkeypatch, victim):
    """Run the smoke preset in this process until that attack begins, and tell what was trained."""
    steps = []

    @contextlib.contextmanager
    def progress(what, total, unit):
        def advance(more):
            if what == victim:
                raise KeyboardInterrupt
            steps.append(f"{what} {more}")

        yield advance

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "progress", progress)
        patch.setattr(attacks, "progress", progress)
        patch.setattr(population, "train", partial(population.train, checkpoint_seconds=0.0, check_every=2))
        assert run_smoke(directory).code == 130
    return [step for step in steps if step.startswith("train")]


def test_after_kills_a_run_ends_in_the_same_bits(copied, smoke, run_smoke, no_figures, monkeypatch):
    """Killed in a layer's training and a network's, stopped in an attack; each run goes on where the last one stood."""
    missing = ("layer-0", "spectral-0", "pgd-spectral-0")
    for name in missing:
        for path in copied.rglob(f"{name}.*"):
            path.unlink()
    (copied / "results.json").unlink()

    layer_epochs, epochs = SMOKE.layer.epochs, SMOKE.backprop.epochs
    steps = killed(copied, "train layer-0", 5)
    assert steps == ["train layer-0 1"] * 5
    assert not (copied / "stages" / "layer-0.json").exists()

    steps = killed(copied, "train spectral-0", 3)
    assert steps == ["train layer-0 4", *["train layer-0 1"] * (layer_epochs - 4), *["train spectral-0 1"] * 3]
    layer_record = (copied / "stages" / "layer-0.json").read_bytes()

    trained = stopped_in_an_attack(copied, run_smoke, monkeypatch, "pgd-spectral-0")
    assert trained == ["train spectral-0 2", *["train spectral-0 1"] * (epochs - 2)]
    assert not (copied / "stages" / "pgd-spectral-0.json").exists()

    assert run_smoke(copied).code == 0
    assert (copied / "stages" / "layer-0.json").read_bytes() == layer_record
    assert without_seconds(read_results(copied)) == without_seconds(read_results(smoke.directory))
    for path in [*(smoke.directory / "arrays").iterdir(), *(smoke.directory / "models").iterdir()]:
        twin = copied / path.relative_to(smoke.directory)
        assert twin.read_bytes() == path.read_bytes(), path.name
    assert not (copied / "checkpoints").exists()
