"""Corruptions: what each leaves alone, that severities rise, that an image's corruption is its own."""

import numpy as np
import pytest

from jax_bioadv.data import load
from jax_bioadv.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt


@pytest.fixture(scope="module")
def colour():
    """Smooth colour pictures of 32 × 32, from the digits of scikit-learn."""
    digits = np.kron(load("digits").test_images[:8], np.ones((1, 4, 4, 1))).astype(np.float64)
    smooth = sum(np.roll(digits, (i, j), (1, 2)) for i in range(4) for j in range(4)) / 16
    return (smooth * np.array([0.5, 0.7, 0.9]) + 20).clip(0, 255).astype(np.uint8)


def changed_by(images, corruption, severity, **options):
    return np.abs(corrupt(images, corruption, severity, **options).astype(float) - images).mean()


@pytest.mark.parametrize("corruption", CORRUPTIONS)
class TestEachCorruption:
    def test_severities_rise(self, corruption, colour):
        changes = [changed_by(colour, corruption, severity) for severity in SEVERITIES]
        assert changes[0] > 0
        assert np.all(np.diff(changes) > 0)

    def test_it_comes_from_the_seed_and_an_image_has_its_own(self, corruption, colour):
        made = corrupt(colour, corruption, 3, seed=5)
        np.testing.assert_array_equal(made, corrupt(colour, corruption, 3, seed=5))
        np.testing.assert_array_equal(made[:7], corrupt(colour[:7], corruption, 3, seed=5))
        random = corruption in ("gaussian_noise", "shot_noise", "impulse_noise", "fog", "elastic")
        assert np.any(made != corrupt(colour, corruption, 3, seed=6)) == random
        twins = corrupt(np.repeat(colour[:1], 8, axis=0), corruption, 3)
        assert np.any(twins[0] != twins[1]) == random

    def test_grey_images_stay_grey(self, corruption, colour):
        made = corrupt(colour[..., :1], corruption, 3)
        assert made.shape == (8, 32, 32, 1)
        assert made.dtype == np.uint8
        assert np.any(made != colour[..., :1])


@pytest.mark.parametrize("corruption", ["blur", "contrast", "pixelation", "elastic"])
def test_what_moves_pixels_leaves_a_blank_image_alone(corruption):
    blank = np.full((8, 32, 32, 3), 100, np.uint8)
    np.testing.assert_array_equal(corrupt(blank, corruption, 5), blank)


@pytest.mark.parametrize(("corruption", "deviation"), [("gaussian_noise", 0.06), ("shot_noise", (0.5 / 100) ** 0.5)])
def test_noise_has_the_stated_size(corruption, deviation):
    grey = np.full((8, 32, 32, 3), 128, np.uint8)
    noise = corrupt(grey, corruption, 3) / 255 - 128 / 255
    # Of 24 576 values: 0.45 % of a standard deviation, and rounding to bytes adds 0.0011.
    assert noise.std() == pytest.approx(deviation, rel=0.02)
    assert abs(noise.mean()) < 0.002


def test_impulses_hit_the_stated_share(colour):
    grey = np.full((20, 32, 32, 3), 128, np.uint8)
    made = corrupt(grey, "impulse_noise", 4)
    assert set(np.unique(made)) == {0, 128, 255}
    assert np.mean(made != 128) == pytest.approx(0.1, abs=0.006)  # five standard deviations of a binomial share


def test_contrast_keeps_the_mean_and_brightness_the_contrast(colour):
    less = corrupt(colour, "contrast", 2)
    np.testing.assert_allclose(less.mean(axis=(1, 2)), colour.mean(axis=(1, 2)), atol=0.5)
    np.testing.assert_allclose(less.std(axis=(1, 2)), 0.6 * colour.std(axis=(1, 2)), atol=0.5)
    dark = colour // 3
    np.testing.assert_allclose(corrupt(dark, "brightness", 2), dark + 25.5, atol=0.5)  # rounding to bytes


def test_more_images_than_a_block_are_all_made(monkeypatch, colour):
    whole = corrupt(colour, "fog", 2)
    monkeypatch.setattr("jax_bioadv.data.corruptions._BLOCK", 5)
    np.testing.assert_array_equal(corrupt(colour, "fog", 2), whole)


@pytest.mark.parametrize(
    ("images", "corruption", "severity", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.uint8), "rain", 1, "unknown corruption 'rain'"),
        (np.zeros((1, 8, 8, 3), np.uint8), "fog", 0, "from 1 to 5"),
        (np.zeros((1, 8, 8, 3), np.uint8), "fog", 6, "from 1 to 5"),
        (np.zeros((0, 8, 8, 3), np.uint8), "fog", 1, "uint8 of shape"),
        (np.zeros((1, 8, 8, 2), np.uint8), "fog", 1, "uint8 of shape"),
    ],
)
def test_bad_input_is_refused(images, corruption, severity, message):
    with pytest.raises(ValueError, match=message):
        corrupt(images, corruption, severity)
