"""The controls: each is what its name says, and is measured in the same way as the models of the paper."""

import dataclasses
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.engine.ledger import Ledger
from experiments.models import CONTROLS, MODELS
from experiments.networks import trained_network, untrained_network
from experiments.settings.presets import PRESETS
from experiments.training.matching import matched_epoch
from jax_bioadv.learning.supervised import EpochInfo
from jax_bioadv.models import logits_function

SMOKE = PRESETS["smoke"]


@pytest.fixture(scope="module")
def plan(plan_of):
    return plan_of(dataclasses.replace(SMOKE, models=",".join(MODELS)))


@pytest.fixture(scope="module")
def images(plan):
    return plan.images


@pytest.fixture(scope="module")
def trained(plan, smoke, tmp_path_factory):
    """Those that the smoke run has are not trained again."""
    ledger = Ledger(Path(shutil.copytree(smoke.directory, tmp_path_factory.mktemp("controls") / "run")))
    return lambda model: ledger.complete(plan.model(model, 0))


def kernel(outcome):
    return outcome.arrays["weights/encoder/kernel"]


@pytest.mark.parametrize("model", CONTROLS)
def test_every_control_learns_something(model, trained):
    outcome = trained(model)
    assert outcome.diverged is None
    assert outcome.values["test_accuracy"] > 0.3, "chance is 0.1"
    assert outcome.values["pruned_units"] == 0


@pytest.mark.parametrize("model", CONTROLS)
def test_the_stored_network_is_the_one_whose_accuracy_is_stored(model, images, trained):
    logits = logits_function(trained_network(images, trained(model)))(images.test)
    accuracy = float(jnp.mean(jnp.argmax(logits, axis=1) == images.test_labels))
    # Another batch size sums in another order, which may turn around a few undecided images.
    assert accuracy == pytest.approx(trained(model).values["test_accuracy"], abs=2 / len(images.test_labels))


def test_the_random_layer_is_the_one_that_backpropagation_starts_from(images, trained):
    untrained = untrained_network(images, SMOKE.hidden, 0)
    np.testing.assert_array_equal(kernel(trained("random")), untrained.encoder.kernel[...])


def test_principal_directions_come_in_pairs_and_whitening_only_scales_them(images, trained):
    plain, whitened = kernel(trained("pca")), kernel(trained("whitened"))
    np.testing.assert_array_equal(plain[:, ::2], -plain[:, 1::2])
    responses = (np.asarray(images.train) @ whitened).std(axis=0)
    np.testing.assert_allclose(responses, 1, rtol=1e-2)
    cosines = (plain * whitened).sum(axis=0) / np.linalg.norm(whitened, axis=0)
    np.testing.assert_allclose(cosines, 1, rtol=1e-3)


def test_centroids_respond_as_rows_of_the_trained_layer_do(trained):
    """Rows W|W|^(p-2) of unit L3 norm have an L_1.5 norm of 1."""
    norms = (np.abs(kernel(trained("kmeans"))) ** 1.5).sum(axis=0) ** (1 / 1.5)
    np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_the_power_of_the_hybrid_is_that_of_its_backpropagation_control_alone(trained):
    powers = {model: trained(model).values["network"]["power"] for model in MODELS}
    raised = {model for model, power in powers.items() if power == SMOKE.decoder.power}
    assert raised == {"kh", "kh_start", "kmeans", "bp_power"}
    assert set(powers.values()) == {SMOKE.decoder.power, 1.0}


def test_decay_of_the_first_layer_makes_that_layer_smaller_and_leaves_the_other(trained):
    size = {model: np.linalg.norm(kernel(trained(model))) for model in ("bp", "l2", "bp_first_decay")}
    assert size["bp_first_decay"] < 0.95 * size["bp"]
    decoders = {
        model: np.linalg.norm(trained(model).arrays["weights/decoder/kernel"]) for model in ("l2", "bp_first_decay")
    }
    assert decoders["bp_first_decay"] > decoders["l2"]


def test_the_matched_network_stops_at_the_epoch_nearest_to_the_hybrids_accuracy(plan, trained):
    matched, hybrid = trained("bp_matched"), trained("kh").values["test_accuracy"]
    bp = trained("bp")
    losses = matched.arrays["history/loss"]
    assert matched.values["epochs"] == len(losses) <= SMOKE.backprop.epochs
    # The same order of images and the same rates: backprop itself, cut short.
    np.testing.assert_array_equal(losses, bp.arrays["history/loss"][: len(losses)])
    assert matched.values["converged"] == (max(matched.values["test_accuracy"], bp.values["test_accuracy"]) >= hybrid)
    needed = plan.model("bp_matched", 0).needs
    assert {name: task.fingerprint for name, task in needed.items()} == {"hybrid": plan.model("kh", 0).fingerprint}


@pytest.mark.parametrize(("wanted", "epochs"), [(0.2, 1), (0.6, 2), (0.7, 3), (0.9, 3)])
def test_the_nearest_epoch_is_the_last_below_an_accuracy_or_the_first_above(wanted, epochs):
    accuracies = [0.3, 0.5, 0.8]
    trained = ((number, EpochInfo(*[number] * len(EpochInfo._fields))) for number in range(3))
    number, reached, history = matched_epoch("bp", wanted, 3, trained, accuracies.__getitem__)
    assert number == epochs - 1
    assert reached == {"converged": wanted < 0.8, "epochs": epochs}
    assert list(history["loss"]) == list(range(epochs))


def test_adversarial_training_learns_from_other_images_than_plain_training(trained):
    losses = trained("adversarial").arrays["history/loss"]
    assert len(losses) == SMOKE.adversarial.epochs
    # On adversarial images the loss of the same start, rates and order is higher, from the first epoch on.
    assert (losses > trained("bp").arrays["history/loss"][: len(losses)] + 1e-3).all()


@pytest.mark.parametrize(
    ("path", "value", "affected"),
    [
        ("kmeans.passes", 2, {"kmeans"}),
        ("adversarial.epsilon", 0.1, {"adversarial"}),
        ("l2.weight", 0.1, {"l2", "bp_first_decay"}),
        ("decoder.power", 4.0, {"kh", "kh_start", "kmeans", "bp_power", "bp_matched"}),
        ("decoder.epochs", 4, {"kh", "kh_start", "kmeans", "random", "pca", "whitened", "bp_matched"}),
        ("pruning.method", "none", {"kh", "kh_start", "bp_matched"}),
        ("layer.p", 3.5, {"kh", "kh_start", "kmeans", "bp_matched"}),
        ("layer.epochs", 3, {"kh", "bp_matched"}),
        (
            "backprop.learning_rates",
            (1e-3,),
            {"bp", "l2", "jacobian", "bp_power", "bp_first_decay", "bp_matched", "adversarial"},
        ),
    ],
)
def test_a_setting_reaches_the_controls_that_read_it(path, value, affected, plan_of, changed):
    def fingerprints(settings):
        plan = plan_of(dataclasses.replace(settings, models=",".join(MODELS)))
        return {model: plan.model(model, 0).fingerprint for model in MODELS}

    before, after = fingerprints(SMOKE), fingerprints(changed(path, value))
    assert {model for model in MODELS if before[model] != after[model]} == affected


def test_more_hidden_units_than_directions_are_refused_before_any_work(plan_of):
    with pytest.raises(ValueError, match="pca has at most 128 units, two for each direction"):
        plan_of(dataclasses.replace(SMOKE, hidden=129, models="pca"))
