"""One lossless format for the cached copy and for exports to other machines: a folder of WebP sheets and a manifest.

A folder holds

- ``train_images-00.webp`` …, ``test_images-00.webp`` …: lossless sheets, see :mod:`jax_bioadv.data.sheets`;
- ``train_labels.npy``, ``test_labels.npy``;
- ``manifest.json``: name, class names, shapes, SHA-256 of every file and of every part's raw bytes.

Every file stays below 50 MiB, so that a folder can go into a repository or through a size-limited channel. Every read
is checked against the manifest. A folder appears whole or not at all.
"""

import hashlib
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from jax_bioadv.data.dataset import IMAGE_PARTS, LABEL_PARTS, PARTS, DataError, Dataset, sha256_of_array
from jax_bioadv.data.partial_folders import folder_in_place
from jax_bioadv.data.sheets import decode_sheet, encode_sheet, images_per_sheet

MANIFEST = "manifest.json"
FORMAT = "jax_bioadv images, 1"
_OWN_FILE = re.compile(rf"{re.escape(MANIFEST)}|(train|test)_(images-\d+\.webp|labels\.npy)")


def export(dataset: Dataset, folder: str | os.PathLike[str]) -> Path:
    """Write a data set as sheets below 50 MiB each and a manifest, all or nothing.

    Args:
        dataset: what to write.
        folder: where; must be absent, empty, or an earlier export, which is replaced.

    Returns:
        The folder.

    Raises:
        DataError: if the folder holds something else, or cannot be written.
    """
    target = Path(folder).absolute()
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; name a folder for the export")
    if foreign := sorted(name for name in _listed(target) if not _OWN_FILE.fullmatch(name)):
        raise DataError(f"{target} holds {foreign[0]}, which is no part of an export; name a new or an empty folder")
    try:
        with folder_in_place(target) as partial:
            _write(dataset, partial)
    except OSError as error:
        raise DataError(
            f"could not write {target} ({error}); nothing was left behind: free some space or name another folder"
        ) from error
    return target


def read_export(folder: str | os.PathLike[str]) -> Dataset:
    """Read a folder that :func:`export` wrote, and check every byte of it.

    Args:
        folder: the folder that holds ``manifest.json``.

    Returns:
        The data set, with the folder as its source.

    Raises:
        DataError: if the manifest or a file is missing, added, truncated or altered; the message names the file.
    """
    place = Path(folder)
    manifest = _read_manifest(place)
    _check_listing(place, manifest)
    try:
        arrays = {part: _read_images(place, part, manifest) for part in IMAGE_PARTS}
        arrays |= {part: _read_labels(place, part, manifest) for part in LABEL_PARTS}
        for part in PARTS:
            if sha256_of_array(arrays[part]) != manifest["parts"][part]["sha256"]:
                raise _damaged(place, f"{part} do not have the SHA-256 that the manifest states")
        return Dataset(
            name=manifest["name"],
            **arrays,
            class_names=tuple(manifest["class_names"]),
            source=f"verified copy of {manifest['source']}",
        )
    except DataError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise _damaged(place, f"{MANIFEST} is not in the form of an export: {error!r}") from error


def is_export(folder: Path) -> bool:
    """Whether a folder claims to be an export: it holds a manifest."""
    return (folder / MANIFEST).is_file()


def exported_name(folder: Path) -> str:
    """Name of the data set in an export, from its manifest alone.

    Raises:
        DataError: if the manifest is damaged.
    """
    return str(_read_manifest(folder).get("name"))


def manifest_sha256(manifest: dict[str, Any]) -> str:
    """SHA-256 of everything that a manifest states, except for that SHA-256."""
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _listed(folder: Path) -> set[str]:
    """Names in a folder; none where it is absent, as it is while another run replaces it."""
    try:
        return set(os.listdir(folder))
    except FileNotFoundError:
        return set()


# Writing


