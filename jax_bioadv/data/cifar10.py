"""CIFAR-10 (Krizhevsky 2009): a reader of the official archives.

The official site offers the same images in two forms, each as a ``.tar.gz``: "binary version"
(``cifar-10-binary.tar.gz``, records of one label byte and 3072 pixel bytes, channels first) and "python version"
(``cifar-10-python.tar.gz``, pickled dictionaries). Either is read, packed or unpacked. Whatever the source, the images
count only when they have the known fingerprints.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from jax_bioadv.data.cifar_archives import PIXELS, channels_last, find_place, kept_by_keras, opened, read_python_batch
from jax_bioadv.data.dataset import Dataset

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

FINGERPRINTS = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
"""SHA-256 of each part's raw bytes."""

OFFICIAL_PLACES = (
    "cifar-10-batches-bin",
    "cifar-10-batches-py",
    "cifar-10-binary.tar.gz",
    "cifar-10-python.tar.gz",
    *kept_by_keras("cifar-10-batches-py"),
)
"""Names under which the official archives are looked for, in this order; the last four are Keras's."""

_TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST_FILE = "test_batch"


def find_official(folder: Path) -> Path | None:
    """First official archive or unpacked folder in ``folder``; ``None`` if there is none."""
    return find_place(folder, OFFICIAL_PLACES)


def load_official(place: Path) -> Dataset:
    """Read an official archive, packed (``.tar.gz``) or unpacked (a folder).

    Args:
        place: one of ``OFFICIAL_PLACES`` in some folder.

    Returns:
        The data set, its fingerprints not yet checked.

    Raises:
        DataError: if a file is missing, truncated or not in the official form.
    """
    with opened(place, "cifar-10-batches-py", "CIFAR-10") as read:
        binary = "bin" in place.name
        train = [_read_batch(read, name, binary) for name in _TRAIN_FILES]
        test_images, test_labels = _read_batch(read, _TEST_FILE, binary)
    return Dataset(
        name="cifar10",
        train_images=np.concatenate([images for images, _ in train]),
        train_labels=np.concatenate([labels for _, labels in train]),
        test_images=test_images,
        test_labels=test_labels,
        class_names=CLASS_NAMES,
        source=f"official archive {place}",
    )


def _read_batch(read: Callable[[str], bytes], name: str, binary: bool) -> tuple[np.ndarray, np.ndarray]:
    if binary:
        return _read_binary_batch(read(f"{name}.bin"))
    return read_python_batch(read(name), b"labels")


def _read_binary_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    if not content or len(content) % (1 + PIXELS):
        raise ValueError(f"a batch of {len(content)} bytes is not a whole number of images")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
    return channels_last(records[:, 1:]), records[:, 0].copy()
