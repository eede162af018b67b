"""Handwritten digits that come with scikit-learn: 1797 images of 8 × 8 pixels, no network needed.

Used by the smoke preset and by tests. The images are scikit-learn's ``load_digits`` (UCI "Optical Recognition of
Handwritten Digits"), grey values 0…16 stretched to 0…255, split 1500 / 297 by a fixed, stratified draw.
"""

import numpy as np

from jax_bioadv.data.dataset import Dataset
from jax_bioadv.extras import extra

_TEST_COUNT = 297
_SPLIT_SEED = 0


def load_embedded_digits() -> Dataset:
    """Return the digits, the same bytes on every call and every platform."""
    with extra("data"):
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    digits = load_digits()
    images = np.rint(digits.images * (255.0 / 16.0)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.uint8)
    train, test = train_test_split(
        np.arange(len(labels)), test_size=_TEST_COUNT, random_state=_SPLIT_SEED, stratify=labels
    )
    return Dataset(
        name="digits",
        train_images=images[train],
        train_labels=labels[train],
        test_images=images[test],
        test_labels=labels[test],
        class_names=tuple(str(digit) for digit in range(10)),
        source="scikit-learn's load_digits",
    )
