"""Decisions on corrupted images: the measurement against doing it by hand, its entry, and the claims on it."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from claim_cases import changed
from evidence_cases import evidence

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images, RawImages
from experiments.measuring.corruptions import check_cifar10_c, corruptions
from experiments.networks import network_outcome, trained_logits, untrained_network
from experiments.plan import Plan
from experiments.report.claims import Verdict
from experiments.report.claims.corruptions import smoothness_against_corruptions, withstands_corruptions
from experiments.report.evaluation import same_corruptions
from experiments.report.evidence_tables import corruptions_table
from experiments.results.corruptions import corruption_entry
from experiments.settings.measurements import CorruptionSettings
from experiments.settings.presets import SMOKE
from jax_bioadv.data import CORRUPTIONS, DataError, cifar10_c, corrupt, load, unit_norm
from jax_bioadv.data.dataset import Dataset, sha256_of_array

CHOSEN = CorruptionSettings(names=("impulse_noise", "blur"), images=30)


def measured(images, chosen=CHOSEN):
    """What is measured on an untrained network, and its decisions."""
    trained = network_outcome(untrained_network(images, 8, 0), {}, {})
    found = corruptions(Work(SimpleNamespace(images=images), {"model": trained}, Path()), corruptions=chosen)
    logits = trained_logits(images, trained)
    return found.arrays, lambda inputs: np.argmax(logits(jnp.asarray(inputs)), axis=1)


def test_every_condition_is_decided_as_by_hand():
    images = Images(load("digits"), 3.0)
    found, decisions = measured(images)
    raw, labels = images.dataset.test_images[:30], images.dataset.test_labels[:30]
    np.testing.assert_array_equal(found["clean"], decisions(unit_norm(raw)) == labels)
    assert found["right"].shape == (2, 5, 30)
    for place, name in enumerate(CHOSEN.names):
        for severity in (1, 5):
            decided = decisions(unit_norm(corrupt(raw, name, severity)))
            np.testing.assert_array_equal(found["right"][place, severity - 1], decided == labels)


def test_a_network_that_takes_raw_pixels_gets_them():
    images = RawImages(load("digits"), 3.0)
    found, decisions = measured(images, CorruptionSettings(names=("brightness",), images=30))
    pixels = corrupt(images.dataset.test_images[:30], "brightness", 5).reshape(30, -1).astype(np.float32) / 255
    decided = decisions(pixels)
    np.testing.assert_array_equal(found["right"][0, 4], decided == images.dataset.test_labels[:30])


def test_an_image_that_noise_leaves_black_counts_and_stops_nothing():
    """One faint pixel, which hardly ever yields a photon."""
    faint = np.zeros((4, 8, 8, 1), np.uint8)
    faint[:, 0, 0] = 1
    assert not corrupt(faint, "shot_noise", 5).any()
    labels = np.array([0, 1, 0, 1], np.uint8)
    found, _ = measured(Images(Dataset("faint", faint, labels, faint, labels, ("no", "yes"), "made"), 3.0),
                        CorruptionSettings(names=("shot_noise",), images=4))  # fmt: skip
    np.testing.assert_array_equal(found["right"][0, 4].sum(), 2)


@pytest.fixture
def official(tmp_path, monkeypatch):
    """Test images of CIFAR-10's size, and a folder of two official corruptions of them, made up but for the form."""
    rng = np.random.default_rng(0)
    labels = np.arange(6, dtype=np.uint8) % 3
    monkeypatch.setitem(cifar10_c.FINGERPRINTS, "test_labels", sha256_of_array(labels))
    for name in ("fog", "snow"):
        np.save(tmp_path / f"{name}.npy", rng.integers(0, 256, (30, 32, 32, 3), np.uint8))
    np.save(tmp_path / "labels.npy", np.tile(labels, 5).astype(np.int64))
    pixels = rng.integers(0, 256, (6, 32, 32, 3), np.uint8)
    training = np.tile(pixels, (100, 1, 1, 1)), np.tile(labels, 100)
    dataset = Dataset("cifar10", *training, pixels, labels, ("a", "b", "c"), "made")
    return Images(dataset, 3.0), CorruptionSettings(str(tmp_path), ("fog", "snow"), images=5)


def test_the_official_images_are_decided_as_by_hand(official):
    images, chosen = official
    found, decisions = measured(images, chosen)
    assert found["right"].shape == (2, 5, 5)
    for place, name in enumerate(chosen.names):
        every = np.load(Path(chosen.cifar10_c) / f"{name}.npy").reshape(5, 6, 32, 32, 3)[:, :5]
        for severity, pixels in enumerate(every):
            right = decisions(unit_norm(pixels)) == images.dataset.test_labels[:5]
            np.testing.assert_array_equal(found["right"][place, severity], right)
    outcome = Outcome({}, found)
    assert corruption_entry([outcome], chosen)["source"] == "cifar10_c"
    assert corruption_entry([outcome], CHOSEN)["source"] == "made_here"


