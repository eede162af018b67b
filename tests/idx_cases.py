"""Data sets as idx files, written as the format's description says, without the code under test."""

import gzip
import struct

from jax_bioadv.data.idx import FILES


def idx_files(dataset):
    """The names and contents of the four files."""
    arrays = (dataset.train_images, dataset.train_labels, dataset.test_images, dataset.test_labels)
    for name, array in zip(FILES, arrays, strict=True):
        array = array[..., 0] if array.ndim == 4 else array
        magic = {3: 2051, 1: 2049}[array.ndim]
        yield name, struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def write_idx(dataset, folder, form="{}.gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in idx_files(dataset):
        path = folder / form.format(name)
        if form.startswith("."):
            path = folder / name.replace("-idx", ".idx")
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
