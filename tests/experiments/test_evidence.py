"""The evidence in results.json follows from the arrays of a finished run, image by image."""

import itertools
import math
import types

import numpy as np
import pytest
from contract import arrays, read_results

from experiments.attacks import ATTACKS
from experiments.engine.tasks import Outcome
from experiments.models import PAPER_MODELS
from experiments.results.collect import with_overall
from experiments.results.correlations import correlations
from experiments.results.evidence import Evidence
from experiments.settings.presets import PRESETS
from jax_bioadv.analysis import statistics

SMOKE = PRESETS["smoke"]
THREATS = SMOKE.threats.names
PAIRS = list(itertools.combinations(PAPER_MODELS, 2))
EVERY_ATTACK = ("apgd_ce", "apgd_dlr", "apgd_targeted", "minimum_norm", "square", "transfer")


@pytest.fixture(scope="module")
def results(smoke):
    return read_results(smoke.directory)


def model_arrays(smoke, kind, model):
    return arrays(smoke.directory, f"arrays/{kind}-{model}-0")


@pytest.mark.parametrize("model", PAPER_MODELS)
@pytest.mark.parametrize("threat", THREATS)
def test_robust_accuracy_counts_the_images_that_no_attack_turns(threat, model, smoke, results):
    found, images = results["models"][model]["robust_accuracy"][threat], SMOKE.threats.images
    own = model_arrays(smoke, threat, model)
    moved = arrays(smoke.directory, f"arrays/transfer-{threat}-0")
    turned = {name.removeprefix("success/"): own[name] for name in own if name.startswith("success/")}
    turned["transfer"] = np.any(
        [moved[f"{source}/{model}"][own["correct"]] for source in PAPER_MODELS if source != model], 0
    )
    assert sorted(turned) == sorted(found["attacks"]) == sorted(EVERY_ATTACK)
    for attack, success in turned.items():
        assert found["attacks"][attack] == [pytest.approx((~success).sum() / images)]
    everywhere = ~np.any(list(turned.values()), axis=0)
    assert found["worst_case"] == [pytest.approx(everywhere.sum() / images)]
    assert found["clean"] == [pytest.approx(len(own["correct"]) / images)]
    [[low, high]] = found["worst_case_interval"]
    assert low <= found["worst_case"][0] <= high
    assert (found["space"], found["norm"]) == tuple(threat.split("_"))
    assert found["epsilon"] == getattr(SMOKE.threats, threat)


