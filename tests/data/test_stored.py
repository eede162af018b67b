"""Images on disk come back as they were stored; what is wrong with them, or with their folder, is told."""

import json
import os
import time

import numpy as np
import pytest

from jax_bioadv.data import DataError
from jax_bioadv.data.partial_folders import partial_folder
from jax_bioadv.data.stored import IMAGES, LABELS, MANIFEST, StoredImages, store

NAMES = ("a", "b", "c")


def part(count, seed=0, shape=(4, 3, 2)):
    numbers = np.random.default_rng(seed)
    return numbers.integers(0, 256, (count, *shape), np.uint8), numbers.integers(0, len(NAMES), count)


@pytest.fixture
def folder(tmp_path):
    store([part(5), part(7, 1)], tmp_path / "a folder", NAMES, "a test")
    return tmp_path / "a folder"


def test_they_come_back_in_any_order(folder):
    images, labels = (np.concatenate(both) for both in zip(part(5), part(7, 1), strict=True))
    stored = StoredImages(folder)
    assert (len(stored), stored.inputs, stored.image_shape, stored.class_names) == (12, 24, (4, 3, 2), NAMES)
    np.testing.assert_array_equal(stored.labels, labels)
    order = np.random.default_rng(3).permutation(12)
    np.testing.assert_array_equal(stored.read(order), images.reshape(12, -1)[order])
    assert stored.read([]).shape == (0, 24)
    stored.verify()


def test_parts_do_not_tell(tmp_path, folder):
    images, labels = (np.concatenate(both) for both in zip(part(5), part(7, 1), strict=True))
    whole = store([(images, labels.astype(np.uint8))], tmp_path / "whole", NAMES, "a test")
    assert whole.sha256 == StoredImages(folder).sha256
    assert (tmp_path / "whole" / MANIFEST).read_text() == (folder / MANIFEST).read_text()


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([], "no images"),
        ([part(0)], "uint8"),
        ([(part(2)[0] / 255, part(2)[1])], "part 0: images must be uint8"),
        ([(part(2)[0].reshape(2, -1), part(2)[1])], "height, width, channels"),
        (
            [part(2), part(2, shape=(3, 4, 2))],
            r"part 1: its images are of shape \(3, 4, 2\), those before",
        ),
        ([(part(2)[0], part(3)[1])], "2 images need as many integer labels"),
        ([(part(2)[0], np.array([0, 3]))], "between 0 and 2, got 0 to 3"),
        ([(part(2)[0], np.array([-1, 2]))], "between 0 and 2, got -1 to 2"),
    ],
)
def test_what_cannot_be_stored_is_refused_and_nothing_is_left(parts, said, tmp_path):
    with pytest.raises(DataError, match=said):
        store(parts, tmp_path / "x", NAMES, "a test")
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_what_was_there(folder):
    def parts():
        yield part(3)
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"No space left on device.*nothing was left behind"):
        store(parts(), folder, NAMES, "another")
    assert len(StoredImages(folder)) == 12


def age(folder):
    """As if no entry had been added for more than an hour, when another run begins."""
    [partial] = folder.parent.glob(f".{folder.name}.partial-*")
    os.utime(partial, (time.time() - 4000,) * 2)
    return partial


def another_run_begins(folder):
    with partial_folder(folder.parent, folder.name):
        pass


def test_a_part_says_that_the_folder_is_being_filled(folder):
    def parts():
        yield part(3)
        age(folder)
        yield part(3)
        another_run_begins(folder)
        yield part(3)

    assert len(store(parts(), folder, NAMES, "another")) == 9


def test_labels_may_lie_anywhere_in_memory(tmp_path):
    images, labels = part(8)
    stored = store([(images[::-2], labels.astype(np.int32)[::-2])], tmp_path / "every other", NAMES, "a test")
    np.testing.assert_array_equal(stored.labels, labels[::-2])


@pytest.mark.parametrize("more", [0, 1])
def test_what_another_run_removed_replaces_nothing(folder, more):
    def parts():
        yield part(3)
        age(folder)
        another_run_begins(folder)
        yield from more * [part(3)]

    with pytest.raises(DataError, match=r"another run took .* for abandoned"):
        store(parts(), folder, NAMES, "another")
    assert len(StoredImages(folder)) == 12


def test_a_manifest_with_another_shape_is_told(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | {"image_shape": [4, 3]}))
    with pytest.raises(DataError, match="no folder of stored images"):
        StoredImages(folder)


@pytest.mark.parametrize("name", ["format", "count", "image_shape"])
def test_a_manifest_without_an_entry_is_told(folder, name):
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest[name]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(DataError, match=f"no folder of stored images: '{name}'"):
        StoredImages(folder)


@pytest.mark.parametrize("name", [IMAGES, LABELS, MANIFEST])
def test_a_missing_file_is_told(folder, name):
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        StoredImages(folder)


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_a_truncated_file_is_told(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-4])
    with pytest.raises(DataError, match="truncated: it shall hold 12 images"):
        StoredImages(folder)


@pytest.mark.parametrize("name", [IMAGES, LABELS])
def test_an_altered_byte_is_found(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[4] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match="altered"):
        StoredImages(folder).verify()


def test_a_file_that_becomes_shorter_is_told(folder):
    stored = StoredImages(folder)
    with (folder / IMAGES).open("r+b") as file:
        file.truncate(30)
    with pytest.raises(DataError, match="ends before image 1;"):
        stored.read([0, 1])


def test_a_folder_of_another_kind_is_refused(folder):
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "format": "another"}))
    with pytest.raises(DataError, match="'another'"):
        StoredImages(folder)
