"""Results and checkpoints on disk, written so that a kill at any moment leaves the old file or the new one, never half.

Files are written beside their target, flushed to the disk and moved over it. Checkpoints of training states go through
Orbax, whose saves are atomic as well, with a digest of their content, since Orbax does not notice a changed byte.
"""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import jax
import numpy as np


class StorageError(OSError):
    """A file could not be written or does not hold what it should."""


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside ``path``, for binary writing, that takes its place when the block ends well.

    Raises:
        StorageError: the disk is full or the folder cannot be written; ``path`` is then as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}. Choose a writable folder.") from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}. Free some space or choose another folder, then run again."
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)


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
    """Write named arrays as one compressed ``.npz`` file, atomically."""
    with atomic_file(path) as stream:
        np.savez_compressed(stream, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file; StorageError says which file is missing, truncated or altered."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy each have errors of their own for a broken archive
        raise StorageError(f"cannot read {path}: {error}. Delete it and run again.") from error


class Checkpoints:
    """Checkpoints of one training, each a pytree of arrays and typed keys, in a folder of its own.

    Args:
        folder: where Orbax keeps the last two; made when missing.
    """

    def __init__(self, folder: Path):
        import orbax.checkpoint as ocp  # takes a second to import, which only training should pay

        self._args = ocp.args
        options = ocp.CheckpointManagerOptions(
            max_to_keep=2, enable_async_checkpointing=False, cleanup_tmp_directories=True
        )
        try:
            self._manager = ocp.CheckpointManager(folder.absolute(), options=options)
        except OSError as error:
            raise StorageError(f"cannot keep checkpoints in {folder}: {error}. Choose a writable folder.") from error

    def save(self, step: int, tree: Any) -> None:
        """Save a state under its step number, and return when it is on the disk.

        Checkpoints of this step and later ones are dropped: whoever saves was not able to go on from them.
        """
        try:
            for stale in [other for other in self._manager.all_steps() if other >= step]:
                self._manager.delete(stale)  # Orbax would silently keep these and skip this one
            plain = _without_keys(tree)
            self._manager.save(step, args=self._args.StandardSave({"tree": plain, "sha256": _digest(plain)}))
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot save a checkpoint: {error}. Free some space, then run again.") from error

    def restore_last(self, like: Any) -> tuple[int, Any] | None:
        """The last readable checkpoint as (step, state), or None.

        Args:
            like: a state of the same structure, whose shapes, dtypes and devices the restored one takes.
        """
        plain = _without_keys(like)
        wanted = {"tree": plain, "sha256": _digest(plain)}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._manager.restore(step, args=self._args.StandardRestore(wanted))
            except Exception:  # for an altered file Orbax raises errors of many kinds, bare Exception among them
                continue  # altered, or written under other settings; an older one may do
            tree = restored["tree"]
            same_shapes = _shapes(tree) == _shapes(plain)  # which Orbax sees to for JAX's arrays alone
            if same_shapes and np.array_equal(_digest(tree), restored["sha256"]):
                return step, jax.tree.map(_with_key, like, tree, is_leaf=_is_key)
        return None

    def close(self) -> None:
        """Release Orbax's threads."""
        self._manager.close()


def _shapes(tree: Any) -> list[tuple[int, ...]]:
    return [np.shape(leaf) for leaf in jax.tree.leaves(tree)]


def _digest(tree: Any) -> np.ndarray:
    """SHA-256 over the bytes of all leaves."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        digest.update(np.asarray(leaf).tobytes())
    return np.frombuffer(digest.digest(), np.uint8)


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _without_keys(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _with_key(like: Any, leaf: Any) -> Any:
    return jax.random.wrap_key_data(leaf, impl=jax.random.key_impl(like)) if _is_key(like) else leaf
