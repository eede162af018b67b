"""What tests of supervised training share: scikit-learn's digits, a small network, and one compiled epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jax_bioadv.data import load, unit_norm
from jax_bioadv.learning import supervised
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.models import Network

HIDDEN, BATCH = 16, 100


def training_data(images, labels):
    return TrainingData(jnp.asarray(unit_norm(images)), jnp.asarray(labels, jnp.int32))


DIGITS = load("digits")
TRAIN = training_data(DIGITS.train_images, DIGITS.train_labels)


def network(seed=0, **options):
    return Network(64, HIDDEN, 10, rngs=nnx.Rngs(seed), **options)


def assert_same_bits(left, right):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        if jax.dtypes.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        np.testing.assert_array_equal(one, other, strict=True)


class Training:
    """A network, plain Adam, and one compiled epoch, shared by the tests that need no other."""

    def __init__(self):
        self.optimizer = optax.adam(1e-2)
        self.graphdef = supervised.init(jax.random.key(0), network(), self.optimizer)[0]
        self.epoch = supervised.make_epoch(self.graphdef, self.optimizer, batch_size=BATCH)

    def start(self, seed=0, order=0):
        return supervised.init(jax.random.key(order), network(seed), self.optimizer)[1]

    def run(self, state, data, epochs):
        infos = []
        for _ in range(epochs):
            state, info = self.epoch(state, data)
            infos.append(info)
        return state, infos
