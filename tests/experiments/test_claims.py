"""Claims on robustness, and what is true of all: each can come out each way, and what is missing is no evidence."""

import re

import pytest
from claim_cases import by_medians, changed, recompared, with_medians
from evidence_cases import CONTROLS, PAPER, evidence

from experiments.report.claims import GROUPS, Verdict, all_claims
from experiments.report.claims.comparing import Measured, compare, larger, robuster
from experiments.report.claims.robustness import (
    accuracy_for_robustness,
    more_robust,
    order_in_the_worst_case,
    order_under,
    robustness_order,
)

INFINITY = float("inf")


@pytest.mark.parametrize("seeds", [1, 5])
def test_where_all_comes_true_no_claim_of_the_paper_is_contradicted(seeds):
    verdicts = [claim.verdict for claim in all_claims(evidence(seeds))]
    assert Verdict.CONTRADICTS not in verdicts
    assert Verdict.FAILS not in verdicts
    assert verdicts.count(Verdict.AGREES) >= 10


def test_nothing_can_be_told_from_nothing():
    claims = all_claims({})
    assert len(claims) == sum(map(len, GROUPS.values()))
    assert {claim.verdict for claim in claims} == {Verdict.UNDECIDED}
    assert all(re.search("(?i)not available|needed|takes|fewer than|no |nothing", claim.sentence) for claim in claims)


@pytest.mark.parametrize("seeds", [1, 5])
def test_every_verdict_is_one_sentence_and_tells_how_far_it_reaches(seeds):
    for claim in all_claims(evidence(seeds)):
        assert claim.sentence.endswith(".")
        assert not re.search(r"\.\s", re.sub("vs. ", "", claim.sentence)), claim.sentence
        assert re.search(r"\d", claim.sentence), claim.sentence
        assert ("one seed" in claim.sentence) == (seeds == 1)


@pytest.mark.parametrize("missing", [("l2",), ("bp", "spectral"), ("kh",)])
def test_a_subset_of_the_models_never_agrees_on_what_it_lacks(missing):
    results = evidence(3, tuple(model for model in PAPER if model not in missing))
    for attack in ("gaussian", "fgsm", "pgd"):
        assert more_robust(results, attack).verdict is Verdict.UNDECIDED
        assert order_under(results, attack)[0] is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (Measured([2.0], (1.8, 2.2)), Measured([1.0], (0.9, 1.1)), 1),
        (Measured([2.0], (0.8, 3.2)), Measured([1.0], (0.9, 1.1)), 0),
        (Measured([2.0], None), Measured([1.0], (0.9, 1.1)), 0),
        (Measured([2.0, 2.1, 1.9], None), Measured([1.0, 1.1, 0.9], None), 1),
        (Measured([2.0, 0.5, 1.1], None), Measured([1.0, 1.1, 0.9], None), 0),
        (Measured([INFINITY] * 4, None), Measured([1.0, 1.1, 0.9, 1.0], None), 1),
        (Measured([INFINITY] * 2, None), Measured([1.0, 1.1], None), 0),  # by chance in one case of three
        (Measured([0.0, 0.02, 0.01], None), Measured([0.1, 0.11, 0.12], None), -1),
        (Measured([0.0, 0.2, 0.1], None), Measured([0.1, 0.11, 0.12], None), 0),
        (Measured([INFINITY, 1.0], None), Measured([1.0, 1.1], None), 0),
        (Measured([2.0, 2.0], None), Measured([2.0, 2.0], None), 0),
        (Measured([2.0, 2.0], None), Measured([1.0, 1.1], None), 1),
        (Measured([], None), Measured([1.0], (0.9, 1.1)), 0),
    ],
)
def test_comparisons_are_antisymmetric_and_need_evidence(first, second, outcome):
    assert larger(first, second) == outcome
    assert larger(second, first) == -outcome


def test_without_any_interval_a_small_difference_is_none():
    outcomes = [compare(Measured([1.0]), Measured([other])).outcome for other in (1.04, 1.2, 0.8)]
    assert outcomes == [0, -1, 1]
    assert compare(Measured([1.0]), Measured([])) is None


def test_a_comparison_reads_the_same_from_both_sides():
    results = evidence(3)
    forth, back = robuster(results, "pgd", "kh", "bp"), robuster(results, "pgd", "bp", "kh")
    assert (forth.outcome, back.outcome) == (1, -1)
    ratios = [float(one.short.removeprefix("×\u00a0")) for one in (forth, back)]
    assert ratios[0] * ratios[1] == pytest.approx(1, rel=0.01)  # both rounded to three digits


@pytest.mark.parametrize("reading", [by_medians, lambda results: results])
@pytest.mark.parametrize("seeds", [1, 5])
@pytest.mark.parametrize("attack", ["gaussian", "fgsm", "pgd"])
def test_the_papers_order_is_recognised(seeds, attack, reading):
    results = reading(evidence(seeds))
    assert order_under(results, attack)[0] is Verdict.AGREES
    assert more_robust(results, attack).verdict is Verdict.AGREES


