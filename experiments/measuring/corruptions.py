"""Decisions on corrupted test images."""

from functools import lru_cache

import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.networks import trained_logits
from experiments.settings.measurements import CorruptionSettings
from jax_bioadv.analysis.corruption import corruption_accuracy
from jax_bioadv.analysis.robustness import correctly_classified
from jax_bioadv.data import corrupt, load_cifar10_c, unit_norm
from jax_bioadv.raw_pixels import raw_pixels


def corruptions(work: Work, *, corruptions: CorruptionSettings) -> Outcome:
    """Which of the first test images are classified correctly: as they are, and under each corruption and severity."""
    images, logits = work.images, trained_logits(work.images, work.needed["model"])
    count = min(corruptions.images, len(images.dataset.test_labels))
    correct = correctly_classified(logits, images.test[:count], images.test_labels[:count])

    def corrupted(name: str, severity: int) -> tuple[np.ndarray, np.ndarray]:
        if corruptions.cifar10_c:
            pixels, labels = load_cifar10_c(name, severity, corruptions.cifar10_c)
            return pixels[:count], labels[:count]
        return _made_here(images, name, severity, count), images.dataset.test_labels[:count]

    def inputs(pixels: np.ndarray) -> np.ndarray:
        return raw_pixels(pixels) if images.space == "raw" else unit_norm(_never_blank(pixels), images.norm)

    found = corruption_accuracy(logits, corrupted, corruptions.kinds, inputs)
    return Outcome({}, {"clean": np.isin(np.arange(count), correct), "right": found.right})


def are_pictures(images: Images) -> bool:
    """Whether images are grey or coloured; what is neither is not corrupted."""
    return images.dataset.image_shape[2] in (1, 3)


def check_cifar10_c(corruptions: CorruptionSettings, images: Images) -> None:
    """Raise before long work what would stop the measurement: DataError, or ValueError for other test images."""
    if not corruptions.cifar10_c:
        return
    for name in corruptions.kinds:
        pixels, labels = load_cifar10_c(name, 1, corruptions.cifar10_c)
        if pixels.shape != images.dataset.test_images.shape or not np.array_equal(labels, images.dataset.test_labels):
            raise ValueError(
                "corruptions.cifar10-c: the test images are not the 10 000 of CIFAR-10 at their own size; leave "
                "--resize, or let corruptions be made here"
            )


def _never_blank(pixels: np.ndarray) -> np.ndarray:
    """A dark image that noise has left black has no norm to be divided by: it becomes an even grey."""
    return np.maximum(pixels, ~pixels.any(axis=(1, 2, 3), keepdims=True))


@lru_cache(maxsize=64)  # the ten corruptions at five severities, for one network after another
def _made_here(images: Images, name: str, severity: int, count: int) -> np.ndarray:
    return corrupt(images.dataset.test_images[:count], name, severity)
