"""Images of one's own: by class in folders, in arrays, in memory; and what is told of those that do not fit."""

import dataclasses
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jax_bioadv.data import DataError, export, load, verify
from jax_bioadv.data.__main__ import main
from jax_bioadv.data.dataset import as_labels
from jax_bioadv.data.pictures import resized

RNG = np.random.default_rng(0)
GREY, COLOUR = (6, 5), (6, 5, 3)


def picture(shape):
    return RNG.integers(0, 256, shape, np.uint8)


def write(folder, pictures):
    for name, pixels in pictures.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


@pytest.fixture
def flowers(tmp_path):
    """A folder of images by class, and what it holds."""
    pictures = {
        "train/rose/b.png": picture(COLOUR),
        "train/rose/a.png": picture(COLOUR),
        "train/Aster/1.PNG": picture(COLOUR),
        "test/rose/1.png": picture(COLOUR),
    }
    folder = tmp_path / "my data" / "flowers"
    write(folder, pictures)
    (folder / "train" / "rose" / "notes.txt").write_text("no picture")
    return folder, pictures


@pytest.mark.parametrize("by", ["name", "string", "path", "relative"])
def test_a_folder_of_images_by_class_is_read(flowers, monkeypatch, by):
    folder, pictures = flowers
    monkeypatch.chdir(folder.parent)
    name = {"name": "flowers", "string": str(folder), "path": folder, "relative": "./flowers"}[by]
    dataset = load(name, folder.parent)
    assert (dataset.name, dataset.class_names) == ("flowers", ("Aster", "rose"))
    expected = [pictures[f"train/{one}"] for one in ("Aster/1.PNG", "rose/a.png", "rose/b.png")]
    np.testing.assert_array_equal(dataset.train_images, expected)
    np.testing.assert_array_equal(dataset.train_labels, np.uint8([0, 1, 1]))
    np.testing.assert_array_equal(dataset.test_labels, np.uint8([1]))


def test_grey_pictures_stay_grey_unless_one_is_in_colour(tmp_path):
    pictures = {"train/a/1.png": picture(GREY), "train/b/1.png": picture(GREY), "val/a/1.png": picture(GREY)}
    write(tmp_path / "set", pictures)
    grey = load(tmp_path / "set")
    np.testing.assert_array_equal(grey.train_images[..., 0], [pictures["train/a/1.png"], pictures["train/b/1.png"]])
    write(tmp_path / "set", {"val/b/1.png": picture(COLOUR)})
    mixed = load(tmp_path / "set")
    assert mixed.image_shape == (6, 5, 3)
    np.testing.assert_array_equal(mixed.train_images, np.repeat(grey.train_images, 3, axis=-1))


def test_sizes_that_differ_are_refused_or_resized(flowers):
    folder, _ = flowers
    write(folder, {"test/Aster/1.png": np.full((9, 12, 3), 77, np.uint8)})
    with pytest.raises(DataError, match=r"test/Aster/1\.png has 9 × 12 pixels and .* 6 × 5; let all .*--resize 32"):
        load(folder)
    dataset = load(folder, resize=4)
    assert dataset.image_shape == (4, 4, 3)
    np.testing.assert_array_equal(dataset.test_images[0], 77)
    assert "resized to 4 × 4 pixels" in dataset.source
    with pytest.raises(DataError, match="resized to 0 pixels"):
        load(folder, resize=0)


def test_any_set_is_resized_and_only_where_it_must_be():
    digits = load("digits")
    half = load("digits", resize=4)
    assert half.image_shape == (4, 4, 1)
    # Averages of what a pixel covers: rounding alone moves the mean of all by less than half a grey value, edges weigh
    # more than the middle.
    assert half.train_images.mean() == pytest.approx(digits.train_images.mean(), rel=0.05)
    assert resized(digits, 8) is digits
    assert resized(digits, None) is digits
    train, test = (np.repeat(one, 2, axis=-1) for one in (digits.train_images, digits.test_images))
    two = dataclasses.replace(digits, train_images=train, test_images=test)
    with pytest.raises(DataError, match="2 channels"):
        resized(two, 4)


def rgba(path):
    Image.fromarray(picture((6, 5, 4))).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "test" / "rose" / "1.png").unlink(), r"test/rose holds no picture"),
        (lambda folder: (folder / "test").rename(folder / "tests"), "none of test, validation, val"),
        (lambda folder: (folder / "train").rename(folder / "learn"), "unknown data set"),
        (lambda folder: (folder / "test" / "rose").rename(folder / "test" / "tulip"), "a class 'tulip' that"),
        (lambda folder: (folder / "test" / "rose").rename(folder / "rose"), "test has no folders"),
        (lambda folder: os.truncate(folder / "test" / "rose" / "1.png", 60), r"1\.png is no whole picture"),
        (lambda folder: (folder / "test" / "rose" / "1.png").write_text("no"), r"1\.png is no whole picture"),
        (lambda folder: rgba(folder / "test" / "rose" / "1.png"), r"1\.png is a picture of mode RGBA"),
    ],
)
def test_what_is_wrong_with_a_folder_is_told(flowers, damage, message):
    damage(flowers[0])
    with pytest.raises(DataError, match=message):
        load(flowers[0])


