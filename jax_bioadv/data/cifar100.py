"""CIFAR-100 (Krizhevsky 2009) with its 100 fine labels: a reader of the official archive, "python version".

``cifar-100-python.tar.gz`` holds three pickles, which are read, packed or unpacked, if they have the published MD5.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from jax_bioadv.data.cifar_archives import find_place, kept_by_keras, opened, read_python_batch, unpickled
from jax_bioadv.data.dataset import Dataset
from jax_bioadv.data.fingerprints import unlike

OFFICIAL_PLACES = ("cifar-100-python", *kept_by_keras("cifar-100-python"))
"""Names under which the official archive is looked for, in this order; three of them are Keras's."""

MD5 = {
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


def find_official(folder: Path) -> Path | None:
    """First official archive or unpacked folder in ``folder``; ``None`` if there is none."""
    return find_place(folder, OFFICIAL_PLACES)


def load_official(place: Path) -> Dataset:
    """Read the official archive, packed (``.tar.gz``) or unpacked (a folder).

    Args:
        place: one of ``OFFICIAL_PLACES`` in some folder.

    Raises:
        DataError: a file is missing, truncated or not the published one.
    """
    with opened(place, "cifar-100-python", "CIFAR-100") as read:
        train, test, meta = (_published(read, name) for name in ("train", "test", "meta"))
        (train_images, train_labels), (test_images, test_labels) = (
            read_python_batch(content, b"fine_labels") for content in (train, test)
        )
        names = tuple(name.decode() for name in unpickled(meta)[b"fine_label_names"])
    return Dataset("cifar100", train_images, train_labels, test_images, test_labels, names, f"official archive {place}")


def _published(read: Callable[[str], bytes], name: str) -> bytes:
    content = read(name)
    found = hashlib.md5(content).hexdigest()
    if found != MD5[name]:
        raise ValueError(f"of its file {name}, {unlike(found, MD5[name])}")
    return content
