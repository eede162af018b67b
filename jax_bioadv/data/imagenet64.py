"""ImageNet at 64 × 64 pixels, from the official files (Chrabaszcz, Loshchilov & Hutter, arXiv 1707.08819).

The images are 1.28 million, 15.7 GB: they are read file by file, and kept by :func:`jax_bioadv.data.stored.store`::

    train, validation = imagenet64.stored_in("/data")    # stores them where that was not done before
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from jax_bioadv.data.dataset import DataError
from jax_bioadv.data.stored import MANIFEST, StoredImages, store
from jax_bioadv.data.tensorflow_datasets_source import parts as parts_of_builder
from jax_bioadv.data.tensorflow_datasets_source import prepared
from jax_bioadv.storage import StorageError, read_arrays

logger = logging.getLogger(__name__)

CLASSES, SIDE = 1000, 64
NAME, TFDS_NAME = "imagenet64", "imagenet_resized/64x64"
FOLDERS = {"train": "Imagenet64_train_npz", "val": "Imagenet64_val_npz"}
"""Of the official archives, unpacked."""
FILES = {"train": tuple(f"train_data_batch_{number}.npz" for number in range(1, 11)), "val": ("val_data.npz",)}


def stored_in(folder: str | os.PathLike[str]) -> tuple[StoredImages, StoredImages]:
    """Training and validation images, stored below a folder; stored there first where they are not.

    They come from the official files, in the folder itself or in :data:`FOLDERS` below it, else from TFDS.

    Args:
        folder: the data folder.

    Raises:
        DataError: there are none and TFDS cannot give them, a file is damaged, or the folder cannot be written.
    """
    places = {part: Path(folder) / NAME / part for part in FILES}
    missing: list[Literal["train", "val"]] = [
        part for part in ("train", "val") if not (places[part] / MANIFEST).is_file()
    ]
    official = {part: place for part in missing if (place := _official(Path(folder), part)) is not None}
    names = [str(number) for number in range(CLASSES)]
    for part, place in official.items():
        logger.info("%s: storing the %s images of %s in %s", NAME, part, place, places[part])
        store(parts(place, part), places[part], names, f"the official files in {place}")
    if left := [part for part in missing if part not in official]:
        try:
            _store_from_tfds(left, places, Path(folder))
        except DataError as error:
            raise DataError(
                f"{folder} holds neither stored images nor {', '.join(FILES[left[0]])}, and TFDS: {error}. Unpack "
                f"{' and '.join(f'{FOLDERS[part]}.zip' for part in left)} of https://image-net.org into {folder}, or "
                f"prepare {TFDS_NAME} there with TFDS"
            ) from error
    return StoredImages(places["train"]), StoredImages(places["val"])


def _official(folder: Path, part: Literal["train", "val"]) -> Path | None:
    return next((place for place in (folder, folder / FOLDERS[part]) if (place / FILES[part][0]).is_file()), None)


def _store_from_tfds(left: list[Literal["train", "val"]], places: dict[str, Path], folder: Path) -> None:
    with prepared(TFDS_NAME, folder) as builder:
        for part in left:
            split = {"train": "train", "val": "validation"}[part]
            source = f"TensorFlow Datasets {builder.info.full_name}"
            store(parts_of_builder(builder, split), places[part], builder.info.features["label"].names, source)


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
