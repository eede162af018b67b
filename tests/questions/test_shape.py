"""Question 3 at its smallest: the networks that it trains, what it measures of them, and its page."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
from figure_cases import built_but_not_printed
from question_cases import answer

from experiments.engine.populations import Devices, program_of
from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.questions import command as questions
from experiments.questions.shape import partial
from experiments.questions.shape.plan import ShapePlan
from experiments.report import figures as drawing
from experiments.results.figure_arrays import FILE
from experiments.results.schema import read_results
from experiments.settings.questions import QUESTION_PRESETS
from experiments.training.networks import SHAPED as SHAPED_NETWORK
from jax_bioadv import data
from jax_bioadv.analysis.partial_ranks import partial_rank_correlation
from jax_bioadv.sharding import make_mesh
from jax_bioadv.storage import read_arrays

LITTLE = (
    *("--shape.compared", "kh,bp", "--shape.strengths", "strong", "--shape.backprop.epochs", "1"),
    *("--attacks.images", "10", "--threats.images", "15", "--smoothness.images", "5", "--threats.queries", "2"),
    *("--decoder.epochs", "1", "--layer.epochs", "1", "--shape.spectral.constant-epochs", "1"),
)
MODELS = (
    *("kh", "bp", "unshaped", "law_images_strong", "law_noise_strong", "law_both_strong", "rule_spectra_strong"),
    *("bp_as_law_both_strong", "kh_rotated"),
)


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing.figures, "save_figure", built_but_not_printed)
        patch.setattr(partial, "partial_rank_correlation", functools.partial(partial_rank_correlation, resamples=20))
        code, said = answer("3", folder, *LITTLE)
    assert code == 0, said
    return folder / "3", said


def test_it_ends_in_a_page_with_every_verdict_and_figure(answered):
    folder, said = answered
    results, page = read_results(folder), (folder / "report.html").read_text()
    assert tuple(results["models"]) == MODELS
    for claim in questions.QUESTIONS[3].claims:
        assert f'id="claim-{claim.name}"' in page
        assert claim.title in said
    for name in questions.QUESTIONS[3].captions:
        assert (folder / "figures" / f"{name}.png").is_file()
    measured = {attack for pair in results["comparisons"] for attack in [pair["attack"]]}
    assert measured == {"pgd", "minimum_norm"}
    assert all(entry["robust_accuracy"]["unit_l2"]["worst_case"] != [None] for entry in results["models"].values())
    assert {one["kinds"] for one in results["partial"]} == {len(MODELS)}


def test_the_rotated_layer_has_every_spectrum_of_the_rules(answered):
    models = read_results(answered[0])["models"]
    for key in ("measured", "images", "layer", "missing", "gain"):
        assert models["kh_rotated"]["alignment"][key] == pytest.approx(models["kh"]["alignment"][key], rel=1e-4)
    with np.load(answered[0] / FILE) as arrays:
        own, rotated = (arrays[f"spectrum/{model}/layer"] for model in ("kh", "kh_rotated"))
        np.testing.assert_allclose(rotated[:, :20], own[:, :20], rtol=1e-3)  # figures have 12 binary digits
    kernels = [read_arrays(answered[0] / "models" / f"{name}-0.npz") for name in ("kh", "kh_rotated")]
    first, other = (one["weights/encoder/kernel"] for one in kernels)
    assert np.linalg.norm(first - other) > np.linalg.norm(first)
    assert np.linalg.norm(other) == pytest.approx(np.linalg.norm(first), rel=1e-5)


def test_every_network_is_told_what_it_is_to_have(answered):
    models = read_results(answered[0])["models"]
    exponents = models["kh"]["alignment"]
    assert models["rule_spectra_strong"]["target"] == {"images": exponents["images"], "noise": exponents["layer"]}
    assert models["law_both_strong"]["target"] == {"images": [1.0], "noise": [1.0]}
    assert models["law_noise_strong"]["target"] == {"noise": [1.0]}
    assert models["kh"]["target"] == models["unshaped"]["target"] == {}


def test_a_penalty_brings_the_exponents_nearer_than_without_one(answered):
    models = read_results(answered[0])["models"]
    found = {name: models[name]["alignment"]["layer"][0] for name in MODELS}
    assert abs(found["law_noise_strong"] - 1) < abs(found["unshaped"] - 1) / 2


def test_another_weight_trains_the_networks_of_that_weight_alone():
    images = Images(data.load("digits"), 3.0)

    def trainings(**changed):
        settings = QUESTION_PRESETS["smoke"]
        plan = ShapePlan(dataclasses.replace(settings, shape=dataclasses.replace(settings.shape, **changed)), images)
        return {model: plan.model(model, 0).fingerprint for model in plan.models}

    before, after = trainings(), trainings(strong=20.0)
    assert {model for model in before if before[model] != after[model]} == {m for m in before if m.endswith("_strong")}


def test_one_program_trains_all_weights_of_a_kind():
    images = Images(data.load("digits"), 3.0)
    plan = ShapePlan(QUESTION_PRESETS["smoke"], images)
    kind, tasks = SHAPED_NETWORK, [plan.model(f"law_both_{strength}", 0) for strength in ("weak", "strong")]
    assert len({program_of(task, kind, kind.traced) for task in tasks}) == 1
    assert program_of(plan.model("law_noise_weak", 0), kind, kind.traced) != program_of(tasks[0], kind, kind.traced)


def test_members_that_train_side_by_side_have_each_their_own_weight_and_spectra(tmp_path):
    settings = QUESTION_PRESETS["smoke"]
    backprop = dataclasses.replace(settings.shape.backprop, epochs=1, batch_size=500)
    shape = dataclasses.replace(settings.shape, hidden=16, backprop=backprop)
    plan = ShapePlan(dataclasses.replace(settings, shape=shape), Images(data.load("digits"), 3.0))
    generator, works = np.random.default_rng(0), []
    for strength in ("weak", "strong"):
        spectra = {name: np.sort(generator.random(16))[::-1] for name in ("images", "layer")}
        task = plan.model(f"rule_spectra_{strength}", 0)
        works.append(Work(task, {"layer": Outcome({}, spectra)}, tmp_path))
    devices = Devices(make_mesh(devices=jax.local_devices()[:1]), None, 2**30)
    together = list(SHAPED_NETWORK.together(works, SHAPED_NETWORK.traced, devices))
    for one, work in zip(together, works, strict=True):
        alone = work.task.run(work, **work.task.given).arrays
        for name in ("weights/encoder/kernel", "history/penalty"):
            # Three steps of Adam, whose first moves every weight by the rate whichever way rounding points.
            np.testing.assert_allclose(one.outcome.arrays[name], alone[name], rtol=1e-2, atol=1e-3)
    penalties = [one.outcome.arrays["history/penalty"][0] for one in together]
    assert penalties[1] > 3 * penalties[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shape.compared", "kh,l2"), "shape.compared: kh, bp and others of"),
        (("--shape.compared", "kh,bp,absent"), "got kh, bp, absent"),
        (("--shape.strengths", "weak", "weak"), "shape.strengths: choose among weak, middle, strong"),
        (("--shape.strengths", "heavy"), "shape.strengths: choose among weak, middle, strong"),
        (("--shape.hidden", "12"), "shape.hidden: 12 units have too few eigenvalues"),
        (("--shape.weak", "-1"), "shape.weak must be positive"),
    ],
)
def test_what_cannot_work_is_refused_before_any_task(arguments, message, tmp_path):
    code, said = answer("3", tmp_path, *LITTLE, *arguments)
    assert code == 2
    assert message in said.splitlines()[-1]
    assert not list(tmp_path.glob("*/stages"))
