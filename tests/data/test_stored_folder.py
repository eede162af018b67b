"""A folder of pictures becomes what a stream reads, part by part, in an order that mixes its classes."""

import numpy as np
import pytest
from PIL import Image

from jax_bioadv.data import DataError, load, stored_folder
from jax_bioadv.data.__main__ import main
from jax_bioadv.data.stored import StoredImages

COLOUR = {"rose": [3, 40], "aster": [90, 130, 200], "tulip": [250]}


def write(folder, shape=(5, 4, 3)):
    """Pictures of one value each, by which they are known again."""
    for part in ("train", "test"):
        for name, values in COLOUR.items():
            for value in values:
                path = folder / part / name / f"{value}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return folder


@pytest.mark.parametrize("part", [2, 100])
def test_it_holds_what_the_folder_holds(tmp_path, monkeypatch, capsys, part):
    monkeypatch.setattr(stored_folder, "PART", part)
    folder = write(tmp_path / "my flowers")
    assert main(["store", str(folder), "--to", str(tmp_path / "stored")]) == 0
    assert "stored/train: 6 images of 5 × 4 × 3" in capsys.readouterr().out
    whole = load(str(folder))
    for name, images, labels in (
        ("train", whole.train_images, whole.train_labels), ("val", whole.test_images, whole.test_labels),
    ):  # fmt: skip
        found = StoredImages(tmp_path / "stored" / name)
        assert found.class_names == whole.class_names
        pixels = found.read(range(len(found))).reshape(-1, *found.image_shape)
        order, expected = np.argsort(pixels[:, 0, 0, 0]), np.argsort(images[:, 0, 0, 0])
        np.testing.assert_array_equal(pixels[order], images[expected])
        np.testing.assert_array_equal(found.labels[order], labels[expected])


def test_classes_do_not_come_one_after_another(tmp_path):
    training, _ = stored_folder.store_folder(write(tmp_path / "flowers"), tmp_path / "stored")
    assert (np.diff(training.labels) < 0).any()
    again, _ = stored_folder.store_folder(write(tmp_path / "flowers"), tmp_path / "again")
    np.testing.assert_array_equal(again.labels, training.labels)


def test_one_picture_in_colour_makes_all_of_them_so_whatever_the_part(tmp_path, monkeypatch):
    monkeypatch.setattr(stored_folder, "PART", 1)
    folder = write(tmp_path / "flowers", shape=(5, 4))
    grey, _ = stored_folder.store_folder(folder, tmp_path / "grey")
    assert grey.image_shape == (5, 4, 1)
    Image.fromarray(np.full((5, 4, 3), 7, np.uint8)).save(folder / "test" / "rose" / "7.png")
    colour, _ = stored_folder.store_folder(folder, tmp_path / "colour", side=3)
    assert colour.image_shape == (3, 3, 3)


def resave(path, size):
    Image.new("L", size).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "train" / "rose" / "3.png").write_bytes(b"no picture"), "3.png is no whole picture"),
        (lambda folder: Image.new("RGB", (2, 2)).save(folder / "train" / "rose" / "3.png"), "let all be resized"),
        (lambda folder: [resave(one, (9, 9)) for one in folder.glob("test/*/*")], "let all be resized"),
        (lambda folder: (folder / "train").rename(folder / "training"), "has no folder train"),
        (lambda folder: (folder / "test").rename(folder / "rest"), "test images are needed"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_left(tmp_path, damage, message):
    folder = write(tmp_path / "flowers")
    damage(folder)
    with pytest.raises(DataError, match=message):
        stored_folder.store_folder(folder, tmp_path / "stored")
    assert not (tmp_path / "stored" / "train").exists()


def test_pictures_are_not_replaced_by_what_is_made_of_them(tmp_path):
    folder = write(tmp_path / "flowers")
    before = sorted(folder.rglob("*"))
    with pytest.raises(DataError, match="holds no stored images"):
        stored_folder.store_folder(folder, folder)
    assert sorted(folder.rglob("*")) == before
