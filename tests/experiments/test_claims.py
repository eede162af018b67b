"""Claims on robustness, and what is true of all: each can come out each way, and what is missing is no evidence."""

import re

import pytest
from claim_cases import by_medians, changed, recompared, with_accuracies, with_medians, without
from evidence_cases import CONTROLS, PAPER, evidence

from experiments.report.claims import GROUPS, Verdict, findings
from experiments.report.claims.comparing import compare, measured, robuster, with_interval
from experiments.report.claims.robustness import (
    accuracy_for_robustness,
    more_robust,
    order_in_the_worst_case,
    order_under,
    robustness_order,
)
from jax_bioadv.analysis.crossed import overall

INFINITY = float("inf")


@pytest.mark.parametrize("seeds", [1, 5])
def test_where_all_comes_true_no_claim_of_the_paper_is_contradicted(seeds):
    verdicts = [claim.verdict for claim in findings(evidence(seeds)).values()]
    assert Verdict.CONTRADICTS not in verdicts
    assert Verdict.FAILS not in verdicts
    assert verdicts.count(Verdict.AGREES) >= 10


def test_nothing_can_be_told_from_nothing():
    claims = findings({}).values()
    assert len(claims) == sum(map(len, GROUPS.values()))
    assert {claim.verdict for claim in claims} == {Verdict.UNDECIDED}
    assert all(re.search("(?i)not available|needed|takes|fewer than|no |nothing", claim.sentence) for claim in claims)


@pytest.mark.parametrize("seeds", [1, 5])
def test_every_verdict_is_one_sentence_and_tells_how_far_it_reaches(seeds):
    for claim in findings(evidence(seeds)).values():
        assert claim.sentence.endswith(".")
        assert not re.search(r"\.\s", re.sub("vs. ", "", claim.sentence)), claim.sentence
        assert re.search(r"\d", claim.sentence), claim.sentence
        assert ("one seed" in claim.sentence) == (seeds == 1)


@pytest.mark.parametrize("missing", [("l2",), ("bp", "spectral"), ("kh",)])
def test_a_subset_of_the_models_never_agrees_on_what_it_lacks(missing):
    results = evidence(3, tuple(model for model in PAPER if model not in missing))
    for attack in ("gaussian", "fgsm", "pgd"):
        assert more_robust(results, attack).verdict is Verdict.UNDECIDED
        assert order_under(results, attack).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("first", "second", "outcome"),
    [
        (overall([2.0], [(1.8, 2.2)]), overall([1.0], [(0.9, 1.1)]), 1),
        (overall([2.0], [(0.8, 3.2)]), overall([1.0], [(0.9, 1.1)]), 0),
        (overall([2.0]), overall([1.0], [(0.9, 1.1)]), 0),  # one seed and no images: nothing is known of it
        (overall([2.0, 2.1, 1.9]), overall([1.0, 1.1, 0.9]), 1),
        (overall([2.0, 0.5, 1.1]), overall([1.0, 1.1, 0.9]), 0),
        (overall([1.06, 1.06]), overall([1.0, 1.0]), 0),  # beyond the margin, but not beyond one and a half of it
        (overall([1.09, 1.09]), overall([1.0, 1.0]), 1),
        (overall([11.5, 11.5]), overall([11.3, 11.3]), 0),
        (overall([INFINITY] * 4), overall([1.0, 1.1, 0.9, 1.0]), 1),
        (overall([INFINITY, 1.0], [(2, None), (0.9, 1.1)]), overall([1.0, 1.1]), 0),
        (overall([0.0, 0.0], [(0.0, 0.018)] * 2), overall([0.1, 0.11], [(0.06, 0.15)] * 2), -1),
        (overall([0.0, 0.0], [(0.0, 0.018)] * 2), overall([0.02, 0.02], [(0.005, 0.05)] * 2), 0),
    ],
)
def test_comparisons_are_antisymmetric_and_need_evidence(first, second, outcome):
    assert compare(first, second).outcome == outcome
    assert compare(second, first).outcome == compare(first, second, smaller_is_better=True).outcome == -outcome