def test_official_files_that_were_changed_are_decided_again(official):
    images, chosen = official
    plan = Plan(replace(SMOKE, dataset="cifar10", corruptions=chosen), images)
    before = plan.corruptions("bp", 0).fingerprint
    assert plan.corruptions("bp", 0).fingerprint == before
    path = Path(chosen.cifar10_c) / "fog.npy"
    np.save(path, np.load(path)[::-1])
    assert plan.corruptions("bp", 0).fingerprint != before
    assert not CHOSEN.files_read, "of corruptions made here"


def test_without_names_it_is_all_that_benchmarks_average_over():
    assert CorruptionSettings("there").kinds == cifar10_c.CIFAR10_C
    assert CorruptionSettings().kinds == CORRUPTIONS


def test_what_is_not_whole_or_of_other_images_is_refused_before_work(official):
    images, chosen = official
    settings = replace(SMOKE, dataset="cifar10", corruptions=chosen)
    assert Plan(settings, images).corruptions("bp", 0).given == {"corruptions": chosen}
    whole = images.dataset
    half = replace(whole, train_images=whole.train_images[:, ::2, ::2], test_images=whole.test_images[:, ::2, ::2])
    for dataset in (half, replace(whole, test_labels=whole.test_labels[::-1])):
        with pytest.raises(ValueError, match="not the 10 000 of CIFAR-10 at their own size"):
            check_cifar10_c(chosen, Images(dataset, 3.0))
    (Path(chosen.cifar10_c) / "snow.npy").unlink()
    with pytest.raises(DataError, match=r"not a whole CIFAR-10-C .*snow"):
        Plan(settings, images)
    with pytest.raises(DataError, match=r"unpack CIFAR-10-C\.tar"):
        check_cifar10_c(replace(chosen, cifar10_c=str(Path(chosen.cifar10_c) / "nowhere")), images)


def test_the_page_says_what_corrupted_the_images_and_never_mixes_the_two():
    """Names such as fog are in both sets."""
    results, mine = evidence(1), evidence(1)["models"]["bp"]
    assert "made here and are not CIFAR-10-C" in corruptions_table(results)
    results = {**results, "references": {"models": results["models"]}, "models": {"mine": mine}}
    assert {"mine", "kh"} <= shown(results)
    mine["corruptions"]["source"] = "cifar10_c"
    assert shown(results) == {"mine"}
    assert "those of CIFAR-10-C" in corruptions_table(same_corruptions(results))


def shown(results):
    return {name for name, model in same_corruptions(results)["models"].items() if "corruptions" in model}


def test_no_image_classified_correctly_leaves_nothing_to_overturn():
    outcome = Outcome({}, {"clean": np.zeros(4, bool), "right": np.zeros((1, 5, 4), bool)})
    entry = corruption_entry([outcome, None], CorruptionSettings(names=("fog",)))
    assert entry["overturned"] == entry["overturned_interval"] == [None, None]
    assert entry["accuracy"] == [0.0, None]
    assert entry["images"] == [4, None]


def overturned(results, model, share):
    seeds = len(results["seeds"])
    results = changed(results, "models", model, "corruptions", "overturned", [share] * seeds)
    return changed(
        results, "models", model, "corruptions", "overturned_interval", [[0.97 * share, 1.03 * share]] * seeds
    )


@pytest.mark.parametrize(
    ("model", "share", "verdict"),
    [
        ("bp", 0.3, Verdict.HOLDS),
        ("bp", 0.01, Verdict.FAILS),
        ("random", 0.01, Verdict.FAILS),
        ("adversarial", 0.01, Verdict.HOLDS),  # a yardstick
        ("l2", 0.09, Verdict.UNDECIDED),
    ],
)
def test_rivals_and_controls_must_lose_more_decisions(model, share, verdict):
    assert withstands_corruptions(overturned(evidence(3), model, share)).verdict is verdict


def test_runs_without_corruptions_tell_nothing():
    results = evidence(2)
    for entry in results["models"].values():
        del entry["corruptions"]
    assert withstands_corruptions(results).verdict is Verdict.UNDECIDED
    assert smoothness_against_corruptions(results).verdict is Verdict.UNDECIDED


def test_smoothness_can_go_with_corruptions_against_them_or_neither():
    results = evidence(3)
    assert smoothness_against_corruptions(results).verdict is Verdict.HOLDS
    for model, entry in results["models"].items():
        norm = entry["jacobian_norm"]["activation"][0]
        results = overturned(results, model, 1 / norm)
    assert smoothness_against_corruptions(results).verdict is Verdict.FAILS
    none = results
    for model in results["models"]:
        none = overturned(none, model, 0.0)
    assert smoothness_against_corruptions(none).verdict is Verdict.UNDECIDED
    for place, model in enumerate(results["models"]):
        results = overturned(results, model, 0.1 + 0.05 * (place * 5 % 14))
    assert smoothness_against_corruptions(results).verdict is Verdict.UNDECIDED
