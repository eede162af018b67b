"""Images: where they come from, how they are kept and checked, and what the models are fed.

>>> dataset = load("cifar10")
>>> images = unit_norm(dataset.train_images, p=3.0)
"""

from jax_bioadv.data.cifar10_c import CIFAR10_C, load_cifar10_c
from jax_bioadv.data.corruptions import CORRUPTIONS, corrupt
from jax_bioadv.data.dataset import DataError, Dataset, refuse_blank_images, validate, without_blank_images
from jax_bioadv.data.preprocessing import unit_norm, white_noise
from jax_bioadv.data.shards import export, read_export
from jax_bioadv.data.sources import data_folder, load, verify

__all__ = [
    "CIFAR10_C",
    "CORRUPTIONS",
    "DataError",
    "Dataset",
    "corrupt",
    "data_folder",
    "export",
    "load",
    "load_cifar10_c",
    "read_export",
    "refuse_blank_images",
    "unit_norm",
    "validate",
    "verify",
    "white_noise",
    "without_blank_images",
]
