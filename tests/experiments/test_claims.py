"""Every claim can come out each way, controls are counted, and what is missing is no evidence."""

import copy
import re

import pytest
from evidence_cases import ATTACK_SCALES, CONTROLS, PAPER, evidence

from experiments.report.claims import GROUPS, Verdict, all_claims
from experiments.report.claims.comparing import Measured, compare, larger, robuster
from experiments.report.claims.evidence import (
    bounds_are_consistent,
    gradient_attacks_beat_noise,
    learning_beats_its_start,
    no_masking,
)
from experiments.report.claims.robustness import (
    accuracy_for_robustness,
    more_robust,
    order_in_the_worst_case,
    order_under,
    robustness_order,
)
from experiments.report.claims.smoothness import (
    exponents_and_boundaries,
    jacobian_regularizer_smooths,
    regularizers_smooth_without_power_law,
    smoother,
    smoother_boundaries,
    smoothness_goes_with_robustness,
)
from experiments.report.claims.spectra import (
    exponents_above_the_data,
    power_laws,
    pruning_is_harmless,
    spectral_fails_on_noise,
    spectral_regularizer_moves,
)

INFINITY = float("inf")


def changed(results, *path_and_value):
    """A copy of the results with one entry replaced."""
    *path, last, value = path_and_value
    results = copy.deepcopy(results)
    entry = results
    for key in path:
        entry = entry[key]
    entry[last] = value
    return results


def by_medians(results):
    """The same without comparisons: older runs have none."""
    return {**results, "comparisons": []}


def with_medians(results, model, attack, median):
    seeds = len(results["seeds"])
    medians = [median * (1 + 0.01 * seed) for seed in range(seeds)]
    entry = {"median": medians, "median_interval": [[0.95 * m, 1.05 * m] for m in medians], "censored": [0.0] * seeds}
    return by_medians(changed(results, "models", model, "critical_l2", attack, entry))


def recompared(results, attack, first, second, log_ratio, better, half=0.01):
    """The comparison of two models replaced by another."""
    results = copy.deepcopy(results)
    for pair in results["comparisons"]:
        if (pair["attack"], {pair["first"], pair["second"]}) == (attack, {first, second}):
            sign = 1 if pair["first"] == first else -1
            ends = sorted([sign * (log_ratio - half), sign * (log_ratio + half)])
            pair |= {"log_ratio": sign * log_ratio, "log_ratio_interval": ends, "better": better}
    return results


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


@pytest.mark.parametrize("kind", ["images", "noise"])
@pytest.mark.parametrize("model", PAPER)
def test_power_laws_are_judged_by_the_diagnostics(model, kind):
    results = evidence(2)
    assert power_laws(results, kind).verdict is Verdict.AGREES
    was = results["models"][model]["spectrum"][kind]["verdict"][0]
    other = "curved" if was == "power law" else "power law"
    for verdicts, verdict in (([other] * 2, Verdict.CONTRADICTS), ([was, other], Verdict.UNDECIDED)):
        assert (
            power_laws(changed(results, "models", model, "spectrum", kind, "verdict", verdicts), kind).verdict
            is verdict
        )


@pytest.mark.parametrize(
    ("model", "kind", "r2", "verdict"),
    [
        ("kh", "noise", [0.998, 0.998], Verdict.AGREES),
        ("kh", "noise", [0.97, 0.97], Verdict.CONTRADICTS),
        ("bp", "noise", [0.998, 0.998], Verdict.CONTRADICTS),
        ("spectral", "images", [0.9, 0.9], Verdict.CONTRADICTS),
        ("l2", "images", [0.998, 0.9], Verdict.UNDECIDED),
        ("kh", "images", [None, None], Verdict.UNDECIDED),
    ],
)
def test_without_diagnostics_straightness_is_judged_by_r2(model, kind, r2, verdict):
    results = evidence(2)
    for entry in results["models"].values():
        for spectrum in entry["spectrum"].values():
            spectrum.pop("verdict", None)
    claim = power_laws(changed(results, "models", model, "spectrum", kind, "r2", r2), kind)
    assert claim.verdict is verdict
    assert verdict is Verdict.UNDECIDED or "alone" in claim.sentence


