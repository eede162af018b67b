"""Images of which the training part stays on the disk, as tasks see them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from experiments.images import Images
from jax_bioadv.analysis.spectra import CovarianceSum
from jax_bioadv.data import DataError, Dataset, imagenet64
from jax_bioadv.data.dataset import as_labels, sha256_of_array
from jax_bioadv.data.sources import data_folder
from jax_bioadv.data.stored import StoredImages
from jax_bioadv.learning.streaming import unit_norm_on_device
from jax_bioadv.user_folders import user_path

COVARIANCE_IMAGES = 100_000
"""Of at most so many training images a covariance is taken."""
BLOCK = 5000


@dataclass(frozen=True, eq=False)
class StoredDataset(Dataset):
    """A data set whose training images are mapped into memory, read where they are looked at."""

    stored_sha256: str = ""

    @property
    def sha256(self) -> str:
        """As it stands beside the images: to take it again would be to read all."""
        return self.stored_sha256


class StreamedImages(Images):
    """Training images on the disk, and the first of the test images in memory.

    Args:
        name: of the data set.
        training: what is learned from.
        testing: what is measured on.
        norm: by which images are divided.
        test_images: at most so many.

    Raises:
        DataError: the two do not go together.
    """

    def __init__(self, name: str, training: StoredImages, testing: StoredImages, norm: float, test_images: int):
        if (training.image_shape, training.class_names) != (testing.image_shape, testing.class_names):
            raise DataError(f"{training.folder} and {testing.folder} differ in the shape of their images, or classes")
        classes = len(training.class_names)
        dataset = StoredDataset(
            name=name,
            train_images=training.mapped,
            train_labels=as_labels(training.labels, classes),
            test_images=testing.read(range(min(test_images, len(testing)))).reshape(-1, *testing.image_shape),
            test_labels=as_labels(testing.labels[:test_images], classes),
            class_names=training.class_names,
            source=f"{training.folder} ({training.source})",
            stored_sha256=training.sha256,
        )
        super().__init__(dataset, norm)
        self.training = training

    @cached_property
    def train(self) -> jax.Array:
        raise TypeError(f"{self.dataset.name} is streamed: its training images are never in memory together")

    def covariance_through(self, rows: np.ndarray) -> np.ndarray:
        """As of images in memory, of some of them that are spread over all, block by block."""
        images, kernel = self.training, jnp.asarray(rows.T, jnp.float32)
        chosen = range(0, len(images), -(-len(images) // COVARIANCE_IMAGES))
        found: CovarianceSum | None = None
        for first in range(0, len(chosen), BLOCK):
            block = unit_norm_on_device(images.read(chosen[first : first + BLOCK]), self.norm)
            features = np.asarray(jnp.matmul(block, kernel, precision="highest"), np.float64)
            found = found or CovarianceSum(features.mean(axis=0))
            found.add(features)
        assert found is not None
        return found.covariance()

    @cached_property
    def digests(self) -> list[str]:
        """SHA-256 of the raw images and labels; of the training part as they were stored."""
        in_memory = self.dataset.test_images, self.dataset.test_labels
        return [self.training.sha256, self.training.labels_sha256, *map(sha256_of_array, in_memory)]


def stored_images(name: str, data_dir: Path | None) -> tuple[StoredImages, StoredImages]:
    """Training and test images: of ImageNet at 64 × 64 by its name, or of a folder with stored train and val.

    Raises:
        DataError: they cannot be had.
    """
    if name == imagenet64.NAME:
        return imagenet64.stored_in(data_folder(data_dir))
    folder = user_path(name)
    if not folder.is_dir():
        raise DataError(
            f"{name} is no folder; give one with train and val, each written by jax_bioadv.data.stored.store, or "
            f"{imagenet64.NAME}"
        )
    return StoredImages(folder / "train"), StoredImages(folder / "val")
