"""ImageNet at 64 × 64 pixels, from the official files (Chrabaszcz, Loshchilov & Hutter, arXiv 1707.08819).

The images are 1.28 million, 15.7 GB: they are read file by file, and kept by :func:`jax_bioadv.data.stored.store`::

    names = [str(number) for number in range(imagenet64.CLASSES)]
    store(imagenet64.parts("Imagenet64_train_npz"), "imagenet64/train", names, "Imagenet64_train_npz")
    store(imagenet64.parts("Imagenet64_val_npz", "val"), "imagenet64/val", names, "Imagenet64_val_npz")
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from jax_bioadv.data.dataset import DataError
from jax_bioadv.storage import StorageError, read_arrays

CLASSES, SIDE = 1000, 64
FILES = {"train": tuple(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val": ("val_data.npz",)}


def parts(
    folder: str | os.PathLike[str], part: Literal["train", "val"] = "train"
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (count, 64, 64, 3) and labels from 0, file by file.

    Args:
        folder: with the ``.npz`` files of one part, or of both.
        part: the training or the validation images.

    Raises:
        DataError: a file is missing, before any is read; or truncated, or of another format.
    """
    paths = [Path(folder) / name for name in FILES[part]]
    if missing := [path.name for path in paths if not path.is_file()]:
        raise DataError(
            f"{folder} lacks {', '.join(missing)}; put the official files there, unpacked from their archive"
        )
    return map(_read, paths)


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        arrays = read_arrays(path)
        images, labels = arrays["data"], arrays["labels"]
    except (StorageError, KeyError) as error:
        raise DataError(f"{path} is no file of ImageNet at {SIDE} × {SIDE}: {error}; fetch it again") from error
    if images.dtype != np.uint8 or images.shape[1:] != (3 * SIDE * SIDE,) or labels.shape != (len(images),):
        raise DataError(
            f"{path}: expected uint8 data (count, {3 * SIDE * SIDE}) and labels, got {images.dtype} {images.shape}"
        )
    if labels.min() < 1 or labels.max() > CLASSES:
        raise DataError(f"{path}: labels must lie between 1 and {CLASSES}, got {labels.min()} to {labels.max()}")
    return images.reshape(-1, 3, SIDE, SIDE).transpose(0, 2, 3, 1), labels - 1
