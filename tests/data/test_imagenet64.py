"""The official files of ImageNet at 64 × 64: channels behind each other, labels from 1."""

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jax_bioadv.data import DataError, imagenet64, tensorflow_datasets_source
from jax_bioadv.data.stored import store


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(imagenet64.FILES["train"]):
        data = np.random.default_rng(number).integers(0, 256, (3, 3 * 64 * 64), np.uint8)
        np.savez(tmp_path / name, data=data, labels=np.array([1, 1000, number + 1]), mean=np.zeros(3 * 64 * 64))
    return tmp_path


def test_they_are_read_and_stored(folder):
    stored = store(imagenet64.parts(folder), folder / "stored", [str(n) for n in range(imagenet64.CLASSES)], "a test")
    assert (len(stored), stored.image_shape) == (30, (64, 64, 3))
    assert stored.labels[:6].tolist() == [0, 999, 0, 0, 999, 1]
    official = np.load(folder / "train_data_batch_2.npz")["data"][1]
    image = stored.read([4]).reshape(64, 64, 3)
    for channel in range(3):
        np.testing.assert_array_equal(image[..., channel].ravel(), official[channel * 4096 : (channel + 1) * 4096])


def test_missing_files_are_named_before_any_is_read(folder):
    for number in (3, 10):
        (folder / f"train_data_batch_{number}.npz").unlink()
    with pytest.raises(DataError, match=r"lacks train_data_batch_3\.npz, train_data_batch_10\.npz"):
        imagenet64.parts(folder)
    with pytest.raises(DataError, match=r"lacks val_data\.npz"):
        imagenet64.parts(folder, "val")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PK", "no file of ImageNet"),
        ({"data": np.zeros((2, 12288), np.uint8)}, "no file of ImageNet"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": np.ones(2, int)}, "expected uint8 data"),
        ({"data": np.zeros((2, 12288), np.uint8), "labels": np.ones(3, int)}, "expected uint8 data"),
        ({"data": np.zeros((2, 12288), np.uint8), "labels": np.array([0, 1])}, "between 1 and 1000, got 0"),
    ],
)
def test_a_file_of_another_kind_is_told(folder, content, said):
    file = folder / "train_data_batch_1.npz"
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        np.savez(file, **content)
    with pytest.raises(DataError, match=said):
        list(imagenet64.parts(folder))


def test_the_official_files_are_stored_once(folder, monkeypatch):
    data = np.random.default_rng(0).integers(0, 256, (3, 3 * 64 * 64), np.uint8)
    (folder / "Imagenet64_val_npz").mkdir()
    np.savez(folder / "Imagenet64_val_npz" / "val_data.npz", data=data, labels=np.array([1, 2, 3]))
    training, validation = imagenet64.stored_in(folder)
    assert (len(training), len(validation)) == (30, 3)
    assert "official files" in training.source
    monkeypatch.setattr(imagenet64, "store", lambda *given: pytest.fail("stored again"))
    again, _ = imagenet64.stored_in(folder)
    assert again.sha256 == training.sha256


def test_without_official_files_they_come_from_tfds(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})
    with tfds.testing.mock_data(num_examples=6):
        training, validation = imagenet64.stored_in(tmp_path)
    assert (len(training), len(validation), training.image_shape) == (6, 6, (64, 64, 3))
    assert training.source.startswith("TensorFlow Datasets imagenet_resized/64x64")
    assert len(training.class_names) == imagenet64.CLASSES
    np.testing.assert_array_equal(training.mapped[4].ravel(), training.read([4])[0])


def test_without_any_source_it_is_said_what_to_do(tmp_path):
    with pytest.raises(DataError, match=r"neither stored images nor train_data_batch_1\.npz.*Imagenet64_val_npz\.zip"):
        imagenet64.stored_in(tmp_path)
    assert not list(tmp_path.iterdir())
