"""The data of question 2: manifolds of known dimension, and images restricted to some of their directions."""

from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.images import Images
from experiments.settings.questions import DimensionSettings
from jax_bioadv.data import Dataset
from jax_bioadv.data.manifolds import smooth_manifold

NOISE = "noise"


def names_of(chosen: DimensionSettings) -> dict[str, int | None]:
    """Every set by its name, with the dimension that it is known to have; None for all directions of the images."""
    manifolds: dict[str, int | None] = {f"manifold {dimension}": dimension for dimension in chosen.dimensions}
    restricted = {f"images {directions}": directions for directions in chosen.directions}
    return {**manifolds, NOISE: None, **restricted, "images": None}


def sets_of(chosen: DimensionSettings, images: Images) -> dict[str, Images]:
    """Every set, as many images each."""
    found: dict[str, Images] = {}
    whole = _OfNumbers(images, chosen, {})
    for name, size in names_of(chosen).items():
        if name.startswith("manifold"):
            found[name] = OnManifold(images, chosen, size)
        elif name == NOISE:
            found[name] = OnManifold(images, chosen, None)
        else:
            found[name] = Restricted(images, chosen, size, whole)
    return found


class _OfNumbers(Images):
    """Images in float32, divided by their norm: eight bits would be noise of every dimension."""

    def __init__(self, images: Images, chosen: DimensionSettings, what: dict[str, Any]):
        train, test = chosen.train_images, chosen.test_images
        given = images.dataset
        super().__init__(
            Dataset(
                given.name,
                given.train_images[:train],
                given.train_labels[:train],
                given.test_images[:test],
                given.test_labels[:test],
                given.class_names,
                given.source,
            ),
            images.norm,
        )
        self.what = what

    @cached_property
    def identity(self) -> dict[str, Any]:
        return {**super().identity, **self.what}


class OnManifold(_OfNumbers):
    """Points on a smooth manifold with as many pixels as images have; white noise, where there is no dimension.

    Noise is uniform, so that no image is negative, and has the classes of its nearest random centre.
    """

    def __init__(self, images: Images, chosen: DimensionSettings, dimension: int | None):
        super().__init__(
            images, chosen, {"manifold": dimension, "smoothness": chosen.smoothness, "length": chosen.length}
        )
        self.dimension, self.chosen = dimension, chosen

    @cached_property
    def _parts(self) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """Training images and labels, test images and labels."""
        first = len(self.dataset.train_images)
        images, labels = self._points(first + len(self.dataset.test_images))
        images /= np.linalg.norm(images, self.norm, axis=1, keepdims=True)
        labels = labels.astype(np.int32)
        train, test = slice(0, first), slice(first, None)
        return tuple(jnp.asarray(part[rows]) for rows in (train, test) for part in (images, labels))  # type: ignore[return-value]

    def _points(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        if self.dimension is not None:
            given = {"smoothness": self.chosen.smoothness, "length": self.chosen.length}
            points = smooth_manifold(0, count, self.inputs, self.dimension, classes=self.classes, **given)
            return points.images, points.labels
        generator = np.random.default_rng(0)
        centres = generator.standard_normal((self.classes, self.inputs)).astype(np.float32)
        noise = generator.random((count, self.inputs), np.float32)
        return noise, ((noise - 0.5) @ centres.T).argmax(axis=1)

    @property
    def train(self) -> jax.Array:
        return self._parts[0]

    @property
    def train_labels(self) -> jax.Array:
        return self._parts[1]

    @property
    def test(self) -> jax.Array:
        return self._parts[2]

    @property
    def test_labels(self) -> jax.Array:
        return self._parts[3]


class Restricted(_OfNumbers):
    """Images of norm 1 of which nothing is left but their mean and some leading principal directions."""

    def __init__(self, images: Images, chosen: DimensionSettings, directions: int | None, whole: Images):
        super().__init__(images, chosen, {"directions": directions})
        self.directions, self._whole = directions, whole

    def _left(self, images: jax.Array) -> jax.Array:
        if self.directions is None:
            return images
        mean = self._whole.train.mean(axis=0)
        rows = jnp.asarray(self._whole.principal.directions[: self.directions], jnp.float32)
        centred = jnp.matmul(images - mean, rows.T, precision="highest")
        return mean + jnp.matmul(centred, rows, precision="highest")

    @cached_property
    def train(self) -> jax.Array:
        return self._left(self._whole.train)

    @cached_property
    def test(self) -> jax.Array:
        return self._left(self._whole.test)
