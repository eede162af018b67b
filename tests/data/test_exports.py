import dataclasses
import errno
import json
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jax_bioadv.data import DataError, Dataset, export, partial_folders, read_export, shards, sheets
from jax_bioadv.data.sheets import decode_sheet, encode_sheet


@st.composite
def dataset_fields(draw):
    height, width, channels = draw(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5)))
    classes = draw(st.integers(1, 256))
    arrays = {}
    for split in ("train", "test"):
        count = draw(st.integers(1, 7))
        arrays[f"{split}_images"] = draw(hnp.arrays(np.uint8, (count, height, width, channels)))
        arrays[f"{split}_labels"] = draw(hnp.arrays(np.uint8, count, elements=st.integers(0, classes - 1)))
    names = draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=3), min_size=classes, max_size=classes))
    return arrays | {"name": "drawn", "class_names": tuple(names), "source": "hypothesis"}


@given(dataset_fields(), st.integers(500, 3000))
def test_what_is_read_is_what_was_written(fields, sheet_bytes):
    """For every shape and however many sheets it takes."""
    dataset = Dataset(**fields)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(sheets, "SHEET_BYTES", sheet_bytes)
        back = read_export(export(dataset, Path(folder) / "copy"))
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        np.testing.assert_array_equal(getattr(back, part), getattr(dataset, part), strict=True)
    assert (back.name, back.class_names, back.sha256) == (dataset.name, dataset.class_names, dataset.sha256)


@pytest.mark.parametrize("shape", [(3, 1, 9000, 3), (5, 9000, 1, 1), (40, 16, 400, 3), (2, 4, 4, 3), (1, 1, 1, 4)])
def test_sheets_stay_within_what_webp_can_hold(shape):
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.testing.assert_array_equal(decode_sheet(encode_sheet(images), len(images), shape[1:]), images)


def test_noise_that_cannot_be_compressed_stays_far_below_50_mib():
    images = np.random.default_rng(0).integers(0, 256, (300, 32, 32, 3), np.uint8)
    growth = len(encode_sheet(images)) / images.nbytes
    assert growth * sheets.SHEET_BYTES < 20 * 2**20


@pytest.mark.parametrize("shape", [(1, 2, 9000, 2), (1, 16384, 1, 3), (1, 4096, 4096, 3)])
def test_images_too_large_for_a_sheet_are_refused(tmp_path, shape):
    zeros, labels = np.zeros(shape, np.uint8), np.zeros(1, np.uint8)
    large = Dataset("large", zeros, labels, zeros, labels, ("one",), "made up")
    with pytest.raises(DataError, match="too large"):
        export(large, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-7])


def _alter(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    "name",
    ["train_images-00.webp", "test_images-00.webp", "train_labels.npy", "test_labels.npy", "manifest.json"],
)
@pytest.mark.parametrize("damage", [_truncate, _alter, Path.unlink])
def test_every_damage_is_found_and_named(tmp_path, tiny_cifar10, name, damage):
    folder = export(tiny_cifar10, tmp_path / "copy")
    damage(folder / name)
    with pytest.raises(DataError, match=name.replace(".", r"\.")) as caught:
        read_export(folder)
    assert "again" in str(caught.value) or damage is Path.unlink


@pytest.mark.parametrize("name", ["train_images-01.webp", "more.npy"])
def test_a_file_too_many_is_named(tmp_path, tiny_cifar10, name):
    folder = export(tiny_cifar10, tmp_path / "copy")
    (folder / name).write_bytes(b"")
    with pytest.raises(DataError, match=f"{name} is not in the manifest"):
        read_export(folder)


def _drop_parts(manifest):
    del manifest["parts"]


def _change_name_of_part(manifest):
    manifest["parts"]["train_images"]["sha256"] = "0" * 64


def _leave_the_folder(manifest):
    manifest["files"]["../outside.webp"] = "0" * 64


def _other_format(manifest):
    manifest["format"] = "something else"


def _shape_of_another_kind(manifest):
    manifest["parts"]["train_images"]["shape"] = [20, 32]


def _more_images_than_on_the_sheet(manifest):
    manifest["parts"]["train_images"]["shape"][0] = 4000


