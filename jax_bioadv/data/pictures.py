"""From pictures of any kind to one array of bytes: grey or colour, of one size or resized to one."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset
from jax_bioadv.extras import extra

GREY, _COLOUR = ("1", "L"), ("RGB", "P", "CMYK", "YCbCr")


def resized(dataset: Dataset, side: int | None) -> Dataset:
    """The data set with every image of side × side pixels; itself, where they are, or without a side.

    Bilinear, averaging over all that a pixel covers, without regard to proportions; its ``source`` says so.

    Raises:
        DataError: the side is not positive, or there are neither one nor three channels.
    """
    _check(side)
    if side is None or dataset.image_shape[:2] == (side, side):
        return dataset
    if dataset.image_shape[2] not in (1, 3):
        raise DataError(f"{dataset.name} has {dataset.image_shape[2]} channels; only grey or colour can be resized")

    def of_all(images: np.ndarray) -> np.ndarray:
        return np.stack([_bytes(picture_of(image), side) for image in images])

    return Dataset(
        dataset.name,
        *(of_all(dataset.train_images), dataset.train_labels, of_all(dataset.test_images), dataset.test_labels),
        *(dataset.class_names, f"{dataset.source}, resized to {side} × {side} pixels"),
    )


def stacked(splits: Iterable[Iterable[tuple[str, Any]]], side: int | None) -> list[np.ndarray]:
    """Pictures as arrays of shape (count, height, width, channels), grey if all of them are and else colour.

    Args:
        splits: for each, what every picture is called, and the Pillow image.
        side: every picture is resized to so many pixels each way; None, where they have one size.

    Returns:
        One array for each split.

    Raises:
        DataError: names a picture of another size, or of a kind that cannot be used.
    """
    _check(side)
    arrays: list[list[np.ndarray]] = []
    first: tuple[str, tuple[int, int]] | None = None
    for split in splits:
        arrays.append([])
        for name, picture in split:
            if picture.mode not in (*GREY, *_COLOUR) or "transparency" in picture.info:
                raise DataError(
                    f"{name} is a picture of mode {picture.mode}, with transparency or not of bytes; save it as grey "
                    "(L) or colour (RGB)"
                )
            first = first or (name, picture.size)
            if side is None and picture.size != first[1]:
                (width, height), (other_width, other_height) = picture.size, first[1]
                raise DataError(
                    f"{name} has {height} × {width} pixels and {first[0]} {other_height} × {other_width}; let all "
                    "be resized: --resize 32, or load(…, resize=32)"
                )
            arrays[-1].append(_bytes(picture.convert("L" if picture.mode in GREY else "RGB"), side))
    if first is None or not all(arrays):
        raise DataError("there are no pictures in a split; training and test images are needed")
    channels = max(array.shape[2] for split_arrays in arrays for array in split_arrays)
    return [np.stack([np.repeat(one, channels // one.shape[2], 2) for one in split_arrays]) for split_arrays in arrays]


def picture_of(pixels: np.ndarray) -> Any:
    """The Pillow image of bytes (height, width[, 1 or 3]); TypeError or ValueError if they are none."""
    with extra("data"):
        from PIL.Image import fromarray
    if pixels.ndim not in (2, 3):
        raise ValueError("a picture has two or three dimensions")
    return fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels)


def _check(side: int | None) -> None:
    if side is not None and side < 1:
        raise DataError(f"images cannot be resized to {side} pixels; give a positive number")


def _bytes(picture: Any, side: int | None) -> np.ndarray:
    """Height, width and channels of a grey or colour picture."""
    if side is not None and picture.size != (side, side):
        from PIL.Image import Resampling

        picture = picture.resize((side, side), Resampling.BILINEAR)
    pixels = np.asarray(picture, np.uint8)
    return pixels.reshape(*pixels.shape[:2], -1)
