"""Files and checkpoints: whatever goes wrong, the old content or the new one is there, and damage is noticed."""

import errno
import json
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.learning import supervised
from jax_bioadv.models import Network
from jax_bioadv.storage import (
    Checkpoints,
    StorageError,
    atomic_file,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_appears_whole_and_with_the_permissions_of_any_other(tmp_path):
    path, ordinary = tmp_path / "deep" / "new" / "file", tmp_path / "ordinary"
    ordinary.touch()
    with atomic_file(path) as stream:
        stream.write(b"content")
        assert not path.exists()
    assert contents(path.parent) == {"file": b"content"}
    assert path.stat().st_mode == ordinary.stat().st_mode


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_content_and_nothing_beside_it(tmp_path, error):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail():
        with atomic_file(path) as stream:
            stream.write(b"half of the ne")
            raise error

    with pytest.raises(error):
        fail()
    assert contents(tmp_path) == {"file": b"old"}


def test_a_full_disk_leaves_the_old_content_and_says_what_to_do(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"file: No space left on device\. Free some space"):
        write_json(path, {"new": 1})
    assert contents(tmp_path) == {"file": b"old"}


def test_an_unwritable_folder_is_named_with_the_way_out(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"cannot write .*file/inside/x\.json.*Choose a writable folder"):
        write_json(tmp_path / "file" / "inside" / "x.json", {})
    with pytest.raises(StorageError, match=r"checkpoints in .*file/inside.*Choose a writable folder"):
        Checkpoints(tmp_path / "file" / "inside")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_has_not_are_refused_before_the_file_is_touched(tmp_path, number):
    path = tmp_path / "results.json"
    write_json(path, {"alpha": [1.5, None]})
    before = path.stat()
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"alpha": [number]})
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert read_json(path) == {"alpha": [1.5, None]}


def test_json_that_is_missing_truncated_or_not_text_is_named(tmp_path):
    path = tmp_path / "results.json"
    whole = json.dumps({"alpha": [1.5]}).encode()
    for content in (None, b"", whole[:-3], b"\xff\xfe" + whole):
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StorageError, match=r"cannot read .*results\.json"):
            read_json(path)


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3), "history/loss": np.float32(3), "empty": np.zeros((0, 4), np.uint8)}
    arrays |= {"half": np.arange(3, dtype=np.float16), "brief": np.array([[1, -2.5]], jnp.bfloat16)}
    arrays |= {"scalar": jnp.bfloat16(3)}
    write_arrays(tmp_path / "arrays.npz", arrays)
    found = read_arrays(tmp_path / "arrays.npz")
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], np.asarray(array), strict=True)


@pytest.mark.parametrize("name", ["file", "allow_pickle"])
def test_a_name_that_numpy_has_taken_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"no array of the name '{name}'"):
        write_arrays(tmp_path / "arrays.npz", {"a": np.ones(2), name: np.ones(2)})
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("kind", ["float8_e4m3fn", "float8_e5m2", "int4"])
def test_types_that_files_have_no_name_for_are_refused(tmp_path, open_checkpoints, kind):
    array = np.asarray(jnp.ones(3, kind))
    with pytest.raises(ValueError, match=f"arrays of {kind} cannot be read back"):
        write_arrays(tmp_path / "arrays.npz", {"a": array})
    with pytest.raises(ValueError, match=f"arrays of {kind} cannot be read back"):
        open_checkpoints().save(1, {"a": array})
    assert not (tmp_path / "arrays.npz").exists()


def test_objects_are_not_pickled(tmp_path):
    with pytest.raises(ValueError, match="pickle"):
        write_arrays(tmp_path / "arrays.npz", {"a": np.array([{}])})
    assert contents(tmp_path) == {}


