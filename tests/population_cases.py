"""Small trainings as functions of one member, for tests of populations on one device and on many."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from jax_bioadv import models
from jax_bioadv.learning import krotov_hopfield, regularizers, supervised

INPUTS, HIDDEN, CLASSES, IMAGES, BATCH = 10, 6, 3, 36, 9
EPOCHS = 2
STEPS = IMAGES // BATCH


def images():
    pixels = np.random.default_rng(0).uniform(size=(IMAGES, INPUTS)).astype(np.float32)
    return pixels / np.linalg.norm(pixels, axis=1, keepdims=True)


def labelled():
    covariance = regularizers.image_covariance(jnp.asarray(images()))
    labels = np.arange(IMAGES, dtype=np.int32) % CLASSES
    return regularizers.TrainingData(jnp.asarray(images()), jnp.asarray(labels), covariance)


# --- a Krotov–Hopfield layer ---


def rule_of(member):
    return krotov_hopfield.KrotovHopfield(p=member.get("p", 3.0), delta=member["delta"], radius=member["radius"])


def layer_start(member, data):
    return krotov_hopfield.init(jax.random.key(member["seed"]), rule_of(member), data.images, hidden=HIDDEN)


def layer_epoch(member, data):
    return krotov_hopfield.epoch(rule_of(member), member["state"], data.images, member["rate"], batch_size=BATCH)


def train_layer(member, data):
    """The state after some epochs, and what they looked like."""
    state, infos = _epochs(layer_epoch, layer_start(member, data), member, data)
    return state._replace(key=jax.random.key_data(state.key)), infos


def _epochs(epoch, state, member, data):
    return lax.scan(lambda state, _: epoch({**member, "state": state}, data), state, length=EPOCHS)


def layers(count):
    """Members that all differ."""
    numbers = {"delta": (0.0, 0.5), "radius": (0.8, 1.5), "rate": (0.01, 0.05)}
    spread = {name: np.linspace(*ends, count).astype(np.float32) for name, ends in numbers.items()}
    return {"seed": np.arange(count, dtype=np.int32), **spread}


# --- a network, by each regularizer ---

# Drawn outside the programs, into which it would be fused differently from one to the next.
UNTRAINED = models.Network(INPUTS, HIDDEN, CLASSES, batch_norm=True, rngs=nnx.Rngs(params=0))
REGULARIZERS = {
    "none": lambda member: None,
    "weight_decay": lambda member: regularizers.weight_decay(member["weight"]),
    "jacobian": lambda member: regularizers.jacobian(member["weight"]),
    "jacobian_activation": lambda member: regularizers.jacobian(member["weight"], target="activation"),
    "spectral": lambda member: regularizers.spectral(member["weight"], member["exponent"], anchor=member["anchor"]),
}


def train_network(regularizer, member, data):
    """The weights after some epochs, and what they looked like."""
    optimizer = supervised.decaying_adam(member["rate"], 1, 2.0, STEPS)
    penalty = REGULARIZERS[regularizer](member)
    graphdef, state = supervised.init(jax.random.key(member["seed"]), UNTRAINED, optimizer, penalty, data)
    epoch = supervised.make_epoch(graphdef, optimizer, penalty, batch_size=BATCH)
    renewals = jnp.arange(STEPS) % 2 == 0
    state, infos = _epochs(lambda member, data: epoch(member["state"], data, renewals), state, member, data)
    return (state.parameters, state.statistics), infos


def networks(count):
    numbers = {"rate": (1e-3, 1e-2), "weight": (0.0, 0.1), "exponent": (0.8, 1.5), "anchor": (0.05, 0.1)}
    spread = {name: np.linspace(*ends, count).astype(np.float32) for name, ends in numbers.items()}
    return {"seed": np.arange(count, dtype=np.int32), **spread}


# --- running and comparing ---


def member_of(members, place):
    """One member alone, with plain numbers."""
    return jax.tree.map(lambda rows: rows[place].item(), members)


def assert_equal(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


def assert_close(found, wanted, tolerance):
    """By the size of each array's largest element: rounding is relative to the terms of a sum, not to the sum."""

    def close(one, other):
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(np.abs(other).max(initial=0.0), 1e-3))

    jax.tree.map(close, found, wanted)
