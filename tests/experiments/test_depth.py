"""The study of depth: its smoke run, held against the library; continued, drawn again, judged, and refused."""

import contextlib
import copy
import dataclasses
import io
import math
import re

import jax
import numpy as np
import pytest
from pages import check_links
from stopped_trainings import goes_on_bitwise

from experiments import depth
from experiments.depth_plan import DepthPlan, model_and_depth
from experiments.engine.ledger import Ledger
from experiments.evaluation_estimate import passes
from experiments.images import RawImages
from experiments.models import label
from experiments.networks import opened
from experiments.report import __main__ as report
from experiments.report import closing
from experiments.report.claims.depth import QUESTIONS, answers
from experiments.report.claims.verdicts import Verdict
from experiments.report.figures import Undrawn
from experiments.results.schema import read_results
from experiments.settings.depth import DEPTH_PRESETS
from experiments.settings.evaluation import in_pixels
from experiments.settings.paths import paths_of, setting, with_settings
from experiments.stacks import STACK_MODELS
from experiments.training import stacks
from jax_bioadv import data
from jax_bioadv.figures import style
from jax_bioadv.learning import readouts

MODELS = "kh,kh_noise,kh_pruned,random,bp,bp_matched"
LITTLE = (
    f"--models {MODELS} --depths 1 2 --stack.filters 3 4 5 --stack.images 300 --taps.images 60 "
    "--spectra.noise-images 60 --attacks.images 20 --threats.images 20 --masking.images 4 --smoothness.images 3 "
    "--boundaries.planes 1 --boundaries.resolution 4 --boundaries.radii 4"
).split()


def run(folder, *arguments):
    """Exit code and what was logged."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = depth.main(["--preset", "smoke", "--out", str(folder), *LITTLE, *arguments])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    code, said = run(folder)
    assert code == 0, said
    return folder


def test_every_model_stands_at_every_depth_with_its_taps(study):
    results = read_results(study)
    assert set(results["models"]) == {f"{model}-{depth}" for model in MODELS.split(",") for depth in (1, 2)}
    for name, entry in results["models"].items():
        model, at = model_and_depth(name)
        assert entry["depth"] == at
        assert (entry.get("control") is True) == STACK_MODELS[model].control
        assert [tap for tap in entry["taps"] if tap.endswith(".convolution")] == [
            f"stages.{stage}.convolution" for stage in range(at)
        ]
        assert entry["critical_l2"]["minimum_norm"]["median"]
        assert entry["robust_accuracy"]["raw_l2"]["worst_case"]
    assert {"kh-1", "kh-2"} in [{one["first"], one["second"]} for one in results["comparisons"]]
    assert results["correlations"]


def planned(*arguments):
    """The plan of the study."""
    chosen = depth.parse(["--preset", "smoke", *LITTLE, *arguments]).settings
    images = RawImages(data.load("digits"), chosen.norm)
    measured = in_pixels(chosen.measured, images.typical_norm, chosen.measured, chosen.measured)
    return DepthPlan(dataclasses.replace(chosen, measured=measured), "smoke", images)


def test_the_estimate_counts_an_adversarial_training_by_its_own_epochs_and_steps():
    little = ("--models", "bp,adversarial", "--backprop.epochs", "2", "--adversarial.epochs", "5")
    plan = planned(*little, "--adversarial.steps", "3")
    measured = len(plan.images.test)  # once through the network, for its accuracy
    plain, attacked = (passes(plan.model(f"{name}-1", 0)) - measured for name in ("bp", "adversarial"))
    assert attacked / plain == pytest.approx((5 / 2) * (1 + 3))


@pytest.mark.parametrize(("model", "module"), [("random-2", readouts), ("bp-1", stacks)])
def test_a_training_goes_on_bitwise_from_its_last_epoch(model, module, tmp_path, monkeypatch):
    """The readout's state has the random numbers of its dropout in it."""
    plan = planned("--readout.epochs", "3", "--backprop.epochs", "3")
    task = plan.model(model, 0)
    with monkeypatch.context() as patch:
        patch.setattr(stacks, "_accuracy", lambda *arguments: pytest.fail("stopped"))
        with pytest.raises(pytest.fail.Exception, match="stopped"):
            Ledger(tmp_path / "measured").complete(task)
    assert list((tmp_path / "measured" / "checkpoints").iterdir()), "they stay until the outcome is kept"
    goes_on_bitwise(task, module, 2, tmp_path, monkeypatch)
    assert not list((tmp_path / "stopped" / "checkpoints").iterdir())


