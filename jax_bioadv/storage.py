"""Results and checkpoints on disk, written so that a kill at any moment leaves the old file or the new one, never half.

Files are written beside their target, flushed to the disk and moved over it. Checkpoints of training states are such
files too, with a digest of their content.
"""

import contextlib
import hashlib
import json
import logging
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from jax_bioadv.processes import broadcast, is_first

logger = logging.getLogger("jax_bioadv")


class StorageError(OSError):
    """A file could not be written or does not hold what it should."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, for binary writing, that takes its place when the block ends well.

    Raises:
        StorageError: the disk is full or the folder cannot be written; ``path`` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = open(temporary, "xb")  # noqa: SIM115  (mkstemp would hide it from all but its owner)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}. Choose a writable folder.") from error
    try:
        with part as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. Free some space or choose another folder, then run again."
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically; NaN and infinities are refused with ValueError, since JSON has none."""
    text = json.dumps(content, indent=1, allow_nan=False)
    with atomic_file(path) as stream:
        stream.write(text.encode() + b"\n")


def read_json(path: Path) -> Any:
    """Read a JSON file; StorageError says which file is broken."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"cannot read {path}: {error}. Delete it and run again.") from error


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as one compressed ``.npz`` file, atomically.

    Raises:
        ValueError: NumPy has taken a name for itself, or has none for the type of an array.
        StorageError: the file cannot be written.
    """
    if taken := {"file", "allow_pickle"} & set(arrays):
        raise ValueError(f"NumPy's archives can hold no array of the name {min(taken)!r}; give it another")
    content = {name: _kept(np.asarray(array)) for name, array in arrays.items()}
    with atomic_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **content)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file; StorageError says which file is missing, truncated or altered."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: _typed(archive[name]) for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy each have errors of their own for a broken archive
        raise StorageError(f"cannot read {path}: {error}. Delete it and run again.") from error


def _typed(array: np.ndarray) -> np.ndarray:
    """The array as it was written: bfloat16, for which the format has no name, comes back as two bytes of anything."""
    return array.view(jnp.bfloat16) if array.dtype == "V2" else array


class Checkpoints:
    """Checkpoints of one training, each a pytree of arrays and typed keys, in a folder of its own.

    Args:
        folder: where the last two are kept; made when missing.
        shared: whether all processes of ``jax.distributed`` train one population together. The first of them then
            writes and reads for all, which need no common disk; every method must be called by all.

    Raises:
        StorageError: the folder cannot be made.
    """

    def __init__(self, folder: Path, shared: bool = False):
        self.folder, self.shared = folder, shared
        if not self._has_the_files:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for unfinished in folder.glob(".*.part"):  # of a save that was killed
                unfinished.unlink()
        except OSError as error:
            raise StorageError(f"cannot keep checkpoints in {folder}: {error}. Choose a writable folder.") from error

    @property
    def _has_the_files(self) -> bool:
        return is_first() or not self.shared

    def agree(self, decision: bool) -> bool:
        """The first process's decision, where several train together: their clocks differ."""
        return bool(broadcast(decision)) if self.shared else decision

    def save(self, step: int, tree: Any) -> None:
        """Save a state under its step number, and return when it is on the disk.

        Checkpoints of this step and later ones are dropped: whoever saves was not able to go on from them.

        Raises:
            StorageError: the disk is full or the folder cannot be written; earlier checkpoints stay.
        """
        content = {name: _on_host(leaf) for name, leaf in _named_leaves(tree).items()}
        if not self._has_the_files:
            return
        for stale in [other for other in self._steps() if other >= step]:
            self._file(stale).unlink()
        with atomic_file(self._file(step)) as stream:
            np.savez(stream, allow_pickle=False, sha256=_digest(content), **content)
        for old in self._steps()[:-2]:
            self._file(old).unlink()

    def restore_last(self, like: Any) -> tuple[int, Any] | None:
        """The last checkpoint that can be used as (step, state), or None; the log says why others cannot.

        Args:
            like: a state of the same structure, whose shapes, dtypes and devices the restored one takes.
        """
        wanted = _named_leaves(like)
        found = self._last_usable(wanted) if self._has_the_files else None
        found = broadcast(found) if self.shared else found
        if found is None:
            return None
        step, content = found
        leaves = [_placed(content[name], leaf) for name, leaf in wanted.items()]
        restored = jax.tree.unflatten(jax.tree.structure(like), leaves)
        return step, jax.tree.map(_with_key, like, restored, is_leaf=_is_key)

    def _last_usable(self, wanted: Mapping[str, Any]) -> tuple[int, dict[str, np.ndarray]] | None:
        for step in reversed(self._steps()):
            try:
                content = read_arrays(self._file(step))
                saved = content.pop("sha256", np.empty(0, np.uint8))
                if not np.array_equal(saved, _digest(content)):
                    raise StorageError("its content was altered")
                _check_shapes(content, wanted)
                return step, content
            except StorageError as error:
                logger.warning("the checkpoint %s cannot be used: %s", self._file(step), error)
        return None

    def _file(self, step: int) -> Path:
        return self.folder / f"{step}.npz"

    def _steps(self) -> list[int]:
        return sorted(int(path.stem) for path in self.folder.glob("*.npz") if path.stem.isdigit())


def _named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by where they stand in the tree; keys as the numbers that they are."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(_without_keys(tree))}


def _kept(array: np.ndarray) -> np.ndarray:
    """The array itself; ValueError for a type that a file would not have a name for."""
    if array.dtype.isbuiltin == 2 and array.dtype != jnp.bfloat16:  # of fewer bits, from outside of NumPy
        raise ValueError(f"arrays of {array.dtype} cannot be read back from a file; convert them before")
    return array


def _on_host(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return _kept(np.asarray(leaf))


def _placed(array: np.ndarray, like: Any) -> Any:
    if not isinstance(like, jax.Array):
        return array
    return jax.make_array_from_callback(array.shape, like.sharding, lambda index: array[index])


def _check_shapes(content: Mapping[str, np.ndarray], wanted: Mapping[str, Any]) -> None:
    if set(content) != set(wanted):
        raise StorageError("it has other parts: it belongs to another training")
    for name, leaf in wanted.items():
        leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        must, found = (f"{one.dtype}{one.shape}" for one in (leaf, content[name]))
        if must != found:
            raise StorageError(f"{name} is {found} in it and must be {must}")


def _digest(content: Mapping[str, np.ndarray]) -> np.ndarray:
    """SHA-256 over all arrays and their names."""
    digest = hashlib.sha256()
    for name in sorted(content):
        digest.update(f"{name} {content[name].dtype}{content[name].shape}".encode())
        digest.update(content[name].tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_keys(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _with_key(like: Any, leaf: Any) -> Any:
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf
