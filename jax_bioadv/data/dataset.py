"""The type that every source of images returns, and the checks that it must pass.

A :class:`Dataset` is plain NumPy on the host: ``uint8`` images of shape (count, height, width, channels) and labels,
``uint8`` up to 256 classes, split into training and test images. Models never see it directly;
:func:`jax_bioadv.data.unit_norm` makes the flattened ``float32`` images of Holzhausen et al., arXiv 2405.00679, of it.
"""

import dataclasses
import hashlib
from dataclasses import dataclass

import numpy as np

IMAGE_PARTS = ("train_images", "test_images")
LABEL_PARTS = ("train_labels", "test_labels")
PARTS = ("train_images", "test_images", "train_labels", "test_labels")


class DataError(ValueError):
    """Images that cannot be had, or are not what they claim to be; the message says what to do."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split into training and test images, and checked when they are put together.

    Args:
        name: the name under which :func:`jax_bioadv.data.load` knows the data set.
        train_images: ``uint8`` of shape (count, height, width, channels).
        train_labels: of shape (count,) and of the type that :func:`label_type` gives, each below the number of classes.
        test_images: as ``train_images``, with the same height, width and channels.
        test_labels: as ``train_labels``.
        class_names: one name a class, in the order of the labels.
        source: where the bytes came from, in words.

    Raises:
        DataError: on a wrong shape or dtype, no images at all, NaN, or labels out of range.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    class_names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        validate(self)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    @property
    def inputs(self) -> int:
        """Number of pixels D of one flattened image."""
        height, width, channels = self.image_shape
        return height * width * channels

    @property
    def sha256(self) -> str:
        """SHA-256 of the raw bytes of the training images: the fingerprint that results are filed under."""
        return sha256_of_array(self.train_images)


def label_type(classes: int) -> np.dtype:
    """The smallest of uint8, uint16 and uint32 that has a number for every class, which labels are kept in."""
    return np.min_scalar_type(classes - 1)


def as_labels(labels: np.ndarray, classes: int) -> np.ndarray:
    """Whole numbers as a :class:`Dataset` has its labels.

    Raises:
        DataError: one of them is no class; the message names it.
    """
    if labels.dtype.kind not in "iu":
        raise DataError(f"labels must be whole numbers, got {labels.dtype}")
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        raise DataError(
            f"label {labels[wrong][0]} of image {np.flatnonzero(wrong)[0]} is out of range: there are {classes} classes"
        )
    return labels.astype(label_type(classes))


def sha256_of_array(array: np.ndarray) -> str:
    """SHA-256 (hexadecimal) of an array's bytes in C order."""
    return hashlib.sha256(np.ascontiguousarray(array).reshape(-1).data).hexdigest()


def validate(dataset: Dataset) -> None:
    """Check shapes, dtypes and label range.

    Args:
        dataset: what to check.

    Raises:
        DataError: names the data set, the part that is wrong and what it should be.
    """
    if not dataset.class_names:
        raise DataError(f"{dataset.name}: class_names is empty; give one name for each class")
    for part in IMAGE_PARTS:
        _validate_images(f"{dataset.name}: {part}", getattr(dataset, part))
    if dataset.train_images.shape[1:] != dataset.test_images.shape[1:]:
        raise DataError(
            f"{dataset.name}: training images are of shape {dataset.train_images.shape[1:]}, "
            f"test images of shape {dataset.test_images.shape[1:]}; they must be the same"
        )
    for images, labels in zip(IMAGE_PARTS, LABEL_PARTS, strict=True):
        count = len(getattr(dataset, images))
        _validate_labels(f"{dataset.name}: {labels}", getattr(dataset, labels), count, dataset.classes)


def _validate_images(what: str, images: object) -> None:
    if not isinstance(images, np.ndarray):
        raise DataError(f"{what} must be a NumPy array, got {type(images).__name__}")
    if np.issubdtype(images.dtype, np.floating) and not np.isfinite(images).all():
        raise DataError(f"{what} holds NaN or infinite values; clean them, scale to 0…255 and convert to uint8")
    if images.dtype != np.uint8:
        raise DataError(f"{what} must be uint8 (0…255), got {images.dtype}; scale and convert it first")
    if images.ndim != 4:
        raise DataError(f"{what} must be of shape (count, height, width, channels), got {images.shape}")
    if images.size == 0:
        raise DataError(f"{what} is empty: shape {images.shape}")


def _validate_labels(what: str, labels: object, count: int, classes: int) -> None:
    if not isinstance(labels, np.ndarray):
        raise DataError(f"{what} must be a NumPy array, got {type(labels).__name__}")
    if labels.dtype != label_type(classes):
        raise DataError(
            f"{what} must be {label_type(classes)} for {classes} classes, got {labels.dtype}; convert them "
            "(jax_bioadv.data.dataset.as_labels)"
        )
    if labels.shape != (count,):
        raise DataError(f"{what} must be of shape ({count},), one for each image, got {labels.shape}")
    if labels.max() >= classes:
        index = int(np.argmax(labels >= classes))
        raise DataError(f"{what}: label {labels[index]} of image {index} is out of range: there are {classes} classes")


def refuse_blank_images(dataset: Dataset) -> None:
    """Check that every image has a norm to be divided by.

    Raises:
        DataError: an image is all zero; the message names its split and the way on.
    """
    blank = {part: np.flatnonzero(~_lit(getattr(dataset, part))) for part in IMAGE_PARTS}
    for part, found in blank.items():
        if len(found):
            counts = " and ".join(f"{len(blank[each])} {each.replace('_', ' ')}" for each in IMAGE_PARTS)
            raise DataError(
                f"{dataset.name}: image {found[0]} of {part} is all zero and has no unit norm; in all {counts} are. "
                "Leave them out: --drop-blank-images, or without_blank_images(dataset)"
            )


def without_blank_images(dataset: Dataset) -> Dataset:
    """The data set without images that are all zero; its ``source`` says how many were left out.

    Raises:
        DataError: nothing is left of a split.
    """
    kept = {part: _lit(getattr(dataset, part)) for part in IMAGE_PARTS}
    dropped = [f"{np.sum(~one)} {part.replace('_', ' ')}" for part, one in kept.items() if not one.all()]
    if not dropped:
        return dataset
    train, test = kept.values()
    return dataclasses.replace(
        dataset,
        train_images=dataset.train_images[train],
        train_labels=dataset.train_labels[train],
        test_images=dataset.test_images[test],
        test_labels=dataset.test_labels[test],
        source=f"{dataset.source}, without {' and '.join(dropped)} that are all zero",
    )


def _lit(images: np.ndarray) -> np.ndarray:
    """Which images hold a pixel above zero."""
    return np.asarray(images.reshape(len(images), -1).any(axis=1))
