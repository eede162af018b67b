"""A data set that is in memory as Hugging Face's ``datasets`` holds it; the package itself is not needed here.

Anything fits that maps the names of splits to sequences of rows, each with an image and a label, and that has
``features``, as ``datasets.load_dataset("…")`` returns it.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset, as_labels
from jax_bioadv.data.own_files import name_of
from jax_bioadv.data.pictures import picture_of, stacked

_TEST_SPLITS = ("test", "validation")
_IMAGE, _LABEL = ("image", "img"), ("label", "fine_label", "labels")


def read_splits(splits: Mapping[str, Any], side: int | None = None) -> Dataset:
    """Read the splits train, and test or validation, in the order of their rows.

    Args:
        splits: name of a split to its rows.
        side: every image is resized to so many pixels each way.

    Returns:
        The data set; its name is the one that it gives itself, or ``in_memory``.

    Raises:
        DataError: a split or column is missing, or what it holds cannot be used.
    """
    test_split = next((one for one in _TEST_SPLITS if one in splits), None)
    if test_split is None or "train" not in splits:
        raise DataError(
            f"the splits are {', '.join(map(str, splits)) or 'none'}; train is needed, and test or validation "
            "(dataset.train_test_split makes them)"
        )
    train, test = splits["train"], splits[test_split]
    features = getattr(train, "features", None)
    if features is None:
        raise DataError("the splits have no features, as those of the package datasets have")
    image, label = (next((one for one in names if one in features), None) for names in (_IMAGE, _LABEL))
    if image is None or label is None:
        raise DataError(
            f"the columns are {', '.join(features)}; one of {', '.join(_IMAGE)} and of {', '.join(_LABEL)} are needed"
        )
    train_images, test_images = stacked((_pictures(train, "train", image), _pictures(test, test_split, image)), side)
    labels = [np.asarray(split[label]) for split in (train, test)]
    if any(one.dtype.kind not in "iu" for one in labels):
        raise DataError(f"the column {label} must hold whole numbers (dataset.class_encode_column makes them)")
    names = getattr(features[label], "names", None) or range(int(max(one.max() for one in labels)) + 1)
    train_labels, test_labels = (as_labels(one, len(names)) for one in labels)
    itself = getattr(getattr(train, "info", None), "dataset_name", None) or "in_memory"
    how = "" if side is None else f", resized to {side} × {side} pixels"
    return Dataset(
        name_of(Path(itself)),
        *(train_images, train_labels, test_images, test_labels),
        *(tuple(map(str, names)), f"{itself}, in memory{how}"),
    )


def _pictures(rows: Any, split: str, column: str) -> Iterator[tuple[str, Any]]:
    for place in range(len(rows)):
        what = f"image {place} of {split}"
        image = rows[place][column]
        if not hasattr(image, "convert"):
            pixels = np.asarray(image)
            if pixels.dtype.kind not in "iu" or not pixels.size or not 0 <= pixels.min() <= pixels.max() < 256:
                raise DataError(f"{what} is no picture and no array of bytes, but {type(image).__name__}")
            try:
                image = picture_of(pixels.astype(np.uint8))
            except (TypeError, ValueError) as error:
                raise DataError(f"{what} is of shape {pixels.shape}; (height, width[, 1 or 3]) is needed") from error
        yield what, image
