"""Networks that a user might bring, good ones and bad, for 8 × 8 grey images of ten classes."""

import jax
import jax.numpy as jnp
from flax import nnx

from jax_bioadv.models import Network


class Convolutional(nnx.Module):
    """With what networks have: batch norm, dropout, pooling; its taps are a map and a vector."""

    taps = ("convolution", "dense")

    def __init__(self, classes=10):
        rngs = nnx.Rngs(0)
        self.convolution = nnx.Conv(1, 4, (3, 3), strides=2, rngs=rngs)
        self.norm, self.dropout = nnx.BatchNorm(4, rngs=rngs), nnx.Dropout(0.3, rngs=rngs)
        self.dense, self.head = nnx.Linear(64, 12, rngs=rngs), nnx.Linear(12, classes, rngs=rngs)

    def __call__(self, images):
        maps = nnx.relu(self.norm(self.convolution(images.reshape(-1, 8, 8, 1))))
        return self.head(nnx.relu(self.dense(self.dropout(maps.reshape(len(images), -1)))))


class Training(Convolutional):
    def __call__(self, images):
        return super().__call__(self.norm(images.reshape(-1, 16, 4), use_running_average=False).reshape(-1, 64))


class Dropping(Convolutional):
    def __call__(self, images):
        return super().__call__(self.dropout(images, deterministic=False))


class Probable(Convolutional):
    def __call__(self, images):
        return nnx.softmax(super().__call__(images))


def one_hidden_layer():
    return Network(64, 48, 10, rngs=nnx.Rngs(0))


def nine_classes():
    return Convolutional(classes=9)


def of_another_size():
    return nnx.Linear(65, 10, rngs=nnx.Rngs(0))


def broken():
    network = nnx.Linear(64, 10, rngs=nnx.Rngs(0))
    network.bias[...] = jnp.full(10, jnp.nan)
    return network


def constant():
    return lambda images: jnp.zeros((len(images), 10))


def of_its_batch():
    kernel = jax.random.normal(jax.random.key(0), (64, 10))
    return lambda images: (images - images.mean(axis=0)) @ kernel


def plain_function():
    kernel = jax.random.normal(jax.random.key(0), (64, 10))
    return lambda images: images @ kernel


def needs_arguments(rngs):
    return Convolutional()


def nothing():
    return None


NUMBER = 3
