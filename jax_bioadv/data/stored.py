"""Images of any number in a folder, read by index: what training sets that do not fit into memory are kept in.

A folder holds ``images.u8``, the flattened images one behind the other, ``labels.i4`` and ``manifest.json`` with their
shapes and SHA-256. It appears whole or not at all. Images are read at their place in the file, not mapped: those that
were read take no memory afterwards.
"""

import hashlib
import os
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from jax_bioadv.data.dataset import DataError
from jax_bioadv.data.partial_folders import folder_in_place, keep
from jax_bioadv.storage import StorageError, read_json, write_json

IMAGES, LABELS, MANIFEST = "images.u8", "labels.i4", "manifest.json"
FORMAT = "jax_bioadv stored images, 1"
_BLOCK_BYTES = 2**24


class StoredImages:
    """A folder that :func:`store` wrote.

    Args:
        folder: the folder.

    Attributes:
        image_shape: height, width and channels.
        labels: int32, one an image, all in memory.
        class_names: one name a class.
        source: where the images came from, in words.
        sha256: of all images' bytes.
        labels_sha256: of all labels.

    Raises:
        DataError: it is no such folder, or a file is missing or truncated.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        try:
            manifest = read_json(self.folder / MANIFEST)
            if manifest["format"] != FORMAT:
                raise DataError(f"{self.folder} holds {manifest['format']!r}, not {FORMAT!r}")
            count = manifest["count"]
            height, width, channels = manifest["image_shape"]
            self.image_shape: tuple[int, int, int] = (height, width, channels)
            self.class_names, self.source = tuple(manifest["class_names"]), str(manifest["source"])
            self.sha256, self.labels_sha256 = manifest["images_sha256"], manifest["labels_sha256"]
            self.labels: Int32[np.ndarray, " count"] = np.fromfile(self.folder / LABELS, np.int32)
            self._descriptor = os.open(self.folder / IMAGES, os.O_RDONLY)
            weakref.finalize(self, os.close, self._descriptor)
            size = os.fstat(self._descriptor).st_size
        except DataError:
            raise
        except (StorageError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{self.folder} is no folder of stored images: {error}") from error
        except OSError as error:
            raise DataError(f"{self.folder}: {error}; store the images again") from error
        if len(self.labels) != count or size != count * self.inputs:
            raise DataError(f"{self.folder} is truncated: it shall hold {count} images; store them again")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def inputs(self) -> int:
        """Number of pixels of one flattened image."""
        height, width, channels = self.image_shape
        return height * width * channels

    @property
    def mapped(self) -> UInt8[np.ndarray, "count height width channels"]:
        """The file as an array that is read where it is looked at."""
        return np.memmap(self.folder / IMAGES, np.uint8, "r", shape=(len(self), *self.image_shape))

    def read(self, indices: Sequence[int] | Integer[np.ndarray, " batch"]) -> UInt8[np.ndarray, "batch inputs"]:
        """Some images, flattened, in this order; several threads may read at once.

        Raises:
            DataError: the file has become shorter.
        """
        images = np.empty((len(indices), self.inputs), np.uint8)
        for row, index in zip(images, np.asarray(indices).tolist(), strict=True):
            if os.preadv(self._descriptor, [row.data], index * self.inputs) < self.inputs:
                raise DataError(f"{self.folder / IMAGES} ends before image {index}; store the images again")
        return images

    def verify(self) -> None:
        """Read every byte once; DataError where one was altered."""
        digest = hashlib.sha256()
        rows = max(1, _BLOCK_BYTES // self.inputs)
        for start in range(0, len(self), rows):
            digest.update(self.read(range(start, min(start + rows, len(self)))).data)
        labels = hashlib.sha256(self.labels.data).hexdigest()
        if (digest.hexdigest(), labels) != (self.sha256, self.labels_sha256):
            raise DataError(f"{self.folder} was altered: its SHA-256 is not the one it was stored with")


def store(
    parts: Iterable[tuple[np.ndarray, np.ndarray]],
    folder: str | os.PathLike[str],
    class_names: Sequence[str],
    source: str,
) -> StoredImages:
    """Write images part by part, of which one alone need fit into memory.

    Args:
        parts: uint8 images (count, height, width, channels), all of one size, and integer labels (count,).
        folder: where; earlier stored images are replaced when the new ones are whole.
        class_names: one name a class.
        source: where the images came from, in words.

    Raises:
        DataError: wrong shapes or types, labels out of range, no images, or the folder is another one or cannot be
            written.
    """
    target = Path(folder).absolute()
    if target.is_dir() and any(target.iterdir()) and not (target / MANIFEST).is_file():
        raise DataError(
            f"{target} is there and holds no stored images, which it could be replaced by; name another folder"
        )
    try:
        with folder_in_place(target) as partial:
            _write(parts, partial, tuple(class_names), source)
    except OSError as error:
        raise DataError(
            f"could not write {target} ({error}); nothing was left behind: free some space or name another folder"
        ) from error
    return StoredImages(target)


def _write(
    parts: Iterable[tuple[np.ndarray, np.ndarray]], folder: Path, class_names: tuple[str, ...], source: str
) -> None:
    shape, count = None, 0
    digests = {IMAGES: hashlib.sha256(), LABELS: hashlib.sha256()}
    with (folder / IMAGES).open("wb") as of_images, (folder / LABELS).open("wb") as of_labels:
        for number, (images, labels) in enumerate(parts):
            shape = images.shape[1:] if shape is None else shape
            _check(f"part {number}", images, labels, shape, len(class_names))
            for name, file, array in (
                (IMAGES, of_images, np.ascontiguousarray(images)),
                (LABELS, of_labels, np.ascontiguousarray(labels, np.int32)),
            ):
                file.write(array.data)
                digests[name].update(array.data)
            keep(folder)
            count += len(images)
    if shape is None:
        raise DataError("there are no images to store")
    keep(folder)  # which writing the manifest would make anew, with nothing else in it
    write_json(
        folder / MANIFEST,
        {
            "format": FORMAT,
            "count": count,
            "image_shape": list(shape),
            "class_names": list(class_names),
            "source": source,
            "images_sha256": digests[IMAGES].hexdigest(),
            "labels_sha256": digests[LABELS].hexdigest(),
        },
    )


def _check(what: str, images: np.ndarray, labels: np.ndarray, shape: tuple[int, ...], classes: int) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not images.size:
        raise DataError(
            f"{what}: images must be uint8 (count, height, width, channels), got {images.dtype} {images.shape}"
        )
    if images.shape[1:] != shape:
        raise DataError(f"{what}: its images are of shape {images.shape[1:]}, those before it {shape}")
    if labels.shape != (len(images),) or labels.dtype.kind not in "ui":
        raise DataError(f"{what}: {len(images)} images need as many integer labels, got {labels.dtype} {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"{what}: labels must lie between 0 and {classes - 1}, got {labels.min()} to {labels.max()}")
