"""Verdicts of questions 4 and 5 on networks whose laws are known."""

import numpy as np
import pytest
from mixing_cases import made_up, with_correlations

from experiments.questions.mixing import boundary, figures, front
from experiments.questions.mixing.networks import networks_of, published_one
from experiments.questions.mixing.question import BOUNDARIES, MIXING
from experiments.questions.mixing.recipes import recipes
from experiments.report.claims import Verdict
from experiments.report.numbers import number_text
from experiments.settings.questions import QUESTION_PRESETS, MixingSettings
from jax_bioadv.analysis.held_out import HeldOutGain

HOLDS, FAILS, OPEN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED


@pytest.mark.parametrize(("lift", "verdict"), [(1.0, HOLDS), (-1.0, FAILS), (0.0, OPEN)])
def test_the_rule_against_the_front(lift, verdict):
    found = front.rule_above_the_front(made_up(rule=lift))
    assert found.verdict is verdict
    assert len(found.supporting) == (6 if lift > 0 else 0)
    assert found.opposing if lift < 0 else not found.opposing


@pytest.mark.parametrize(
    ("rule", "fixed", "verdict"), [(1.0, 1.0, HOLDS), (1.0, -1.0, FAILS), (0.0, 0.0, OPEN), (-1.0, 1.0, HOLDS)]
)
def test_fixed_rows_against_the_front(rule, fixed, verdict):
    assert front.fixed_rows_do_as_well(made_up(rule=rule, fixed=fixed)).verdict is verdict


@pytest.mark.parametrize(("several", "verdict"), [(1.0, HOLDS), (0.0, OPEN), (-1.0, FAILS)])
def test_mixes_against_single_penalties(several, verdict):
    assert front.mixing_helps(made_up(several=several)).verdict is verdict


@pytest.mark.parametrize(
    ("question", "given", "holds"),
    [
        ("the spectrum", {"spectrum": 0.5}, True),
        ("the spectrum", {"smoothness": 0.5}, False),
        ("smoothness", {"smoothness": 0.5}, True),
        ("the spectrum beyond smoothness", {"spectrum": 0.5, "smoothness": 0.5}, True),
        ("smoothness beyond the spectrum", {"spectrum": 0.5}, False),
    ],
)
def test_what_predicts_robustness(question, given, holds):
    found = front.predicts(made_up(**given), question).verdict
    assert found is HOLDS if holds else found in (FAILS, OPEN)


def test_what_gains_nothing_in_many_networks_does_not_predict():
    nothing, little = (HeldOutGain(share, ends, 0.5, 90) for share, ends in ((0.0, (-0.05, 0.04)), (0.1, (0.01, 0.2))))
    assert front.enough(nothing) is False
    assert front.enough(little) is None
    assert front.enough(little._replace(interval=(0.16, 0.3))) is True


@pytest.fixture(scope="module")
def with_boundaries():
    """The length of boundaries falls with the exponent on images, and hangs on nothing else."""
    return with_correlations(made_up())


@pytest.mark.parametrize(
    ("key", "sign", "verdict"),
    [
        ("boundary_length alpha_images", -1, HOLDS),
        ("boundary_length alpha_images", 1, FAILS),
        ("boundary_length jacobian_norm", 1, OPEN),
        ("boundary_curvature alpha_images", -1, OPEN),
    ],
)
def test_what_goes_with_boundaries(with_boundaries, key, sign, verdict):
    assert boundary.goes_with(with_boundaries, key, sign).verdict is verdict


@pytest.mark.parametrize("name", ["front", "gains", "correlations", "boundaries"])
def test_figures_of_many_networks_are_drawn(with_boundaries, name):
    made = {**figures.of_mixing(with_boundaries, {}), **figures.of_boundaries(with_boundaries, {})}
    drawn = made[name]()
    drawn.draw_without_rendering()
    words = {label.get_text() for panel in drawn.axes for label in panel.get_yticklabels()}
    if name == "correlations":
        assert {"α on images", "α on images, smoothness known", "mean ‖∂a/∂x‖, spectrum known"} <= words


@pytest.mark.parametrize(
    ("keys", "verdict"),
    [
        (["boundary_length alpha_images smooth", "boundary_length alpha_noise smooth"], HOLDS),
        (["boundary_length jacobian_norm spectrum", "boundary_length loss_curvature spectrum"], OPEN),
    ],
)
def test_what_is_left_when_others_are_known(with_boundaries, keys, verdict):
    assert boundary.something_is_left(with_boundaries, keys).verdict is verdict


@pytest.mark.parametrize("claim", [*MIXING.claims, *BOUNDARIES.claims], ids=lambda claim: claim.name)
def test_of_nothing_nothing_is_said(claim):
    assert claim.judge({"seeds": [0], "networks": {}}).verdict is OPEN


def test_a_network_without_a_number_is_left_out():
    results = made_up()
    results["networks"]["mix3"]["distance"]["median"][1] = None
    results["networks"]["mix5"]["boundary_curvature"][0] = None
    found = networks_of(results)
    assert found.left_out == ["mix3", "mix5"]
    assert len(found.names) == len(results["networks"]) - 2


def test_the_paper_s_own_network_is_the_one_of_most_power_and_longest_training():
    found = networks_of(made_up())
    assert found.names[published_one(found)] == "kh-n4.5-e250"
    assert published_one(found, "bp") is None


def test_more_networks_keep_those_that_were_there():
    few, many = (
        recipes(QUESTION_PRESETS["quick"].__class__(mixing=MixingSettings(mixes=count, spectral_mixes=2)))
        for count in (5, 9)
    )
    assert len(many) == len(few) + 4
    assert [one for one in many if one.name in {each.name for each in few}] == few


def test_about_half_of_the_networks_lack_each_penalty():
    drawn = [one for one in recipes(QUESTION_PRESETS["paper"]) if one.model == "mix"]
    for path in ("l2.weight", "jacobian.weight"):
        weights = [one.changed[path] for one in drawn]
        assert 0.3 < sum(weight == 0 for weight in weights) / len(drawn) < 0.7
        low, high = getattr(MixingSettings(), path.partition(".")[0])
        assert all(0.99 * low <= weight <= 1.01 * high for weight in weights if weight)


@pytest.mark.parametrize(
    ("ratio", "half", "verdict"), [(0.5, 0.1, HOLDS), (-0.5, 0.04, FAILS), (-0.5, 0.1, OPEN), (0.05, 0.01, OPEN)]
)
def test_where_networks_were_compared_image_by_image_that_counts(ratio, half, verdict):
    """Though medians alone would say something else; below the best of many only if the choice does not make it."""
    results = made_up(rule=-5 * ratio)
    mixes = [name for name in results["networks"] if name.startswith("mix")]
    results["paired"] = {"kh-n4.5-e250": {name: [ratio, ratio - half, ratio + half] for name in mixes}}
    found = front.rule_above_the_front(results)
    assert found.verdict is verdict
    assert number_text(float(np.exp(ratio))) in found.sentence