def test_the_kept_network_has_the_accuracy_that_results_tell(study):
    results, plan = read_results(study), planned()
    images = plan.images
    for name in ("kh-2", "bp-1"):
        outcome = Ledger(study).find(plan.model(name, 0))
        assert outcome is not None
        logits = jax.jit(lambda logits, images: logits(images))(opened(images, outcome).logits, images.test)
        answered = np.argmax(np.asarray(logits), axis=1)
        assert results["models"][name]["test_accuracy"] == [np.mean(answered == np.asarray(images.test_labels))]


def test_a_second_run_does_nothing_and_writes_the_same(study, monkeypatch):
    monkeypatch.setattr(closing, "draw", lambda directory: Undrawn([], []))
    before = (study / "results.json").read_bytes()
    code, said = run(study)
    assert code == 0
    [(tasks, done)] = re.findall(r"(\d+) tasks, (\d+) already done", said)
    assert int(done) == int(tasks) > 10
    assert (study / "results.json").read_bytes() == before


def test_the_page_is_drawn_again_from_the_folder(study, capsys, monkeypatch):
    monkeypatch.setattr(style.FigureCanvasPdf, "print_pdf", lambda *arguments, **options: None)  # the page has none
    page = (study / "report.html").read_bytes()
    (study / "report.html").unlink()
    assert report.main([str(study)]) == 0
    assert (study / "report.html").read_bytes() == page
    assert all((study / "figures" / f"{name}.png").is_file() for name in ("accuracy", "spectra", "filters"))
    for claim in QUESTIONS:
        assert f'id="claim-{claim.name}"'.encode() in page
    check_links(page.decode())


def invented(ours, theirs, first="kh-1", second="bp_matched-1"):
    """Results in which two networks have these distances."""
    comparison = {
        "attack": "minimum_norm",
        "first": first,
        "second": second,
        "log_ratio": float(np.log(ours / theirs)),
        "log_ratio_interval": [float(np.log(ours / theirs)) - 0.01, float(np.log(ours / theirs)) + 0.01],
        "superiority": 0.9,
        "p_corrected": 0.001,
    }
    models = {
        name: {"test_accuracy": [0.5, 0.5, 0.5], "test_accuracy_interval": [[0.499, 0.501]] * 3, "depth": 1}
        for name in (first, second)
    }
    depths = sorted({int(name[-1]) for name in models})
    return {"seeds": [0, 1, 2], "depths": depths, "models": models, "comparisons": [comparison], "correlations": []}


def answered(name, results):
    return next(found for claim, found in answers(results) if claim.name == name)


def verdict_of(name, results):
    return answered(name, results).verdict


@pytest.mark.parametrize(
    ("claim", "first", "second"),
    [
        ("equal-accuracy", "kh-1", "bp_matched-1"),
        ("beats-unlearned-kh", "kh-2", "random-2"),
        ("beats-unlearned-soft-hebb", "soft_hebb-1", "pca-1"),
        ("depth-costs", "bp-1", "bp-2"),
    ],
)
@pytest.mark.parametrize(
    ("ours", "theirs", "verdict"),
    [(2.0, 1.0, Verdict.HOLDS), (1.0, 2.0, Verdict.FAILS), (1.0, 1.0, Verdict.FAILS), (1.05, 1.0, Verdict.UNDECIDED)],
)
def test_verdicts_follow_the_distances(claim, first, second, ours, theirs, verdict):
    assert verdict_of(claim, invented(ours, theirs, first, second)) is verdict


@pytest.mark.parametrize(
    ("accuracy", "units", "verdict"),
    [
        (0.5, [1, 0, 2], Verdict.HOLDS),
        (0.5, [0, 0, 0], Verdict.UNDECIDED),
        (0.3, [1, 0, 2], Verdict.UNDECIDED),
        (0.7, [1, 0, 2], Verdict.UNDECIDED),
    ],
)
def test_pruning_costs_nothing_if_filters_go_and_the_accuracy_stays(accuracy, units, verdict):
    results = invented(1.0, 1.0, "kh_noise-1", "kh_pruned-1")
    ends = [[accuracy - 0.001, accuracy + 0.001]] * 3
    pruned = {"test_accuracy": [accuracy] * 3, "test_accuracy_interval": ends, "pruned_units": units}
    results["models"]["kh_pruned-1"] |= pruned
    assert verdict_of("pruning", results) is verdict


