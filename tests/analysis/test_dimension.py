"""Dimensions: exact cases, invariances, manifolds of known dimension, and another implementation."""

import numpy as np
import pytest
import skdim.id
from hypothesis import given
from hypothesis import strategies as st

from jax_bioadv.analysis.dimension import (
    alpha_req,
    cross_validated_spectrum,
    maximum_likelihood_dimension,
    participation_ratio,
    rank_me,
    two_nearest_neighbours_dimension,
)
from jax_bioadv.analysis.spectra import covariance, covariance_spectrum


def manifold(dimension, samples=2000, units=40, seed=0):
    """A torus, which is curved and has no edges, turned into more dimensions than it needs."""
    generator = np.random.default_rng(seed)
    angles = generator.uniform(0, 2 * np.pi, (samples, dimension))
    circles = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return circles @ np.linalg.qr(generator.normal(size=(units, 2 * dimension)))[0].T


@given(st.integers(1, 50), st.floats(1e-6, 1e6))
def test_equal_eigenvalues_count_themselves(count, size):
    for measure in (participation_ratio, rank_me):
        assert measure(np.full(count, size)) == pytest.approx(count)
        assert measure(np.r_[np.full(count, size), 0.0]) == pytest.approx(count)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=20))
def test_counts_lie_between_one_and_all_and_rank_me_is_the_larger(eigenvalues):
    found = participation_ratio(np.array(eigenvalues)), rank_me(np.array(eigenvalues))
    # Rényi's entropy of order 2 of λ is below Shannon's, and √λ is more even than λ.
    assert 1 - 1e-9 <= found[0] <= found[1] * (1 + 1e-9)
    assert found[1] <= len(eigenvalues) * (1 + 1e-9)


def test_rank_me_is_that_of_the_singular_values():
    features = np.random.default_rng(0).normal(size=(300, 8)) * np.arange(1, 9)
    centred = features - features.mean(axis=0)
    shares = np.linalg.svd(centred, compute_uv=False)
    shares /= shares.sum()
    expected = np.exp(-np.sum(shares * np.log(shares)))
    assert rank_me(covariance_spectrum(covariance(features))) == pytest.approx(expected)


def test_alpha_req_is_the_regression_over_its_own_window_alone():
    spectrum = np.arange(1.0, 301.0) ** -1.0
    spectrum[:9] = 10.0
    spectrum[100:] = 1e-3
    fit = alpha_req(spectrum)
    assert (fit.alpha, fit.window) == (pytest.approx(1.0), (10, 100))
    line = np.polyfit(np.log(np.arange(10, 101)), np.log(spectrum[9:100]), 1)
    assert fit.alpha == pytest.approx(-line[0])


@pytest.mark.parametrize("measure", [participation_ratio, rank_me])
@pytest.mark.parametrize("eigenvalues", [[0.0, 0.0], [1.0, -0.1], [1.0, np.nan], [np.inf]])
def test_what_is_no_spectrum_is_refused(measure, eigenvalues):
    with pytest.raises(ValueError, match="eigenvalues must be"):
        measure(np.array(eigenvalues))


@pytest.mark.parametrize("estimate", [two_nearest_neighbours_dimension, maximum_likelihood_dimension])
class TestFromNeighbours:
    @pytest.mark.parametrize("dimension", [1, 2, 4])
    def test_a_curved_manifold_has_the_dimension_of_its_coordinates(self, estimate, dimension):
        # 2000 ratios tell d to some d/√2000, two per cent; neighbours at 4 dimensions are far enough to see the bend.
        assert estimate(manifold(dimension)) == pytest.approx(dimension, rel=0.1)

    def test_noise_of_many_dimensions_has_more(self, estimate):
        points = manifold(2)
        noisy = points + np.random.default_rng(1).normal(size=points.shape)
        assert estimate(noisy) > 2 * estimate(points)

    def test_scale_shift_rotation_and_repeats_change_nothing(self, estimate):
        points = manifold(3, 500)
        rotation = np.linalg.qr(np.random.default_rng(2).normal(size=(40, 40)))[0]
        moved = np.concatenate([points, points[:100]]) @ rotation * 7 + 3
        assert estimate(moved) == pytest.approx(estimate(points), rel=1e-6)

    def test_points_far_from_the_origin_and_close_together_are_told_apart(self, estimate):
        points = manifold(2, 400)
        assert estimate(1e4 + 1e-3 * points) == pytest.approx(estimate(points), rel=1e-6)

    def test_too_few_points_and_broken_ones_are_refused(self, estimate):
        with pytest.raises(ValueError, match="distinct points"):
            estimate(np.ones((50, 3)))
        with pytest.raises(ValueError, match="not finite"):
            estimate(np.full((50, 3), np.nan))


