"""Filters that nothing has learnt: nearness to centroids, patches themselves, and their principal directions."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.convolutional import Nonlinearity
from jax_bioadv.learning.patch_filters import (
    coates_stage,
    k_means_filters,
    nearness_filters,
    principal_filters,
    sampled_filters,
)
from jax_bioadv.learning.whitening import zca
from jax_bioadv.patches import normalised

GENERATOR = np.random.default_rng(0)
PATCHES = (GENERATOR.normal(size=(500, 6)) @ GENERATOR.normal(size=(6, 6)) + 2).astype(np.float32)


@pytest.mark.parametrize("whiten", [False, True])
def test_the_triangle_of_nearness_is_that_of_squared_distances(whiten):
    whitening = zca(PATCHES, 0.1) if whiten else None
    seen = np.asarray(whitening(jnp.asarray(PATCHES))) if whiten else PATCHES
    filters = nearness_filters(seen[:4], whitening)
    distances = ((seen[:, None].astype(np.float64) - seen[None, :4]) ** 2).sum(axis=2) / 2
    expected = np.maximum(distances.mean(axis=1, keepdims=True) - distances, 0)
    found = Nonlinearity("triangle", 1.0)(jnp.asarray(PATCHES @ filters.rows.T + filters.bias))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3 * expected.max())  # float32 sums of larger terms


@pytest.mark.parametrize("whiten", [False, True])
def test_centroids_of_two_groups_are_found(whiten):
    means = 3 * np.eye(2, 5)
    patches = (means[:, None] + 0.1 * GENERATOR.normal(size=(2, 300, 5))).reshape(-1, 5).astype(np.float32)
    whitening = zca(patches, 0.01) if whiten else None
    filters = k_means_filters(0, patches, 2, whitening=whitening)
    nearest = np.argmax(means @ filters.rows.T + filters.bias, axis=1)
    assert sorted(nearest) == [0, 1]
    if not whiten:
        np.testing.assert_allclose(filters.rows[nearest], means, atol=0.05)  # 300 patches that spread by 0.1


def test_the_published_stage_normalises_contrast_and_pools_quadrants():
    settings = coates_stage(5)
    assert settings.check((32, 32, 3)) == (2, 2, 5)
    pixels = GENERATOR.uniform(0, 255, (4, 108))
    published = (pixels - pixels.mean(axis=1, keepdims=True)) / np.sqrt(pixels.var(axis=1, ddof=1, keepdims=True) + 10)
    found = normalised(jnp.asarray(pixels / 255, jnp.float32), settings.patch_norm)
    np.testing.assert_allclose(found, published / np.sqrt(107), rtol=0, atol=1e-6)


def test_sampled_filters_are_different_patches_of_norm_one():
    patches = np.concatenate([PATCHES, np.zeros((300, 6), np.float32)])
    rows = sampled_filters(0, patches, 500).rows
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    assert len(np.unique(rows, axis=0)) == 500
    assert not np.array_equal(sampled_filters(1, patches, 500).rows, rows)
    with pytest.raises(ValueError, match="500 patches"):
        sampled_filters(0, patches, 501)


def test_principal_filters_point_along_falling_variance():
    rows = principal_filters(PATCHES, 6).rows
    variances = (PATCHES @ rows[::2].T).var(axis=0, ddof=1)
    np.testing.assert_allclose(variances, np.linalg.eigvalsh(np.cov(PATCHES.T))[::-1][:3], rtol=1e-3)
    whitened = principal_filters(PATCHES, 6, whiten=True).rows
    np.testing.assert_allclose((PATCHES @ whitened.T).var(axis=0, ddof=1), 1, rtol=1e-3)
