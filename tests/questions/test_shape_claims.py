"""Verdicts on question 3, of made-up results: what holds, what fails, and what decides nothing."""

import copy
import functools

import numpy as np
import pytest

from experiments.questions.shape import partial
from experiments.questions.shape.partial import ACCOUNTED, partial_correlations
from experiments.questions.shape.plan import ATTACKS
from experiments.questions.shape.question import CLAIMS
from experiments.report.claims import Verdict
from experiments.shaped_models import SHAPED, kind_of, label_of_kind
from jax_bioadv.analysis.partial_ranks import partial_rank_correlation

HOLDS, FAILS, OPEN = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
STRENGTHS = ("weak", "strong")


def seeds(value, spread=0.002):
    return [value * (1 + spread * step) for step in (-1, 0, 1)]


def network(on_images, on_noise, gain=-0.4, accuracy=0.47, predicted=None, **target):
    alignment = {"measured": on_images, "images": on_images, "layer": on_noise, "inputs": 1.4, "gain": gain}
    return {
        "alignment": {key: seeds(value) for key, value in alignment.items()},
        "predicted_noise": seeds(on_noise if predicted is None else predicted),
        "target": {of: seeds(value) for of, value in target.items()},
        "spectrum": {kind: {"verdict": ["power law"] * 3} for kind in ("images", "noise")},
        "test_accuracy": seeds(accuracy),
        "test_accuracy_interval": [[accuracy - 0.004, accuracy + 0.004]] * 3,
    }


def pair(first, second, ratio, attack):
    interval = [ratio - 0.01, ratio + 0.01]
    one = {"attack": attack, "first": first, "second": second, "log_ratio": ratio, "log_ratio_interval": interval}
    return {**one, "superiority": 0.5, "p_corrected": 1e-4}


def correlation(measure, given, rho, p):
    ends = [np.tanh(np.arctanh(rho) - 0.1), np.tanh(np.arctanh(rho) + 0.1)]
    one = {"measure": measure, "given": list(given), "spearman": rho, "interval": ends, "p_corrected": p}
    return {**one, "p_at_floor": False, "members": 60, "kinds": 12}


def made_up():
    models = {"spectral": network(1.0, 0.05, images=1.0), "kh": network(2.9, 1.4), "unshaped": network(2.6, 0.5)}
    models["kh_rotated"] = network(2.9, 1.4)
    pairs = [("kh", "kh_rotated", 0.0)]
    for strength in STRENGTHS:
        both, images, copied = (f"{kind}_{strength}" for kind in ("law_both", "law_images", "rule_spectra"))
        models[images] = network(1.0, 0.05, images=1.0)
        models[both] = network(1.0, 1.0, images=1.0, noise=1.0)
        models[copied] = network(2.9, 1.4, images=2.9, noise=1.4)
        models[f"bp_as_{both}"] = network(3.0, 0.9)
        pairs += [(both, other, 0.5) for other in (images, "unshaped", f"bp_as_{both}")]
        pairs += [(copied, "unshaped", 0.5), ("kh", copied, 0.0)]
    exponents = {"alpha_images", "alpha_noise"}
    partial = [
        correlation(measure, given, *((0.1, 0.9) if measure in exponents and len(given) > 1 else (0.8, 1e-3)))
        for measure, given in ACCOUNTED
    ]
    comparisons = [pair(*one, attack) for attack in ATTACKS for one in pairs]
    return {"seeds": [0, 1, 2], "models": models, "comparisons": comparisons, "partial": partial}


def with_models(**changed):
    results = made_up()
    results["models"] |= changed
    return results


def with_lead(first, second, ratio, attacks=ATTACKS):
    """Of all strengths of both."""
    results = made_up()
    for one in results["comparisons"]:
        if (kind_of(one["first"]), kind_of(one["second"])) == (first, second) and one["attack"] in attacks:
            one |= pair(one["first"], one["second"], ratio, one["attack"])
    return results


def with_correlation(measure, beyond, rho, p):
    """Given accuracy alone, or more."""
    results = made_up()
    results["partial"] = [
        correlation(measure, one["given"], rho, p)
        if one["measure"] == measure and (len(one["given"]) > 1) == beyond
        else one
        for one in results["partial"]
    ]
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


MISSED = {f"law_both_{strength}": network(1.0, 0.1, images=1.0, noise=1.0) for strength in STRENGTHS}
NEARLY = {f"law_both_{strength}": network(1.0, 0.8, images=1.0, noise=1.0) for strength in STRENGTHS}
FALLS = {name: network(1.0, 0.2, gain=0.3, images=1.0) for name in ("spectral", "law_images_weak", "law_images_strong")}
NOT_COPIED = {f"rule_spectra_{strength}": network(2.9, 0.4, images=2.9, noise=1.4) for strength in STRENGTHS}
BETTER = {f"law_both_{strength}": network(1.0, 1.0, accuracy=0.7, images=1.0, noise=1.0) for strength in STRENGTHS}
BENT = {
    name: {**entry, "spectrum": {kind: {"verdict": ["curved"] * 3} for kind in ("images", "noise")}}
    for name, entry in made_up()["models"].items()
    if kind_of(name) == "law_both"
}


