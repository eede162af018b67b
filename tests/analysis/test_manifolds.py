"""Manifolds of known dimension: theory, estimators, and what stays the same."""

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from jax_bioadv.analysis.dimension import maximum_likelihood_dimension, two_nearest_neighbours_dimension
from jax_bioadv.analysis.spectra import fit_variances
from jax_bioadv.data.manifolds import smooth_manifold, spectral_exponent


@pytest.mark.parametrize(("dimension", "off"), [(1, 0.15), (2, 0.15), (4, 0.15), (8, 0.35)])
def test_estimators_find_the_dimension(dimension, off):
    """Of as few points as these neighbours are far apart in many dimensions, and estimates too large in pixels."""
    points = smooth_manifold(0, 2000, 300, dimension).images
    for estimate in (two_nearest_neighbours_dimension, maximum_likelihood_dimension):
        assert estimate(points) == pytest.approx(dimension, rel=off)


def test_the_kernel_is_that_of_matern():
    """Of many pixels, centred images have a covariance in closed form for the smoothness 3/2, and for 1/2."""
    kernels = {1.5: lambda r: (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r), 0.5: lambda r: np.exp(-r)}
    for dimension, smoothness, length in ((3, 1.5, 1.0), (5, 0.5, 2.0)):
        points = smooth_manifold(1, 30, 200_000, dimension, smoothness=smoothness, length=length)
        centred = points.images.astype(np.float64) - 0.5
        apart = np.linalg.norm(points.latent[:, None] - points.latent, axis=2) / (length * np.sqrt(dimension))
        covariance = centred @ centred.T
        np.testing.assert_allclose(covariance / np.diag(covariance).mean(), kernels[smoothness](apart), atol=0.03)


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_the_spectrum_falls_as_theory_says(dimension):
    """Of a sample, over half a decade: the exponent is that of the limit to a fifth."""
    points = smooth_manifold(3, 2000, 1500, dimension).images.astype(np.float64)
    variances = np.linalg.eigvalsh(np.cov(points, rowvar=False))[::-1]
    assert fit_variances(np.maximum(variances, 0), 11, 50, 0.0).alpha == pytest.approx(
        spectral_exponent(float(dimension)), rel=1 / 5
    )


def test_near_points_are_near():
    """The map is smooth: twice as near in the latent space, twice as near in pixels."""
    points = smooth_manifold(2, 400, 500, 2)
    apart = [pdist(one) for one in (points.latent, points.images)]
    near = (apart[0] > 0) & (apart[0] < 0.05)
    ratio = apart[1][near] / apart[0][near]
    assert near.sum() > 10
    assert ratio.max() < 1.5 * ratio.min()


def test_the_manifold_is_that_of_the_seed():
    one, more, other = (smooth_manifold(seed, count, 20, 3) for seed, count in ((4, 50), (4, 2500), (5, 50)))
    np.testing.assert_array_equal(one.images, smooth_manifold(4, 50, 20, 3).images)
    np.testing.assert_allclose(more.images[:50], one.images, atol=1e-6)
    np.testing.assert_array_equal(more.labels[:50], one.labels)
    assert not np.allclose(other.images, one.images, atol=0.1)
    assert set(more.labels) == set(range(10))


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 0} for name in ("count", "inputs", "dimension")),
        {"classes": 1},
        *({name: value} for name in ("length", "smoothness") for value in (0.0, np.nan, np.inf)),
    ],
)
def test_sizes_that_make_no_manifold_are_refused(wrong):
    with pytest.raises(ValueError, match="must be at least 1"):
        smooth_manifold(**{"seed": 0, "count": 3, "inputs": 4, "dimension": 2, **wrong})
