"""Claims on spectra can come out each way, and controls are counted."""

import pytest
from claim_cases import changed
from evidence_cases import PAPER, evidence

from experiments.report.claims import Verdict
from experiments.report.claims.spectra import (
    exponents_above_the_data,
    is_power_law,
    power_laws,
    pruning_is_harmless,
)
from experiments.report.claims.spectral import spectral_fails_on_noise, spectral_regularizer_moves


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
        ("l2", "images", [0.992, 0.992], Verdict.UNDECIDED),  # none with half of the tolerance
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


@pytest.mark.parametrize(
    ("change", "gain", "said", "verdict"),
    [
        (0.08, 50.0, "power law", Verdict.CONTRADICTS),
        (0.17, 50.0, "power law", Verdict.UNDECIDED),  # none with half of the tolerance
        (0.25, 50.0, "broken", Verdict.UNDECIDED),  # one with one and a half of it
        (0.45, 50.0, "broken", Verdict.AGREES),
        (0.45, 2.0, "undecided", Verdict.UNDECIDED),
        (0.45, 50.0, "not a power law", Verdict.AGREES),
    ],
)
def test_no_verdict_hangs_on_our_tolerance_for_the_change_of_an_exponent(change, gain, said, verdict):
    entry = {"verdict": [said] * 2, "exponent_change": [change, change + 0.01], "broken_delta_bic": [gain] * 2}
    claim = power_laws(changed(evidence(2), "models", "l2", "spectrum", "images", entry), "images")
    assert claim.verdict is verdict
    assert ("tolerance of 20%" in claim.sentence) == (verdict is Verdict.UNDECIDED)


def test_controls_whose_seeds_differ_leave_a_power_law_open():
    results = evidence(2)
    assert power_laws(results, "noise").verdict is Verdict.AGREES
    claim = power_laws(
        changed(results, "models", "kmeans", "spectrum", "noise", "verdict", ["power law", "curved"]), "noise"
    )
    assert claim.verdict is Verdict.UNDECIDED
    assert "k-means" in claim.sentence


def test_controls_with_exponents_above_the_datas_share_the_claim():
    assert exponents_above_the_data(evidence(3)).verdict is Verdict.SHARED


@pytest.mark.parametrize(
    ("path", "value", "verdict"),
    [
        (("pruned_units",), [30, 30], Verdict.AGREES),
        (("pruned_units",), [0, 0], Verdict.UNDECIDED),
        (("test_accuracy_unpruned",), [None, None], Verdict.UNDECIDED),
        (("spectrum", "images_raw", "r2"), [0.9999, 0.9999], Verdict.CONTRADICTS),
        (("spectrum", "images_raw", "r2"), [0.99, 0.9995], Verdict.UNDECIDED),
        (("converged",), [True, False], Verdict.UNDECIDED),
    ],
)
def test_pruning_must_cost_nothing_and_straighten(path, value, verdict):
    assert pruning_is_harmless(changed(evidence(2), "baselines", "noise_start", *path, value)).verdict is verdict


@pytest.mark.parametrize(
    ("change", "arm", "verdict"),
    [
        (-0.3, 0.002, Verdict.CONTRADICTS),
        (-0.01, 0.002, Verdict.UNDECIDED),  # the margin itself
        (0.0, 0.002, Verdict.AGREES),
        (0.0, 0.02, Verdict.UNDECIDED),  # other images may tell otherwise
        (None, 0.0, Verdict.UNDECIDED),
    ],
)
def test_what_pruning_costs_is_judged_over_seeds_and_images(change, arm, verdict):
    ends = None if change is None else [change - arm, change + arm]
    results = changed(evidence(2), "baselines", "noise_start", "test_accuracy_change", [change] * 2)
    results = changed(results, "baselines", "noise_start", "test_accuracy_change_interval", [ends] * 2)
    assert pruning_is_harmless(results).verdict is verdict


def test_pruning_is_judged_on_one_layer():
    """Accuracy is known of the layer that started from noise; the network's own spectrum is of another layer."""
    results = changed(evidence(2), "models", "kh", "spectrum", "images_raw", "r2", [0.9999] * 2)
    assert pruning_is_harmless(results).verdict is Verdict.AGREES


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


@pytest.mark.parametrize(
    ("r2", "verdict"), [([0.999] * 2, Verdict.SHARED), ([0.999, 0.95], Verdict.UNDECIDED), ([0.95] * 2, Verdict.AGREES)]
)
def test_spectral_regularization_gives_nothing_that_the_untrained_network_has(r2, verdict):
    results = changed(evidence(2), "baselines", "untrained", "spectrum", "images", "r2", r2)
    assert spectral_fails_on_noise(results).verdict is verdict


def test_one_seed_that_is_left_of_several_decides_nothing():
    """The others diverged."""
    results = evidence(3)
    assert is_power_law(results, "spectral", "noise") is False
    for values in results["models"]["spectral"]["spectrum"]["noise"].values():
        values[1:] = [None] * 2
    assert is_power_law(results, "spectral", "noise") is None
    assert spectral_regularizer_moves(regularized([1.2] * 3, [1.5, 1.51, 1.49], 1.0)).verdict is Verdict.HOLDS
    alone = regularized([1.2, None, None], [1.5, 1.51, 1.49], 1.0)
    assert spectral_regularizer_moves(alone).verdict is Verdict.UNDECIDED


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
    assert spectral_regularizer_moves(regularized(alpha, [1.5], target)).verdict is verdict


def regularized(alpha, start, target, stderr=0.001):
    """Results of a spectral network with these exponents, and untrained ones with those."""
    results = changed(evidence(len(alpha)), "settings", "spectral", "exponent", target)
    for path, values in ((("models", "spectral"), alpha), (("baselines", "untrained"), start)):
        results = changed(results, *path, "spectrum", "images", "alpha", values)
        results = changed(results, *path, "spectrum", "images", "stderr", [stderr] * len(values))
    return results


@pytest.mark.parametrize(("alpha", "start"), [([1.05, 1.10], [1.29, 1.30]), ([1.5, 1.51], [1.49, 1.5])])
def test_where_seeds_scatter_it_is_not_said_that_nothing_moved(alpha, start):
    finding = spectral_regularizer_moves(regularized(alpha, start, 1.0))
    assert finding.verdict is Verdict.UNDECIDED
    assert "not told whether anything moved" in finding.sentence


def test_where_the_regression_is_rough_it_is_not_said_that_nothing_moved():
    assert spectral_regularizer_moves(regularized([1.5], [1.5], 1.0, stderr=0.01)).verdict is Verdict.UNDECIDED
