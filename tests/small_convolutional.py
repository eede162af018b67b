"""A small convolutional network like others write: batch norm, dropout, a list of stages, a tower in a Sequential."""

import jax.numpy as jnp
from flax import nnx

SIDE, CHANNELS, CLASSES = 4, 2, 4


class Stage(nnx.Module):
    def __init__(self, inputs, outputs, rngs):
        self.convolution = nnx.Conv(inputs, outputs, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(outputs, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.nonlinearity = nnx.relu

    def normalised(self, maps):
        return self.dropout(self.norm(self.convolution(maps)))

    def __call__(self, maps):
        return self.nonlinearity(self.normalised(maps))


class Convolutional(nnx.Module):
    """Two stages in a list, a tower in a Sequential, one module that is called twice and one that never is."""

    taps = ("stages.0.convolution", "stages.0", "stages.1.normalised", "stages.1", "head.layers.1")

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.stages = nnx.List([Stage(1, CHANNELS, rngs), Stage(CHANNELS, CHANNELS, rngs)])
        self.twice = nnx.Linear(CHANNELS, CHANNELS, rngs=rngs)
        self.never = nnx.Linear(CHANNELS, CHANNELS, rngs=rngs)
        flat = SIDE * SIDE * CHANNELS
        self.head = nnx.Sequential(nnx.Linear(flat, 6, rngs=rngs), jnp.tanh, nnx.Linear(6, CLASSES, rngs=rngs))

    def pixels(self, images):
        return images.reshape(-1, SIDE, SIDE, 1)

    def pair(self, images):
        return images, images

    def __call__(self, images):
        maps = self.pixels(images)
        for stage in self.stages:
            maps = stage(maps)
        maps = self.twice(self.twice(maps))
        return self.head(maps.reshape(len(images), -1))


class OneStage(nnx.Module):
    """The smallest: a stage and a readout."""

    taps = ("stage.convolution", "stage")

    def __init__(self, seed=0):
        rngs = nnx.Rngs(seed)
        self.stage = Stage(1, CHANNELS, rngs)
        self.readout = nnx.Linear(SIDE * SIDE * CHANNELS, CLASSES, rngs=rngs)

    def __call__(self, images):
        return self.readout(self.stage(images.reshape(-1, SIDE, SIDE, 1)).reshape(len(images), -1))
