"""CIFAR-10 (Krizhevsky 2009): its fingerprints, and a reader of the official archives.

The official site offers the same images in two forms, each as a ``.tar.gz``: "binary version"
(``cifar-10-binary.tar.gz``, records of one label byte and 3072 pixel bytes, channels first) and "python version"
(``cifar-10-python.tar.gz``, pickled dictionaries). Either is read, packed or unpacked. Whatever the source, the images
count only when they have the fingerprints below: raw bytes in the official order, images channels last.
"""

import codecs
import io
import pickle
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset, sha256_of_array

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FINGERPRINTS = {
    "train_images": "47af8b02cfcfb6cdf3dbbd1969ad7f1b70f4413f6f80f437b020ee4e5bc8304a",
    "test_images": "f9b1e2130bab680db56eb06d886f7f1ad0f1183907ceff4659d1735c890f5b04",
    "train_labels": "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253",
    "test_labels": "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5",
}
"""SHA-256 of each part's raw bytes."""

OFFICIAL_PLACES = (
    "cifar-10-batches-bin",
    "cifar-10-batches-py",
    "cifar-10-binary.tar.gz",
    "cifar-10-python.tar.gz",
    "cifar-10-batches-py-target",
    "cifar-10-batches-py.tar.gz",
    "cifar-10-batches-py_archive",
    "cifar-10-batches-py-target_archive",
)
"""Names under which the official archives are looked for, in this order; the last four are Keras's.

Keras 3 unpacks the folder ``cifar-10-batches-py`` into one of that name, or of that name with ``-target``.
"""

_TRAIN_FILES = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST_FILE = "test_batch"
_PIXELS = 3072


def verify_fingerprints(dataset: Dataset, fingerprints: dict[str, str]) -> None:
    """Check a data set against the SHA-256 of each of its parts.

    Args:
        dataset: what to check.
        fingerprints: part's name (as the field of ``Dataset``) to hexadecimal SHA-256.

    Raises:
        DataError: names the parts that differ.
    """
    differing = [part for part, sha256 in fingerprints.items() if sha256_of_array(getattr(dataset, part)) != sha256]
    if differing:
        raise DataError(
            f"{dataset.name} from {dataset.source} is not the published data set: {', '.join(differing)} "
            "differ from the known SHA-256. Delete that copy and fetch it again, or give another source."
        )


def find_official(folder: Path) -> Path | None:
    """First official archive or unpacked folder in ``folder``; ``None`` if there is none."""
    if folder.name in OFFICIAL_PLACES and folder.is_dir():
        return folder
    return next((folder / place for place in OFFICIAL_PLACES if (folder / place).exists()), None)


def load_official(place: Path) -> Dataset:
    """Read an official archive, packed (``.tar.gz``) or unpacked (a folder).

    Args:
        place: one of ``OFFICIAL_PLACES`` in some folder.

    Returns:
        The data set, its fingerprints not yet checked.

    Raises:
        DataError: if a file is missing, truncated or not in the official form.
    """
    try:
        with _opened(place) as read:
            binary = "bin" in place.name
            train = [_read_batch(read, name, binary) for name in _TRAIN_FILES]
            test_images, test_labels = _read_batch(read, _TEST_FILE, binary)
    except (OSError, EOFError, tarfile.TarError, zlib.error, KeyError, ValueError) as error:
        raise DataError(
            f"{place} is not a whole official CIFAR-10 archive ({error}). Delete it and download it again."
        ) from error
    return Dataset(
        name="cifar10",
        train_images=np.concatenate([images for images, _ in train]),
        train_labels=np.concatenate([labels for _, labels in train]),
        test_images=test_images,
        test_labels=test_labels,
        class_names=CLASS_NAMES,
        source=f"official archive {place}",
    )


@contextmanager
def _opened(place: Path) -> Iterator[Callable[[str], bytes]]:
    """Yield a function from a file's bare name to its bytes."""
    if place.is_dir():
        inner = place / "cifar-10-batches-py"
        place = inner if inner.is_dir() else place
        yield lambda name: (place / name).read_bytes()
        return
    with tarfile.open(place, "r:gz") as archive:
        contents: dict[str, bytes] = {}
        for member in archive:
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                contents[Path(member.name).name] = file.read()
        yield contents.__getitem__


def _read_batch(read: Callable[[str], bytes], name: str, binary: bool) -> tuple[np.ndarray, np.ndarray]:
    return _read_binary_batch(read(f"{name}.bin")) if binary else _read_python_batch(read(name))


def _channels_last(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _read_binary_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    if not content or len(content) % (1 + _PIXELS):
        raise ValueError(f"a batch of {len(content)} bytes is not a whole number of images")
    records = np.frombuffer(content, np.uint8).reshape(-1, 1 + _PIXELS)
    return _channels_last(records[:, 1:]), records[:, 0].copy()


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
            raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}, which a CIFAR-10 batch never does")
        return self._ALLOWED[module, name]


def _read_python_batch(content: bytes) -> tuple[np.ndarray, np.ndarray]:
    try:
        batch = _BatchUnpickler(io.BytesIO(content), encoding="bytes").load()
        pixels, labels = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"], np.uint8)
    except Exception as error:  # a damaged pickle raises anything
        raise ValueError(f"a batch cannot be unpickled: {error}") from error
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), _PIXELS):
        raise ValueError(f"a batch holds {pixels.dtype} of shape {pixels.shape} for {len(labels)} labels")
    return _channels_last(pixels), labels