def test_with_one_depth_nothing_is_said_of_depths():
    results = invented(2.0, 1.0)
    strong = {"attack": "minimum_norm", "measure": "margin_curvature", "spearman": -1.0, "interval": [-1.0, -0.9]}
    results["correlations"] = [{**strong, "p_corrected": 0.001, "p_at_floor": False}]
    assert verdict_of("orders-depths", results | {"depths": [1, 2]}) is Verdict.HOLDS
    assert verdict_of("orders-depths", results) is Verdict.UNDECIDED
    assert verdict_of("depth-costs", results) is Verdict.UNDECIDED


def test_without_equal_accuracy_nothing_is_compared():
    results = invented(2.0, 1.0)
    unequal = copy.deepcopy(results)
    unequal["models"]["kh-1"] |= {"test_accuracy": [0.3] * 3, "test_accuracy_interval": [[0.29, 0.31]] * 3}
    found = answered("equal-accuracy", unequal)
    assert found.verdict is Verdict.UNDECIDED
    assert "not as accurate: backprop, accuracy-matched" in found.sentence
    assert verdict_of("equal-accuracy", with_wide_accuracies(unequal)) is Verdict.UNDECIDED


def with_wide_accuracies(results):
    """The same by so few images that the accuracies are not told apart."""
    for entry in results["models"].values():
        entry["test_accuracy_interval"] = [[0.1, 0.9]] * 3
    return results


def test_a_spectrum_too_short_for_a_test_is_none_of_those_that_are_judged():
    fits = {"alpha": [1.0] * 3, "r2": [0.5] * 3, "window": [[2, 4]] * 3}
    tested = {**fits, "verdict": ["not a power law"] * 3, "exponent_change": [9.0] * 3}
    results = invented(2.0, 1.0)
    results["models"]["kh-1"]["taps"] = {"stages.0.convolution": {"positions": {"images": fits, "noise": tested}}}
    assert verdict_of("laws-images", results) is Verdict.UNDECIDED
    assert verdict_of("laws-noise", results) is Verdict.FAILS


@pytest.mark.parametrize("measure", ["margin_over_gradient", "alpha_images", "test_accuracy"])
def test_what_is_no_smoothness_orders_nothing(measure):
    results = invented(2.0, 1.0) | {"depths": [1, 2]}
    strong = {"attack": "minimum_norm", "measure": measure, "spearman": -0.99, "interval": [-1.0, -0.98]}
    results["correlations"] = [{**strong, "p_corrected": 0.001, "p_at_floor": False}]
    assert verdict_of("orders-depths", results) is Verdict.UNDECIDED


def test_rough_networks_that_are_robust_are_not_ordered_by_smoothness():
    results = invented(2.0, 1.0) | {"depths": [1, 2]}
    wrong = {"attack": "minimum_norm", "measure": "margin_curvature", "spearman": 0.99, "interval": [0.98, 1.0]}
    results["correlations"] = [{**wrong, "p_corrected": 0.001, "p_at_floor": False}]
    assert verdict_of("orders-depths", results) is Verdict.UNDECIDED


def test_models_are_called_by_label_and_depth():
    assert label("kh-2") == "Krotov–Hopfield, depth 2"
    assert label("soft_hebb") == "SoftHebb"


def is_number(value):
    return isinstance(value[0] if isinstance(value, tuple) else value, int | float)


def checked(settings, dataset):
    settings.check(dataset)
    settings.measured.of_reproduction("smoke").check_values()


SMOKE = DEPTH_PRESETS["smoke"]


@pytest.mark.parametrize("path", [path for path in paths_of(SMOKE) if is_number(setting(SMOKE, path))])
@pytest.mark.parametrize("number", [-1, math.nan])
def test_no_number_may_be_negative_or_not_finite(path, number, digits):
    chosen = with_settings(SMOKE, {path: (number,) if isinstance(setting(SMOKE, path), tuple) else number})
    with pytest.raises(ValueError, match=f"^{path.removeprefix('measured.').replace('_', '-')} must (not )?be"):
        checked(chosen, digits)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--models", "kh,nobody"), "nobody"),
        (("--models", "bp_matched"), "kh"),
        (("--depths", "4"), "4"),
        (("--seeds", "0"), "seeds"),
        (("--readout.dropout", "1"), "readout.dropout must be below 1"),
        (("--backprop.batch-size", "0"), "backprop.batch-size must be positive"),
        (("--taps.images", "0"), "taps.images must be positive"),
        (("--depths", "1", "1"), "depths must be different"),
        (("--stack.images", "10"), "fewer than a batch"),
        (("--stack.powers", "1"), "stack.powers"),
    ],
)
def test_what_cannot_work_is_refused_before_any_work(tmp_path, arguments, told):
    code, said = run(tmp_path / "run", *arguments)
    assert code == 2
    assert told in said
    assert not (tmp_path / "run" / "stages").exists()