def test_a_control_with_a_power_law_takes_the_claim_away():
    results = changed(evidence(2), "models", "pca", "spectrum", "noise", "verdict", ["power law"] * 2)
    claim = power_laws(results, "noise")
    assert claim.verdict is Verdict.SHARED
    assert "PCA" in claim.sentence


@pytest.mark.parametrize(
    ("alpha", "verdict"),
    [(2.5, Verdict.AGREES), (1.2, Verdict.CONTRADICTS), (1.47, Verdict.UNDECIDED), (None, Verdict.UNDECIDED)],
)
def test_exponents_are_compared_with_the_datas(alpha, verdict):
    alphas = [None] * 3 if alpha is None else [0.99 * alpha, alpha, 1.01 * alpha]
    claim = exponents_above_the_data(changed(evidence(3, PAPER), "models", "kh", "spectrum", "images", "alpha", alphas))
    assert claim.verdict is verdict


def test_the_datas_exponent_is_that_of_the_layers_window():
    results = evidence(3)
    spectra = results["baselines"]["data"]["spectrum"]
    spectra["images_layer_window"] = spectra["images"] | {"alpha": [9.0] * 3}
    assert exponents_above_the_data(results).verdict is Verdict.CONTRADICTS


def test_a_power_law_near_the_tolerance_is_told():
    results = changed(evidence(2), "models", "l2", "spectrum", "images", "verdict", ["power law"] * 2)
    results["models"]["l2"]["spectrum"]["images"]["exponent_change"] = [0.18, 0.17]
    claim = power_laws(results, "images")
    assert claim.verdict is Verdict.CONTRADICTS
    assert "α changes by 18 % along it" in claim.sentence
    assert "L2 by little, the tolerance is 20 %" in claim.sentence


def test_controls_whose_seeds_differ_leave_a_power_law_open():
    results = evidence(2)
    assert power_laws(results, "noise").verdict is Verdict.AGREES
    claim = power_laws(
        changed(results, "models", "kmeans", "spectrum", "noise", "verdict", ["power law", "curved"]), "noise"
    )
    assert claim.verdict is Verdict.UNDECIDED
    assert "k-means" in claim.sentence


def test_a_heavier_jacobian_penalty_is_told():
    results = evidence(2)
    results["settings"] |= {"l2": {"weight": 5e-4}, "jacobian": {"weight": 1e-3, "target": "preactivation"}}
    assert any("decays the first layer by 0.001" in line for line in robustness_order(results).opposing)
    results["settings"]["jacobian"]["weight"] = 3e-4
    assert not any("decays" in line for line in robustness_order(results).opposing)


def test_controls_with_exponents_above_the_datas_share_the_claim():
    assert exponents_above_the_data(evidence(3)).verdict is Verdict.SHARED


@pytest.mark.parametrize(
    ("path", "value", "verdict"),
    [
        (("models", "kh", "pruned_units"), [30, 30], Verdict.AGREES),
        (("models", "kh", "pruned_units"), [0, 0], Verdict.UNDECIDED),
        (("baselines", "noise_start", "test_accuracy_unpruned"), [0.6, 0.6], Verdict.CONTRADICTS),
        (("baselines", "noise_start", "test_accuracy_unpruned"), [None, None], Verdict.UNDECIDED),
        (("models", "kh", "spectrum", "images_raw", "r2"), [0.9999, 0.9999], Verdict.CONTRADICTS),
        (("models", "kh", "spectrum", "images_raw", "r2"), [0.99, 0.9995], Verdict.UNDECIDED),
        (("models", "kh", "converged"), [False, False], Verdict.UNDECIDED),
    ],
)
def test_pruning_must_cost_nothing_and_straighten(path, value, verdict):
    assert pruning_is_harmless(changed(evidence(2), *path, value)).verdict is verdict