def test_they_are_those_of_scikit_dimension():
    points = manifold(3, 600)
    # TwoNN there leaves out the largest tenth as well; its rank of the i-th point is i - 1 of n.
    theirs = skdim.id.TwoNN(discard_fraction=0.1).fit(points).dimension_
    assert two_nearest_neighbours_dimension(points) == pytest.approx(theirs, rel=0.01)
    theirs = skdim.id.MLE(unbiased=False).fit(points, n_neighbors=20, comb="mle").dimension_
    assert maximum_likelihood_dimension(points) == pytest.approx(theirs, rel=1e-6)
    theirs = skdim.id.MLE(unbiased=True).fit(points, n_neighbors=20, comb="mean").dimension_
    assert maximum_likelihood_dimension(points, averaged="dimensions") == pytest.approx(theirs, rel=1e-6)


def test_settings_without_sense_are_refused():
    for kept in (0.0, 1.1):
        with pytest.raises(ValueError, match="kept"):
            two_nearest_neighbours_dimension(manifold(2, 50), kept)
    with pytest.raises(ValueError, match="three neighbours"):
        maximum_likelihood_dimension(manifold(2, 50), 2)


def test_distances_that_tell_no_dimension_are_refused():
    with pytest.raises(ValueError, match=r"raise kept = 0\.01"):
        two_nearest_neighbours_dimension(manifold(2, 50), 0.01)
    lattice = np.stack(np.meshgrid(*2 * [np.arange(4.0)]), axis=-1).reshape(-1, 2)
    with pytest.raises(ValueError, match="lattice"):
        two_nearest_neighbours_dimension(lattice)
    with pytest.raises(ValueError, match="equally far"):
        maximum_likelihood_dimension(np.eye(4), 3)
    with pytest.raises(ValueError, match="equally far"):  # of the first four points alone
        maximum_likelihood_dimension(np.r_[np.eye(4), 9 * manifold(2, 50, 4)], 3, "dimensions")


def test_of_one_repeat_twice_the_shared_spectrum_is_the_spectrum():
    features = np.random.default_rng(0).normal(size=(200, 12)) * np.arange(1, 13) + 5
    expected = covariance_spectrum(covariance(features))
    np.testing.assert_allclose(cross_validated_spectrum(features, features), expected, rtol=1e-9)


def test_noise_that_repeats_do_not_share_leaves_the_spectrum_of_the_signal():
    generator, samples = np.random.default_rng(0), 20_000
    variances = np.arange(1, 21) ** -1.0
    signal = generator.normal(size=(samples, 20)) * np.sqrt(variances)
    one, other = (signal + generator.normal(size=signal.shape) for _ in range(2))
    shared = cross_validated_spectrum(one, other)
    # A product of two unit normals has a standard deviation of about 1 + λ: over √20 000, below 0.015.
    np.testing.assert_allclose(shared, variances, atol=4 * 0.015)
    assert covariance_spectrum(covariance(one))[-1] > 0.9
    assert abs(shared[-5:].mean() - variances[-5:].mean()) < 0.02


def test_repeats_that_do_not_match_are_refused():
    with pytest.raises(ValueError, match="same stimuli"):
        cross_validated_spectrum(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(ValueError, match="two samples"):
        cross_validated_spectrum(np.ones((1, 2)), np.ones((1, 2)))


def test_an_average_of_another_name_is_refused():
    with pytest.raises(ValueError, match="'inverses' or 'dimensions', got 'inverse'"):
        maximum_likelihood_dimension.__wrapped__(manifold(2, 50), 3, "inverse")