def test_damaged_arrays_are_named(tmp_path):
    path = tmp_path / "arrays.npz"
    write_arrays(path, {"a": np.random.default_rng(0).normal(size=500)})
    whole = path.read_bytes()
    altered = bytearray(whole)
    altered[len(whole) // 2] ^= 1
    for content in (None, b"", whole[: len(whole) // 2], bytes(altered)):
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(StorageError, match=r"cannot read .*arrays\.npz"):
            read_arrays(path)
        path.touch()


# --- checkpoints ---


def tree(seed, epochs=5):
    """Arrays too large to stand inside an index, a key, and a history in NumPy's float64."""
    weights = jax.random.normal(jax.random.key(seed), (40, 30))
    return {"weights": weights, "key": jax.random.key(seed)}, np.full(epochs, float(seed))


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert left.dtype == right.dtype
        if jax.dtypes.issubdtype(left.dtype, jax.dtypes.prng_key):
            left, right = jax.random.key_data(left), jax.random.key_data(right)
        np.testing.assert_array_equal(left, right, strict=True)


def test_an_empty_folder_has_no_checkpoint(open_checkpoints):
    assert open_checkpoints().restore_last(tree(0)) is None


def test_the_last_of_several_checkpoints_comes_back_in_another_process(open_checkpoints):
    writer = open_checkpoints()
    for step in (3, 7, 12):
        writer.save(step, tree(step))
    step, found = open_checkpoints().restore_last(tree(0))
    assert step == 12
    assert_same(found, tree(12))


def test_numbers_of_sixteen_bits_come_back(open_checkpoints):
    saved = {kind: jnp.arange(3, dtype=kind) for kind in ("bfloat16", "float16")}
    open_checkpoints().save(1, saved)
    assert_same(open_checkpoints().restore_last(saved)[1], saved)


def test_the_state_of_a_supervised_training_comes_back(open_checkpoints):
    optimizer = supervised.decaying_adam(1e-3, 2, 3.0, 4)

    def state(seed):
        network = Network(4, 3, 2, batch_norm=True, rngs=nnx.Rngs(seed))
        return supervised.init(jax.random.key(seed), network, optimizer)[1]

    saved = state(1)
    moments = jax.tree.map(lambda leaf: jnp.asarray(np.full(leaf.shape, 3, leaf.dtype)), saved.optimizer)
    saved = saved._replace(optimizer=moments)
    open_checkpoints().save(1, saved)
    step, found = open_checkpoints().restore_last(state(2))
    assert step == 1
    assert_same(found, saved)


def damage_by_truncation(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_by_one_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [damage_by_truncation, damage_by_one_byte])
def test_a_damaged_checkpoint_gives_way_to_the_one_before(open_checkpoints, tmp_path, damage, caplog):
    writer = open_checkpoints()
    writer.save(1, tree(1))
    writer.save(2, tree(2))
    damage(tmp_path / "run" / "2.npz")
    again = open_checkpoints()
    step, found = again.restore_last(tree(0))
    assert re.search(r"the checkpoint .*2.npz cannot be used: ", caplog.text)
    assert step == 1
    assert_same(found, tree(1))
    again.save(2, tree(3))  # the training goes on and takes the place of what was damaged
    step, found = open_checkpoints().restore_last(tree(0))
    assert step == 2
    assert_same(found, tree(3))


def test_a_checkpoint_behind_the_last_one_is_kept_nevertheless(open_checkpoints):
    # Whoever starts anew in an old folder must find the own steps there, not those of the training before.
    writer = open_checkpoints()
    writer.save(5, tree(5))
    writer.save(2, tree(2))
    step, found = writer.restore_last(tree(0))
    assert step == 2
    assert_same(found, tree(2))


def other_trees():
    weights, history = tree(0)
    return {
        r"\[1\] is float64\(5,\) in it and must be float64\(7,\)": tree(0, epochs=7),
        r"\[0\]\['weights'\] is float32\(40, 30\) in it and must be float32\(40, 29\)": (
            weights | {"weights": jnp.zeros((40, 29))},
            history,
        ),
        r"\[0\]\['weights'\] is float32.* must be int32": (weights | {"weights": jnp.zeros((40, 30), int)}, history),
        "it has other parts: it belongs to another training": (weights | {"more": jnp.zeros(3)}, history),
    }


@pytest.mark.parametrize("reason", other_trees())
def test_a_checkpoint_of_other_shapes_is_not_taken_and_the_log_says_why(open_checkpoints, reason, caplog):
    checkpoints = open_checkpoints()
    checkpoints.save(1, tree(1))
    assert checkpoints.restore_last(other_trees()[reason]) is None
    assert re.search(rf"the checkpoint .*1.npz cannot be used: .*{reason}", caplog.text)
    assert checkpoints.restore_last(tree(0)) is not None


def test_what_a_kill_during_a_save_left_behind_does_not_disturb(open_checkpoints, tmp_path):
    open_checkpoints().save(1, tree(1))
    (tmp_path / "run" / ".2.npz.a1b2c3.part").write_bytes(b"half")
    checkpoints = open_checkpoints()
    assert checkpoints.restore_last(tree(0))[0] == 1
    checkpoints.save(2, tree(2))
    assert_same(checkpoints.restore_last(tree(0))[1], tree(2))
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["1.npz", "2.npz"]


def test_a_checkpoint_that_cannot_be_written_is_an_error_with_advice(open_checkpoints, monkeypatch):
    checkpoints = open_checkpoints()

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(StorageError, match=r"No space left.*Free some space"):
        checkpoints.save(1, tree(1))


@pytest.mark.parametrize("name", ["run [old]", "what?", "all*", r"back\slash", "[", "é ü"])
def test_a_folder_may_have_any_name(name, tmp_path):
    Checkpoints(tmp_path / name).save(3, tree(3))
    step, found = Checkpoints(tmp_path / name).restore_last(tree(0))
    assert step == 3
    assert_same(found, tree(3))
