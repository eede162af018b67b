import dataclasses
import hashlib

import numpy as np
import pytest

from jax_bioadv.data import DataError, load, refuse_blank_images, without_blank_images


def test_its_fingerprint_is_that_of_the_raw_training_bytes(tiny_cifar10):
    assert tiny_cifar10.sha256 == hashlib.sha256(tiny_cifar10.train_images.tobytes()).hexdigest()
    reversed_twice = dataclasses.replace(tiny_cifar10, train_images=tiny_cifar10.train_images[::-1].copy()[::-1])
    assert reversed_twice.sha256 == tiny_cifar10.sha256


def _with_nan(images):
    images = images.astype(np.float32)
    images[3, 1, 1, 0] = np.nan
    return images


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        ("train_images", lambda x: x.astype(np.float32), "train_images must be uint8"),
        ("test_images", _with_nan, "test_images holds NaN"),
        ("train_images", lambda x: x[..., 0], r"of shape \(count, height, width, channels\), got \(20, 32, 32\)"),
        ("train_images", lambda x: x[:0], "train_images is empty"),
        ("test_images", lambda x: x[:, :16], r"\(32, 32, 3\), test images of shape \(16, 32, 3\)"),
        ("train_labels", lambda x: x[:-1], r"train_labels must be of shape \(20,\)"),
        ("train_labels", lambda x: x.astype(np.int64), "train_labels must be uint8 for 10 classes, got int64"),
        ("test_labels", lambda x: np.where(np.arange(6) == 4, 10, x).astype(np.uint8), "label 10 of image 4 is out of"),
        ("class_names", lambda x: (), "class_names is empty"),
        (
            "class_names",
            lambda x: tuple(map(str, range(257))),
            "train_labels must be uint16 for 257 classes, got uint8",
        ),
    ],
)
def test_what_is_wrong_is_named(tiny_cifar10, part, change, message):
    with pytest.raises(DataError, match=message):
        dataclasses.replace(tiny_cifar10, **{part: change(getattr(tiny_cifar10, part))})


def test_digits_are_whole_balanced_and_always_the_same():
    digits, again = load("digits"), load("digits")
    assert digits.train_images.shape == (1500, 8, 8, 1)
    assert digits.test_images.shape == (297, 8, 8, 1)
    assert digits.sha256 == again.sha256 == "b6a072a6366f12edc37fb8daf2df2d20f995b834b30bbd678633d4ed52772149"
    assert digits.train_images.max() == 255
    # Stratified: each class has the same share of both splits, to within one image.
    counts = np.bincount(digits.train_labels), np.bincount(digits.test_labels)
    np.testing.assert_allclose(counts[0] / 1500 * 297, counts[1], atol=1.0)


def test_an_image_that_is_all_zero_is_refused_with_its_split_and_a_way_on(tiny_cifar10):
    refuse_blank_images(tiny_cifar10)
    assert without_blank_images(tiny_cifar10) is tiny_cifar10
    images = tiny_cifar10.test_images.copy()
    images[[2, 4]] = 0
    blank = dataclasses.replace(tiny_cifar10, test_images=images)
    with pytest.raises(DataError, match=r"image 2 of test_images .* 0 train images and 2 test images.*--drop"):
        refuse_blank_images(blank)
    kept = without_blank_images(blank)
    np.testing.assert_array_equal(kept.test_images, images[[0, 1, 3, 5]])
    np.testing.assert_array_equal(kept.test_labels, tiny_cifar10.test_labels[[0, 1, 3, 5]])
    np.testing.assert_array_equal(kept.train_images, tiny_cifar10.train_images)
    assert kept.source == "made up, without 2 test images that are all zero"
    refuse_blank_images(kept)
    with pytest.raises(DataError, match="test_images is empty"):
        without_blank_images(dataclasses.replace(blank, test_images=np.zeros_like(images)))
