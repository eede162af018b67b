"""Small classifiers and batches that the attacks are tested on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv import models

INPUTS, HIDDEN, CLASSES = 12, 16, 4


@pytest.fixture(scope="session")
def network():
    """A random network with steep enough logits that small perturbations flip some images."""
    network = models.Network(INPUTS, HIDDEN, CLASSES, rngs=nnx.Rngs(3))
    network.encoder.kernel.set_value(5 * network.encoder.kernel.get_value())
    return models.logits_function(network)


@pytest.fixture(scope="session")
def images():
    return jnp.asarray(np.random.default_rng(1).uniform(0.2, 0.8, (20, INPUTS)), jnp.float32)


@pytest.fixture(scope="session")
def labels(network, images):
    return jnp.argmax(network(images), axis=1)


@pytest.fixture(scope="session")
def dead_network():
    """ReLU of a negative pre-activation: no gradient anywhere near the images."""
    network = models.Network(INPUTS, HIDDEN, CLASSES, rngs=nnx.Rngs(0))
    network.encoder.kernel.set_value(-jnp.abs(network.encoder.kernel.get_value()))
    return models.logits_function(network)


@pytest.fixture(scope="session")
def key():
    return jax.random.key(7)