def test_a_folder_is_exported_and_found_by_name(flowers, tmp_path, capsys, assert_same):
    folder = flowers[0]
    assert main(["export", str(folder), "--resize", "8", "--to", str(tmp_path / "copies" / "flowers")]) == 0
    assert_same(load("flowers", tmp_path / "copies"), load(folder, resize=8))
    assert main(["verify", str(tmp_path / "copies" / "flowers")]) == 0
    assert verify(str(folder)).image_shape == (6, 5, 3)
    assert main(["verify", "./nothing here"]) == 2
    assert "neither a folder with train and test" in capsys.readouterr().err


# Arrays

KEYS = {
    "ours": ("train_images", "train_labels", "test_images", "test_labels"),
    "keras": ("x_train", "y_train", "x_test", "y_test"),
}


def arrays(classes=300, shape=COLOUR, keys="ours"):
    labels = np.arange(classes)
    values = (
        picture((classes, *shape)),
        labels,
        picture((7, *shape)),
        labels[:7, None] if keys == "keras" else labels[:7],
    )
    return dict(zip(KEYS[keys], values, strict=True))


@pytest.mark.parametrize("keys", KEYS)
@pytest.mark.parametrize("shape", [GREY, COLOUR])
@pytest.mark.parametrize("by", ["name", "path"])
def test_arrays_of_any_number_of_classes_are_read(tmp_path, assert_same, keys, shape, by):
    held = arrays(300, shape, keys)
    np.savez(tmp_path / "many.npz", **held)
    dataset = load("many" if by == "name" else str(tmp_path / "many.npz"), tmp_path)
    assert (dataset.name, dataset.classes, dataset.train_labels.dtype) == ("many", 300, np.uint16)
    np.testing.assert_array_equal(dataset.train_images.reshape(300, *shape), held[KEYS[keys][0]])
    np.testing.assert_array_equal(dataset.test_labels, range(7))
    export(dataset, tmp_path / "copy")
    assert_same(load(tmp_path / "copy"), dataset)


def test_names_of_classes_may_stand_beside_the_arrays(tmp_path):
    np.savez(tmp_path / "two.npz", **arrays(2) | {"test_labels": np.zeros(7, int)}, class_names=["cat", "dog", "emu"])
    assert load(tmp_path / "two.npz").class_names == ("cat", "dog", "emu")


def replaced(**changes):
    return lambda path: np.savez(path, **{k: v for k, v in (arrays(10) | changes).items() if v is not None})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: os.truncate(path, 500), r"no whole \.npz"),
        (lambda path: path.write_bytes(b""), r"no whole \.npz"),
        (replaced(train_labels=np.array([None] * 10)), r"no whole \.npz of plain arrays"),
        (replaced(test_labels=None), "but no test_labels"),
        (replaced(test_labels=np.arange(6)), r"test_labels must hold one whole number for each of 7 images, got int64"),
        (replaced(train_labels=np.linspace(0, 9, 10)), "train_labels must hold one whole number"),
        (replaced(train_labels=np.arange(-1, 9)), "label -1 of image 0 is out of range"),
        (replaced(class_names=["cat", "dog"]), "label 2 of image 2 is out of range: there are 2 classes"),
        (replaced(class_names=np.array("cat")), "class_names must hold a name for each class"),
        (replaced(train_images=np.array(3, np.uint8)), "one whole number for each of 1 images"),
        (replaced(train_images=np.zeros((10, *COLOUR))), "train_images must be uint8"),
        (replaced(train_images=np.zeros((10, 3, 6, 5), np.uint8)), "channels first; transpose"),
    ],
)
def test_what_is_wrong_with_arrays_is_told(tmp_path, damage, message):
    np.savez(tmp_path / "set.npz", **arrays(10))
    damage(tmp_path / "set.npz")
    with pytest.raises(DataError, match=message):
        load("set", tmp_path)


@pytest.mark.usefixtures("known_fingerprints")
def test_the_name_of_a_published_set_is_for_its_images_alone(tmp_path, tiny_cifar10, assert_same):
    parts = ("train_images", "train_labels", "test_images", "test_labels")
    held = {part: getattr(tiny_cifar10, part) for part in parts} | {"class_names": tiny_cifar10.class_names}
    np.savez(tmp_path / "cifar10.npz", **held)
    for name in ("cifar10", tmp_path / "cifar10.npz"):
        assert_same(load(name, tmp_path), tiny_cifar10)
    np.savez(tmp_path / "cifar10.npz", **held | {"test_images": tiny_cifar10.test_images[::-1]})
    with pytest.raises(DataError, match="not the published data set: test_images differ"):
        load("cifar10", tmp_path)
    other = load(tmp_path / "cifar10.npz")
    assert other.name == "cifar10_own"
    assert "not known to be the published cifar10, or not in its order" in other.source


