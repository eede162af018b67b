"""The form that CIFAR-10's and CIFAR-100's official archives share: packed or unpacked, pickles, channels first."""

import codecs
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jax_bioadv.data.dataset import DataError

PIXELS = 3072


def kept_by_keras(folder: str) -> tuple[str, ...]:
    """Names under which releases of Keras keep the folder of that name, packed and unpacked."""
    return tuple(f"{folder}{ending}" for ending in ("-target", ".tar.gz", "_archive", "-target_archive"))


def find_place(folder: Path, places: Sequence[str]) -> Path | None:
    """First of some official archives or unpacked folders in a folder, or the folder itself; ``None`` if neither."""
    if folder.name in places and folder.is_dir():
        return folder
    return next((folder / place for place in places if (folder / place).exists()), None)


@contextmanager
def opened(place: Path, inner: str, title: str) -> Iterator[Callable[[str], bytes]]:
    """Yield a function from a file's bare name to its bytes.

    Args:
        place: the archive, or the folder that it was unpacked to or into.
        inner: the archive's own folder.
        title: of the data set.

    Raises:
        DataError: the block met a file that is missing, truncated or not in the official form.
    """
    try:
        if place.is_dir():
            folder = place / inner if (place / inner).is_dir() else place
            yield lambda name: (folder / name).read_bytes()
        else:
            yield _unpacked(place).__getitem__
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError, ValueError) as error:
        raise DataError(
            f"{place} is not a whole official {title} archive ({error}). Delete it and download it again."
        ) from error


def _unpacked(archive: Path) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            file = members.extractfile(member) if member.isfile() else None
            if file is not None:
                contents[Path(member.name).name] = file.read()
    return contents


def channels_last(pixels: np.ndarray) -> np.ndarray:
    """Records of 3072 bytes as images of 32 × 32 × 3."""
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


class _BatchUnpickler(pickle.Unpickler):
    """Builds NumPy arrays and plain containers, and refuses every other name: a pickle could run anything."""

    _ALLOWED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): codecs.encode,
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which a CIFAR archive never does")
        return self._ALLOWED[module, name]


def unpickled(content: bytes) -> Any:
    """What a pickled dictionary of an archive holds, its strings as bytes; ValueError if it is none."""
    try:
        return _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle raises anything
        raise ValueError(f"a batch cannot be unpickled: {error}") from error


def read_python_batch(content: bytes, labels_key: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of one pickled batch; ValueError if it is none."""
    batch = unpickled(content)
    try:
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[labels_key], np.uint8)
    except Exception as error:  # of whatever was pickled
        raise ValueError(f"a batch holds no images: {error!r}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS):
        raise ValueError(f"a batch holds {pixels.dtype} of shape {pixels.shape} for {len(labels)} labels")
    return channels_last(pixels), labels
