"""Uses of every jitted function, at small sizes, to be lowered for other platforms."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial
from population_cases import REGULARIZERS, labelled, layers, networks, train_layer, train_network

from jax_bioadv import jacobian, models, population
from jax_bioadv.analysis import (
    boundaries,
    boundary_geometry,
    certified,
    critical,
    generic_smoothness,
    robustness,
    smoothness,
    tap_spectra,
)
from jax_bioadv.attacks import (
    apgd,
    autoattack,
    fgsm,
    gaussian,
    minimum_norm,
    minimum_norm_perturbations,
    pgd,
    square,
    transfer,
    worst_case,
)
from jax_bioadv.convolutional import ConvolutionalNetwork, StageSettings
from jax_bioadv.data import corruptions
from jax_bioadv.learning import (
    krotov_hopfield,
    regularizers,
    stacks,
    stage_filters,
    supervised,
    tap_regularizers,
)
from jax_bioadv.learning.krotov_hopfield_fixed_point import fixed_point
from jax_bioadv.raw_pixels import raw_pixel_logits
from jax_bioadv.sharding import make_mesh
from jax_bioadv.taps import taps_of

IMAGES, INPUTS, HIDDEN, CLASSES = 6, 4, 3, 4
KEY = jax.random.key(0)


def _images():
    return np.random.default_rng(0).uniform(0.1, 0.9, (IMAGES, INPUTS)).astype(np.float32)


def _labels():
    return np.arange(IMAGES, dtype=np.int32) % CLASSES


def _network(**options):
    return models.Network(INPUTS, HIDDEN, CLASSES, rngs=nnx.Rngs(0), **options)


def _train_layer(lowering, **options):
    rule = krotov_hopfield.KrotovHopfield()
    state = krotov_hopfield.init(KEY, rule, jnp.asarray(_images()), hidden=HIDDEN)
    krotov_hopfield.epoch(rule, state, jnp.asarray(_images()), 0.02, batch_size=2, **options)


def _step_sequentially(lowering):
    rule = krotov_hopfield.KrotovHopfield()
    krotov_hopfield.sequential_step(rule, jnp.ones((HIDDEN, INPUTS)), jnp.asarray(_images()), 0.02)


def _look_for_the_fixed_point(lowering):
    rule = krotov_hopfield.KrotovHopfield()
    fixed_point(rule, jnp.ones((HIDDEN, INPUTS)), jnp.asarray(_images()))


@functools.cache
def _training(frozen, batch_norm, regularizer):
    """An epoch and its arguments, made once so that both platforms share its trace."""
    decoder = supervised.FrozenFeatures(nnx.Linear(INPUTS, CLASSES, rngs=nnx.Rngs(0)))
    optimizer = supervised.decaying_adam(1e-3, 1, 2.0, steps_per_epoch=3)
    data = regularizers.TrainingData(jnp.asarray(_images()), jnp.asarray(_labels()), jnp.eye(INPUTS))
    model = decoder if frozen else _network(batch_norm=batch_norm)
    graphdef, state = supervised.init(KEY, model, optimizer, regularizer, data)
    epoch = supervised.make_epoch(graphdef, optimizer, regularizer, batch_size=2)
    return epoch, state, data


def _train(lowering, frozen=False, batch_norm=True, regularizer=None):
    lowering(*_training(frozen, batch_norm, regularizer))


def _logits_of_one(model, image):
    return model(image[None])[0]


def _corrupt(lowering):
    corruptions.corrupt(np.zeros((2, 8, 8, 3), np.uint8), "fog", 1)


TRAININGS = {
    "krotov_hopfield_scatter": partial(_train_layer, accumulation="scatter"),
    "krotov_hopfield_product": partial(_train_layer, accumulation="product"),
    "krotov_hopfield_default_precision": partial(_train_layer, accumulation="product", precision="default"),
    "krotov_hopfield_sequential": _step_sequentially,
    "decoder": partial(_train, frozen=True),
    "backprop": partial(_train, batch_norm=False),
    "batch_norm": _train,
    "weight_decay": partial(_train, regularizer=regularizers.weight_decay()),
    "jacobian": partial(_train, regularizer=regularizers.jacobian()),
    "jacobian_activation": partial(_train, regularizer=regularizers.jacobian(target="activation")),
    "projected_jacobian": partial(_train, regularizer=regularizers.projected_jacobian(_logits_of_one)),
    "spectral": partial(_train, regularizer=regularizers.spectral()),
    "spectral_decomposed_anew": partial(_train, regularizer=regularizers.spectral(anchor=0.1, warm_start=False)),
}


@functools.cache
def _logits():
    return models.logits_function(_network(power=4.5))


def _sweep(lowering, attack):
    robustness.epsilon_sweep(attack, KEY, _logits(), _images(), _labels(), [0.1])


def _search(lowering, attack):
    critical.critical_search(attack, KEY, _logits(), _images(), _labels(), [0.1])


ATTACKS = {  # pgd() and square() are lowered in the worst case
    "gaussian": gaussian(),
    "gaussian_published": gaussian(protocol="published"),
    "fgsm": fgsm(),
    "pgd_1": pgd(norm=1),
    "pgd_2": pgd(norm=2),
    "pgd_random_start": pgd(random_start=True, restarts=2),
    "pgd_3_random_start": pgd(norm=3, random_start=True, clip_each_step=True, targeted=True),
    "apgd": apgd(),
    "apgd_2_restarts": apgd(2, loss="dlr", restarts=2),
    "apgd_targeted": apgd(loss="targeted_dlr", targets=3),
    "minimum_norm": minimum_norm(2),
    "minimum_norm_inf": minimum_norm(np.inf, bounds=None),
    "square_2": square(2, 3, (2, 2, 1), restarts=2),
    "transfer": transfer(pgd(), _logits()),
    "worst_case": worst_case([pgd(), square(queries=3, image_shape=(2, 2, 1))]),
}
SWEEPS = {f"sweep_{name}": partial(_sweep, attack=attack) for name, attack in ATTACKS.items()}
SEARCHES = {f"search_{name}": partial(_search, attack=attack) for name, attack in ATTACKS.items()}


def _attack_once(lowering):
    fgsm()(KEY, _logits(), _images(), _labels(), 0.1)


def _sweep_raw_pixels(lowering):
    robustness.epsilon_sweep(apgd(), KEY, raw_pixel_logits(_logits()), _images(), _labels(), [0.1])


def _choose_images(lowering):
    robustness.correctly_classified(models.logits_function(_network(batch_norm=True)), _images(), _labels())


def _closed_jacobian_norms(lowering):
    jacobian.activation_jacobian_norms(jnp.ones((INPUTS, HIDDEN)), 4.5, _images())
    lowering(jax.jit(jacobian.preactivation_jacobian_norm), jnp.ones((INPUTS, HIDDEN)))


def _jacobian_norms(lowering, mode):
    function = jacobian.on_one_image(_logits())
    jacobian.jacobian_norms(function, jnp.asarray(_images()), mode, image_block=4)


def _landscape(lowering):
    plane = boundaries.random_plane(KEY, INPUTS)
    boundaries.landscape(_network(power=4.5, batch_norm=True), jnp.ones(INPUTS), plane, resolution=3)


def _generic_landscape(lowering):
    model, plane = _network(), boundaries.random_plane(KEY, INPUTS)
    for more in ({}, {"projections": 1, "key": jax.random.key(0)}):
        boundaries.generic_landscape(model, model.activation, jnp.ones(INPUTS), plane, resolution=2, **more)


def _minimum_norms(lowering):
    minimum_norm_perturbations(minimum_norm(2), KEY, _logits(), _images(), _labels())


def _certify(lowering, bound, power):
    bound(_network(power=power, batch_norm=True), _images(), _labels())


def _smoothness(lowering):
    smoothness.smoothness_measures(_network(power=4.5, batch_norm=True), _images(), _labels(), KEY)


def _smoothness_of_any_network(lowering):
    generic_smoothness.generic_smoothness_measures(_logits(), _images(), _labels(), KEY)
    generic_smoothness.representation_smoothness(_logits(), _images(), KEY, projections=2)


def _taps(lowering):
    network = _network(power=4.5, batch_norm=True)
    tap_spectra.tap_spectrum(taps_of(network)["activation"], _images())
    tap_regularizers.tap_covariance(network, "encoder", jnp.asarray(_images()), image_block=4)


def _boundary_geometry(lowering):
    """Zeros have no boundary whose vertices would be refined: here is a vertex for each of them."""
    boundary_geometry.boundary_geometry(_network(power=4.5), _images()[:1], KEY, resolution=3)
    rows, pairs = np.zeros(2, np.float32), np.ones((2, 2), np.float32)
    vertices = boundary_geometry._Vertices(rows.astype(np.int32), rows.astype(np.int32), pairs, pairs, rows, pairs)
    centres, directions = np.ones((1, INPUTS), np.float32), np.ones((1, 2, INPUTS), np.float32)
    boundary_geometry._refined(Partial(boundary_geometry._images_on_planes, _logits(), centres, directions), vertices)


def _auto_attack(lowering):
    attack = autoattack(2, 0.1, image_shape=(2, 2, 1), steps=2, targets=2, queries=3)
    attack(KEY, _logits(), _images(), np.zeros(IMAGES, np.int32))  # the class that zeros are taken for


def _stack(lowering):
    """A stage by a local rule, and what its readout sees."""
    network = ConvolutionalNetwork((2, 2, 1), [StageSettings(2, 2)], CLASSES, rngs=nnx.Rngs(0))
    network = stage_filters.fill(network, 0, partial(stage_filters.by_soft_hebb, batch_size=2), _images(), KEY)
    stacks.features(network, _images())


def _image_covariance(lowering):
    regularizers.image_covariance(jnp.asarray(_images()))


LABELLED = labelled()


def _population(lowering, train, members):
    """On a mesh of one device; on_eight_devices.py has larger ones."""
    lowering(population.over_members(train, make_mesh()), members, LABELLED)


POPULATIONS = {
    "population_of_layers": partial(_population, train=train_layer, members=layers(2)),
    "population_of_exponents": partial(
        _population, train=train_layer, members={**layers(2), "p": np.array([2.0, 3.0], np.float32)}
    ),
} | {
    f"{name}_population": partial(_population, train=partial(train_network, name), members=networks(2))
    for name in REGULARIZERS
}

ANALYSES = {
    "krotov_hopfield_fixed_point": _look_for_the_fixed_point,
    "attack": _attack_once,
    "corruption": _corrupt,
    "auto_attack": _auto_attack,
    "stack": _stack,
    "image_covariance": _image_covariance,
    "correctly_classified": _choose_images,
    "jacobian_norms_closed": _closed_jacobian_norms,
    "jacobian_norms_forward": partial(_jacobian_norms, mode="forward"),
    "jacobian_norms_reverse": partial(_jacobian_norms, mode="reverse"),
    "landscape": _landscape,
    "landscape_of_any_network": _generic_landscape,
    "minimum_norms": _minimum_norms,
    "raw_pixels": _sweep_raw_pixels,
    "lipschitz_bound": partial(_certify, bound=certified.lipschitz_bound, power=1.0),
    "relaxation_by_lines": partial(_certify, bound=certified.relaxation_bound, power=1.0),
    "relaxation_by_parabolas": partial(_certify, bound=certified.relaxation_bound, power=4.5),
    "smoothness": _smoothness,
    "smoothness_of_any_network": _smoothness_of_any_network,
    "taps": _taps,
    "boundary_geometry": _boundary_geometry,
}
USES = TRAININGS | POPULATIONS | SWEEPS | SEARCHES | ANALYSES
