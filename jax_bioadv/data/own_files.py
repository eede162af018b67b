"""Images of one's own on disk: a folder by class, or a ``.npz`` file.

A folder holds ``train/CLASS/…`` and ``test/CLASS/…`` (or ``validation``, or ``val``) with pictures that Pillow reads;
classes are numbered in alphabetical order. A file holds ``train_images``, ``train_labels``, ``test_images`` and
``test_labels`` and perhaps ``class_names``, or as Keras writes it ``x_train``, ``y_train``, ``x_test`` and ``y_test``;
images are bytes, (count, height, width) or (count, height, width, channels).
"""

import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset, as_labels
from jax_bioadv.data.pictures import stacked
from jax_bioadv.extras import extra

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TEST_FOLDERS = ("test", "validation", "val")

_KEYS = ("train_images", "train_labels", "test_images", "test_labels")
_KERAS_KEYS = ("x_train", "y_train", "x_test", "y_test")


def name_of(path: Path) -> str:
    """What a data set is called that lies at a path."""
    return re.sub("[^a-z0-9_]+", "_", path.stem.lower()).strip("_") or "images"


def read_folder(folder: Path, name: str, side: int | None = None) -> Dataset:
    """Read a folder of images by class.

    Args:
        folder: that holds ``train``.
        name: of the data set.
        side: every image is resized to so many pixels each way.

    Raises:
        DataError: a folder is missing, or a picture is not as it should be; the message names it.
    """
    classes, *splits = pictures_by_class(folder)
    train_labels, test_labels = (as_labels(np.array([label for _, label in split]), len(classes)) for split in splits)
    train_images, test_images = stacked((opened(path for path, _ in split) for split in splits), side)
    how = "" if side is None else f", resized to {side} × {side} pixels"
    return Dataset(name, train_images, train_labels, test_images, test_labels, classes, f"images in {folder}{how}")


def pictures_by_class(folder: Path) -> tuple[tuple[str, ...], list[tuple[Path, int]], list[tuple[Path, int]]]:
    """The classes of a folder, and its training and test pictures, each with the number of its class.

    Raises:
        DataError: a folder is missing or empty, or a class has test pictures alone.
    """
    if not (folder / "train").is_dir():
        raise DataError(f"{folder} has no folder train; put training images into train/CLASS")
    test = next((folder / one for one in TEST_FOLDERS if (folder / one).is_dir()), None)
    if test is None:
        raise DataError(f"{folder} has a train and none of {', '.join(TEST_FOLDERS)}; test images are needed as well")
    of_training, of_test = (_by_class(one) for one in (folder / "train", test))
    classes = tuple(of_training)
    if strange := [one for one in of_test if one not in classes]:
        raise DataError(f"{test} has a class {strange[0]!r} that {folder / 'train'} has not")

    def numbered(split: dict[str, list[Path]]) -> list[tuple[Path, int]]:
        return [(path, classes.index(one)) for one, paths in split.items() for path in paths]

    return classes, numbered(of_training), numbered(of_test)


def _by_class(folder: Path) -> dict[str, list[Path]]:
    found = {
        one.name: sorted(path for path in one.iterdir() if path.suffix.lower() in PICTURES)
        for one in sorted(folder.iterdir())
        if one.is_dir() and not one.name.startswith(".")
    }
    if not found:
        raise DataError(f"{folder} has no folders; put the images of each class into one of its own")
    if empty := [one for one, paths in found.items() if not paths]:
        raise DataError(f"{folder / empty[0]} holds no picture ({', '.join(PICTURES)})")
    return found


def opened(paths: Iterable[Path]) -> Iterator[tuple[str, Any]]:
    """What every picture is called, and the Pillow image.

    Raises:
        DataError: one is not whole.
    """
    with extra("data"):
        from PIL import Image
    for path in paths:
        try:
            with Image.open(path) as picture:
                picture.load()
                yield str(path), picture
        except (OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise DataError(f"{path} is no whole picture: {error}") from error


def read_arrays(path: Path, name: str) -> Dataset:
    """Read a ``.npz`` file.

    Args:
        path: of the file.
        name: of the data set.

    Raises:
        DataError: it is truncated, or an array is missing or not as it should be; the message names it.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
        raise DataError(f"{path} is no whole .npz of plain arrays: {error}") from error
    keys = _KERAS_KEYS if "x_train" in arrays else _KEYS
    if missing := [key for key in keys if key not in arrays]:
        raise DataError(f"{path} holds {', '.join(sorted(arrays)) or 'nothing'} but no {missing[0]}")
    train_images, train_labels, test_images, test_labels = (arrays[key] for key in keys)
    for key, labels, images in ((keys[1], train_labels, train_images), (keys[3], test_labels, test_images)):
        count = len(np.atleast_1d(images))
        if labels.size != count or not labels.size or labels.dtype.kind not in "iu":
            raise DataError(
                f"{path}: {key} must hold one whole number for each of {count} images, got {labels.dtype} of "
                f"shape {labels.shape}"
            )
    names = arrays.get("class_names", np.arange(int(max(train_labels.max(), test_labels.max())) + 1))
    if names.ndim != 1:
        raise DataError(f"{path}: class_names must hold a name for each class, got an array of shape {names.shape}")
    try:
        return Dataset(
            name,
            *(_with_channels(train_images), as_labels(train_labels.reshape(-1), len(names))),
            *(_with_channels(test_images), as_labels(test_labels.reshape(-1), len(names))),
            *(tuple(map(str, names)), str(path)),
        )
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _with_channels(images: np.ndarray) -> np.ndarray:
    if images.ndim == 4 and images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise DataError(f"images of shape {images.shape} have their channels first; transpose them: (0, 2, 3, 1)")
    return images[..., None] if images.ndim == 3 else images
