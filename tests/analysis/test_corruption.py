"""Accuracy on corrupted images against counting by hand."""

import numpy as np
import pytest

from jax_bioadv.analysis.corruption import corruption_accuracy
from jax_bioadv.data import corrupt, load, unit_norm
from jax_bioadv.raw_pixels import raw_pixels

LABELS = np.arange(4, dtype=np.uint8)


def one_hot(images):
    """Logits that are the images: the brightest pixel is the class."""
    return images


def corrupted(name, severity):
    """The first images lose their brightest pixel to another class: as many as name and severity say."""
    images = np.eye(4, dtype=np.uint8)[:, None, :, None] * 255
    wrong = {"fog": 0, "snow": 1}[name] + (severity > 2)
    images[:wrong] = np.roll(images[:wrong], 1, axis=2)
    return images, LABELS


@pytest.mark.parametrize("inputs", [unit_norm, lambda images: raw_pixels(images)])
def test_it_is_the_share_of_right_answers_and_their_means(inputs):
    found = corruption_accuracy(one_hot, corrupted, ("fog", "snow"), inputs)
    np.testing.assert_array_equal(found.accuracy, [[1, 1, 0.75, 0.75, 0.75], [0.75, 0.75, 0.5, 0.5, 0.5]])
    np.testing.assert_allclose(found.per_corruption, [0.85, 0.6])
    np.testing.assert_allclose(found.per_severity, [0.875, 0.875, 0.625, 0.625, 0.625])
    assert found.overall == pytest.approx(0.725)


def test_a_limit_takes_the_first_images():
    found = corruption_accuracy(one_hot, corrupted, ["snow"], unit_norm, severities=[1, 5], limit=2)
    np.testing.assert_array_equal(found.accuracy, [[0.5, 0]])


def test_corruptions_made_here_cost_a_nearest_mean_classifier_more_the_stronger_they_are():
    digits = load("digits")
    train, labels = unit_norm(digits.train_images), digits.train_labels
    means = np.stack([train[labels == digit].mean(axis=0) for digit in range(10)])

    def logits(images):
        return 2 * images @ means.T - (means**2).sum(axis=1)

    def made(name, severity):
        return corrupt(digits.test_images, name, severity), digits.test_labels

    found = corruption_accuracy(logits, made, ["impulse_noise"], unit_norm, severities=(1, 5))
    mild, severe = found.accuracy[0]
    assert severe < mild - 0.05  # 15 of the 297 images


@pytest.mark.parametrize(("names", "severities", "limit"), [([], [1], None), (["fog"], [], None), (["fog"], [1], 0)])
def test_nothing_to_measure_is_refused(names, severities, limit):
    with pytest.raises(ValueError, match="at least one corruption"):
        corruption_accuracy(one_hot, corrupted, names, unit_norm, severities, limit)


def test_no_image_is_refused():
    with pytest.raises(ValueError, match="no image with fog of severity 2"):
        corruption_accuracy(one_hot, lambda *_: (np.zeros((0, 1, 4, 1), np.uint8), LABELS[:0]), ["fog"], unit_norm, [2])
