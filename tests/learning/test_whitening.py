"""Whitening: what it does to patches, and filters behind it as filters without it."""

import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.learning.whitening import zca

GENERATOR = np.random.default_rng(0)
PATCHES = (GENERATOR.normal(size=(500, 6)) @ GENERATOR.normal(size=(6, 6)) + 2).astype(np.float32)


@pytest.mark.parametrize("epsilon", [0.0, 0.5])
def test_whitening_takes_correlations_away_and_changes_patches_least(epsilon):
    whitening = zca(PATCHES, epsilon)
    whitened = whitening(jnp.asarray(PATCHES))
    covariance = np.cov(PATCHES.T.astype(np.float64))
    expected = covariance @ np.linalg.inv(covariance + epsilon * np.eye(6))  # the identity without ε
    np.testing.assert_allclose(np.cov(whitened.T), expected, atol=1e-3)
    np.testing.assert_allclose(whitening.matrix, whitening.matrix.T, atol=1e-6)  # of all whitenings, the symmetric one
    np.testing.assert_allclose(whitened.mean(axis=0), 0, atol=1e-4)


def test_whitening_needs_variance_or_epsilon():
    flat = np.concatenate([PATCHES, PATCHES[:, :1]], axis=1)
    with pytest.raises(ValueError, match="epsilon > 0"):
        zca(flat, 0.0)
    with pytest.raises(ValueError, match="negative"):
        zca(flat, -1.0)
    assert np.isfinite(zca(flat, 0.1).matrix).all()


def test_filters_of_whitened_patches_are_filters_with_a_bias_of_patches():
    whitening, rows = zca(PATCHES, 0.1), GENERATOR.normal(size=(3, 6)).astype(np.float32)
    filters = whitening.filters(rows)
    expected = whitening(jnp.asarray(PATCHES)) @ rows.T
    np.testing.assert_allclose(PATCHES @ filters.rows.T + filters.bias, expected, rtol=0, atol=1e-4)
