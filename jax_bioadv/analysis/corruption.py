"""Accuracy on corrupted images, averaged as RobustBench (arXiv 2010.09670) does: over corruptions and severities.

::

    corrupted = lambda name, severity: (corrupt(dataset.test_images, name, severity), dataset.test_labels)
    found = corruption_accuracy(logits, corrupted, CORRUPTIONS, unit_norm)  # or load_cifar10_c and CIFAR10_C
    print(found.overall, dict(zip(found.corruptions, found.per_corruption)))
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from jax_bioadv.analysis.robustness import correctly_classified
from jax_bioadv.attacks.attack import LogitsFunction
from jax_bioadv.data.corruptions import SEVERITIES

Corrupted = Callable[[str, int], tuple[np.ndarray, np.ndarray]]
"""From a corruption and a severity to images as bytes, and their labels."""


class CorruptionAccuracy(NamedTuple):
    """Which corrupted images are classified correctly, and their shares."""

    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    right: Bool[np.ndarray, "corruptions severities images"]

    @property
    def accuracy(self) -> Float[np.ndarray, "corruptions severities"]:
        """Share of the images."""
        return np.asarray(self.right.mean(axis=2))

    @property
    def per_corruption(self) -> Float[np.ndarray, " corruptions"]:
        """Mean over severities."""
        return np.asarray(self.accuracy.mean(axis=1))

    @property
    def per_severity(self) -> Float[np.ndarray, " severities"]:
        """Mean over corruptions: the curve of accuracy against severity."""
        return np.asarray(self.accuracy.mean(axis=0))

    @property
    def overall(self) -> float:
        """Mean over both."""
        return float(self.accuracy.mean())


def corruption_accuracy(
    logits_function: LogitsFunction,
    corrupted: Corrupted,
    corruptions: Sequence[str],
    inputs: Callable[[np.ndarray], np.ndarray],
    severities: Sequence[int] = SEVERITIES,
    limit: int | None = None,
) -> CorruptionAccuracy:
    """Accuracy of a network on every corruption at every severity.

    Args:
        logits_function: from flattened images to logits.
        corrupted: makes or reads the images, equally many each time.
        corruptions: their names.
        inputs: what the network is fed of images as bytes: ``unit_norm`` or ``raw_pixels``.
        severities: which of them.
        limit: so many of the first images alone.

    Raises:
        ValueError: there is no corruption, severity or image.
    """
    if not corruptions or not severities or (limit is not None and limit < 1):
        raise ValueError("at least one corruption, one severity and one image are needed")

    def right(corruption: str, severity: int) -> np.ndarray:
        images, labels = corrupted(corruption, severity)
        images, labels = images[:limit], labels[:limit]
        if not len(images):
            raise ValueError(f"there is no image with {corruption} of severity {severity}")
        correct = correctly_classified(logits_function, inputs(images), labels.astype(np.int32))
        return np.isin(np.arange(len(images)), correct)

    found = [[right(corruption, severity) for severity in severities] for corruption in corruptions]
    return CorruptionAccuracy(tuple(corruptions), tuple(severities), np.array(found))