@pytest.mark.parametrize(
    ("kind", "verdicts", "verdict"),
    [
        ("noise", ["curved"] * 2, Verdict.AGREES),
        ("noise", ["power law"] * 2, Verdict.CONTRADICTS),
        ("images", ["broken"] * 2, Verdict.CONTRADICTS),
        ("noise", ["power law", "curved"], Verdict.UNDECIDED),
    ],
)
def test_spectral_regularization_is_judged_on_both_inputs(kind, verdicts, verdict):
    results = changed(evidence(2), "models", "spectral", "spectrum", kind, "verdict", verdicts)
    results = changed(results, "baselines", "untrained", "spectrum", "images", "r2", [0.95] * 2)
    assert spectral_fails_on_noise(results).verdict is verdict


def test_spectral_regularization_gives_nothing_that_the_untrained_network_has():
    results = changed(evidence(2), "baselines", "untrained", "spectrum", "images", "r2", [0.999] * 2)
    assert spectral_fails_on_noise(results).verdict is Verdict.SHARED


@pytest.mark.parametrize(
    ("norms", "verdict"),
    [([10.0, 10.1], Verdict.AGREES), ([90.0, 91.0], Verdict.CONTRADICTS), ([29.5, 29.6], Verdict.UNDECIDED)],
)
def test_the_regularizers_must_smooth(norms, verdict):
    results = changed(evidence(2), "models", "bp", "jacobian_norm", "activation", [29.4, 29.7])
    results = changed(results, "models", "l2", "jacobian_norm", "activation", norms)
    assert regularizers_smooth_without_power_law(results).verdict is verdict


@pytest.mark.parametrize(
    ("claim", "path"),
    [(smoother, ("jacobian_norm", "activation")), (smoother_boundaries, ("boundaries", "radius_4", "length"))],
)
@pytest.mark.parametrize(
    ("model", "numbers", "verdict"),
    [
        ("bp", [99.0, 98.0], Verdict.AGREES),
        ("bp", [0.1, 0.11], Verdict.CONTRADICTS),
        ("bp", [None, None], Verdict.UNDECIDED),
        ("l2", [0.1, 0.11], Verdict.CONTRADICTS),
        ("random", [0.1, 0.11], Verdict.SHARED),
    ],
)
def test_smoothness_is_compared_with_rivals_and_controls(claim, path, model, numbers, verdict):
    assert claim(changed(evidence(2), "models", model, *path, numbers)).verdict is verdict


def correlated(measure, spearman, p):
    return [
        {"measure": measure, "attack": attack, "spearman": spearman, "interval": [None, None], "p_corrected": p}
        for attack in ATTACK_SCALES
    ]


@pytest.mark.parametrize(
    ("correlations", "verdict"),
    [
        (correlated("jacobian_frobenius", -0.8, 0.001), Verdict.HOLDS),
        (correlated("jacobian_frobenius", -0.8, 0.2), Verdict.UNDECIDED),
        (correlated("jacobian_frobenius", -0.8, None), Verdict.UNDECIDED),
        (correlated("jacobian_frobenius", 0.8, 0.001), Verdict.FAILS),
        (correlated("margin_over_gradient", 0.8, 0.001), Verdict.UNDECIDED),
        (correlated("alpha_images", 0.8, 0.001), Verdict.UNDECIDED),
    ],
)
def test_smoothness_predicts_robustness_only_where_it_is_significant(correlations, verdict):
    results = {**evidence(2, ("kh", "bp")), "correlations": correlations}
    assert smoothness_goes_with_robustness(results).verdict is verdict


def test_without_correlations_nothing_is_told_of_smoothness():
    assert smoothness_goes_with_robustness({**evidence(2), "correlations": []}).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(("sign", "verdict"), [(-1, Verdict.HOLDS), (1, Verdict.FAILS)])
def test_boundaries_may_follow_the_exponent(sign, verdict):
    results = evidence(2)
    for place, entry in enumerate(results["models"].values()):
        entry["spectrum"]["images"]["alpha"] = [2 + 0.1 * place] * 2
        for radius in entry["boundaries"].values():
            radius["length"] = [50 + sign * place] * 2
    assert exponents_and_boundaries(results).verdict is verdict
    assert exponents_and_boundaries(evidence(2, ("kh", "bp"))).verdict is Verdict.UNDECIDED


