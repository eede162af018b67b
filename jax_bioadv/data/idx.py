"""MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017): a reader of their four idx files, packed or not.

An idx file is two zero bytes, a type (8: bytes), the number of dimensions, each of them as a big-endian 32-bit number,
and the values. The files keep their official names, with ``.gz`` or without, with ``-idx3-ubyte`` or ``.idx3-ubyte``.
"""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

MNIST_FINGERPRINTS = {
    "train_images": "6bbc9ace898e44ae57da46a324031adb",
    "test_images": "2646ac647ad5339dbf082846283269ea",
    "train_labels": "a25bea736e30d166cdddb491f175f624",
    "test_labels": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MNIST_FINGERPRINTS = {
    "train_images": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "test_images": "8181f5470baa50b63fa0f6fddb340f0a",
    "train_labels": "9018921c3c673c538a1fc5bad174d6f9",
    "test_labels": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""MD5 of the official files, unpacked."""

DIGITS = tuple(str(digit) for digit in range(10))
CLOTHES = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)


def find_idx(places: Sequence[Path]) -> Path | None:
    """First of some folders that holds one of the files; ``None`` if there is none."""
    return next((place for place in places if any(_find(place, name) for name in FILES)), None)


def load_idx(place: Path, name: str, class_names: tuple[str, ...]) -> Dataset:
    """Read the four files of a folder.

    Args:
        place: the folder.
        name: of the data set.
        class_names: one for each label.

    Returns:
        The data set, its fingerprints not yet checked.

    Raises:
        DataError: a file is missing, truncated, no idx file, or labels and images are not equally many.
    """
    train_images, train_labels, test_images, test_labels = (_read(place, file) for file in FILES)
    for images, labels, file in ((train_images, train_labels, FILES[1]), (test_images, test_labels, FILES[3])):
        if len(images) != len(labels):
            raise DataError(f"{place} holds {len(images)} images for the {len(labels)} labels of {file}")
    return Dataset(
        name=name,
        train_images=train_images[..., None],
        train_labels=train_labels,
        test_images=test_images[..., None],
        test_labels=test_labels,
        class_names=class_names,
        source=f"idx files in {place}",
    )


def _find(place: Path, name: str) -> Path | None:
    names = (name, name.replace("-idx", ".idx"))
    return next((path for one in names for path in (place / one, place / f"{one}.gz") if path.is_file()), None)


def _read(place: Path, name: str) -> np.ndarray:
    path = _find(place, name)
    if path is None:
        raise DataError(f"{place} holds no {name}, packed (.gz) or not; the four files {', '.join(FILES)} are needed")
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} is truncated or damaged ({error}). Delete it and download it again.") from error
    dimensions = 3 if "idx3" in name else 1
    magic = bytes([0, 0, 8, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"{path} begins with {content[:4].hex() or 'nothing'} instead of {magic.hex()}, the magic number of an idx "
            f"file of bytes in {dimensions} dimensions. Give the official file"
        )
    start = 4 + 4 * dimensions
    shape = tuple(int(size) for size in np.frombuffer(content[4:start].ljust(start - 4, b"\0"), ">u4"))
    if len(content) != start + np.prod(shape, dtype=np.int64):
        raise DataError(
            f"{path} is truncated or damaged: it states {' × '.join(map(str, shape))} bytes and "
            f"{max(len(content) - start, 0)} follow. Delete it and download it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
