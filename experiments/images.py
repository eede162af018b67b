"""The images of an experiment, made unit-norm once, on first use, and what is computed of them alone."""

from functools import cached_property
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jax_bioadv.analysis.alignment import Principal, principal_directions
from jax_bioadv.analysis.spectra import covariance
from jax_bioadv.data import Dataset, unit_norm, white_noise
from jax_bioadv.data.dataset import sha256_of_array
from jax_bioadv.learning import regularizers
from jax_bioadv.raw_pixels import raw_pixels


class Images:
    """A data set as the networks see it: every image divided by its own L_p norm, which is the space of ε.

    Args:
        dataset: raw images.
        norm: the p of the norm.

    Raises:
        ValueError: there are fewer than two classes.
    """

    space: Literal["raw", "unit"] = "unit"

    def __init__(self, dataset: Dataset, norm: float):
        if dataset.classes < 2:
            raise ValueError(f"{dataset.name} has one class; a classifier needs at least two")
        self.dataset, self.norm, self.classes = dataset, norm, dataset.classes
        self.inputs = int(np.prod(dataset.train_images.shape[1:]))
        self._noise: dict[int, np.ndarray] = {}

    @cached_property
    def train(self) -> jax.Array:
        return jnp.asarray(unit_norm(self.dataset.train_images, self.norm))

    @cached_property
    def test(self) -> jax.Array:
        return jnp.asarray(unit_norm(self.dataset.test_images, self.norm))

    @cached_property
    def train_labels(self) -> jax.Array:
        return jnp.asarray(self.dataset.train_labels, jnp.int32)

    @cached_property
    def test_labels(self) -> jax.Array:
        return jnp.asarray(self.dataset.test_labels, jnp.int32)

    @cached_property
    def device_covariance(self) -> jax.Array:
        """Of the training images, as a regularizer needs it."""
        return regularizers.image_covariance(self.train)

    @cached_property
    def train_covariance(self) -> np.ndarray:
        """Of the training images in float64, as spectra need it."""
        return covariance(np.asarray(self.train))

    def covariance_through(self, rows: np.ndarray) -> np.ndarray:
        """Of what linear units of these rows, (units, inputs), make of the training images, in float64."""
        return np.asarray(rows @ self.train_covariance @ rows.T)

    @cached_property
    def test_covariance(self) -> np.ndarray:
        """Of the test images in float64."""
        return covariance(np.asarray(self.test))

    @cached_property
    def principal(self) -> Principal:
        """Principal directions of the training images."""
        return principal_directions(self.train_covariance)

    def noise(self, count: int) -> np.ndarray:
        """White noise of the images' size, the same for every network."""
        if count not in self._noise:
            self._noise[count] = white_noise(0, count, self.inputs)
        return self._noise[count]

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of the raw images and labels."""
        dataset = self.dataset
        arrays = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
        return [sha256_of_array(array) for array in arrays]

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that an outcome depends on of these images."""
        shape = list(self.dataset.image_shape)
        return {"sha256": self.digests, "image_shape": shape, "classes": self.classes, "norm": self.norm}

    def with_norm(self, norm: float) -> "Images":
        """The same images divided by another norm; these, where it is the same."""
        if norm == self.norm:
            return self
        other = Images(self.dataset, norm)
        for name in ("train_labels", "test_labels", "digests"):
            vars(other)[name] = getattr(self, name)
        other._noise = self._noise
        return other


class RawImages(Images):
    """A data set as a network sees it that takes pixels in [0, 1], which is the space of ε then."""

    space = "raw"

    @cached_property
    def train(self) -> jax.Array:
        return jnp.asarray(raw_pixels(self.dataset.train_images))

    @cached_property
    def test(self) -> jax.Array:
        return jnp.asarray(raw_pixels(self.dataset.test_images))

    @cached_property
    def test_norms(self) -> np.ndarray:
        """By which a perturbation of each test image is divided where images are divided by their norm."""
        return np.linalg.norm(np.asarray(self.test, np.float64), self.norm, axis=1)

    @property
    def typical_norm(self) -> float:
        """What images of norm 1 are multiplied by to be as long as these: the median of the norms, to two digits."""
        return float(f"{np.median(self.test_norms):.2g}")

    def noise(self, count: int) -> np.ndarray:
        """White noise with mean and variance of the pixels: a network with biases has a scale."""
        pixels = np.asarray(self.test)
        return np.float32(pixels.mean()) + np.float32(pixels.std()) * super().noise(count)

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {**super().identity, "space": self.space}
