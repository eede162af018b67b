"""The official files of ImageNet at 64 × 64: channels behind each other, labels from 1."""

import numpy as np
import pytest

from jax_bioadv.data import DataError, imagenet64
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