def test_a_missing_number_is_not_compared():
    assert compare(overall([1.0, 1.1]), None) is None


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
    assert order_under(results, attack).verdict is Verdict.AGREES
    assert more_robust(results, attack).verdict is Verdict.AGREES


@pytest.mark.parametrize("seeds", [1, 5])
def test_a_rival_that_is_more_robust_contradicts(seeds):
    results = with_medians(evidence(seeds), "bp", "pgd", 9.0)
    claim = more_robust(results, "pgd")
    assert claim.verdict is Verdict.CONTRADICTS
    assert any("beaten by backprop" in line for line in claim.opposing)
    verdict, text, _ = order_under(results, "pgd")
    assert verdict is Verdict.CONTRADICTS
    assert "Krotov–Hopfield is less robust than backprop" in text
    assert "L2 is less robust than Jacobian" not in text
    assert robustness_order(results).verdict is Verdict.CONTRADICTS


@pytest.mark.parametrize("seeds", [1, 5])
def test_models_that_are_equally_robust_leave_the_order_open(seeds):
    results = by_medians(evidence(seeds))
    same = results["models"]["l2"]["critical_l2"]["pgd"]
    verdict, text, _ = order_under(changed(results, "models", "jacobian", "critical_l2", "pgd", same), "pgd")
    assert verdict is Verdict.UNDECIDED
    assert "L2 and Jacobian" in text


@pytest.mark.parametrize(
    ("log_ratio", "better", "half", "verdict"),
    [
        (0.0, None, 0.005, Verdict.SHARED),
        (0.0, None, 0.02, Verdict.UNDECIDED),  # by itself as good; as one of several that would do, not for sure
        (0.01, "kh", 0.003, Verdict.SHARED),  # beyond doubt, but by less than half of the margin
        (-0.4, "kh_start", 0.01, Verdict.SHARED),
        (-0.1, None, 0.03, Verdict.SHARED),  # perhaps better, at least as good
        (0.05, "kh", 0.01, Verdict.UNDECIDED),  # about the margin
        (0.05, None, 0.5, Verdict.UNDECIDED),  # not told apart is neither beaten nor as good
        (0.4, "kh", 0.01, Verdict.AGREES),
    ],
)
def test_a_control_that_does_as_well_takes_the_claim_away(log_ratio, better, half, verdict):
    claim = more_robust(recompared(evidence(3), "pgd", "kh", "kh_start", log_ratio, better, half), "pgd")
    assert claim.verdict is verdict
    assert ("images as rows" in claim.sentence) == (verdict is not Verdict.AGREES)


@pytest.mark.parametrize("model", ["bp", "kh_start"])
@pytest.mark.parametrize(("log_ratio", "ahead"), [(0.4, True), (0.09, True), (0.05, False)])
def test_rivals_and_controls_are_judged_by_one_rule(model, log_ratio, ahead):
    claim = more_robust(recompared(evidence(3), "pgd", "kh", model, log_ratio, "kh", 0.01), "pgd")
    assert (claim.verdict is Verdict.AGREES) == ahead


def test_the_nearest_controls_are_named_where_they_were_not_run():
    every, few = evidence(3), evidence(3, (*PAPER, "random", "kmeans"))
    assert "not run" not in more_robust(every, "pgd").sentence
    assert more_robust(few, "pgd").sentence.endswith("none does as well; not run: images as rows.")


def test_adversarial_training_is_a_yardstick_and_no_control():
    results = recompared(evidence(3), "pgd", "kh", "adversarial", -1.0, "adversarial")
    claim = more_robust(results, "pgd")
    assert claim.verdict is Verdict.AGREES
    assert any("adversarially trained" in line for line in claim.opposing)


