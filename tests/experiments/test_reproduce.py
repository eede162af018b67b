"""The whole experiment on scikit-learn's digits: what it leaves behind, also where something cannot be measured."""

import dataclasses
import json
import re

import numpy as np
import pytest
from contract import Contract, read_results

from experiments.attacks import ATTACKS, PUBLISHED_NOISE
from experiments.engine import command, provenance
from experiments.measuring import attacks as measuring
from experiments.models import PAPER_MODELS
from experiments.plan import STAGES
from experiments.report.summary import in_short
from experiments.settings.presets import PRESETS
from experiments.training import trainer
from experiments.training.trainer import loss_settled
from jax_bioadv.data import unit_norm
from jax_bioadv.learning.training import DivergenceError

FIGURES = {*(f"figure{number}" for number in range(1, 10)), "figureA1", "figureA2", "training_curves"}
SMOKE = PRESETS["smoke"]
EVERY_ATTACK = (*ATTACKS, PUBLISHED_NOISE)
# What float32 matrix products of up to a few hundred terms may be off by, relative to the result's size.
ROUNDING = 1e-5


def without_seconds(results):
    return {**results, "stages": list(results["stages"])}


def without(content, keys):
    return {key: value for key, value in content.items() if key not in keys}


def test_the_contract_can_be_broken(smoke):
    results = read_results(smoke.directory)
    model = results["models"]["bp"]
    for part, key, wrong in (
        (results, "schema", 2),
        (results, "seeds", [0, 1]),
        (model, "test_accuracy", [1.5]),
        (model, "test_accuracy", []),
        (model, "test_accuracy", [None]),
        (model, "converged", [1]),
        (model, "n_attacked", [41]),
        (model["spectrum"]["images"], "alpha", [-1.0]),
        (model["spectrum"]["noise"], "window", [[11, 101]]),
        (model["critical_l2"]["pgd"], "median", [None]),
        (model["robust_accuracy"]["raw_l2"], "worst_case", [1.0]),
        (model["certified_l2"], "violations", [1]),
        (results["comparisons"][0], "superiority", 1.1),
        (model["relative_accuracy"]["fgsm"], "accuracy", [[0.5]]),
        (results["models"], "bp", None),
    ):
        right = part[key]
        part[key] = wrong
        with pytest.raises((AssertionError, TypeError)):
            Contract(results, SMOKE).check()
        part[key] = right
    Contract(results, SMOKE).check()


# What a run leaves behind.


def test_the_run_ends_well_and_keeps_the_contract(smoke):
    assert smoke.code == 0
    results = read_results(smoke.directory)
    Contract(results, SMOKE).check()
    assert set(results["models"]) == set(PAPER_MODELS)
    assert set(results["stages"]) == set(STAGES)
    assert results["changed_settings"] == []
    for stage in results["stages"].values():
        made_by = {**provenance.influences(), "jax-bioadv": provenance.own_version(), "precision": "highest"}
        assert {name: value for name, value in stage["made_by"].items() if name != "code"} == made_by
        assert re.fullmatch("[0-9a-f]{64}", stage["made_by"]["code"])
    assert not any("made by different" in note for note in results["notes"])


def test_nothing_is_missing_in_a_run_in_which_nothing_diverged(smoke):
    def nulls(content):
        if isinstance(content, dict):
            # Of one seed, what no images stand behind has no interval.
            return sum(nulls(value) for key, value in content.items() if not key.endswith("_overall"))
        return sum(map(nulls, content)) if isinstance(content, list) else content is None

    results = read_results(smoke.directory)
    for model in results["models"].values():
        assert not nulls({key: model[key] for key in ("test_accuracy", "n_attacked", "converged", "jacobian_norm")})
        assert not nulls(model["spectrum"])
    assert not nulls(results["baselines"])


def test_without_a_terminal_it_says_what_it_does_and_what_it_found_and_the_log_has_every_task(smoke):
    assert smoke.output == ""
    done = list((smoke.directory / "stages").iterdir())
    summary = in_short(read_results(smoke.directory), smoke.directory / "report.html")
    assert smoke.errors.endswith(f"\n{summary}\n")
    first, second, *progress = smoke.errors.removesuffix(f"{summary}\n").splitlines()
    assert first == f"smoke on digits: {len(done)} tasks, 0 already done"
    assert re.fullmatch(r"it will take about \d+ (s|min) on .+", second)
    for line in progress:
        assert re.fullmatch(r"\w+: \d+ of \d+ tasks( \(.+\))?, \d+ (s|min) spent, about \d+ (s|min) left", line)
    assert "it/s" not in smoke.log
    assert smoke.log.count(" experiments.tasks INFO ") == len(done)
    assert smoke.log.count(" experiments INFO ") == 3, "what there is to do, how long it will take, what was found"
    assert "WARNING" not in smoke.log


