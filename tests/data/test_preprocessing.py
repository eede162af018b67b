from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from jax_bioadv.data import DataError, preprocessing, unit_norm, white_noise

IMAGES = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=4, max_dims=4, max_side=5)).map(
    lambda images: np.maximum(images, np.eye(1, images[0].size, dtype=np.uint8).reshape(images[0].shape))
)
"""Images of which none is all zero: the first pixel is at least 1."""


@given(IMAGES, st.sampled_from([1.0, 1.5, 2.0, 3.0, 7.0, 300.0, np.inf]))
def test_every_image_has_unit_norm(images, p):
    normed = unit_norm(images, p)
    assert normed.dtype == np.float32
    assert normed.shape == (len(images), images[0].size)
    norms = np.linalg.norm(normed.astype(np.float64), ord=p, axis=1)
    # Each value is rounded once to float32 (relative 2^-24); so then is the norm, at most.
    np.testing.assert_allclose(norms, 1.0, rtol=2.0**-23)
    assert normed.min() >= 0.0
    assert normed.max() <= 1.0


@given(IMAGES)
def test_direction_is_kept_exactly_to_one_rounding(images):
    flat = images.reshape(len(images), -1)
    for row, normed in zip(flat, unit_norm(images), strict=True):
        norm_cubed = sum(Fraction(int(value)) ** 3 for value in row)
        expected = row / float(norm_cubed) ** (1 / 3)
        np.testing.assert_allclose(normed, expected, rtol=2.0**-23)


@given(IMAGES, st.sampled_from([2.0**-140, 2.0**-20, 1.0, 2.0**100]))
def test_brightness_does_not_matter(images, brightness):
    np.testing.assert_array_equal(unit_norm(images * brightness), unit_norm(images))


def test_blocks_do_not_matter(monkeypatch):
    images = np.random.default_rng(0).integers(0, 256, (23, 4, 4, 3), np.uint8)
    whole = unit_norm(images)
    monkeypatch.setattr(preprocessing, "_BLOCK_VALUES", 5 * 48)
    np.testing.assert_array_equal(unit_norm(images), whole)
    np.testing.assert_array_equal(white_noise(3, 23, 48)[:5], white_noise(3, 5, 48))


@pytest.mark.parametrize("block_values", [1, 2**18])
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "image 2 holds NaN or infinite"),
        (np.inf, "image 2 holds NaN or infinite"),
        (-np.inf, "image 2 holds negative"),
        (-0.5, "image 2 holds negative"),
    ],
)
def test_bad_values_are_found_by_index(monkeypatch, block_values, value, message):
    monkeypatch.setattr(preprocessing, "_BLOCK_VALUES", block_values)
    images = np.ones((4, 2, 2, 1), np.float32)
    images[2, 0, 1] = value
    with pytest.raises(DataError, match=message):
        unit_norm(images)


@pytest.mark.parametrize("block_values", [1, 2**18])
def test_an_all_zero_image_is_found_by_index(monkeypatch, block_values):
    monkeypatch.setattr(preprocessing, "_BLOCK_VALUES", block_values)
    images = np.full((5, 2, 2, 3), 7, np.uint8)
    images[3] = 0
    with pytest.raises(DataError, match="image 3 is all zero"):
        unit_norm(images)


@pytest.mark.parametrize("p", [0.99, 0.0, -3.0, np.nan])
def test_an_order_that_gives_no_norm_is_refused(p):
    with pytest.raises(DataError, match="p must be at least 1"):
        unit_norm(np.ones((1, 2, 2, 1), np.uint8), p)


@pytest.mark.parametrize("images", [np.ones(3), np.ones((0, 4)), np.ones((2, 2), bool), np.ones((2, 2), complex)])
def test_what_are_no_images_is_refused(images):
    with pytest.raises(DataError, match="images must be"):
        unit_norm(images)


def test_noise_is_fixed_by_its_seed():
    noise = white_noise(7, 4, 3)
    assert noise.dtype == np.float32
    np.testing.assert_array_equal(noise, white_noise(7, 4, 3))
    assert not np.array_equal(noise, white_noise(8, 4, 3))
    # Recorded once: the stream is promised to be the same for every machine and version, to float32's last place.
    np.testing.assert_allclose(noise[0], RECORDED, rtol=2.0**-23)


RECORDED = (-0.07824273, -0.18619522, -0.3505001)


def test_noise_is_standard_normal():
    noise = white_noise(0, 500, 400)
    # One fixed draw of 200 000: were it not N(0, 1), p would be far below 1e-3; the draw is fixed, so it cannot flake.
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    # Rows and columns are independent: covariance eigenvalues lie within the Marchenko–Pastur edges, 5 % beyond.
    spectrum = np.linalg.eigvalsh(np.cov(noise, rowvar=False))
    assert spectrum.max() < 1.05 * (1 + np.sqrt(400 / 500)) ** 2


@pytest.mark.parametrize(("seed", "count", "inputs"), [(-1, 2, 2), (0, 0, 2), (0, 2, 0)])
def test_noise_needs_a_seed_and_a_size(seed, count, inputs):
    with pytest.raises(DataError, match="must be at least"):
        white_noise(seed, count, inputs)
