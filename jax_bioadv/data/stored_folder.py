"""A folder of images by class that does not fit into memory, stored in the form that is read by index."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from jax_bioadv.data.own_files import opened, pictures_by_class
from jax_bioadv.data.pictures import GREY, stacked
from jax_bioadv.data.stored import StoredImages, store
from jax_bioadv.extras import extra

PART = 2000
"""Pictures that are in memory together."""


def store_folder(folder: Path, to: Path, side: int | None = None, seed: int = 0) -> tuple[StoredImages, StoredImages]:
    """Store ``train/CLASS/…`` and ``test/CLASS/…`` into ``to/train`` and ``to/val``, as ``experiments.stream`` wants.

    Pictures are stored in random order: a stream that shuffles within windows would meet one class after another.

    Args:
        folder: as for :func:`jax_bioadv.data.own_files.read_folder`.
        to: where.
        side: every image is resized to so many pixels each way.
        seed: of the order.

    Raises:
        DataError: a folder is missing, a picture is not as it should be, or the new one is there as something else or
            cannot be written.
    """
    classes, training, testing = pictures_by_class(folder)
    stacked([opened([training[0][0]]), opened([testing[0][0]])], side)  # of one size, before all are read
    channels = 3 if any(map(_in_colour, (path for path, _ in (*training, *testing)))) else 1
    how = "" if side is None else f", resized to {side} × {side} pixels"
    generator = np.random.default_rng(seed)

    def stored(name: str, pictures: Sequence[tuple[Path, int]]) -> StoredImages:
        shuffled = [pictures[place] for place in generator.permutation(len(pictures))]
        return store(_parts(shuffled, side, channels), to / name, classes, f"images in {folder}{how}")

    return stored("train", training), stored("val", testing)


def _parts(
    pictures: Sequence[tuple[Path, int]], side: int | None, channels: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for first in range(0, len(pictures), PART):
        paths, labels = zip(*pictures[first : first + PART], strict=True)
        [images] = stacked([opened(paths)], side)
        yield np.repeat(images, channels // images.shape[3], axis=3), np.array(labels, np.int32)


def _in_colour(path: Path) -> bool:
    """By its header alone; what is no picture is told when it is read."""
    with extra("data"):
        from PIL import Image
    try:
        with Image.open(path) as picture:
            return picture.mode not in GREY
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return False
