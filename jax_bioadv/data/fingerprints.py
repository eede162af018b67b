"""What the published images of a set are known by, whatever form and place they come from.

CIFAR-10 is known by the SHA-256 of each part's raw bytes, in the official order and channels last. MNIST and
Fashion-MNIST are known by the MD5 of their four official files, unpacked, which are public; an idx file is a short
header and the raw bytes, so that its MD5 follows from the images of any source. CIFAR-100 and SVHN are known by the MD5
of their official files, which nothing but those files has: their readers check it, TensorFlow Datasets checks what it
downloads, and an export of them is held against its own manifest alone.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset, sha256_of_array


def differing_parts(dataset: Dataset, fingerprints: Mapping[str, str]) -> list[str]:
    """Parts of a data set that have another digest.

    Args:
        dataset: what to check.
        fingerprints: part's name (as the field of ``Dataset``) to a SHA-256 of its raw bytes or an MD5 of its idx file,
            both hexadecimal.
    """
    return [part for part, digest in fingerprints.items() if _digest(getattr(dataset, part), digest) != digest]


def verify_fingerprints(dataset: Dataset, fingerprints: Mapping[str, str]) -> None:
    """Check a data set against the digest of each of its parts, as :func:`differing_parts` does.

    Raises:
        DataError: names the parts that differ.
    """
    if differing := differing_parts(dataset, fingerprints):
        raise DataError(
            f"{dataset.name} from {dataset.source} is not the published data set: {', '.join(differing)} "
            "differ from the known fingerprint. Delete that copy and fetch it again, or give another source."
        )


def verify_file(path: Path, md5: str) -> None:
    """Check an official file.

    Raises:
        DataError: it cannot be read, or is not the published one.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if found != md5:
        raise DataError(f"{path} is not the published file: {unlike(found, md5)}")


def unlike(found: str, md5: str) -> str:
    """What a file is told that has another MD5."""
    return f"it is truncated or altered (MD5 {found} instead of {md5}). Delete it and download it again."


def idx_header(array: np.ndarray) -> bytes:
    """The first bytes of the idx file that holds an array of bytes: type, number of dimensions, each of them."""
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes()


def _digest(array: np.ndarray, like: str) -> str:
    if len(like) == 64:
        return sha256_of_array(array)
    content = array[..., 0] if array.ndim == 4 and array.shape[-1] == 1 else array
    return hashlib.md5(idx_header(content) + content.tobytes()).hexdigest()
