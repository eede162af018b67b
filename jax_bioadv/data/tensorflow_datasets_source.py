"""Image classification sets from TensorFlow Datasets (TFDS), without TensorFlow.

TFDS is asked through its own interface: ``builder``, ``download_and_prepare(file_format="array_record")`` and
``as_data_source``, which need no TensorFlow. A set that TFDS has prepared before, in its own data folder and in a
format with random access, is read from there; otherwise it is downloaded and prepared in a temporary folder, which is
removed.

TFDS shuffles what it writes. The sets of CIFAR and SVHN carry an ``id`` that counts in the official order, and are
sorted by it. Those of the form of MNIST were sorted by a hash of their number, from which that order follows. Other
sets keep the order of TFDS, which is the same on every machine.
"""

import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import numpy as np

from jax_bioadv.data.dataset import DataError, Dataset, as_labels
from jax_bioadv.data.partial_folders import partial_folder
from jax_bioadv.data.reachable import probe_failures

EXAMPLES = ("cifar10", "cifar100", "fashion_mnist", "mnist", "svhn_cropped")
"""Some sets that are known to fit; any other with fixed-size uint8 images and one label fits as well."""

PROBE_SECONDS = 8.0
"""How long the sites of a data set have to answer before TFDS is given up; TFDS itself would try for minutes."""

_IN_ORDER_OF_ID = ("cifar10", "cifar100", "svhn_cropped")
_IN_ORDER_OF_HASH = ("mnist", "fashion_mnist", "kmnist", "cifar10_corrupted")
_DAY_SECONDS = 86400.0


def knows(name: str) -> bool:
    """Whether TFDS is installed and has a data set of this name; asks nothing of the network."""
    try:
        import tensorflow_datasets as tfds

        return name.partition("/")[0] in tfds.list_builders(with_community_datasets=False)
    except ImportError:
        return name in EXAMPLES


@contextmanager
def _quiet() -> Iterator[None]:
    """Without TFDS's warnings about a set that is not prepared yet, which is what it was asked to find out."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def load_from_tensorflow_datasets(name: str, folder: Path) -> Dataset:
    """Read a prepared set, or download and prepare it.

    Args:
        name: TFDS name, such as ``cifar10`` or ``emnist/letters``.
        folder: as for :func:`prepared`.

    Returns:
        The data set; of a set without test images, the validation images stand in their place.

    Raises:
        DataError: as for :func:`prepared`.
    """
    with prepared(name, folder) as builder:
        return _read(name, builder)


@contextmanager
def prepared(name: str, folder: Path) -> Iterator[Any]:
    """TFDS's builder of a set that can be read, for as long as the context lasts.

    Args:
        name: TFDS name.
        folder: where the temporary folder is made, for up to several times the size of the data set.

    Raises:
        DataError: if TFDS is not usable, its sites do not answer, or the set is no image classification set that fits.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"tensorflow-datasets cannot be imported ({error}); pip install 'jax-bioadv[data]' brings it"
        ) from error
    try:
        with _quiet():
            builder = tfds.builder(name)
            _check_features(name, builder.info.features)
            if _is_readable(builder):
                yield builder
                return
            if builder.info.splits:
                _test_split(name, builder.info.splits)
            _check_reachable(builder)
            with partial_folder(folder, "tensorflow-datasets", _DAY_SECONDS) as partial:
                builder = tfds.builder(name, data_dir=str(partial))
                _prepare(tfds, name, builder)
                yield builder
    except DataError:
        raise
    except Exception as error:  # builders are third-party code of many kinds and raise anything
        cause: BaseException = error
        while cause.__cause__ is not None:
            cause = cause.__cause__
        raise DataError(f"TFDS could not prepare {name}: {type(cause).__name__}: {str(cause)[:300]}") from error


