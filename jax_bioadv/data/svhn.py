"""SVHN (Netzer et al. 2011), cropped digits: a reader of the official ``train_32x32.mat`` and ``test_32x32.mat``.

Known here as ``svhn_cropped``, the name that TensorFlow Datasets gives it. The files say 10 for the digit 0.
"""

from pathlib import Path

import numpy as np
import scipy

from jax_bioadv.data.dataset import DataError, Dataset
from jax_bioadv.data.fingerprints import verify_file

MD5 = {
    "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
    "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
}


def find_official(folder: Path) -> Path | None:
    """The folder itself, or its ``svhn`` or ``svhn_cropped``, if one of the official files is there."""
    places = (folder, folder / "svhn_cropped", folder / "svhn")
    return next((place for place in places if any((place / name).exists() for name in MD5)), None)


def load_official(place: Path) -> Dataset:
    """Read the two official files in a folder.

    Raises:
        DataError: a file is missing, truncated or not the published one.
    """
    for name, md5 in MD5.items():
        verify_file(place / name, md5)
    (train_images, train_labels), (test_images, test_labels) = (_read(place / name) for name in MD5)
    names = tuple(str(digit) for digit in range(10))
    return Dataset(
        "svhn_cropped", train_images, train_labels, test_images, test_labels, names, f"official files in {place}"
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        content = scipy.io.loadmat(path, variable_names=("X", "y"))
        return np.ascontiguousarray(np.moveaxis(content["X"], -1, 0)), content["y"][:, 0] % 10
    except Exception as error:  # SciPy raises anything
        raise DataError(f"{path} cannot be read: {error!r}") from error
