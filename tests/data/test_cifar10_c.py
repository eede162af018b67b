"""CIFAR-10-C in the form of its official files, made up but for the form."""

import os

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jax_bioadv.data import CIFAR10_C, DataError, cifar10_c, load_cifar10_c
from jax_bioadv.data.dataset import sha256_of_array
from jax_bioadv.data.tensorflow_datasets_source import without_tensorflow

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 10, 6, np.uint8)


@pytest.fixture
def corrupted(tmp_path, monkeypatch):
    """A folder of two corruptions of six images, and what it holds."""
    monkeypatch.setitem(cifar10_c.FINGERPRINTS, "test_labels", sha256_of_array(LABELS))
    folder = tmp_path / "data" / "CIFAR-10-C"
    folder.mkdir(parents=True)
    images = {name: RNG.integers(0, 256, (30, 32, 32, 3), np.uint8) for name in ("fog", "glass_blur")}
    for name, array in images.items():
        np.save(folder / f"{name}.npy", array)
    np.save(folder / "labels.npy", np.tile(LABELS, 5).astype(np.int64))
    return folder, images


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("severity", [1, 4, 5])
def test_severities_lie_one_after_another(corrupted, inside, severity):
    folder, held = corrupted
    images, labels = load_cifar10_c("fog", severity, folder if inside else folder.parent)
    np.testing.assert_array_equal(images, np.split(held["fog"], 5)[severity - 1])
    np.testing.assert_array_equal(labels, LABELS, strict=True)


def test_tensorflow_datasets_hand_them_out_in_the_same_order(corrupted, tmp_path, monkeypatch):
    folder, held = corrupted
    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", lambda self, url: str(folder.parent))
    with pytest.raises(DataError, match=r"unpack CIFAR-10-C\.tar .*TFDS has not prepared cifar10_corrupted/frosted"):
        load_cifar10_c("glass_blur", 3, tmp_path / "nothing")
    builder = tfds.builder("cifar10_corrupted/frosted_glass_blur_3")
    with without_tensorflow(builder):
        builder.download_and_prepare(file_format="array_record")
    images, labels = load_cifar10_c("glass_blur", 3, tmp_path / "nothing")
    np.testing.assert_array_equal(images, held["glass_blur"][12:18])
    np.testing.assert_array_equal(labels, LABELS)


def saved(name, array):
    return lambda folder: np.save(folder / name, array)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: os.truncate(folder / "fog.npy", 5000), "not a whole CIFAR-10-C"),
        (lambda folder: (folder / "fog.npy").unlink(), r"not a whole CIFAR-10-C .*fog\.npy"),
        (saved("fog.npy", np.zeros((30, 32, 32, 3))), "holds float64 of shape"),
        (saved("labels.npy", np.zeros(29, np.uint8)), r"labels\.npy \(29,\)"),
        (saved("labels.npy", np.tile(LABELS[::-1], 5)), "are not those of CIFAR-10's test images"),
    ],
)
def test_what_is_wrong_is_told(corrupted, damage, message):
    damage(corrupted[0])
    with pytest.raises(DataError, match=message):
        load_cifar10_c("fog", 1, corrupted[0])


def test_unknown_names_and_severities_are_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown corruption 'rain'; choose among gaussian_noise"):
        load_cifar10_c("rain", 1, tmp_path)
    with pytest.raises(ValueError, match="from 1 to 5, got 0"):
        load_cifar10_c("fog", 0, tmp_path)


def test_the_names_are_those_of_tensorflow_datasets_too():
    known = {config.name for config in tfds.builder_cls("cifar10_corrupted").BUILDER_CONFIGS}
    names = [cifar10_c._IN_TFDS.get(name, name) for name in (*CIFAR10_C, *cifar10_c.EXTRA)]
    assert {f"{name}_{severity}" for name in names for severity in range(1, 6)} == known