@_quiet()
def read_prepared_test_images(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Test images and labels of a set that TFDS has prepared in its own data folder, in the official order.

    Raises:
        DataError: TFDS is not usable, or has not prepared it in a format with random access.
    """
    try:
        import tensorflow_datasets as tfds

        builder = tfds.builder(name)
        if _is_readable(builder):
            return _read_split(name, builder, "test")
    except Exception as error:  # builders are third-party code of many kinds and raise anything
        raise DataError(f"TFDS cannot read {name}: {type(error).__name__}: {str(error)[:300]}") from error
    raise DataError(
        f"TFDS has not prepared {name}: tfds.builder({name!r}).download_and_prepare(file_format='array_record') does"
    )


def _is_readable(builder: Any) -> bool:
    """Whether TFDS has the set on disk in a format with random access."""
    if not builder.is_prepared():
        return False
    with_random_access = {"array_record", "parquet"}
    return any(file_format.value in with_random_access for file_format in builder.info.available_file_formats())


def _prepare(tfds: Any, name: str, builder: Any) -> None:
    make_splits = builder._split_generators

    @functools.wraps(make_splits)
    def checked(*arguments: Any, **options: Any) -> Any:
        """TFDS knows the splits of some sets only now, when all is downloaded and nothing converted."""
        splits = make_splits(*arguments, **options)
        _test_split(name, splits if isinstance(splits, dict) else {one.name for one in splits})
        return splits

    # TFDS's own store of prepared sets has formats that only TensorFlow reads.
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    with without_tensorflow(builder), mock.patch.object(builder, "_split_generators", checked):
        builder.download_and_prepare(download_config=config, file_format="array_record")


@contextmanager
def without_tensorflow(builder: Any) -> Iterator[None]:
    """Let a builder prepare its images where TensorFlow is not installed.

    TFDS reads without TensorFlow but does not yet write all sets without it
    (https://github.com/tensorflow/datasets/issues/11058): CIFAR and MNIST ask it to open files, and arrays are encoded
    as PNG by it. Plain files and Pillow do both here.

    Args:
        builder: what is about to prepare its data.
    """
    if importlib.util.find_spec("tensorflow") is not None:
        yield
        return
    import tensorflow_datasets as tfds
    from PIL import Image

    encode = tfds.features.Image.encode_example

    def encode_with_pillow(feature: Any, image: Any) -> Any:
        if isinstance(image, np.ndarray) and image.dtype == np.uint8 and feature.encoding_format != "jpeg":
            image = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        return encode(feature, image)

    module = sys.modules[type(builder).__module__]
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(tfds.features.Image, "encode_example", encode_with_pillow))
        if hasattr(module, "tf"):
            files = SimpleNamespace(io=SimpleNamespace(gfile=SimpleNamespace(GFile=open)))
            patches.enter_context(mock.patch.object(module, "tf", files))
        yield


def _check_features(name: str, features: Any) -> None:
    """Check, before anything is downloaded, that the set has images and labels of the kind that fits."""
    keys = set(features) if hasattr(features, "keys") else set()
    if not {"image", "label"} <= keys or not hasattr(features["label"], "names"):
        raise DataError(f"{name} is no image classification set in TFDS: its features are {sorted(keys)}")
    if not features["label"].num_classes:
        raise DataError(f"{name} does not say in TFDS how many classes it has")
    image = features["image"]
    if None in image.shape or len(image.shape) != 3 or np.dtype(image.np_dtype) != np.uint8:
        raise DataError(
            f"{name} has images of shape {image.shape} and type {np.dtype(image.np_dtype)}; "
            "only uint8 images of one fixed size can be used. Put them into a folder by class, train/CLASS and "
            "test/CLASS, which --resize (load(…, resize=…)) brings to one size"
        )


def _test_split(name: str, splits: Collection[str]) -> str:
    """The split that stands for test images; DataError if there is none, or nothing to train on."""
    found = next((split for split in ("test", "validation") if split in splits), None)
    if found is None or "train" not in splits:
        raise DataError(
            f"{name} has the splits {', '.join(sorted(map(str, splits)))} in TFDS; train is needed, and test or "
            "validation. Split it by hand and put it into the data folder with jax_bioadv.data.export"
        )
    return found


def _read(name: str, builder: Any) -> Dataset:
    test_split = _test_split(name, builder.info.splits) if builder.info.splits else "test"
    train_images, train_labels = _read_split(name, builder, "train")
    test_images, test_labels = _read_split(name, builder, test_split)
    return Dataset(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        class_names=tuple(builder.info.features["label"].names),
        source=f"TensorFlow Datasets {builder.info.full_name}",
    )


def parts(builder: Any, split: str, rows: int = 5000) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of a split, so many at a time, in the order of TFDS.

    Args:
        builder: from :func:`prepared`.
        split: its name.
        rows: images in a part.
    """
    records = builder.as_data_source(split=split)
    for first in range(0, len(records), rows):
        some = [records[index] for index in range(first, min(first + rows, len(records)))]
        yield np.stack([one["image"] for one in some]), np.array([one["label"] for one in some])


def _read_split(name: str, builder: Any, split: str) -> tuple[np.ndarray, np.ndarray]:
    records = builder.as_data_source(split=split)
    images = np.empty((len(records), *builder.info.features["image"].shape), np.uint8)
    labels = np.empty(len(records), np.int64)
    identifiers = []
    for index in range(len(records)):
        record = records[index]
        images[index] = record["image"]
        labels[index] = record["label"]
        identifiers.append(record.get("id", b""))
    labels = as_labels(labels, builder.info.features["label"].num_classes)
    if name in _IN_ORDER_OF_ID:
        order = np.argsort(np.array(identifiers), kind="stable")
    elif name.partition("/")[0] in _IN_ORDER_OF_HASH:
        order = np.argsort(hashed_order(split, len(records)))
    else:
        return images, labels
    return images[order], labels[order]


def hashed_order(split: str, count: int) -> list[int]:
    """For each place in a split of TFDS, which of its examples stands there, where these have no keys but numbers."""
    return sorted(range(count), key=lambda number: hashlib.md5(f"{split}{number}".encode()).digest())


def _check_reachable(builder: Any) -> None:
    sites = {f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/" for url in builder.url_infos or ()}
    failures = probe_failures({site for site in sites if site.startswith("http")}, PROBE_SECONDS)
    if failures:
        raise DataError("; ".join(f"{site} cannot be reached: {reason}" for site, reason in sorted(failures.items())))
