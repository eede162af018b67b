"""Question 2: its data, its verdicts on numbers that are known, and one small run."""

import numpy as np
import pytest
from figure_cases import built_but_not_printed
from question_cases import answer

from experiments.images import Images
from experiments.questions import command as questions
from experiments.questions.dimension import claims
from experiments.questions.dimension.sets import sets_of
from experiments.report import figures as drawing
from experiments.report.claims import Verdict
from experiments.results.schema import read_results
from experiments.settings.paths import with_settings
from experiments.settings.questions import QUESTION_PRESETS, DimensionSettings
from jax_bioadv import data

HOLDS, FAILS, OPEN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
LITTLE = ("--dimension.dimensions", "2", "--dimension.directions", "8", "--dimension.models", "kh,random")
LITTLE += ("--dimension.train-images", "300", "--dimension.test-images", "150", "--dimension.points", "100")
LITTLE += ("--dimension.hidden", "40", "--decoder.epochs", "1", "--layer.epochs", "1")


def made_up(rule=1.5, control=1.0, found=1.0, kept=1.0, cut=1.0, data=1.0, law=lambda d: 1 + 3 / d):
    """Exponents and dimensions as multiples of those of the data, whose exponent is the law's, but for a factor."""

    def model(alpha, size):
        seeds = [alpha * one for one in (0.99, 1.0, 1.01)]
        return {"preactivation": {"alpha": seeds, "two_nearest": [size] * 3}}

    sets = {}
    for dimension in (1, 2, 4, 8, 16, 32):
        alpha, two = law(dimension), dimension * (found if dimension <= 8 else 0.5)
        models = {"kh": model(rule * alpha, kept * two), "bp": model(control * alpha, two)}
        own = {"alpha": [data * alpha], "two_nearest": [two]}
        sets[f"manifold {dimension}"] = {"dimension": dimension, "data": own, "models": models}
    whole, some = model(3.0, 20), model(2.0 * cut, 20) | {"alpha_of_whole": [2.0] * 3}
    sets["images"] = {"dimension": None, "data": {}, "models": {"kh": whole}}
    sets["images 32"] = {"dimension": 32, "data": {}, "models": {"kh": some}}
    return {"seeds": [0, 1, 2], "sets": sets}


@pytest.mark.parametrize(
    ("judge", "given", "verdict"),
    [
        (claims.dimension_is_found, {}, HOLDS),
        (claims.dimension_is_found, {"found": 0.5}, FAILS),
        (claims.dimension_is_found, {"found": 0.75}, OPEN),
        (claims.exponent_falls, {}, HOLDS),
        (claims.exponent_falls, {"law": lambda d: 4 - 3 / d}, FAILS),
        (claims.exponent_falls, {"law": lambda d: 1 + abs(np.log2(d / 5))}, OPEN),
        (claims.above_the_bound, {}, HOLDS),
        (claims.above_the_bound, {"rule": 0.5}, FAILS),
        (claims.above_the_bound, {"rule": 0.5, "data": 0.7}, OPEN),
        (claims.above_the_bound, {"data": 1.3}, OPEN),
        (claims.others_above_the_bound, {}, HOLDS),
        (claims.others_above_the_bound, {"control": 0.5}, FAILS),
        (claims.steeper_than_data, {}, HOLDS),
        (claims.steeper_than_data, {"rule": 1.0}, FAILS),
        (claims.steeper_than_controls, {}, HOLDS),
        (claims.steeper_than_controls, {"control": 2.0}, FAILS),
        (claims.steeper_than_controls, {"control": 1.45}, OPEN),
        (claims.dimension_is_kept, {}, HOLDS),
        (claims.dimension_is_kept, {"kept": 0.5}, FAILS),
        (claims.cut_leaves_the_exponent, {}, HOLDS),
        (claims.cut_leaves_the_exponent, {"cut": 0.5}, FAILS),
    ],
)
def test_verdicts(judge, given, verdict):
    assert judge(made_up(**given)).verdict is verdict


@pytest.mark.parametrize("claim", questions.QUESTIONS[2].claims, ids=lambda claim: claim.name)
def test_of_nothing_nothing_is_said(claim):
    assert claim.judge({"seeds": [0], "sets": {}}).verdict is OPEN


@pytest.fixture(scope="module")
def sets():
    chosen = DimensionSettings(dimensions=(2,), directions=(5,), train_images=200, test_images=60)
    return sets_of(chosen, Images(data.load("digits"), 3.0))


def test_every_set_is_of_norm_1_or_nearly(sets):
    assert list(sets) == ["manifold 2", "noise", "images 5", "images"]
    for name, one in sets.items():
        assert one.train.shape == (200, 64)
        assert one.test.shape == (60, 64)
        norms = np.linalg.norm(one.test, 3, axis=1)
        np.testing.assert_allclose(norms, 1.0, rtol=0.5 if name == "images 5" else 1e-5)
    assert len({one.identity["sha256"][0] for one in sets.values()}) == 1
    assert len({str(one.identity) for one in sets.values()}) == 4


def test_restricted_images_have_so_many_directions(sets):
    for name, rank in (("images 5", 5), ("images", 60)):
        values = np.linalg.svd(np.asarray(sets[name].train) - np.asarray(sets[name].train).mean(axis=0))[1]
        assert (values > 1e-4 * values[0]).sum() == pytest.approx(rank, abs=4 * (rank > 5))


def test_a_run_ends_in_a_page(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing.figures, "save_figure", built_but_not_printed)
    code, said = answer("2", tmp_path, *LITTLE)
    assert code == 0, said
    results = read_results(tmp_path / "2")
    assert list(results["sets"]) == ["manifold 2", "noise", "images 8", "images"]
    for entry in results["sets"].values():
        assert np.isfinite(entry["data"]["two_nearest"]).all()
        for model in entry["models"].values():
            assert np.isfinite(model["activation"]["participation_ratio"]).all()
    for model in results["sets"]["images 8"]["models"].values():
        own, window_alone = model["preactivation"]["alpha"], model["alpha_of_whole"]
        assert [one is None for one in own] == [one is None for one in window_alone]
    page = (tmp_path / "2" / "report.html").read_text()
    assert all(f'id="claim-{claim.name}"' in page for claim in questions.QUESTIONS[2].claims)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dimension.models": "kh,absent"}, "'absent' cannot be trained there"),
        ({"dimension.points": 10_000, "dimension.test_images": 100}, "points exceeds"),
    ],
)
def test_what_cannot_work_is_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        with_settings(QUESTION_PRESETS["smoke"], changed).check_values()


@pytest.mark.parametrize(
    ("changed", "message"),
    [({"dimension.train_images": 10_000}, "digits has 1500"), ({"dimension.directions": (64,)}, "below the number of")],
)
def test_data_that_are_too_few_are_refused(changed, message):
    settings = with_settings(QUESTION_PRESETS["smoke"], changed)
    with pytest.raises(ValueError, match=message):
        questions.QUESTIONS[2].plan(settings, Images(data.load("digits"), settings.norm))