def _write(dataset: Dataset, folder: Path) -> None:
    files: dict[str, str] = {}
    parts: dict[str, Any] = {}
    for part in IMAGE_PARTS:
        images = getattr(dataset, part)
        per_sheet = images_per_sheet(dataset.name, images.shape[1:])
        names = []
        for number, start in enumerate(range(0, len(images), per_sheet)):
            name = f"{part}-{number:02d}.webp"
            files[name] = _write_file(folder / name, encode_sheet(images[start : start + per_sheet]))
            names.append(name)
        parts[part] = _describe(images) | {"files": names, "images_per_file": per_sheet}
    for part in LABEL_PARTS:
        labels = getattr(dataset, part)
        buffer = io.BytesIO()
        np.save(buffer, labels, allow_pickle=False)
        files[f"{part}.npy"] = _write_file(folder / f"{part}.npy", buffer.getvalue())
        parts[part] = _describe(labels) | {"files": [f"{part}.npy"]}
    manifest = {
        "format": FORMAT,
        "name": dataset.name,
        "class_names": list(dataset.class_names),
        "source": dataset.source,
        "parts": parts,
        "files": files,
    }
    manifest["sha256"] = manifest_sha256(manifest)
    _write_file(folder / MANIFEST, json.dumps(manifest, indent=1, ensure_ascii=False).encode())


def _describe(array: np.ndarray) -> dict[str, Any]:
    return {"shape": list(array.shape), "dtype": str(array.dtype), "sha256": sha256_of_array(array)}


def _write_file(path: Path, content: bytes) -> str:
    with open(path, "xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return hashlib.sha256(content).hexdigest()


# Reading


def _damaged(folder: Path, what: str) -> DataError:
    return DataError(f"{folder} is damaged: {what}. Delete the folder and fetch or export it again.")


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{folder} is no export: it has no {MANIFEST}")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{MANIFEST} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise _damaged(folder, f"{MANIFEST} does not say that its format is {FORMAT!r}")
    if manifest.get("sha256") != manifest_sha256(manifest):
        raise _damaged(folder, f"{MANIFEST} was altered (its SHA-256 is not the one that it states)")
    return manifest


def _check_listing(folder: Path, manifest: dict[str, Any]) -> None:
    stated = manifest.get("files")
    if not isinstance(stated, dict) or any(Path(name).name != name for name in stated):
        raise _damaged(folder, f"{MANIFEST} has no proper list of files")
    present = _listed(folder) - {MANIFEST}
    if missing := sorted(set(stated) - present):
        raise _damaged(folder, f"missing {', '.join(missing)}")
    if extra := sorted(name for name in present - set(stated) if name.endswith((".webp", ".npy"))):
        raise _damaged(folder, f"{', '.join(extra)} is not in the manifest")


def _read_file(folder: Path, name: str, manifest: dict[str, Any]) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _damaged(folder, f"{name} cannot be read: {error}") from error
    if hashlib.sha256(content).hexdigest() != manifest["files"][name]:
        raise _damaged(folder, f"{name} was truncated or altered (its SHA-256 is not the manifest's)")
    return content


def _read_images(folder: Path, part: str, manifest: dict[str, Any]) -> np.ndarray:
    described = manifest["parts"][part]
    count, height, width, channels = described["shape"]
    per_file = described["images_per_file"]
    images = np.empty((count, height, width, channels), np.uint8)
    for number, name in enumerate(described["files"]):
        content = _read_file(folder, name, manifest)
        block = images[number * per_file : (number + 1) * per_file]
        try:
            block[:] = decode_sheet(content, len(block), (height, width, channels))
        except (OSError, ValueError, ZeroDivisionError) as error:
            raise _damaged(folder, f"{name} cannot be decoded: {error}") from error
    return images


def _read_labels(folder: Path, part: str, manifest: dict[str, Any]) -> np.ndarray:
    (name,) = manifest["parts"][part]["files"]
    content = _read_file(folder, name, manifest)
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(folder, f"{name} cannot be decoded: {error}") from error
