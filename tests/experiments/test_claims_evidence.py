"""Claims on smoothness, boundaries, masking, bounds and learning can come out each way."""

import pytest
from claim_cases import changed, recompared, with_medians
from evidence_cases import ATTACK_SCALES, evidence

from experiments.report.claims import Verdict
from experiments.report.claims.evidence import (
    bounds_are_consistent,
    gradient_attacks_beat_noise,
    learning_beats_its_start,
    no_masking,
)
from experiments.report.claims.smoothness import (
    exponents_and_boundaries,
    jacobian_regularizer_smooths,
    regularizers_smooth_without_power_law,
    smoother,
    smoother_boundaries,
    smoothness_goes_with_robustness,
)

INFINITY = float("inf")


@pytest.mark.parametrize(
    ("norms", "verdict"),
    [([10.0, 10.1], Verdict.AGREES), ([90.0, 91.0], Verdict.CONTRADICTS), ([29.5, 29.6], Verdict.UNDECIDED)],
)
def test_the_regularizers_must_smooth(norms, verdict):
    results = changed(evidence(2), "models", "bp", "jacobian_norm", {"activation": [29.5, 29.6]})
    results = changed(results, "models", "l2", "jacobian_norm", {"activation": norms})
    assert regularizers_smooth_without_power_law(results).verdict is verdict


@pytest.mark.parametrize(
    ("claim", "path"),
    [(smoother, ("jacobian_norm", "activation")), (smoother_boundaries, ("boundaries", "radius_4", "length"))],
)
@pytest.mark.parametrize(
    ("model", "numbers", "verdict"),
    [
        ("bp", [99.0, 98.0, 97.0, 98.0, 99.0], Verdict.AGREES),
        ("bp", [0.1, 0.11, 0.1, 0.11, 0.1], Verdict.CONTRADICTS),
        ("bp", [None] * 5, Verdict.UNDECIDED),
        ("l2", [0.1, 0.11, 0.1, 0.11, 0.1], Verdict.CONTRADICTS),
        ("random", [0.1, 0.11, 0.1, 0.11, 0.1], Verdict.SHARED),
    ],
)
def test_smoothness_is_compared_with_rivals_and_controls(claim, path, model, numbers, verdict):
    intervals = [None if number is None else [0.95 * number, 1.05 * number] for number in numbers]
    results = changed(evidence(5), "models", model, *path, numbers)
    *above, name = path
    results = changed(results, "models", model, *above, f"{name}_interval", intervals)
    assert claim(results).verdict is verdict


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


def test_p_values_at_the_floor_of_their_test_are_no_equalities():
    correlations = [{**one, "p_at_floor": True} for one in correlated("jacobian_frobenius", -0.8, 0.00055)]
    assert "p ≤ 0.00055" in smoothness_goes_with_robustness({**evidence(2), "correlations": correlations}).sentence


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
    verdicts = changed(results, "models", "kh", "masking", {"verdict": ["no_sign", "suspect", "suspect"]})
    assert no_masking(verdicts).verdict is Verdict.FAILS
    del results["models"]["bp"]["masking"]
    unknown = no_masking(changed(results, "models", "kh", "masking", "black_box", "suspect", [True, False]))
    assert unknown.verdict is Verdict.UNDECIDED
    assert "No check is suspicious in most seeds" in unknown.sentence


def test_a_violated_bound_is_told():
    assert bounds_are_consistent(evidence(2)).verdict is Verdict.HOLDS
    claim = bounds_are_consistent(changed(evidence(2), "models", "l2", "certified_l2", "violations", [0, 3]))
    assert claim.verdict is Verdict.FAILS
    assert "L2: 3 images" in claim.sentence


def test_bounds_that_no_attack_met_are_not_said_to_hold():
    results = evidence(2)
    for model in results["models"].values():
        model["certified_l2"] |= {"violations": [None, None], "gap": [None, None]}
    assert bounds_are_consistent(results).verdict is Verdict.UNDECIDED


def test_the_smallest_radius_is_the_nearest_however_it_is_written():
    results = evidence(2)
    for model in results["models"].values():
        near, far = model["boundaries"].pop("radius_4"), model["boundaries"].pop("radius_20")
        model["boundaries"] = {"radius_12.2": far, "radius_2.44": near}
    assert "boundary length per plane of radius 2.44" in smoother_boundaries(results).sentence


def test_no_boundary_on_a_few_planes_is_not_known_to_be_none_on_all():
    results = evidence(2)
    for kind in ("length", "length_interval"):
        nothing = [0.0, 0.0] if kind == "length" else [[0.0, 0.0]] * 2
        results = changed(results, "models", "kh", "boundaries", "radius_4", kind, nothing)
    assert smoother_boundaries(results).verdict is Verdict.UNDECIDED


def test_a_gradient_attack_weaker_than_noise_is_suspicious():
    results = evidence(1)
    assert gradient_attacks_beat_noise(results).verdict is Verdict.HOLDS
    assert gradient_attacks_beat_noise(with_medians(results, "kh", "pgd", 99.0)).verdict is Verdict.FAILS
    equal = with_medians(results, "kh", "pgd", results["models"]["kh"]["critical_l2"]["gaussian"]["median"][0])
    assert gradient_attacks_beat_noise(equal).verdict is Verdict.UNDECIDED
    spared = changed(results, "models", "kh", "critical_l2", "pgd", "censored", [0.4])
    assert gradient_attacks_beat_noise(spared).verdict is Verdict.FAILS
    some = changed(results, "models", "kh", "critical_l2", "pgd", "censored", [0.025])
    assert gradient_attacks_beat_noise(some).verdict is Verdict.UNDECIDED
    said = ", and PGD spares no more images than FGSM."
    assert gradient_attacks_beat_noise(results).sentence.endswith(said)
    del results["models"]["bp"]["critical_l2"]["fgsm"]
    assert not gradient_attacks_beat_noise(results).sentence.endswith(said)
    unreached = changed(results, "models", "kh", "critical_l2", "pgd", "median", [INFINITY])
    assert gradient_attacks_beat_noise(unreached).verdict is Verdict.UNDECIDED


@pytest.mark.parametrize(
    ("log_ratio", "better", "half", "verdict"),
    [
        (0.5, "kh", 0.1, Verdict.HOLDS),
        (0.0, None, 0.02, Verdict.FAILS),
        (0.02, None, 0.05, Verdict.UNDECIDED),
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
        ([1.0, 1.1, 0.9], [2.0, 2.1, 1.9], Verdict.HOLDS),
        ([2.0, 2.1, 1.9], [1.0, 1.1, 0.9], Verdict.FAILS),
        ([1.0, 1.0], [1.05, 1.05], Verdict.UNDECIDED),
        ([1.0, 2.1, 0.2], [2.0, 1.1, 1.0], Verdict.UNDECIDED),
        ([1.0], [2.0], Verdict.UNDECIDED),  # one seed, and nothing known of its images
        ([None], [1.0], Verdict.UNDECIDED),
    ],
)
def test_the_jacobian_penalty_must_lower_the_norm(regularized, plain, verdict):
    results = changed(evidence(1), "models", "jacobian", "jacobian_norm", {"activation": regularized})
    results = changed(results, "models", "bp", "jacobian_norm", {"activation": plain})
    assert jacobian_regularizer_smooths(results).verdict is verdict