@pytest.mark.parametrize("threat", THREATS)
def test_transfer_also_moves_what_its_source_gets_wrong(threat, smoke):
    """An attack that stops at what its source misclassifies would judge these images as they are."""
    images = np.arange(SMOKE.threats.images)
    right = {model: np.isin(images, model_arrays(smoke, threat, model)["correct"]) for model in PAPER_MODELS}
    asked, fooled = 0, 0
    for name, success in arrays(smoke.directory, f"arrays/transfer-{threat}-0").items():
        source, target = name.split("/")
        only_target = ~right[source] & right[target]
        asked, fooled = asked + only_target.sum(), fooled + success[only_target].sum()
    assert asked > 0
    assert fooled > 0


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_the_strongest_attack_goes_no_farther_than_the_one_step_of_the_paper(model, smoke, results):
    """The minimum-norm attack against FGSM, image by image, whose lengths are those of the grid's ε."""
    shortest, one_step = (model_arrays(smoke, attack, model) for attack in ("minimum_norm", "fgsm"))
    np.testing.assert_array_equal(shortest["images"], one_step["images"])
    assert (shortest["critical_l2"] <= one_step["critical_l2"]).mean() > 0.9
    medians = results["models"][model]["critical_l2"]
    assert medians["minimum_norm"]["median"][0] < medians["fgsm"]["median"][0]


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_certified_bounds_lie_below_every_perturbation_that_was_found(model, smoke, results):
    bounds, shortest = model_arrays(smoke, "bounds", model), {}
    for attack in (*ATTACKS, "minimum_norm"):
        stored = model_arrays(smoke, attack, model)
        for image, length in zip(stored["images"], stored["critical_l2"], strict=True):
            shortest[image] = min(length, shortest.get(image, math.inf))
    upper = np.array([shortest[image] for image in bounds["images"]])
    lower = np.maximum(bounds["lipschitz"], bounds["relaxation"])
    assert (lower <= upper).all()
    assert (lower > 0).any()
    found = results["models"][model]["certified_l2"]
    assert found["violations"] == [0]
    assert found["upper"]["median"] == [pytest.approx(np.sort(upper)[(len(upper) - 1) // 2])]
    assert found["relaxation"]["median"] == [pytest.approx(np.sort(bounds["relaxation"])[(len(upper) - 1) // 2])]


def test_every_pair_is_compared_on_the_images_that_both_classify(smoke, results):
    compared = {(one["attack"], one["first"], one["second"]): one for one in results["comparisons"]}
    assert set(compared) == {(attack, *pair) for attack in (*ATTACKS, "minimum_norm") for pair in PAIRS}
    for attack in (*ATTACKS, "minimum_norm"):
        family = [compared[attack, *pair] for pair in PAIRS]
        corrected = statistics.holm([one["p"] for one in family])
        assert [one["p_corrected"] for one in family] == pytest.approx(corrected)
        for (first, second), one in zip(PAIRS, family, strict=True):
            ours, theirs = (model_arrays(smoke, attack, model) for model in (first, second))
            shared = np.intersect1d(ours["images"], theirs["images"])
            assert one["images"] == [len(shared)]
            lengths = [stored["critical_l2"][np.isin(stored["images"], shared)] for stored in (ours, theirs)]
            farther = (lengths[0] > lengths[1]).mean() + (lengths[0] == lengths[1]).mean() / 2
            assert one["superiority"] == pytest.approx(farther)
            better = {True: first, False: second}[one["log_ratio"] > 0] if one["p_corrected"] < 0.05 else None
            assert one["better"] == better


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_smoothness_is_the_median_over_the_images(model, smoke, results):
    found, intervals = (results["models"][model][key] for key in ("smoothness", "smoothness_interval"))
    assert {"jacobian_frobenius", "jacobian_spectral", "lipschitz_local", "loss_curvature"} <= set(found)
    for name, stored in model_arrays(smoke, "smoothness", model).items():
        middle = np.nanmedian(stored)
        assert found[name] == [pytest.approx(middle) if np.isfinite(middle) else None]
        if np.isfinite(stored[~np.isnan(stored)]).all():
            [[low, high]] = intervals[name]
            assert low <= np.nanquantile(stored, 0.5, method="higher")
            assert high >= np.nanquantile(stored, 0.5, method="lower")


def test_correlations_name_measures_and_models_that_are_there(results):
    assert results["correlations"]
    for one in results["correlations"]:
        assert one["attack"] in (*ATTACKS, "minimum_norm")
        assert -1 <= one["spearman"] <= 1
        assert 3 <= one["models"] <= one["members"] <= len(PAPER_MODELS)
        assert 0 < one["p"] <= one["p_corrected"] <= 1


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_masking_has_a_number_and_a_verdict_for_every_check(model, results):
    masking = dict(results["models"][model]["masking"])
    [verdict] = masking.pop("verdict")
    suspects = [name for name, check in masking.items() if check["suspect"] == [True]]
    assert {"vanished_gradients", "single_step", "more_steps", "random_starts", "black_box", "unbounded"} <= set(
        masking
    )
    assert verdict == (f"suspect: {', '.join(suspects)}" if suspects else "no sign of masking")


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_boundaries_have_a_length_on_every_radius(model, results):
    found = results["models"][model]["boundaries"]
    assert set(found) == {"radius_4", "radius_20"}
    for radius in found.values():
        assert {"length", "curvature", "regions", "flips"} <= set(radius)
        [[low, high]] = radius["length_interval"]
        assert low <= radius["length"][0] <= high
        assert radius["length"][0] >= 0
        assert radius["regions"][0] >= 1


@pytest.mark.parametrize("kind", ["images", "noise"])
@pytest.mark.parametrize("model", PAPER_MODELS)
def test_spectra_come_with_a_verdict_and_with_exponents_by_other_ways(model, kind, results):
    spectrum = results["models"][model]["spectrum"]
    assert isinstance(spectrum[kind]["verdict"][0], str)
    [[low, high]] = spectrum[kind]["alpha_range"]
    assert low <= high
    for other in (f"{kind}_held_out", f"{kind}_weighted"):
        # Of the same layer by another way: another number, and nothing quite else.
        assert spectrum[other]["alpha"][0] == pytest.approx(spectrum[kind]["alpha"][0], rel=0.5, abs=0.2)


def test_what_the_seeds_come_to_stands_beside_every_list_with_an_interval():
    found = {
        "attack": {"median": [None, 2.0], "median_interval": [[1.0, None], [1.5, 2.5]], "censored": [0.6, 0.1]},
        "bounds": {"gap": [None, 2.0], "gap_interval": [[1.0, None], [1.5, 2.5]]},
        "smoothness": {"norm": [1.0, 2.0]},
        "smoothness_interval": {"norm": [[0.5, 1.5], [1.5, 2.5]]},
        "images": {"alpha": [2.0, 2.2], "r2": [0.9, 0.9]},
    }
    with_overall(found)
    median, norm = found["attack"]["median_overall"], found["smoothness_overall"]["norm"]
    assert median == {"centre": None, "interval": [1.0, None], "over": "seeds and images", "infinite_seeds": 1}
    assert found["bounds"]["gap_overall"] == median
    assert norm["centre"] == 1.5
    assert norm["over"] == "seeds and images"
    assert norm["interval"][0] < 0.5
    assert found["images"]["alpha_overall"]["over"] == "seeds"
    assert "r2_overall" not in found["images"]


def test_p_values_are_corrected_over_all_measures_and_attacks(results):
    corrected = statistics.holm([one["p"] for one in results["correlations"]])
    assert [one["p_corrected"] for one in results["correlations"]] == corrected


def test_a_share_of_none_is_not_known_to_be_none(results):
    shares = [threat for model in results["models"].values() for threat in model["robust_accuracy"].values()]
    for threat in shares:
        for attack, [share] in threat["attacks"].items():
            [[low, high]] = threat["attacks_interval"][attack]
            assert low <= share <= high
            assert high > 0
            assert low < 1


def test_accuracies_have_intervals_over_images(results):
    for model in results["models"].values():
        for accuracy, (low, high) in zip(model["test_accuracy"], model["test_accuracy_interval"], strict=True):
            assert low < accuracy < high
            # Some two standard errors of a share of 297 images on either side.
            assert high - low == pytest.approx(4 * math.sqrt(accuracy * (1 - accuracy) / 297), rel=0.3)


def test_pruning_is_judged_by_decoders_on_the_same_layer(results):
    noise_start = results["baselines"]["noise_start"]
    [pruned], [whole] = noise_start["test_accuracy"], noise_start["test_accuracy_unpruned"]
    assert min(pruned, whole) > 0.2, "chance is 0.1"
    [change], [[low, high]] = noise_start["test_accuracy_change"], noise_start["test_accuracy_change_interval"]
    assert change == pytest.approx(pruned - whole)
    assert low < change < high
    if noise_start["pruned_units"] == [0]:
        assert pruned == whole


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_corrupted_images_are_counted_condition_by_condition(model, smoke, results):
    found, stored = results["models"][model]["corruptions"], model_arrays(smoke, "corruptions", model)
    kinds, right, clean = SMOKE.corruptions.names, stored["right"], stored["clean"]
    assert right.shape == (len(kinds), 5, SMOKE.corruptions.images)
    assert found["clean"] == [pytest.approx(clean.mean())]
    assert found["accuracy"] == [pytest.approx(right.mean())]
    assert found["overturned"] == [pytest.approx((~right[:, :, clean]).mean())]
    for place, kind in enumerate(kinds):
        assert found["by_corruption"][kind] == [pytest.approx(right[place].mean())]
    for place, severity in enumerate("12345"):
        assert found["by_severity"][severity] == [pytest.approx(right[:, place].mean())]
    [[low, high]] = found["overturned_interval"]
    assert low <= found["overturned"][0] <= high


def made_up(**outcomes):
    """The evidence of one network from these outcomes, by the names of attacks and measurements."""
    plan = types.SimpleNamespace(
        settings=types.SimpleNamespace(seeds=1),
        attack=lambda attack, model, seed: attack,
        minimum_norm=lambda model, seed: "minimum_norm",
        bounds=lambda model, seed: "bounds",
    )
    return Evidence(plan, outcomes.get)


def distances(*lengths):
    return Outcome({}, {"images": np.arange(len(lengths)), "critical_l2": np.array(lengths)})


def test_where_the_minimum_norm_attack_fails_an_image_is_as_near_as_another_attack_found_it():
    """Its failure is no robustness; what it found stays, though another may be nearer."""
    both = made_up(
        minimum_norm=distances(1.0, np.inf, np.inf), pgd=distances(0.5, 3.0, np.inf), fgsm=distances(9.0, 4.0)
    )
    np.testing.assert_array_equal(both.critical("minimum_norm", "bp", 0).arrays["critical_l2"], [1.0, 3.0, np.inf])
    np.testing.assert_array_equal(both.critical("pgd", "bp", 0).arrays["critical_l2"], [0.5, 3.0, np.inf])


def test_a_bound_that_no_attack_met_is_not_kept():
    certified = Outcome({}, {"images": np.arange(2), "lipschitz": np.full(2, 0.1), "relaxation": np.full(2, 0.2)})
    assert made_up(bounds=certified)._bounds("bp")["violations"] == [None]
    assert made_up(bounds=certified, pgd=distances(0.15, 0.3))._bounds("bp")["violations"] == [1]


def test_means_and_medians_of_jacobian_norms_are_not_ranked_together(results):
    """A model without the stage of smoothness has the mean alone."""
    models = {name: dict(entry) for name, entry in results["models"].items()}
    models["l2"]["smoothness"] = {}
    members = {one["measure"]: one["models"] for one in correlations(models)}
    assert members["jacobian_frobenius"] == members["relative_jacobian"] == len(models) - 1
    without = correlations({name: {**entry, "smoothness": {}} for name, entry in models.items()})
    assert {one["measure"]: one["models"] for one in without}["jacobian_frobenius"] == len(models)
