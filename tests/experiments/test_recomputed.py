"""The numbers of a finished run, computed again from the weights and arrays that it stored."""

import numpy as np
import pytest
from contract import arrays, read_results

from experiments.attacks import ATTACKS, PUBLISHED_NOISE
from experiments.models import PAPER_MODELS
from experiments.settings.presets import PRESETS
from jax_bioadv.data import unit_norm, white_noise

SMOKE = PRESETS["smoke"]
EVERY_ATTACK = (*ATTACKS, PUBLISHED_NOISE)
# What float32 matrix products of up to a few hundred terms may be off by, relative to the result's size.
ROUNDING = 1e-5


@pytest.fixture(scope="module")
def test_images(digits):
    return unit_norm(digits.test_images, 3.0).astype(np.float64)


def preactivation(weights, images):
    return images @ weights["weights/encoder/kernel"].astype(np.float64)


def logits(model, weights, images):
    activation = np.maximum(preactivation(weights, images), 0) ** (4.5 if model == "kh" else 1.0)
    if model == "spectral":
        deviation = np.sqrt(weights["weights/norm/var"] + 1e-5)
        activation = (activation - weights["weights/norm/mean"]) / deviation
        activation = activation * weights["weights/norm/scale"] + weights["weights/norm/bias"]
    return activation @ weights["weights/decoder/kernel"].astype(np.float64) + weights["weights/decoder/bias"]


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_test_accuracy_follows_from_the_stored_weights(model, smoke, digits, test_images):
    outputs = logits(model, arrays(smoke.directory, f"models/{model}-0"), test_images)
    accuracy = (outputs.argmax(axis=1) == digits.test_labels).mean()
    best, second = -np.sort(-outputs, axis=1)[:, :2].T
    undecided = (best - second < ROUNDING * np.abs(outputs).max()).mean()
    [stored] = read_results(smoke.directory)["models"][model]["test_accuracy"]
    assert abs(stored - accuracy) <= undecided
    assert undecided < 0.02
    assert stored > 0.5, "chance is 0.1"


def test_the_hybrids_first_layer_is_the_pruned_layer(smoke):
    hybrid, layer = arrays(smoke.directory, "models/kh-0"), arrays(smoke.directory, "arrays/layer-0")
    kept = layer["synapses"] * hybrid["keep"][:, None]
    np.testing.assert_array_equal(hybrid["weights/encoder/kernel"], (kept * np.abs(kept)).T)
    assert read_results(smoke.directory)["models"]["kh"]["pruned_units"] == [int((~hybrid["keep"]).sum())]


@pytest.mark.parametrize("model", PAPER_MODELS)
def test_jacobian_norms_follow_from_the_stored_weights(model, smoke, test_images):
    weights = arrays(smoke.directory, f"models/{model}-0")
    power = 4.5 if model == "kh" else 1.0
    hidden, columns = preactivation(weights, test_images), weights["weights/encoder/kernel"].astype(np.float64)
    slopes = power * np.where(hidden > 0, np.maximum(hidden, 0) ** (power - 1), 0.0)
    norms = np.sqrt((slopes**2) @ (columns**2).sum(axis=0))
    stored = arrays(smoke.directory, f"arrays/jacobian-{model}-0")["activation"]
    np.testing.assert_allclose(stored, norms, rtol=100 * ROUNDING)
    found = read_results(smoke.directory)["models"][model]["jacobian_norm"]
    assert found["activation"][0] == pytest.approx(stored.mean(), rel=ROUNDING)
    assert found["preactivation"][0] == pytest.approx(np.linalg.norm(columns), rel=ROUNDING)


@pytest.mark.parametrize("model", PAPER_MODELS)
@pytest.mark.parametrize("kind", ["images", "noise"])
def test_spectra_and_exponents_follow_from_the_stored_weights(model, kind, smoke, test_images):
    weights = arrays(smoke.directory, f"models/{model}-0")
    inputs = test_images if kind == "images" else white_noise(0, 500, 64).astype(np.float64)
    kept = weights.get("keep", np.ones(48, bool))
    eigenvalues = np.linalg.eigvalsh(np.cov(preactivation(weights, inputs)[:, kept].T))[::-1]
    stored = arrays(smoke.directory, f"arrays/spectra-{model}-0")[kind]
    np.testing.assert_allclose(stored, eigenvalues, rtol=1e-3, atol=1e-6 * eigenvalues[0])
    entry = read_results(smoke.directory)["models"][model]["spectrum"][kind]
    fit = {key: entry[key][0] for key in ("alpha", "window")}
    first, last = fit["window"]
    ranks = np.arange(first, last + 1)
    slope, _ = np.polyfit(np.log(ranks), np.log(stored[ranks - 1]), 1)
    assert fit["alpha"] == pytest.approx(-slope, rel=1e-6)
    assert (stored[ranks - 1] > 1e-7 * stored[0]).all()


@pytest.mark.parametrize("model", PAPER_MODELS)
@pytest.mark.parametrize("attack", EVERY_ATTACK)
def test_the_robustness_in_the_results_is_that_of_the_images(model, attack, smoke, digits, test_images):
    found, stored = (
        read_results(smoke.directory)["models"][model],
        arrays(smoke.directory, f"arrays/{attack}-{model}-0"),
    )
    published = attack == PUBLISHED_NOISE
    count = SMOKE.attacks.published_images if published else SMOKE.attacks.images
    steps = SMOKE.attacks.published_epsilons if published else SMOKE.attacks.epsilons
    success, images = stored["success"], stored["images"]
    assert success.shape == (steps, count)
    assert success.dtype == bool
    shapes = {key: array.shape for key, array in stored.items()}
    per_image = ("images", "critical_l2", "critical_linf", "gradient_vanished")
    per_epsilon = ("epsilons", "relative_accuracy")
    assert shapes == {"success": (steps, count)} | dict.fromkeys(per_image, (count,)) | dict.fromkeys(
        per_epsilon, (steps,)
    )
    assert published or found["n_attacked"] == [count]

    outputs = logits(model, arrays(smoke.directory, f"models/{model}-0"), test_images)
    correct = np.flatnonzero(outputs.argmax(axis=1) == digits.test_labels)
    np.testing.assert_array_equal(images, correct[:count])

    curve = found["relative_accuracy"][attack]
    np.testing.assert_array_equal(curve["epsilons"], stored["epsilons"])
    np.testing.assert_allclose(curve["accuracy"], [(~success).mean(axis=1)], rtol=1e-12)
    for norm in ("l2", "linf"):
        lengths = stored[f"critical_{norm}"]
        np.testing.assert_array_equal(np.isfinite(lengths), success.any(axis=0))
        median = np.sort(lengths)[(count - 1) // 2]
        expected = median if np.isfinite(median) else None
        assert found[f"critical_{norm}"][attack]["median"] == [expected]
        assert found[f"critical_{norm}"][attack]["censored"] == [pytest.approx(np.isinf(lengths).mean())]
    if attack in ("fgsm", "pgd"):
        flipped = np.isfinite(stored["critical_linf"])
        largest = stored["epsilons"][success.argmax(axis=0)]
        assert (stored["critical_linf"][flipped] <= largest[flipped] * (1 + ROUNDING)).all()


@pytest.mark.parametrize("model", PAPER_MODELS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_weak_attacks_leave_the_accuracy_and_strong_ones_take_it(model, attack, smoke):
    [accuracy] = read_results(smoke.directory)["models"][model]["relative_accuracy"][attack]["accuracy"]
    assert accuracy[0] >= 0.95
    assert accuracy[-1] < 0.5