@pytest.mark.parametrize(
    ("name", "results", "expected"),
    [
        ("sum", with_models(spectral=network(1.0, 1.2, predicted=0.05, images=1.0)), FAILS),
        ("sum", with_models(spectral=network(1.0, 0.25, predicted=0.05, images=1.0)), OPEN),
        ("rises", with_models(**FALLS), FAILS),
        ("rises", with_models(spectral=FALLS["spectral"]), OPEN),
        ("both", with_models(**MISSED), FAILS),
        ("both", with_models(**NEARLY), OPEN),
        ("both", with_models(law_both_weak=MISSED["law_both_weak"]), HOLDS),
        ("both", with_models(**BENT), FAILS),
        ("longer-law", with_models(**MISSED), OPEN),
        ("longer-law", with_lead("law_both", "law_images", -0.5), FAILS),
        ("longer-law", with_lead("law_both", "law_images", 0.05), OPEN),
        ("longer-law", with_lead("law_both", "law_images", -0.5, ("pgd",)), OPEN),
        ("longer-bp", with_models(**MISSED), OPEN),
        ("longer-bp", with_models(**BETTER), OPEN),
        ("longer-bp", with_lead("law_both", "unshaped", -0.5), OPEN),
        ("helps", with_lead("rule_spectra", "unshaped", 0.0), FAILS),
        ("copied", with_lead("kh", "rule_spectra", 0.5), FAILS),
        ("copied", with_lead("kh", "rule_spectra", -0.5), HOLDS),
        ("copied", with_models(**NOT_COPIED), OPEN),
        ("rotated", with_lead("kh", "kh_rotated", 0.5), FAILS),
        ("exponents", with_correlation("alpha_noise", False, 0.3, 0.5), HOLDS),
        ("norms", with_correlation("alpha_noise", True, 0.7, 1e-3), OPEN),
        ("norms", with_correlation("relative_jacobian", True, 0.1, 0.9), OPEN),
    ],
)
def test_what_is_otherwise_fails_and_what_hangs_on_weights_or_tolerances_is_open(name, results, expected):
    assert verdict(name, results) is expected


def test_exponents_that_go_with_nothing_fail_where_that_is_sure_and_are_open_where_it_is_not():
    results = with_correlation("alpha_noise", False, 0.01, 0.9)
    results["partial"][0] = correlation("alpha_images", ["test_accuracy"], 0.0, 0.9)
    assert verdict("exponents", results) is FAILS
    results["partial"][0] = correlation("alpha_images", ["test_accuracy"], 0.3, 0.2)
    assert verdict("exponents", results) is OPEN


def test_exponents_that_are_left_alone_contradict_that_jacobians_account_for_it():
    results = with_correlation("relative_jacobian", True, 0.1, 0.9)
    for one in results["partial"]:
        if one["measure"] == "alpha_images":
            one["p_corrected"] = 1e-3
    assert verdict("norms", results) is FAILS


def test_networks_of_several_weights_are_one_kind():
    assert {kind_of(model) for model in SHAPED} == {"law_images", "law_noise", "law_both", "rule_spectra"}
    assert kind_of("bp_as_law_both_weak") == "bp_as_law_both"
    assert kind_of("kh_rotated") == "kh_rotated"
    assert kind_of("bp") == "bp"
    assert label_of_kind("law_both_weak") == "law on both"
    assert label_of_kind("kh_rotated") == label_of_kind("bp") == ""


def test_correlations_account_for_accuracy_and_count_kinds(monkeypatch):
    """Distance is made of accuracy and of the exponent on noise."""
    quick = functools.partial(partial_rank_correlation, resamples=20)
    monkeypatch.setattr(partial, "partial_rank_correlation", quick)
    generator, models = np.random.default_rng(0), {}
    for place in range(14):
        accuracy, noise = generator.random(2)
        entry = network(generator.random(), noise, accuracy=accuracy)
        entry["critical_l2"] = {"minimum_norm": {"median": seeds(3 - 2 * accuracy + noise), "censored": [0.0] * 3}}
        entry["jacobian_norm"] = {key: seeds(generator.random()) for key in ("activation", "preactivation")}
        entry["smoothness"] = {"relative_jacobian": seeds(generator.random())}
        models[f"network{place}"] = entry
    found = {(one["measure"], len(one["given"])): one for one in partial_correlations(models)}
    assert len(found) == len(ACCOUNTED)
    assert found["alpha_noise", 1]["p_corrected"] < 0.05 < found["row_norm", 1]["p_corrected"]
    assert {(one["members"], one["kinds"]) for one in found.values()} == {(42, 14)}
    missing = copy.deepcopy(models)
    missing["network3"]["test_accuracy"][1] = None
    missing["network4"]["critical_l2"]["minimum_norm"] |= {"median": [None] * 3, "censored": [0.9] * 3}
    assert {one["members"] for one in partial_correlations(missing)} == {41}
    assert partial_correlations({name: models[name] for name in ("network1", "network2")}) == []
