"""Covariance spectra: float64 soundness over nine decades, invariances, and the exponent against theory."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.decomposition import PCA

from jax_bioadv.analysis.spectra import (
    CovarianceSum,
    FitImpossible,
    covariance,
    covariance_spectrum,
    fit_power_law,
    subpopulation_spectra,
)


def orthogonal(generator, rows, columns):
    return np.linalg.qr(generator.normal(size=(rows, columns)))[0]


def features_with_spectrum(generator, eigenvalues, samples):
    """Mean-free float64 features whose sample covariance has exactly these eigenvalues."""
    units = eigenvalues.size
    basis = orthogonal(generator, samples, units + 1)
    mean_free = np.linalg.qr(np.c_[np.ones(samples), basis])[0][:, 1 : units + 1]
    return np.sqrt(samples - 1) * (mean_free * np.sqrt(eigenvalues)) @ orthogonal(generator, units, units).T


def power_law_features(generator, alpha, units, samples):
    scale = np.arange(1, units + 1) ** (-alpha / 2)
    return generator.normal(size=(samples, units)) * scale


@pytest.mark.parametrize("mean", [0.0, 30.0])
def test_float32_features_keep_a_spectrum_of_nine_decades(mean):
    generator = np.random.default_rng(0)
    eigenvalues = np.logspace(0, -9, 40)
    features = (features_with_spectrum(generator, eigenvalues, 500) + mean).astype(np.float32)
    # Rounding to float32 is an error of at most 2^-24 of the size: added noise of this standard deviation per unit. It
    # moves a singular value by at most its spectral norm, below (sqrt(samples) + sqrt(units)) standard deviations.
    rounding = np.abs(features).max() * 2.0**-24 * (1 + np.sqrt(40 / 500))
    found = covariance_spectrum(covariance(features))
    assert np.all(np.abs(np.sqrt(found) - np.sqrt(eigenvalues)) <= rounding)
    if mean == 0.0:
        np.testing.assert_allclose(found, eigenvalues, rtol=1e-2)


def test_float64_features_keep_a_spectrum_beside_a_huge_mean():
    generator = np.random.default_rng(1)
    eigenvalues = np.logspace(0, -9, 40)
    features = features_with_spectrum(generator, eigenvalues, 500) + 100.0
    # eigenvalues are sound to about units·eps·λ_1 = 1e-14, and the features to 100·eps
    np.testing.assert_allclose(covariance_spectrum(covariance(features)), eigenvalues, rtol=1e-4)


def summed(blocks, shift):
    total = CovarianceSum(shift)
    for block in blocks:
        total.add(block)
    return total


def test_blocks_come_to_the_covariance_of_all_in_any_order_and_place():
    generator = np.random.default_rng(4)
    features = power_law_features(generator, 2.0, 20, 300) + 30.0
    blocks, shift = np.split(features, [7, 8, 150]), features[:7].mean(axis=0)
    np.testing.assert_allclose(summed(blocks, shift).covariance(), covariance(features), rtol=1e-10, atol=1e-13)
    here, there = summed(blocks[2:], shift), summed(blocks[1::-1], shift)
    here.merge(there)
    assert here.samples == 300
    np.testing.assert_allclose(here.covariance(), covariance(features), rtol=1e-10, atol=1e-13)


def test_a_shift_near_the_mean_saves_nine_decades():
    generator = np.random.default_rng(1)
    eigenvalues = np.logspace(0, -9, 40)
    features = features_with_spectrum(generator, eigenvalues, 500) + 100.0
    found = summed(np.split(features, 5), features[:10].mean(axis=0)).covariance()
    np.testing.assert_allclose(covariance_spectrum(found), eigenvalues, rtol=1e-4)


def test_a_sum_keeps_its_shift_whatever_becomes_of_the_array():
    blocks, shift = np.split(power_law_features(np.random.default_rng(4), 2.0, 20, 300), 2), np.zeros(20)
    total = summed(blocks[:1], shift)
    shift += 1.0
    total.add(blocks[1])
    np.testing.assert_allclose(total.covariance(), covariance(np.concatenate(blocks)), rtol=1e-10, atol=1e-13)


def test_sums_that_cannot_be_are_refused():
    total = CovarianceSum(np.zeros(2))
    with pytest.raises(ValueError, match="not finite"):
        total.add(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match=r"features must be \(samples, 2\), got \(3, 1\)"):
        total.add(np.ones((3, 1)))
    assert total.samples == 0
    total.add(np.ones((1, 2)))
    with pytest.raises(ValueError, match="at least two samples, got 1"):
        total.covariance()
    with pytest.raises(ValueError, match="different shifts"):
        total.merge(CovarianceSum(np.ones(2)))


def test_spectrum_is_that_of_principal_component_analysis():
    features = np.random.default_rng(2).normal(size=(300, 20)) @ np.random.default_rng(3).normal(size=(20, 20)) + 5.0
    expected = PCA(svd_solver="full").fit(features).explained_variance_
    np.testing.assert_allclose(covariance_spectrum(covariance(features)), expected, rtol=1e-10)


@given(sample_block=st.integers(1, 80))
def test_the_block_size_leaves_the_covariance_alone(sample_block):
    features = np.random.default_rng(4).normal(size=(61, 5)).astype(np.float32)
    np.testing.assert_allclose(covariance(features, sample_block), np.cov(features.T, dtype=np.float64), atol=1e-14)


def test_rank_deficient_features_have_zeros_not_negatives():
    features = np.random.default_rng(5).normal(size=(10, 30))
    found = covariance_spectrum(covariance(features))
    assert found.min() >= 0.0
    assert np.count_nonzero(found > 1e-12 * found[0]) == 9  # samples - 1


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused(bad):
    features = np.ones((5, 3), np.float32)
    features[3, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        covariance(features)


def test_one_sample_has_no_covariance():
    with pytest.raises(ValueError, match="two samples"):
        covariance(np.ones((1, 3), np.float32))


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "symmetric"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "negative"),
        (np.array([[1.0, np.nan], [np.nan, 1.0]]), "finite"),
    ],
)
def test_what_is_no_covariance_is_refused(matrix, message):
    with pytest.raises(ValueError, match=message):
        covariance_spectrum(matrix)


def test_subpopulations_are_the_first_units():
    features = np.random.default_rng(6).normal(size=(50, 8))
    spectra = subpopulation_spectra(covariance(features), [1, 3, 8])
    assert list(spectra) == [1, 3, 8]
    for size, found in spectra.items():
        np.testing.assert_allclose(found, covariance_spectrum(covariance(features[:, :size])), rtol=1e-10)
    # Cauchy's interlacing: eigenvalues of a leading block lie below those of the whole
    assert np.all(spectra[3] <= spectra[8][:3])


@pytest.mark.parametrize("size", [0, 9])
def test_subpopulations_outside_the_layer_are_refused(size):
    with pytest.raises(ValueError, match="between 1 and 8"):
        subpopulation_spectra(np.eye(8), [size])


@given(alpha=st.floats(-0.0, 4.0), scale=st.floats(1e-12, 1e12), units=st.integers(6, 800), first=st.integers(1, 12))
def test_an_exact_power_law_gives_its_exponent(alpha, scale, units, first):
    n = np.arange(1, units + 1)
    usable = min(units, 500, np.count_nonzero(n**-alpha > 1e-7))
    assume(usable - first >= 2)
    assume(abs(usable**-alpha / 1e-7 - 1) > 1e-9)
    fit = fit_power_law(scale * n**-alpha, first=first)
    assert fit.alpha == pytest.approx(alpha, abs=1e-10)
    assert abs(fit.window[1] - usable) <= 1
    assert fit.window[0] == first


def test_the_fit_is_least_squares_in_the_logarithms():
    eigenvalues = np.sort(np.random.default_rng(8).uniform(0.01, 1.0, 60))[::-1]
    slope, intercept = np.polyfit(np.log(np.arange(11, 61)), np.log(eigenvalues[10:]), 1)
    residual = np.log(eigenvalues[10:]) - slope * np.log(np.arange(11, 61)) - intercept
    fit = fit_power_law(eigenvalues)
    assert fit.alpha == pytest.approx(-slope, rel=1e-10)
    assert fit.r2 == pytest.approx(1 - residual.var() / np.log(eigenvalues[10:]).var(), rel=1e-10)
    assert fit.window == (11, 60)


@pytest.mark.parametrize("alpha", [0.8, 1.5, 2.6])
def test_a_gaussian_sample_gives_the_exponent_of_its_population(alpha):
    units, samples, first, last = 40, 8000, 5, 30
    population = np.arange(1, units + 1) ** -alpha
    found = covariance_spectrum(covariance(power_law_features(np.random.default_rng(9), alpha, units, samples)))
    fit = fit_power_law(found, first, last)
    # To first order (Lawley 1956) λ_i is biased by λ_i/N Σ_j λ_j/(λ_i - λ_j) and has the relative error sqrt(2/N).
    with np.errstate(divide="ignore"):
        pull = population / (population[:, None] - population)
    np.fill_diagonal(pull, 0.0)
    biased = fit_power_law(population * (1 + pull.sum(axis=1) / samples), first, last).alpha
    log_n = np.log(np.arange(first, last + 1))
    sampling_error = np.sqrt(2 / samples) / np.sqrt(np.sum((log_n - log_n.mean()) ** 2))
    assert abs(fit.alpha - biased) < 4 * sampling_error
    assert abs(fit.alpha - alpha) < 4 * sampling_error + abs(biased - alpha)


def test_the_exponent_ignores_scale_rotation_and_mean():
    generator = np.random.default_rng(10)
    features = power_law_features(generator, 1.3, 30, 400)
    expected = fit_power_law(covariance_spectrum(covariance(features)), 3, 30)
    moved = 7.0 * features @ orthogonal(generator, 30, 30) + generator.normal(size=30)
    found = fit_power_law(covariance_spectrum(covariance(moved)), 3, 30)
    np.testing.assert_allclose(found[:3], expected[:3], rtol=1e-9)
    assert found.window == expected.window


def test_the_window_ends_at_the_floor_and_at_the_rank():
    eigenvalues = np.arange(1.0, 101.0) ** -1.0
    assert fit_power_law(eigenvalues).window == (11, 100)
    assert fit_power_law(np.r_[eigenvalues[:40], 0.99e-7 * np.ones(60)]).window == (11, 40)
    assert fit_power_law(np.r_[eigenvalues[:40], 1e-17 * np.ones(60)], floor=0.0).window == (11, 40)
    assert fit_power_law(eigenvalues, 2, 4).window == (2, 4)


@pytest.mark.parametrize("eigenvalues", [np.ones(12), np.zeros(20), np.zeros(0), np.r_[np.ones(12), np.zeros(100)]])
def test_too_few_eigenvalues_are_reported_not_fitted(eigenvalues):
    with pytest.raises(FitImpossible, match="no power law"):
        fit_power_law(eigenvalues)


@pytest.mark.parametrize("eigenvalues", [np.array([1.0, 2.0]), np.array([1.0, -1.0]), np.array([np.nan, 1.0])])
def test_what_is_no_spectrum_is_refused(eigenvalues):
    with pytest.raises(ValueError, match="eigenvalues must be") as error:
        fit_power_law(eigenvalues, 1)
    assert not isinstance(error.value, FitImpossible)


@pytest.mark.parametrize("window", [(0, 10), (5, 4)])
def test_impossible_windows_are_refused(window):
    with pytest.raises(ValueError, match="window"):
        fit_power_law(np.ones(20), *window)


def test_a_flat_spectrum_has_the_exponent_zero():
    assert fit_power_law(np.ones(50)) == (0.0, 0.0, 1.0, (11, 50))


@given(arrays(np.float32, (6, 4), elements=st.floats(-100, 100, width=32)))
def test_variance_is_conserved(features):
    found = covariance_spectrum(covariance(features))
    total = features.astype(np.float64).var(axis=0, ddof=1).sum()
    assert found.sum() == pytest.approx(total, rel=1e-9, abs=1e-20)