# In memory


class Rows:
    """What the package datasets has of one split, as far as it is asked for."""

    def __init__(self, images, labels, label="label", image="img", names=None, name=None):
        self.columns = {image: images, label: labels}
        self.features = {image: object(), label: SimpleNamespace(names=names)}
        self.info = SimpleNamespace(dataset_name=name)

    def __len__(self):
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key):
        return self.columns[key] if isinstance(key, str) else {k: v[key] for k, v in self.columns.items()}


def splits(images=None, labels=(2, 0, 1), **options):
    images = [Image.fromarray(picture(COLOUR)) for _ in range(3)] if images is None else images
    return {"train": Rows(images, list(labels), **options), "validation": Rows(images[:2], list(labels)[:2], **options)}


@pytest.mark.parametrize("options", [{}, {"label": "fine_label", "image": "image", "names": ["a", "b", "c"]}])
def test_what_datasets_has_in_memory_is_read(options):
    held = splits(name="Some-Set", **options)
    dataset = load(held)
    assert dataset.name == "some_set"
    assert dataset.class_names == tuple(options.get("names", "012"))
    pictures = held["train"][options.get("image", "img")]
    np.testing.assert_array_equal(dataset.train_images, [np.asarray(one) for one in pictures])
    np.testing.assert_array_equal(dataset.test_labels, np.uint8([2, 0]))


def test_arrays_in_memory_are_pictures_too():
    grey = [picture(GREY).astype(np.int32).tolist() for _ in range(3)]
    np.testing.assert_array_equal(load(splits(grey)).train_images[..., 0], grey)
    assert load(splits(grey), resize=3).image_shape == (3, 3, 1)
    assert load(splits([picture((1, 5, 1)) for _ in range(3)])).image_shape == (1, 5, 1)


@pytest.mark.usefixtures("known_fingerprints")
def test_a_published_set_in_memory_bears_its_name(tiny_cifar10):
    def held(order):
        images = [Image.fromarray(one) for one in tiny_cifar10.train_images[order]]
        test = [Image.fromarray(one) for one in tiny_cifar10.test_images]
        options = {"names": tiny_cifar10.class_names, "name": "cifar10"}
        return {
            "train": Rows(images, tiny_cifar10.train_labels[order].tolist(), **options),
            "test": Rows(test, tiny_cifar10.test_labels.tolist(), **options),
        }

    assert load(held(slice(None))).name == "cifar10"
    assert load(held(slice(None, None, -1))).name == "cifar10_own"


@pytest.mark.parametrize(
    ("held", "message"),
    [
        ({}, "the splits are none; train is needed"),
        ({"train": Rows([], [])}, "the splits are train; train is needed, and test or validation"),
        ({"train": [], "test": []}, "no features"),
        (splits(image="pixels"), "columns are pixels, label; one of image, img and of label"),
        (splits(labels="abc"), "column label must hold whole numbers"),
        (splits(images=[np.zeros(4, np.uint8)] * 3), r"image 0 of train is of shape \(4,\)"),
        (splits(labels=(0, -1, 1)), "label -1 of image 1 is out of range"),
        (splits(images=["a.png"] * 3), "image 0 of train is no picture and no array of bytes, but str"),
        (splits(images=[np.zeros((2, 2, 5), np.uint8)] * 3), r"image 0 of train is of shape \(2, 2, 5\)"),
        (splits(images=[picture(GREY), picture((5, 5)), picture(GREY)]), "image 1 of train has 5 × 5 pixels"),
    ],
)
def test_what_is_wrong_in_memory_is_told(held, message):
    with pytest.raises(DataError, match=message):
        load(held)


def test_labels_take_the_smallest_type_that_has_all_classes():
    for classes, kind in ((2, np.uint8), (256, np.uint8), (257, np.uint16), (65_537, np.uint32)):
        assert as_labels(np.array([classes - 1]), classes).dtype == kind
    with pytest.raises(DataError, match="whole numbers, got float64"):
        as_labels(np.zeros(2), 3)


def test_a_path_that_leads_nowhere_is_told(tmp_path):
    for name in (tmp_path / "nowhere", f"{tmp_path}/nowhere", "nowhere.npz", "~/nowhere", Path("nowhere")):
        with pytest.raises(DataError, match=r"unknown data set .*nowhere.* known are digits"):
            load(name, tmp_path)