def test_every_figure_is_there_as_png_and_as_pdf(smoke):
    folder = smoke.directory / "figures"
    assert {path.name for path in folder.iterdir()} == {f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf")}
    for name in FIGURES:
        assert (folder / f"{name}.png").read_bytes().startswith(b"\x89PNG\r\n")
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF-")


def test_the_report_needs_nothing_from_outside(smoke):
    page = (smoke.directory / "report.html").read_text()
    assert page.count('src="data:image/png;base64,') == len(FIGURES)
    page = re.sub('src="data:image/png;base64,[^"]*"', "", page)
    for fetched in ("src=", "srcset", "<link", "<script", "<iframe", "<object", "@import", "url(", "file:"):
        assert fetched not in page, fetched
    assert "not available" not in page.split('id="deviations"')[0].split('id="measurements"')[1]


def test_nothing_unfinished_is_left(smoke):
    names = {path.name for path in smoke.directory.iterdir()}
    assert names == {
        ".lock",
        "log.txt",
        "results.json",
        "report.html",
        "figures",
        "figures.npz",
        "models",
        "arrays",
        "stages",
    }
    assert not [path for path in smoke.directory.rglob("*") if path.name.startswith(".") and path.name != ".lock"]
    records = {path.stem: json.loads(path.read_text()) for path in (smoke.directory / "stages").iterdir()}
    with_arrays = {name for name, record in records.items() if record["arrays"]}
    assert set(records) == with_arrays
    assert with_arrays == {
        path.stem for folder in ("models", "arrays") for path in (smoke.directory / folder).iterdir()
    }


# Several seeds, members that diverge, and what cannot be measured.


def test_one_diverged_member_of_two_seeds_is_null_and_leaves_the_others(
    copied, run_smoke, smoke, monkeypatch, unprinted
):
    train = trainer._train

    def diverging(trainable, works, *arguments):
        if works[0].name == "bp-1":
            raise DivergenceError(2, "loss is nan", "Lower the learning rate.")
        return train(trainable, works, *arguments)

    monkeypatch.setattr(trainer, "_train", diverging)
    run = run_smoke(copied, "--models", "bp,l2", "--seeds", "2")
    assert run.code == 0
    results, alone = read_results(copied), read_results(smoke.directory)
    Contract(results, dataclasses.replace(SMOKE, models="bp,l2", seeds=2)).check()
    bp, l2 = results["models"]["bp"], results["models"]["l2"]
    assert bp["test_accuracy"] == [*alone["models"]["bp"]["test_accuracy"], None]
    assert bp["critical_l2"]["pgd"]["median"][1] is bp["spectrum"]["noise"]["alpha"][1] is None
    assert (
        bp["relative_accuracy"]["fgsm"]["accuracy"][0]
        == alone["models"]["bp"]["relative_accuracy"]["fgsm"]["accuracy"][0]
    )
    assert l2["test_accuracy"][0] == alone["models"]["l2"]["test_accuracy"][0]
    assert l2["test_accuracy"][1] > 0.5
    assert l2["jacobian_norm"]["activation"][0] != l2["jacobian_norm"]["activation"][1], "seeds differ"
    [note] = [note for note in results["notes"] if "diverged" in note]
    assert note.startswith("bp-1: training diverged in epoch 2: loss is nan")
    assert "bp-1: training diverged in epoch 2" in (copied / "report.html").read_text()
    assert {path.stem for path in (copied / "figures").iterdir()} == FIGURES


def test_what_few_classes_cannot_have_is_left_out_and_told_before_the_training(
    tmp_path, run_smoke, digits, monkeypatch, no_figures
):
    classes = 2

    def of_few(images, labels):
        chosen = labels < classes
        return images[chosen], labels[chosen]

    train_images, train_labels = of_few(digits.train_images, digits.train_labels)
    test_images, test_labels = of_few(digits.test_images, digits.test_labels)
    dataset = dataclasses.replace(
        digits,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=digits.class_names[:classes],
    )
    monkeypatch.setattr(command, "load_images", lambda place, name: dataset)
    # With one power for both, they share programs.
    few = ("--backprop.epochs", "2", "--decoder.epochs", "2", "--decoder.power", "1")
    run = run_smoke(tmp_path, "--models", "kh,bp", *few)
    assert run.code == 0, run.errors
    results = read_results(tmp_path)
    left_out = ["apgd_dlr", "apgd_targeted"]
    assert [note.split()[0] for note in results["notes"] if "is left out of the attacks" in note] == left_out
    attacked = set(results["models"]["bp"]["robust_accuracy"]["raw_l2"]["attacks"])
    assert attacked == {"apgd_ce", "apgd_dlr", "apgd_targeted", "square", "minimum_norm", "transfer"} - set(left_out)
    assert all(results["models"][model]["masking"]["verdict"] != [None] for model in ("kh", "bp"))
    first_told = run.log.index("is left out of the attacks")
    assert first_told < run.log.index("kh-0 ")
    assert (tmp_path / "report.html").exists()


def test_if_everything_diverges_the_report_says_so(tmp_path, run_smoke, unprinted):
    rates = [f"--{group}.learning-rate{s}" for group, s in (("layer", ""), ("noise-start", ""), ("backprop", "s"))]
    run = run_smoke(tmp_path, "--models", "kh,bp", *(word for rate in rates for word in (rate, "1e30")))
    assert run.code == 0
    results = read_results(tmp_path)
    for model in results["models"].values():
        assert model["test_accuracy"] == model["converged"] == model["n_attacked"] == [None]
    diverged = {note.split(":")[0] for note in results["notes"] if "training diverged" in note}
    assert diverged == {"layer-0", "noise-start-layer-0", "bp-0"}
    undrawn = {note.split()[0] for note in results["notes"] if "was not drawn" in note}
    assert undrawn == FIGURES - {"figure2"}, "figure 2 has the data and the untrained network"
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == {"figure2"}
    page = (tmp_path / "report.html").read_text()
    assert all(f"{name}: training diverged" in page for name in diverged)
    assert not (tmp_path / "models").exists()


def test_what_cannot_be_measured_is_null_and_told(copied, run_smoke, monkeypatch, unprinted):
    """A window beyond the layer's last eigenvalue, and models that classify no image correctly."""
    monkeypatch.setattr(measuring.robustness, "correctly_classified", lambda *arguments: np.empty(0, int))
    run = run_smoke(copied, "--models", "kh,bp", "--spectra.first", "47", "--attacks.images", "30")
    assert run.code == 0
    results = read_results(copied)
    spectra, attacks = dataclasses.replace(SMOKE.spectra, first=47), dataclasses.replace(SMOKE.attacks, images=30)
    Contract(results, dataclasses.replace(SMOKE, models="kh,bp", spectra=spectra, attacks=attacks)).check()
    for name in ("kh", "bp"):
        model = results["models"][name]
        assert model["spectrum"]["noise"]["alpha"] == [None]
        assert model["n_attacked"] == [0]
        assert model["critical_linf"]["fgsm"]["censored"] == model["relative_accuracy"]["pgd"]["accuracy"] == [None]
        assert any(note.startswith(f"spectrum of {name} on noise, seed 0: no power law") for note in results["notes"])
        assert f"{name}, seed 0: no test image is classified correctly, so none was attacked" in results["notes"]
    assert results["baselines"]["data"]["spectrum"]["noise"]["alpha"] != [None], "64 eigenvalues reach further"
    undrawn = {note.split()[0] for note in results["notes"] if "was not drawn" in note}
    assert undrawn == {"figure1", "figure5", "figure8", "figureA2"}
    assert {path.stem for path in (copied / "figures").iterdir()} == FIGURES - undrawn
    assert "no test image is classified correctly" in (copied / "report.html").read_text()


# The control, pruning, and when a training counts as converged.


def test_the_control_is_the_hybrid_on_rows_that_never_learnt(tmp_path, run_smoke, digits, no_figures):
    stages = ("--stages", "train", "--decoder.epochs", "3")
    run = run_smoke(tmp_path / "run", "--models", "kh_start", "--pruning.method", "none", *stages)
    assert run.code == 0
    control = read_results(run.directory)["models"]["kh_start"]
    assert control["control"] is True
    assert control["pruned_units"] == [0]
    with np.load(run.directory / "models" / "kh_start-0.npz") as weights:
        rows = np.sqrt(weights["weights/encoder/kernel"].T)  # V = W|W| of images, which are not negative
    images = unit_norm(digits.train_images)
    nearest = np.abs(rows[:, None] - images[None]).max(axis=2).min(axis=1)
    # Squared and rooted again in float32, pixels up to 1.
    assert nearest.max() < 1e-6


def test_pruning_that_leaves_nothing_is_refused_with_advice(tmp_path, run_smoke, no_figures):
    options = ("--pruning.method", "threshold", "--pruning.threshold", "1e-9", "--layer.epochs", "1")
    run = run_smoke(tmp_path / "run", "--models", "kh", "--stages", "train", *options)
    assert run.code == 1
    assert "kh-0 failed (ValueError: pruning.threshold = 1e-09 removes every unit: raise it" in run.errors


def test_stages_run_alone_leave_the_checkpoints_of_others(copied, run_smoke, no_figures):
    unfinished = copied / "checkpoints" / "bp-0-unfinished"
    unfinished.mkdir(parents=True)
    run_smoke(copied, "--backprop.epochs", "7", "--stages", "layer")
    assert unfinished.is_dir()


@pytest.mark.parametrize(
    ("loss", "settled"),
    [
        (np.full(20, 2.0), True),
        (np.linspace(2.0, 1.0, 20), False),
        (np.linspace(1.0, 2.0, 20), False),
        (np.concatenate([np.linspace(3.0, 2.0, 10), np.full(10, 2.0)]), True),
        (np.full(3, 2.0), False),
    ],
)
def test_a_loss_has_settled_when_it_neither_falls_nor_rises(loss, settled):
    assert loss_settled(loss) is settled
