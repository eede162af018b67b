"""What learns and what looks inside a network runs under float64 and where NaN is an error, to the same results."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv import jacobian, population
from jax_bioadv.analysis import (
    boundaries,
    boundary_geometry,
    certified,
    generic_smoothness,
    masking,
    smoothness,
    tap_spectra,
)
from jax_bioadv.convolutional import ConvolutionalNetwork, StageSettings
from jax_bioadv.data import corrupt
from jax_bioadv.learning import krotov_hopfield, regularizers, stage_filters, supervised
from jax_bioadv.models import Network, fold_batch_norm, logits_function
from jax_bioadv.sharding import make_mesh
from jax_bioadv.taps import taps_of

INPUTS, HIDDEN, CLASSES, IMAGES = 12, 5, 3, 10
PIXELS = np.random.default_rng(0).uniform(0.1, 1.0, (IMAGES, INPUTS)).astype(np.float32)
PIXELS[1] = PIXELS[0]  # what copies make 0 must not be divided by
LABELS = np.arange(IMAGES, dtype=np.int32) % CLASSES


def network():
    """Float32 weights, one row of which is pruned."""
    model = Network(INPUTS, HIDDEN, CLASSES, power=4.5, batch_norm=True, rngs=nnx.Rngs(0))
    weights = np.random.default_rng(1)
    model.encoder.kernel[...] = jnp.asarray(weights.normal(size=(INPUTS, HIDDEN)), jnp.float32).at[:, 2].set(0.0)
    model.decoder.kernel[...] = jnp.asarray(weights.normal(size=(HIDDEN, CLASSES)), jnp.float32)
    model.decoder.bias[...] = jnp.asarray(weights.normal(size=CLASSES), jnp.float32)
    return model


def layer():
    rule = krotov_hopfield.KrotovHopfield()
    begin = jax.jit(partial(krotov_hopfield.init, hidden=HIDDEN, start="samples"))
    state = begin(jax.random.key(0), rule, jnp.asarray(PIXELS))
    return krotov_hopfield.epoch(rule, state, jnp.asarray(PIXELS), 0.1, batch_size=4)[0].synapses


def layer_of_numpys_numbers():
    rule = krotov_hopfield.KrotovHopfield(p=np.float64(2.5), delta=np.float64(0.3), radius=np.float64(1.5))
    start, rate = jnp.asarray(np.random.default_rng(1).normal(size=(HIDDEN, INPUTS)), jnp.float32), np.float64(0.1)
    many = krotov_hopfield.minibatch_step(rule, start, jnp.asarray(PIXELS), rate)[0]
    found = many, krotov_hopfield.sequential_step(rule, start, jnp.asarray(PIXELS), rate)
    assert {one.dtype for one in found} == {jnp.dtype("float32")}
    return found


def centroids():
    network = ConvolutionalNetwork((2, 2, 3), [StageSettings(2, 1, bias=True)], CLASSES, rngs=nnx.Rngs(0))
    return stage_filters.by_k_means(network, 0, PIXELS, jax.random.key(0)).rows


def corrupted():
    return corrupt(np.asarray(255 * PIXELS.reshape(-1, 2, 2, 3), np.uint8), "impulse_noise", 5) / 255


def layers():
    mesh = make_mesh()

    def start(member, images):
        rule = krotov_hopfield.KrotovHopfield(delta=member["delta"])
        return krotov_hopfield.init(jax.random.key(member["seed"]), rule, images, hidden=HIDDEN)

    members = {"seed": np.arange(2, dtype=np.int32), "delta": np.full(2, 0.4, np.float32)}
    program = population.over_members(start, mesh)
    state = program(population.distribute(members, mesh), population.replicate(PIXELS, mesh))
    return population.collect(state.synapses, 2)


def backpropagation():
    data = regularizers.TrainingData(jnp.asarray(PIXELS), jnp.asarray(LABELS))
    data = data._replace(covariance=regularizers.image_covariance(data.images))
    penalty = regularizers.combine(
        regularizers.weight_decay(), regularizers.jacobian(1e-3, "activation"), regularizers.spectral(1e-3)
    )
    optimizer = optax.adam(1e-3)
    graphdef, state = supervised.init(jax.random.key(0), network(), optimizer, penalty, data)
    state, info = supervised.make_epoch(graphdef, optimizer, penalty, batch_size=5)(state, data)
    return info._asdict(), state.parameters["encoder"]["kernel"][...]


def jacobians():
    kernel = network().encoder.kernel[...]
    return jacobian.activation_jacobian_norms(kernel, 4.5, PIXELS), jacobian.jacobian_norms(
        jacobian.on_one_image(logits_function(network())), jnp.asarray(PIXELS)
    )


def bounds():
    given = network(), PIXELS, LABELS
    return certified.lipschitz_bound(*given), certified.relaxation_bound(*given)


def landscape():
    directions = jnp.asarray(np.linalg.qr(np.random.default_rng(2).normal(size=(INPUTS, 2)))[0].T, jnp.float32)
    return boundaries.landscape(network(), jnp.asarray(PIXELS[0]), directions, 2.0, 5)._asdict()


def generic_landscape():
    tap, directions = taps_of(network())["activation"], np.eye(2, INPUTS, dtype=np.float32)
    given = logits_function(network()), tap, jnp.asarray(PIXELS[0]), jnp.asarray(directions), 2.0, 5
    return boundaries.generic_landscape(*given, projections=2, key=jax.random.key(0)).jacobian_norm


def convolutional():
    stage = StageSettings(HIDDEN, 2, bias=True, nonlinearity="relu")
    return ConvolutionalNetwork((2, 2, 3), [stage], CLASSES, rngs=nnx.Rngs(0))(jnp.asarray(PIXELS))


def generic_geometry():
    weights = np.random.default_rng(3).normal(size=(INPUTS, CLASSES))  # float64 where there is such
    logits = Partial(lambda weights, images: images @ weights, jnp.asarray(weights))
    planes = np.linalg.qr(np.random.default_rng(2).normal(size=(INPUTS, 2)))[0].T[None]
    return boundary_geometry.generic_boundary_geometry(logits, PIXELS[:1], planes, 3.0, 16)._asdict()


def diagnosis():
    settings = {"image_shape": (2, 2, 3), "steps": 2, "queries": 2}
    outcomes = masking.masking_outcomes(jax.random.key(0), logits_function(network()), PIXELS, LABELS, 0.1, **settings)
    return {
        name: rows
        for name, rows in outcomes._asdict().items()
        if name not in ("random_starts", "black_box") and rows is not None
    }


def smoothness_of_any():
    given = jax.random.key(0), logits_function(network()), taps_of(network())["activation"]
    return (
        generic_smoothness.generic_smoothness_measures(given[1], PIXELS, LABELS, given[0]),
        generic_smoothness.representation_smoothness(given[2], PIXELS, given[0], projections=4),
    )


COMPUTED = {
    "layer": layer,
    "layer of NumPy's numbers": layer_of_numpys_numbers,
    "centroids": centroids,
    "corrupted": corrupted,
    "layers": layers,
    "backpropagation": backpropagation,
    "jacobians": jacobians,
    "folded": lambda: fold_batch_norm(network()).decoder.kernel[...],
    "bounds": bounds,
    "smoothness": lambda: smoothness.smoothness_measures(network(), PIXELS, LABELS, jax.random.key(0)),
    "smoothness of any network": smoothness_of_any,
    "spectrum of a tap": lambda: tap_spectra.tap_spectrum(taps_of(network())["activation"], PIXELS).eigenvalues,
    "landscape": landscape,
    "generic_landscape": generic_landscape,
    "convolutional": convolutional,
    "boundary_geometry": lambda: boundary_geometry.boundary_geometry(
        network(), PIXELS[:2], jax.random.key(0), radius=3.0, resolution=16
    )._asdict(),
    "generic_boundary_geometry": generic_geometry,
    "masking": diagnosis,
}
MODES = {"float64": lambda: jax.enable_x64(True), "nans": lambda: jax.debug_nans(True)}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("computed", COMPUTED)
def test_modes_of_jax_leave_results_alone(computed, mode):
    expected = COMPUTED[computed]()
    with MODES[mode]():
        found = COMPUTED[computed]()
    # Wherever float64 comes in it only rounds less; float32 sums of a dozen terms differ by some 1e-6.
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4), found, expected)
