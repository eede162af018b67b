"""Verdicts on question 1, of made-up results: what holds, what fails, and what hangs on a tolerance or on the seeds."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.models import ROWS
from experiments.questions.deciding import within
from experiments.questions.why import adding, resting, sharing
from experiments.questions.why.question import CLAIMS
from experiments.report.claims import Verdict
from jax_bioadv.analysis.crossed import Overall

HOLDS, FAILS, OPEN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
ATTACKS = ("gaussian", "fgsm", "pgd", "minimum_norm")


def seeds(value, spread=0.002):
    return [value * (1 + spread * step) for step in (-1, 0, 1)]


def exponents(images, layer, inputs=1.3, unaligned=1.8, nearby=0.5, measured=None):
    one = {"images": images, "layer": layer, "inputs": inputs, "unaligned": unaligned, "nearby": nearby}
    one |= {"sum": layer + inputs, "missing": images - layer - inputs, "measured": measured or images}
    return {key: seeds(value) for key, value in one.items()} | {"by_chance": seeds(0.02)}


FROM_NOISE = exponents(1.0, 0.3, nearby=0.02)


def made_up():
    aligned = {"kh": (2.76, 1.4), "kh_start": (2.65, 1.3), "rows_gaussian": (2.6, 1.27), "rows_scrambled": (2.6, 1.25)}
    others = {"bp": (3.0, 0.9), "random": (1.0, 0.2), "rows_white": (1.0, 0.15), "rows_shuffled": (1.0, 0.3)}
    models = {name: {"alignment": exponents(*one)} for name, one in aligned.items()}
    models |= {name: {"alignment": exponents(*one, nearby=0.04)} for name, one in others.items()}
    for name, near in zip(others, (0.08, 0.03, 0.02, 0.01), strict=True):
        models[name]["alignment"]["nearby"] = seeds(near)
    pairs = [(model, 0.0 if model in aligned else 0.7) for model in models if model in ROWS]
    comparisons = [
        {
            "attack": attack,
            "first": "kh_start",
            "second": model,
            "log_ratio": ratio,
            "log_ratio_interval": [ratio - 0.01, ratio + 0.01],
            "superiority": 0.5,
            "p_corrected": 1e-4,
        }
        for attack in ATTACKS
        for model, ratio in pairs
    ]
    kinds = {kind: {"layer": seeds(1.4), "images": seeds(2.76)} for kind in ("trained", "predicted", "won", "linear")}
    rest = {
        "explained": seeds(0.97),
        "explained_without_push": seeds(0.8),
        "rows": [500] * 3,
        "rows_with_one": [499] * 3,
    }
    return {
        "seeds": [0, 1, 2],
        "models": models,
        "comparisons": comparisons,
        "rest": {"kh": {**rest, **kinds}},
        "courses": {
            "kh": {"epochs": [0, 15], "exponents": [exponents(2.65, 1.3), exponents(2.76, 1.4)]},
            "noise_start": {
                "epochs": [0, 40],
                "exponents": [FROM_NOISE, exponents(2.6, 1.2)],
                "converged": [True, True, True],
            },
        },
        "variants": {
            "base": exponents(2.76, 1.4),
            "delta 0": exponents(3.1, 1.7),
            "radius 2": exponents(2.76, 1.401),
        },
    }


def changed(*path_and_value):
    *path, last, value = path_and_value
    results = made_up()
    entry = results
    for key in path:
        entry = entry[key]
    entry[last] = value
    return results


def with_opposite_alignment():
    """The more directions are aligned, the more is missing."""
    results = made_up()
    for model in results["models"].values():
        model["alignment"]["nearby"] = [1 - near for near in model["alignment"]["nearby"]]
    return results


def verdict(name, results):
    [claim] = [claim for claim in CLAIMS if claim.name == name]
    found = claim.judge(results)
    assert found.sentence.endswith(".")
    return found.verdict


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.name)
def test_every_hypothesis_holds_on_results_that_are_as_expected_and_is_open_without_any(claim):
    assert claim.judge(made_up()).verdict is HOLDS
    assert claim.judge({"seeds": [0]}).verdict is OPEN


@pytest.mark.parametrize(
    ("name", "results", "expected"),
    [
        ("linear", changed("models", "bp", "alignment", exponents(3.0, 0.9, measured=2.0)), FAILS),
        ("linear", changed("models", "bp", "alignment", exponents(3.0, 0.9, measured=2.93)), OPEN),
        ("add", changed("models", "kh", "alignment", exponents(3.6, 1.4)), FAILS),
        ("add", changed("models", "kh", "alignment", exponents(3.1, 1.4)), OPEN),
        ("vectors", changed("models", "kh", "alignment", exponents(2.76, 1.4, unaligned=2.7)), FAILS),
        ("vectors", changed("models", "kh", "alignment", exponents(2.76, 1.4, unaligned=2.3)), OPEN),
        ("decides", changed("models", {m: one for m, one in made_up()["models"].items() if m in ("kh", "bp")}), OPEN),
        ("decides", with_opposite_alignment(), FAILS),
        ("course", changed("courses", "noise_start", "exponents", [exponents(2.6, 1.2), FROM_NOISE]), FAILS),
        ("course", changed("courses", "noise_start", "exponents", [exponents(2.6, 1.2)]), OPEN),
        ("course", changed("courses", "noise_start", "converged", [True, False, True]), OPEN),
        ("along", changed("courses", "kh", "exponents", [exponents(2.65, 1.3), exponents(3.6, 1.4)]), FAILS),
        ("along", changed("courses", "kh", "exponents", [exponents(2.65, 1.3), exponents(3.1, 1.4)]), OPEN),
        ("rest", changed("rest", "kh", "explained", seeds(0.6)), FAILS),
        ("rest", changed("rest", "kh", "explained", seeds(0.9)), OPEN),
        ("through", changed("rest", "kh", "predicted", "layer", seeds(2.0)), FAILS),
        ("through", changed("rest", "kh", "predicted", "layer", seeds(1.47)), OPEN),
        ("push", changed("variants", "delta 0", exponents(2.7, 1.38)), FAILS),
        ("push", changed("variants", "delta 0", exponents(2.7, 1.46)), OPEN),
        ("radius", changed("variants", "radius 2", exponents(2.7, 2.0)), FAILS),
        ("radius", changed("variants", "radius 2", exponents(2.7, 1.46)), OPEN),
        ("covariance", changed("models", "rows_gaussian", "alignment", exponents(1.0, 0.3)), FAILS),
        ("covariance", changed("models", "rows_gaussian", "alignment", exponents(2.6, 1.1)), OPEN),
    ],
)  # fmt: skip
def test_what_is_otherwise_fails_and_what_is_close_hangs_on_the_tolerance(name, results, expected):
    assert verdict(name, results) is expected


def with_lead(model, ratio, attacks=ATTACKS):
    results = copy.deepcopy(made_up())
    for pair in results["comparisons"]:
        if pair["second"] == model and pair["attack"] in attacks:
            pair |= {"log_ratio": ratio, "log_ratio_interval": [ratio - 0.01, ratio + 0.01]}
    return results


def test_rows_with_the_covariance_are_as_robust_only_under_every_attack():
    assert verdict("robust", with_lead("rows_gaussian", 0.5)) is FAILS
    assert verdict("robust", with_lead("rows_gaussian", 0.5, ("pgd",))) is OPEN
    assert verdict("robust", with_lead("rows_gaussian", -0.5)) is HOLDS


def test_one_kind_of_rows_that_is_otherwise_contradicts_that_robustness_follows_the_spectrum():
    assert verdict("follows", with_lead("rows_white", 0.0)) is FAILS  # as robust, with another spectrum
    assert verdict("follows", with_lead("rows_scrambled", 0.5)) is FAILS  # less robust, with the same
    assert verdict("follows", with_lead("rows_scrambled", 0.05)) is OPEN


def test_seeds_that_differ_decide_nothing():
    results = changed("models", "kh", "alignment", {**exponents(2.76, 1.4), "missing": [-1.0, 0.06, 1.1]})
    assert verdict("add", results) is OPEN
    assert verdict("push", changed("variants", "delta 0", "layer", [1.1, 1.7, 2.3])) is OPEN


def test_one_seed_that_is_left_of_several_decides_nothing():
    assert verdict("add", changed("models", "kh", "alignment", exponents(2.76, 1.4))) is not OPEN
    left = {name: [values[0], None, None] for name, values in exponents(2.76, 1.4).items()}
    assert verdict("add", changed("models", "kh", "alignment", left)) is OPEN


def test_a_setting_of_one_seed_has_no_interval_and_no_verdict():
    results = {"variants": {"base": {"layer": [1.4]}, "delta 0": {"layer": [2.0]}}}
    assert resting.setting_changes(results, ("delta 0",), 1).verdict is OPEN


@given(st.floats(-1, 1), st.floats(0, 0.5))
def test_an_answer_is_the_same_with_half_of_the_tolerance_and_half_more(centre, arm):
    found = within(Overall(centre, (centre - arm, centre + arm), "seeds", 3, 0), 0.2)
    if found is True:
        assert abs(centre) + arm <= 0.1
    if found is False:
        assert abs(centre) - arm > 0.3
    if abs(centre) + arm < 0.099:
        assert found is True


def test_models_whose_exponents_add_are_named_as_those_that_do_not():
    found = adding.exponents_add(made_up())
    assert any(line.startswith("images as rows") for line in found.supporting)
    assert any(line.startswith("backprop") for line in found.opposing)
    assert np.isclose(adding.of_seeds(made_up()["models"]["bp"]["alignment"], "missing", "images").centre, 0.8 / 3)
    assert sharing.same_spectrum(made_up(), "rows_white") is False
