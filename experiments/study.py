"""What every task of an experiment works with: the settings, the images, the networks.

Images are made unit-norm once, on first use; an untrained network comes from its seed, a trained one from a task's
outcome.
"""

import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.engine.tasks import Outcome
from experiments.models import POWERED
from experiments.settings.reproduction import Settings
from jax_bioadv.analysis.spectra import covariance
from jax_bioadv.data import Dataset, unit_norm, white_noise
from jax_bioadv.data.dataset import sha256_of_array
from jax_bioadv.learning import regularizers
from jax_bioadv.models import Network, fold_batch_norm


def purpose_key(seed: int | jax.Array, purpose: str) -> jax.Array:
    """The random key of a seed for one purpose; models that share a purpose share the randomness."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


class Study:
    """Settings, data and networks of one experiment.

    Args:
        preset: name of the preset that the settings started from.
        settings: checked here against the data, before any work.
        dataset: raw images.
        directory: where checkpoints go while a training runs.
    """

    def __init__(self, preset: str, settings: Settings, dataset: Dataset, directory: Path):
        if dataset.classes < 2:
            raise ValueError(f"{dataset.name} has one class; a classifier needs at least two")
        shape = dataset.train_images.shape
        self.inputs = int(np.prod(shape[1:]))
        settings.check(shape[0], len(dataset.test_images), self.inputs)
        self.preset, self.settings, self.dataset, self.directory = preset, settings, dataset, directory

    @cached_property
    def train_images(self) -> jax.Array:
        return jnp.asarray(unit_norm(self.dataset.train_images, self.settings.norm))

    @cached_property
    def test_images(self) -> jax.Array:
        return jnp.asarray(unit_norm(self.dataset.test_images, self.settings.norm))

    @cached_property
    def train_labels(self) -> jax.Array:
        return jnp.asarray(self.dataset.train_labels, jnp.int32)

    @cached_property
    def test_labels(self) -> jax.Array:
        return jnp.asarray(self.dataset.test_labels, jnp.int32)

    @cached_property
    def image_covariance(self) -> jax.Array:
        return regularizers.image_covariance(self.train_images)

    @cached_property
    def train_covariance(self) -> np.ndarray:
        """Of the training images in float64, as spectra need it."""
        return covariance(np.asarray(self.train_images))

    @cached_property
    def data_digests(self) -> list[str]:
        """SHA-256 of the raw images and labels."""
        dataset = self.dataset
        arrays = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
        return [sha256_of_array(array) for array in arrays]

    def variant(self, settings: Settings) -> "Study":
        """The same data under other settings; what both make of the data is computed once."""
        other = Study(self.preset, settings, self.dataset, self.directory)
        shared = ["train_labels", "test_labels", "data_digests"]
        if settings.spectra.noise_images == self.settings.spectra.noise_images:
            shared += ["noise"]
        if settings.norm == self.settings.norm:
            shared += ["train_images", "test_images"]
            shared += ["image_covariance"] if "spectral" in settings.model_names else []
        for name in shared:
            vars(other)[name] = getattr(self, name)
        return other

    @cached_property
    def noise(self) -> np.ndarray:
        return white_noise(0, self.settings.spectra.noise_images, self.inputs)

    def network(self, seed: int | jax.Array, *, power: float = 1.0, batch_norm: bool = False) -> Network:
        """The untrained network of a seed; all models of the seed start from the same weights."""
        rngs = nnx.Rngs(params=purpose_key(seed, "initial weights"))
        return Network(
            self.inputs, self.settings.hidden, self.dataset.classes, power=power, batch_norm=batch_norm, rngs=rngs
        )

    def untrained_network(self, model: str) -> Network:
        """A network of the model's kind."""
        return self.network(0, power=self.power(model), batch_norm=model == "spectral")

    def power(self, model: str) -> float:
        """The exponent n of the model's hidden activation."""
        return self.settings.decoder.power if model in POWERED else 1.0

    def trained_network(self, model: str, outcome: Outcome) -> Network:
        """The model as its task stored it, with batch norm folded into its decoder."""
        network = self.untrained_network(model)
        weights = {name: jnp.asarray(array) for name, array in outcome.arrays.items() if name.startswith("weights/")}
        state = nnx.state(network)
        for path, variable in nnx.to_flat_state(state):
            variable[...] = weights[weight_name(path)]
        nnx.update(network, state)
        return fold_batch_norm(network)


def weight_name(path: tuple[Any, ...]) -> str:
    return "weights/" + "/".join(map(str, path))


def weights(network: nnx.Module) -> dict[str, np.ndarray]:
    return {weight_name(path): np.asarray(variable[...]) for path, variable in nnx.to_flat_state(nnx.state(network))}
