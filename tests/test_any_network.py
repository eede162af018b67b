"""The whole battery on a convolutional network that knows nothing of it, and what each part of it needs."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from small_convolutional import CLASSES, SIDE, OneStage

from jax_bioadv import attacks
from jax_bioadv.analysis import (
    battery,
    boundaries,
    boundary_geometry,
    certified,
    critical,
    generic_smoothness,
    masking,
    robustness,
    smoothness,
    tap_spectra,
)
from jax_bioadv.analysis.folded_network import folded
from jax_bioadv.jacobian import jacobian_norms, on_one_image
from jax_bioadv.learning import regularizers, supervised, tap_regularizers
from jax_bioadv.models import Network, logits_function
from jax_bioadv.taps import taps_of

KEY, SHAPE, INPUTS = jax.random.key(0), (SIDE, SIDE, 1), SIDE * SIDE
IMAGES = np.random.default_rng(1).uniform(0.2, 0.8, (8, INPUTS)).astype(np.float32)
EPSILON = 0.1


def convolutional(seed=0):
    """In training mode, as modules are made, and steep enough for small perturbations to flip some images."""
    model = OneStage(seed)
    model(jnp.asarray(IMAGES))
    model.readout.kernel[...] *= 5
    return model


NETWORK = convolutional()
LOGITS = logits_function(NETWORK)
LABELS = np.asarray(LOGITS(jnp.asarray(IMAGES))).argmax(axis=1)
PLANE = boundaries.random_plane(jax.random.key(3), INPUTS)

ATTACKS = {
    "gaussian": (attacks.gaussian(bounds=(0.0, 1.0)), None),
    "fgsm": (attacks.fgsm(), math.inf),
    "pgd": (attacks.pgd(steps=2), math.inf),
    "pgd of L2": (attacks.pgd(2, 2, random_start=True), 2),
    "apgd": (attacks.apgd(steps=3), math.inf),
    "apgd of targeted odds": (attacks.apgd(steps=3, loss="targeted_dlr", targets=2), math.inf),
    "minimum norm": (attacks.minimum_norm(2, 3), 2),
    "square": (attacks.square(queries=4, image_shape=SHAPE), math.inf),
    "transfer": (attacks.transfer(attacks.fgsm(), convolutional(4)), math.inf),
    "worst case": (attacks.worst_case([attacks.fgsm(), attacks.pgd(steps=2)]), math.inf),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_attacks_the_network_in_evaluation_mode(name):
    attack, norm = ATTACKS[name]
    graphdef, before = nnx.split(nnx.clone(NETWORK))
    found = attack(KEY, NETWORK, IMAGES, LABELS, EPSILON)
    np.testing.assert_array_equal(found.success, np.asarray(LOGITS(found.images)).argmax(axis=1) != LABELS)
    assert np.any(np.asarray(found.images) != IMAGES)
    assert not found.gradient_vanished.any()
    if norm is not None:
        assert np.all(np.linalg.norm(found.images - IMAGES, norm, axis=1) <= EPSILON * (1 + 1e-5))
    assert nnx.graphdef(NETWORK) == graphdef
    assert all(jnp.array_equal(*each) for each in zip(*map(jax.tree.leaves, (nnx.state(NETWORK), before)), strict=True))


def test_critical_perturbations_flip_and_are_found_in_every_way():
    lattice = critical.epsilon_lattice(0.01, 1.0, 0.1)
    assert len(robustness.correctly_classified(NETWORK, IMAGES, LABELS)) == len(IMAGES)
    searched = critical.critical_search(attacks.pgd(2, 5, 0.3), KEY, NETWORK, IMAGES, LABELS, lattice)
    shortest = attacks.minimum_norm_perturbations(attacks.minimum_norm(2, 10), KEY, NETWORK, IMAGES, LABELS)
    flipped = np.isfinite(searched.l2)
    assert flipped.any()
    # A search goes up a lattice of steps of a tenth; the shortest may be shorter, but for its last bisection.
    assert np.all(shortest.length[flipped] <= searched.l2[flipped] * 1.1)


def test_masking_is_looked_for():
    outcomes = masking.masking_outcomes(
        KEY, NETWORK, IMAGES, LABELS, EPSILON, image_shape=SHAPE, steps=2, queries=2, sources=[convolutional(4)]
    )
    assert outcomes.correct.all()
    assert outcomes.unbounded.any()
    assert {"vanished_gradients", "transfer"} <= set(masking.diagnose_masking(outcomes))


@pytest.mark.parametrize("tap", OneStage.taps)
def test_landscapes_show_the_jacobian_of_a_tap(tap):
    representation, image = taps_of(NETWORK)[tap], jnp.asarray(IMAGES[0])
    found = boundaries.generic_landscape(NETWORK, representation, image, PLANE, radius=1.0, resolution=3)
    points = image + jnp.array([[-1.0], [0.0], [1.0]]) * PLANE[0]
    np.testing.assert_allclose(found.jacobian_norm[1], jacobian_norms(on_one_image(representation), points), rtol=1e-4)
    np.testing.assert_array_equal(found.predicted_class[1], LOGITS(points).argmax(axis=1))


def test_boundaries_are_measured_on_planes():
    found = boundary_geometry.generic_boundary_geometry(NETWORK, IMAGES[:1], PLANE[None], radius=5.0, resolution=12)
    assert found.flips.all()
    assert np.isfinite(found.length).all()


def spectral_penalty(network):
    data = regularizers.TrainingData(jnp.asarray(IMAGES), jnp.asarray(LABELS), jnp.eye(INPUTS))
    return regularizers.spectral().refresh(network, data)


def penalties_at_taps(network):
    data = regularizers.TrainingData(jnp.asarray(IMAGES), jnp.asarray(LABELS))
    for make in (tap_regularizers.jacobian_at_tap, tap_regularizers.spectral_at_tap):
        make(next(iter(taps_of(network)))).refresh(network, data)


def every_tap(measure):
    return lambda network: [measure(tap) for tap in taps_of(network).values()]


CALLS = {
    "attacks": lambda network: attacks.fgsm()(KEY, network, IMAGES, LABELS, EPSILON),
    "critical perturbations": lambda network: attacks.minimum_norm_perturbations(
        attacks.minimum_norm(2, 10), KEY, network, IMAGES, LABELS
    ),
    "gradient masking": lambda network: robustness.epsilon_sweep(
        attacks.fgsm(), KEY, network, IMAGES, LABELS, [EPSILON]
    ),
    "boundary geometry": lambda network: boundary_geometry.generic_boundary_geometry(
        network, IMAGES[:1], PLANE[None], resolution=4
    ),
    "smoothness of the logits": lambda network: generic_smoothness.generic_smoothness_measures(
        network, IMAGES, LABELS, KEY
    ),
    "covariance spectra": every_tap(lambda tap: tap_spectra.tap_spectrum(tap, IMAGES)),
    "smoothness of representations": every_tap(
        lambda tap: generic_smoothness.representation_smoothness(tap, IMAGES, KEY, projections=2)
    ),
    "landscapes": every_tap(
        lambda tap: boundaries.generic_landscape(LOGITS, tap, jnp.asarray(IMAGES[0]), PLANE, resolution=3)
    ),
    "penalties at taps": penalties_at_taps,
    "certified bounds": lambda network: certified.lipschitz_bound(network, IMAGES, LABELS),
    "global Lipschitz constants": lambda network: smoothness.smoothness_measures(network, IMAGES, LABELS, KEY),
    "exact landscapes": lambda network: boundaries.landscape(network, jnp.asarray(IMAGES[0]), PLANE, resolution=3),
    "exact boundary geometry": lambda network: boundary_geometry.boundary_geometry(
        network, IMAGES[:1], KEY, resolution=4
    ),
    "exact penalties": spectral_penalty,
}
NETWORKS = {
    battery.Needs.LOGITS: LOGITS,
    battery.Needs.TAP: NETWORK,
    battery.Needs.ONE_HIDDEN_LAYER: Network(INPUTS, 6, CLASSES, rngs=nnx.Rngs(0)),
}


@pytest.mark.parametrize("needs", battery.Needs)
def test_the_table_says_what_a_network_has_and_no_more(needs):
    network = NETWORKS[needs]
    assert battery.given_by(network) is needs
    names = [each.name for each in battery.measurements_of(network)]
    assert set(CALLS) == {each.name for each in battery.BATTERY} >= set(names)
    for name in CALLS:
        if name in names:
            battery.check_measurable(name, network)
            continue
        with pytest.raises(TypeError, match=rf"{name} of a {type(network).__name__}: this needs .* attacks, "):
            battery.check_measurable(name, network)
        with pytest.raises(TypeError):  # nor does the measurement itself take it
            CALLS[name](network)


@pytest.mark.parametrize("measurement", battery.BATTERY, ids=lambda each: each.name)
def test_what_the_table_says_is_enough(measurement):
    CALLS[measurement.name](NETWORKS[measurement.needs])


def test_certified_bounds_say_what_they_hold_for():
    without_checked_annotations = inspect.unwrap(folded)  # with which both bounds begin
    with pytest.raises(TypeError, match=r"one dense layer and a dense decoder, not for a OneStage\. There is no bound"):
        without_checked_annotations(NETWORK)


def test_an_unknown_measurement_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"no measurement 'spectra'; there are attacks, .*covariance spectra"):
        battery.check_measurable("spectra", NETWORK)


def test_adversarial_training_takes_any_network():
    data = regularizers.TrainingData(jnp.asarray(IMAGES), jnp.asarray(LABELS))
    attack = attacks.fgsm()
    optimizer = optax.sgd(0.1)
    graphdef, state = supervised.init(KEY, NETWORK, optimizer)
    epoch = supervised.make_epoch(
        graphdef,
        optimizer,
        batch_size=4,
        adversary=lambda model, images, labels, key: attack(key, model, images, labels, EPSILON).images,
    )
    assert np.isfinite(epoch(state, data)[1].loss)