@pytest.mark.parametrize("seeds", [1, 5])
def test_a_rival_that_is_more_robust_contradicts(seeds):
    results = with_medians(evidence(seeds), "bp", "pgd", 9.0)
    claim = more_robust(results, "pgd")
    assert claim.verdict is Verdict.CONTRADICTS
    assert any("beaten by backprop" in line for line in claim.opposing)
    verdict, text = order_under(results, "pgd")
    assert verdict is Verdict.CONTRADICTS
    assert "Krotov–Hopfield is less robust than backprop" in text
    assert "L2 is less robust than Jacobian" not in text
    assert robustness_order(results).verdict is Verdict.CONTRADICTS


@pytest.mark.parametrize("seeds", [1, 5])
def test_models_that_are_equally_robust_leave_the_order_open(seeds):
    results = by_medians(evidence(seeds))
    same = results["models"]["l2"]["critical_l2"]["pgd"]
    verdict, text = order_under(changed(results, "models", "jacobian", "critical_l2", "pgd", same), "pgd")
    assert verdict is Verdict.UNDECIDED
    assert "L2 and Jacobian" in text


@pytest.mark.parametrize(
    ("log_ratio", "better", "half", "verdict"),
    [
        (0.0, None, 0.01, Verdict.SHARED),
        (0.05, "kh", 0.01, Verdict.SHARED),  # beyond doubt, but by less than 10 %
        (-0.4, "kh_start", 0.01, Verdict.SHARED),
        (0.05, None, 0.5, Verdict.AGREES),  # not told apart is not as good
        (0.4, "kh", 0.01, Verdict.AGREES),
    ],
)
def test_a_control_that_does_as_well_takes_the_claim_away(log_ratio, better, half, verdict):
    claim = more_robust(recompared(evidence(3), "pgd", "kh", "kh_start", log_ratio, better, half), "pgd")
    assert claim.verdict is verdict
    assert ("KH not trained" in claim.sentence) == (verdict is Verdict.SHARED or better is None)


def test_adversarial_training_is_a_yardstick_and_no_control():
    results = recompared(evidence(3), "pgd", "kh", "adversarial", -1.0, "adversarial")
    claim = more_robust(results, "pgd")
    assert claim.verdict is Verdict.AGREES
    assert any("adversarially trained" in line for line in claim.opposing)


def test_a_median_beyond_all_strengths_is_the_largest():
    results = by_medians(evidence(6))
    results["models"]["kh"]["critical_l2"]["pgd"]["median"] = [INFINITY] * 6
    assert order_under(results, "pgd")[0] is Verdict.AGREES


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda results: results, Verdict.AGREES),
        (lambda results: recompared(results, "pgd", "kh", "bp_matched", 0.0, None), Verdict.SHARED),
        (lambda results: recompared(results, "pgd", "kh", "bp_matched", 0.1, None, 0.5), Verdict.UNDECIDED),
        (lambda results: recompared(results, "pgd", "kh", "bp", -0.5, "bp"), Verdict.CONTRADICTS),
        (lambda results: changed(results, "models", "bp", "test_accuracy", [0.3, 0.31, 0.3]), Verdict.CONTRADICTS),
        (lambda results: changed(results, "models", "bp", "test_accuracy", [None] * 3), Verdict.UNDECIDED),
    ],
)
def test_accuracy_is_a_price_only_if_it_buys_something(change, verdict):
    assert accuracy_for_robustness(change(evidence(3))).verdict is verdict


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_worst_case_may_keep_the_order_or_not(seeds):
    results = evidence(seeds)
    assert order_in_the_worst_case(results).verdict is Verdict.HOLDS
    entry = results["models"]["bp"]["robust_accuracy"]["raw_linf"]
    entry |= {"worst_case": [0.6 + 0.001 * s for s in range(seeds)], "worst_case_interval": [[0.59, 0.61]] * seeds}
    claim = order_in_the_worst_case(results)
    assert claim.verdict is Verdict.FAILS
    assert "L∞, raw pixels" in claim.sentence


def test_a_threat_that_no_model_resists_tells_nothing():
    results = evidence(2)
    for model in PAPER:
        for threat in results["models"][model]["robust_accuracy"].values():
            threat["worst_case"] = [0.0, 0.0]
    assert order_in_the_worst_case(results).verdict is Verdict.UNDECIDED


def test_a_heavier_jacobian_penalty_is_told():
    results = evidence(2)
    results["settings"] |= {"l2": {"weight": 5e-4}, "jacobian": {"weight": 1e-3, "target": "preactivation"}}
    assert any("decays the first layer by 0.001" in line for line in robustness_order(results).opposing)
    results["settings"]["jacobian"]["weight"] = 3e-4
    assert not any("decays" in line for line in robustness_order(results).opposing)


def test_the_controls_of_the_cases_are_those_of_the_experiment():
    from experiments.settings import CONTROLS as OURS

    assert set(CONTROLS) == set(OURS)
