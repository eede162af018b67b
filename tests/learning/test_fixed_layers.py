"""Rows that nothing has learned: unit norms, the directions that they should be, and what they cannot be."""

import numpy as np
import pytest

from jax_bioadv.data import load, unit_norm
from jax_bioadv.learning.fixed_layers import centroid_rows, principal_rows


@pytest.fixture(scope="module")
def images():
    return unit_norm(load("digits").train_images)


@pytest.fixture(scope="module")
def covariance(images):
    return np.cov(images.T.astype(np.float64))


def test_centroids_have_the_norm_of_converged_rows(images):
    rows = centroid_rows(0, images, 20, p=3.0, radius=0.7, batch_size=500)
    np.testing.assert_allclose((np.abs(rows) ** 3).sum(axis=1) ** (1 / 3), 0.7, rtol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_centroids_of_two_groups_are_their_means(seed):
    """Up to the scale that the norm sets; also where both start in one group."""
    generator = np.random.default_rng(0)
    means = np.eye(2, 30) + 0.05
    images = (means[:, None] + 0.01 * generator.normal(size=(2, 400, 30))).reshape(-1, 30).astype(np.float32)
    rows = centroid_rows(seed, images, 2, batch_size=400, passes=20)
    means /= (means**3).sum(axis=1, keepdims=True) ** (1 / 3)
    distances = np.linalg.norm(rows[:, None] - means[None], axis=2)
    assert sorted(distances.argmin(axis=1)) == [0, 1]
    assert distances.min(axis=1).max() < 0.02


def test_centroids_depend_on_the_seed_alone(images):
    first, again, other = (centroid_rows(seed, images, 10, batch_size=500) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_there_cannot_be_more_centroids_than_images(images):
    with pytest.raises(ValueError, match="5 images cannot have 6 centroids"):
        centroid_rows(0, images[:5], 6)


def test_principal_rows_come_with_both_signs_along_falling_variance(images, covariance):
    rows = principal_rows(covariance, 20)
    np.testing.assert_array_equal(rows[::2], -rows[1::2])
    np.testing.assert_allclose(rows[::2] @ rows[::2].T, np.eye(10), atol=1e-6)
    variances = (images @ rows[::2].T).var(axis=0, ddof=1)
    assert (np.diff(variances) < 0).all()
    np.testing.assert_allclose(variances, np.linalg.eigvalsh(covariance)[::-1][:10], rtol=1e-4)


def test_whitened_rows_respond_equally_strongly_and_independently(images, covariance):
    rows = principal_rows(covariance, 20, whiten=True)[::2]
    np.testing.assert_allclose(np.cov((images @ rows.T).T), np.eye(10), atol=1e-4)


def test_an_odd_number_of_rows_ends_with_one_sign(covariance):
    assert principal_rows(covariance, 5).shape == (5, 64)
    np.testing.assert_array_equal(principal_rows(covariance, 5), principal_rows(covariance, 6)[:5])


def test_there_are_no_more_directions_than_pixels(covariance):
    with pytest.raises(ValueError, match="64 directions with both signs cannot make 129 rows"):
        principal_rows(covariance, 129)


def test_directions_without_variance_cannot_be_whitened(covariance):
    with pytest.raises(ValueError, match="fewer than 64 directions"):
        principal_rows(covariance, 128, whiten=True)