def test_a_median_beyond_all_strengths_is_the_largest():
    results = by_medians(evidence(6))
    results["models"]["kh"]["critical_l2"]["pgd"]["median"] = [INFINITY] * 6
    assert order_under(results, "pgd").verdict is Verdict.AGREES


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda results: results, Verdict.AGREES),
        (lambda results: recompared(results, "pgd", "kh", "bp_matched", 0.0, None), Verdict.SHARED),
        (lambda results: recompared(results, "pgd", "kh", "kmeans", -0.3, "kmeans"), Verdict.SHARED),
        (
            lambda results: without(recompared(results, "pgd", "kh", "kmeans", -0.3, "kmeans"), "bp_matched"),
            Verdict.SHARED,
        ),
        (lambda results: without(results, "bp_matched"), Verdict.AGREES),
        (lambda results: recompared(results, "pgd", "kh", "bp_matched", 0.1, None, 0.5), Verdict.UNDECIDED),
        (lambda results: recompared(results, "pgd", "kh", "bp", -0.5, "bp"), Verdict.CONTRADICTS),
        (lambda results: with_accuracies(results, "bp", [0.3, 0.31, 0.3]), Verdict.CONTRADICTS),
        (lambda results: changed(results, "models", "bp", "test_accuracy", [None] * 3), Verdict.UNDECIDED),
        (lambda results: with_accuracies(results, "bp_matched", [0.55, 0.56, 0.55]), Verdict.UNDECIDED),  # unmatched
    ],
)
def test_accuracy_is_a_price_only_if_it_buys_something(change, verdict):
    assert accuracy_for_robustness(change(evidence(3))).verdict is verdict


@pytest.mark.parametrize("seeds", [1, 5])
def test_the_worst_case_may_keep_the_order_or_not(seeds):
    results = evidence(seeds)
    assert order_in_the_worst_case(results).verdict is Verdict.HOLDS
    entry = results["models"]["bp"]["robust_accuracy"]["raw_linf"]
    entry |= {"worst_case": [0.6 + 0.001 * s for s in range(seeds)], "worst_case_interval": [[0.59, 0.62]] * seeds}
    claim = order_in_the_worst_case(results)
    assert claim.verdict is Verdict.FAILS
    assert "L∞, raw pixels" in claim.sentence


def test_the_order_in_one_space_is_not_that_in_both():
    results = evidence(5)
    for model in results["models"].values():
        model["robust_accuracy"] = {name: model["robust_accuracy"][name] for name in ("raw_l2", "raw_linf")}
    finding = order_in_the_worst_case(results)
    assert finding.verdict is Verdict.UNDECIDED
    assert "the other space is open" in finding.sentence


def test_one_seed_that_is_left_of_several_decides_nothing():
    """The others diverged."""
    results = evidence(3)
    for pair in results["comparisons"]:
        pair["seeds"] = 1
    alone = robuster(results, "pgd", "kh", "bp")
    assert alone.outcome == 0
    assert alone.text.endswith("in 1 of 3 seeds")
    for model in results["models"].values():
        model["test_accuracy"][1:] = model["test_accuracy_interval"][1:] = [None, None]
    accuracies = (measured(results["models"][model], "test_accuracy") for model in ("kh", "bp"))
    assert compare(*accuracies).outcome == 0


def test_of_two_numbers_of_seeds_the_smaller_is_that_of_the_interval():
    """Three of the second's five seeds diverged: what it owes to the two that are left has the tails of two."""
    many, few = overall([1, 1.001, 0.999, 1, 1]), overall([1.2114, 1.2306, None, None, None])
    assert compare(many, few).has_no_lead()
    assert compare(many, few).seeds == compare(few, many).seeds == 2
    assert not compare(many, few).has_no_lead(4)


def test_ratios_that_are_infinite_or_open_are_told_as_that():
    pair = {"log_ratio": None, "log_ratio_interval": [0.5, None], "superiority": 0.97, "p_corrected": 0.001}
    assert with_interval(pair, 1.0) == "∞ [1.65, ∞]"
    assert with_interval(pair, -1.0) == "0 [0, 0.607]"
    assert with_interval(pair | {"log_ratio": 0.5}, 1.0) == "1.65 [1.65, ∞]"


def test_a_threat_that_no_model_resists_tells_nothing():
    results = evidence(2)
    for model in PAPER:
        for threat in results["models"][model]["robust_accuracy"].values():
            threat["worst_case"] = [0.0, 0.0]
    assert order_in_the_worst_case(results).verdict is Verdict.UNDECIDED


def test_the_controls_of_the_cases_are_those_of_the_experiment():
    from experiments.models import CONTROLS as OURS

    assert set(CONTROLS) == set(OURS)