def test_masking_is_told_by_model_and_check():
    results = evidence(2)
    assert no_masking(results).verdict is Verdict.HOLDS
    once = no_masking(changed(results, "models", "kh", "masking", "black_box", "suspect", [True, False]))
    assert once.verdict is Verdict.HOLDS
    assert "Krotov–Hopfield: only black box in 1 of 2 seeds" in once.supporting
    claim = no_masking(changed(results, "models", "kh", "masking", "black_box", "suspect", [True, True]))
    assert claim.verdict is Verdict.FAILS
    assert claim.opposing == ("Krotov–Hopfield: suspect: black box in 2 of 2 seeds",)
    del results["models"]["bp"]["masking"]
    assert no_masking(results).verdict is Verdict.UNDECIDED


def test_a_violated_bound_is_told():
    assert bounds_are_consistent(evidence(2)).verdict is Verdict.HOLDS
    claim = bounds_are_consistent(changed(evidence(2), "models", "l2", "certified_l2", "violations", [0, 3]))
    assert claim.verdict is Verdict.FAILS
    assert "L2: 3 images" in claim.sentence


def test_a_gradient_attack_weaker_than_noise_is_suspicious():
    results = evidence(1)
    assert gradient_attacks_beat_noise(results).verdict is Verdict.HOLDS
    assert gradient_attacks_beat_noise(with_medians(results, "kh", "pgd", 99.0)).verdict is Verdict.FAILS
    spared = changed(results, "models", "kh", "critical_l2", "pgd", "censored", [0.4])
    assert gradient_attacks_beat_noise(spared).verdict is Verdict.FAILS
    unreached = changed(results, "models", "kh", "critical_l2", "pgd", "median", [INFINITY])
    assert gradient_attacks_beat_noise(unreached).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("log_ratio", "better", "half", "verdict"),
    [
        (0.5, "kh", 0.1, Verdict.HOLDS),
        (0.02, None, 0.05, Verdict.FAILS),
        (-0.5, "kh_start", 0.1, Verdict.FAILS),
        (0.1, None, 0.5, Verdict.UNDECIDED),
    ],
)
def test_learning_is_compared_with_its_start(log_ratio, better, half, verdict):
    results = evidence(3)
    for attack in ATTACK_SCALES:
        results = recompared(results, attack, "kh", "kh_start", log_ratio, better, half)
    assert learning_beats_its_start(results).verdict is verdict


@pytest.mark.parametrize(
    ("regularized", "plain", "verdict"),
    [
        ([1.0], [2.0], Verdict.HOLDS),
        ([2.0], [1.0], Verdict.FAILS),
        ([1.0], [1.01], Verdict.UNDECIDED),
        ([1.0, 1.1, 0.9], [2.0, 2.1, 1.9], Verdict.HOLDS),
        ([1.0, 2.1, 0.2], [2.0, 1.1, 1.0], Verdict.UNDECIDED),
        ([None], [1.0], Verdict.UNDECIDED),
    ],
)
def test_the_jacobian_penalty_must_lower_the_norm(regularized, plain, verdict):
    results = changed(evidence(1), "models", "jacobian", "jacobian_norm", "activation", regularized)
    results = changed(results, "models", "bp", "jacobian_norm", "activation", plain)
    assert jacobian_regularizer_smooths(results).verdict is verdict


@pytest.mark.parametrize(
    ("alpha", "target", "verdict"),
    [
        ([1.2], 1.0, Verdict.HOLDS),
        ([1.5], 1.0, Verdict.FAILS),
        ([2.0], 1.0, Verdict.FAILS),
        ([0.5], 1.0, Verdict.UNDECIDED),
        ([2.0], 2.62, Verdict.HOLDS),
        ([None], 1.0, Verdict.UNDECIDED),
    ],
)
def test_the_spectral_regularizer_must_leave_its_start_towards_the_target(alpha, target, verdict):
    results = changed(evidence(1), "baselines", "untrained", "spectrum", "images", "alpha", [1.5])
    results = changed(results, "models", "spectral", "spectrum", "images", "alpha", alpha)
    results = changed(results, "settings", "spectral", "exponent", target)
    assert spectral_regularizer_moves(results).verdict is verdict


def test_the_controls_of_the_cases_are_those_of_the_experiment():
    from experiments.settings import CONTROLS as OURS

    assert set(CONTROLS) == set(OURS)
