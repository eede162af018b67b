"""CIFAR-10-C (Hendrycks & Dietterich, arXiv 1903.12261): the official corrupted test images, from files or from TFDS.

The official archive unpacks to a folder ``CIFAR-10-C`` with ``labels.npy`` and, for each corruption, ``NAME.npy`` of
the 10 000 test images of CIFAR-10 at the five severities one after another. TensorFlow Datasets has the same as
``cifar10_corrupted/NAME_SEVERITY``. Corruptions made here, which are not these, are in
:mod:`jax_bioadv.data.corruptions`.
"""

import os
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from jax_bioadv.data.cifar10 import FINGERPRINTS
from jax_bioadv.data.corruptions import SEVERITIES
from jax_bioadv.data.dataset import DataError, sha256_of_array
from jax_bioadv.data.sources import data_folder
from jax_bioadv.data.tensorflow_datasets_source import read_prepared_test_images

CIFAR10_C = (
    *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)
"""The fifteen corruptions over which benchmarks average."""
EXTRA = ("gaussian_blur", "saturate", "spatter", "speckle_noise")
"""Four more, meant for validation."""

_IN_TFDS = {"glass_blur": "frosted_glass_blur", "elastic_transform": "elastic"}


def load_cifar10_c(
    corruption: str, severity: int, data_dir: str | os.PathLike[str] | None = None
) -> tuple[UInt8[np.ndarray, "count 32 32 3"], UInt8[np.ndarray, " count"]]:
    """One corruption at one severity.

    Args:
        corruption: one of ``CIFAR10_C`` or ``EXTRA``.
        severity: 1, mild, to 5, severe.
        data_dir: folder that is ``CIFAR-10-C`` or holds it; default as for :func:`jax_bioadv.data.load`. Where there is
            none, what TensorFlow Datasets has prepared in its own folder is read.

    Returns:
        Images and labels, in the order of CIFAR-10's test images.

    Raises:
        ValueError: an unknown corruption or severity.
        DataError: the files are not there, truncated or not in the official form, or their labels are not CIFAR-10's.
    """
    if corruption not in (*CIFAR10_C, *EXTRA):
        raise ValueError(f"unknown corruption {corruption!r}; choose among {', '.join((*CIFAR10_C, *EXTRA))}")
    if severity not in SEVERITIES:
        raise ValueError(f"severity is a whole number from 1 to 5, got {severity}")
    folder = data_folder(data_dir)
    place = next((one for one in (folder, folder / "CIFAR-10-C") if (one / "labels.npy").is_file()), None)
    if place is not None:
        images, labels = _from_files(place, corruption, severity)
    else:
        name = f"cifar10_corrupted/{_IN_TFDS.get(corruption, corruption)}_{severity}"
        try:
            images, labels = read_prepared_test_images(name)
        except DataError as error:
            raise DataError(
                f"{folder} holds no CIFAR-10-C: unpack CIFAR-10-C.tar of https://zenodo.org/record/2535967 there; "
                f"and {error}"
            ) from error
        place = Path(name)
    if sha256_of_array(labels) != FINGERPRINTS["test_labels"]:
        raise DataError(f"the labels of {place} are not those of CIFAR-10's test images; download it again")
    return images, labels


def _from_files(place: Path, corruption: str, severity: int) -> tuple[np.ndarray, np.ndarray]:
    path = place / f"{corruption}.npy"
    try:
        images, labels = (np.load(one, mmap_mode="r", allow_pickle=False) for one in (path, place / "labels.npy"))
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{place} is not a whole CIFAR-10-C ({error}). Unpack or download it again.") from error
    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3) or labels.shape != (len(images),):
        raise DataError(
            f"{path} holds {images.dtype} of shape {images.shape} and labels.npy {labels.shape}; the official ones are "
            "uint8 of shape (50000, 32, 32, 3) and (50000,)"
        )
    count = len(images) // len(SEVERITIES)
    these = slice((severity - 1) * count, severity * count)
    return np.array(images[these]), labels[these].astype(np.uint8)