@pytest.mark.parametrize(
    "forge",
    [
        _drop_parts,
        _change_name_of_part,
        _leave_the_folder,
        _other_format,
        _shape_of_another_kind,
        _more_images_than_on_the_sheet,
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path, tiny_cifar10, forge):
    folder = export(tiny_cifar10, tmp_path / "copy")
    manifest = json.loads((folder / "manifest.json").read_text())
    forge(manifest)
    manifest["sha256"] = shards.manifest_sha256(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="is damaged"):
        read_export(folder)


def test_a_folder_without_manifest_is_no_export(tmp_path):
    with pytest.raises(DataError, match="is no export"):
        read_export(tmp_path)


@pytest.mark.parametrize("earlier", [False, True])
@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("survives", [0, 1, 4])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path, monkeypatch, tiny_cifar10, assert_same, earlier, failure, survives
):
    folder = tmp_path / "copy"
    if earlier:
        export(tiny_cifar10, folder)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    written = []

    def fsync(descriptor):
        if len(written) == survives:
            raise failure
        written.append(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    other = dataclasses.replace(tiny_cifar10, name="other")
    with pytest.raises(DataError if isinstance(failure, OSError) else KeyboardInterrupt):
        export(other, folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before
    if earlier:
        assert_same(read_export(folder), tiny_cifar10)


def test_a_failing_exchange_puts_the_earlier_copy_back(tmp_path, monkeypatch, tiny_cifar10, assert_same):
    folder = export(tiny_cifar10, tmp_path / "copy")
    replace = os.replace

    def fail_on_the_new_copy(source, target):
        if Path(target) == folder and json.loads((Path(source) / "manifest.json").read_text())["name"] == "other":
            raise OSError(errno.ENOTEMPTY if any(folder.glob("*")) else errno.EIO, "made up")
        replace(source, target)

    monkeypatch.setattr(partial_folders.os, "replace", fail_on_the_new_copy)
    with pytest.raises(DataError, match="could not write"):
        export(dataclasses.replace(tiny_cifar10, name="other"), folder)
    assert_same(read_export(folder), tiny_cifar10)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_another_run_may_replace_the_copy_at_the_same_time(tmp_path, monkeypatch, tiny_cifar10, assert_same):
    """Its own comes in just when the old one has been moved aside: both end well, and a whole copy stays."""
    target = export(tiny_cifar10, tmp_path / "copy")
    replace, calls = os.replace, []

    def interrupted(source, destination):
        calls.append(source)
        if len(calls) == 3:
            export(tiny_cifar10, target)
        replace(source, destination)

    monkeypatch.setattr(os, "replace", interrupted)
    export(tiny_cifar10, target)
    assert len(calls) > 3
    assert_same(read_export(target), tiny_cifar10)
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_an_earlier_export_is_replaced(tmp_path, tiny_cifar10):
    folder = export(tiny_cifar10, tmp_path / "copy")
    export(dataclasses.replace(tiny_cifar10, name="other"), folder)
    assert read_export(folder).name == "other"
    assert [path.name for path in tmp_path.iterdir()] == ["copy"]


def test_files_of_others_are_never_replaced(tmp_path, tiny_cifar10):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(DataError, match=r"holds thesis\.tex"):
        export(tiny_cifar10, tmp_path)
    with pytest.raises(DataError, match="is a file"):
        export(tiny_cifar10, tmp_path / "thesis.tex")
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


@pytest.mark.parametrize(("age", "remains"), [(10.0, True), (7200.0, False)])
@pytest.mark.parametrize("name", ["copy", "copy [2]"])
def test_what_a_killed_run_left_is_ignored_and_later_removed(tmp_path, tiny_cifar10, assert_same, name, age, remains):
    left = tmp_path / f".{name}.partial-abc"
    left.mkdir()
    (left / "train_images-00.webp").write_bytes(b"half")
    then = left.stat().st_mtime - age
    os.utime(left, (then, then))
    assert_same(read_export(export(tiny_cifar10, tmp_path / name)), tiny_cifar10)
    assert left.exists() == remains


def test_every_file_stands_in_the_manifest_with_its_sha256(tmp_path, tiny_cifar10):
    folder = export(tiny_cifar10, tmp_path / "copy")
    manifest = json.loads((folder / shards.MANIFEST).read_text())
    assert set(manifest["files"]) | {shards.MANIFEST} == {path.name for path in folder.iterdir()}
    assert manifest["parts"]["train_images"]["sha256"] == tiny_cifar10.sha256
