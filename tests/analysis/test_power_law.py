"""Power laws are told from their alternatives; held-out and weighted exponents follow their definitions."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from jax_bioadv.analysis.binned_spectrum import binned
from jax_bioadv.analysis.power_law import (
    diagnose_power_law,
    fit_weighted_power_law,
    held_out_spectrum,
)
from jax_bioadv.analysis.spectra import FitImpossible, covariance, covariance_spectrum, fit_power_law, fit_variances

N = np.arange(1.0, 501.0)
# Relative error of an eigenvalue from 10 000 samples (Lawley 1956): sqrt(2 / samples).
SAMPLING_NOISE = np.sqrt(2 / 10_000)


def noisy(logarithms, seed=0, noise=SAMPLING_NOISE):
    values = np.exp(logarithms + noise * np.random.default_rng(seed).normal(size=logarithms.size))
    return np.sort(values)[::-1]


def broken(alpha, beta, place):
    return -alpha * np.log(N) - (beta - alpha) * np.maximum(np.log(N / place), 0.0)


def curved(alpha, curvature):
    return -alpha * np.log(N) + curvature / 2 * np.log(N / 37) ** 2


def wishart_spectrum(population, samples, seed):
    """Eigenvalues of a Gaussian sample's covariance, by Bartlett's decomposition."""
    generator = np.random.default_rng(seed)
    triangle = np.tril(generator.normal(size=(population.size, population.size)), -1)
    triangle += np.diag(np.sqrt(generator.chisquare(samples - 1 - np.arange(population.size))))
    factor = np.sqrt(population)[:, None] * triangle
    return covariance_spectrum(factor @ factor.T / (samples - 1))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(5))
def test_a_power_law_with_sampling_noise_is_one(alpha, seed):
    diagnosis = diagnose_power_law(noisy(-alpha * np.log(N), seed), 11, 125)
    assert diagnosis.verdict == "power law"
    # Its exponent is uncertain by the noise over the spread of log n: 0.014 / sqrt(115 · 0.36), four times.
    assert diagnosis.fit.alpha == pytest.approx(alpha, abs=0.01)
    assert diagnosis.alpha_range[0] <= diagnosis.fit.alpha <= diagnosis.alpha_range[1]


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0])
def test_the_covariance_of_a_finite_sample_keeps_its_power_law(alpha):
    assert diagnose_power_law(wishart_spectrum(N**-alpha, 10_000, 1), 11, 125).verdict == "power law"


@pytest.mark.parametrize(
    ("verdict", "logarithms"),
    [
        ("exponential", -N / 10),
        ("exponential", -N / 60),
        ("broken", broken(1.0, 1.5, 40.0)),
        ("broken", broken(3.0, 2.0, 40.0)),
        ("curved", curved(1.0, -0.3)),
        ("curved", curved(2.0, 0.6)),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_alternatives_are_recognised(verdict, logarithms, seed):
    assert diagnose_power_law(noisy(logarithms, seed), 11, 125).verdict == verdict


def test_white_noise_through_a_random_layer_is_no_power_law():
    white = wishart_spectrum(np.ones(500), 3072, 2)
    assert fit_power_law(white, 11, 100).r2 > 0.95  # which is what makes the test necessary
    diagnosis = diagnose_power_law(white, 11, 100)
    assert diagnosis.verdict == "curved"
    assert diagnosis.curvature < -4 * diagnosis.curvature_stderr


def test_a_form_that_none_describes_is_none_of_them():
    assert diagnose_power_law(np.exp(-3.0 * np.floor(np.log(N))), 11, 125).verdict == "not a power law"


@pytest.mark.parametrize("phase", [0.0, 3.0])
def test_a_waver_without_a_better_description_is_undecided(phase):
    waver = -np.log(N) + 0.1 * np.sin(2 * np.pi * np.log(N) / 1.6 + phase)
    diagnosis = diagnose_power_law(np.sort(np.exp(waver))[::-1], 11, 125)
    assert diagnosis.exponent_change > 0.2
    assert diagnosis.verdict == "undecided"
    # Neighbours deviate together, and two periods are not 24 observations.
    assert diagnosis.effective_bins < 8


def test_an_exact_power_law_prefers_no_alternative():
    diagnosis = diagnose_power_law(5.0 * N**-1.7)
    assert diagnosis.verdict == "power law"
    assert max(diagnosis.curved_delta_bic, diagnosis.broken_delta_bic, diagnosis.exponential_delta_bic) < 0
    assert diagnosis.exponent_change == pytest.approx(0.0, abs=1e-9)
    assert diagnosis.max_deviation == pytest.approx(0.0, abs=1e-9)
    assert diagnosis.fit == fit_power_law(5.0 * N**-1.7)


@pytest.mark.parametrize("curvature", [-0.4, 0.4])
def test_curvature_is_the_second_derivative(curvature):
    diagnosis = diagnose_power_law(np.exp(curved(2.0, curvature)), 11, 125)
    # Averages over bins are those of the parabola up to the bin's own width, whose share is (0.1 / 2.4)².
    assert diagnosis.curvature == pytest.approx(curvature, rel=0.01)
    low, high = diagnosis.alpha_range
    # Half a window of width log(125 / 11) away from each other, up to the width of a bin.
    assert high - low == pytest.approx(0.4 * np.log(125 / 11) / 2, rel=0.15)


def test_a_break_is_located():
    assert diagnose_power_law(np.exp(broken(1.0, 2.0, 40.0)), 11, 125).break_at == pytest.approx(40.0, rel=0.05)


def test_curvature_lies_within_its_errors_of_none():
    diagnoses = [diagnose_power_law(noisy(-np.log(N), seed), 11, 125) for seed in range(20)]
    shares = [abs(found.curvature) / found.curvature_stderr for found in diagnoses]
    # The leading bins hold one eigenvalue, the last ten, which residuals pooled over bins understate by up to two.
    assert np.mean(np.array(shares) < 2) > 0.6
    assert np.mean(shares) > 0.2


def test_a_small_significant_bend_is_still_a_power_law_unless_asked_for():
    bent = np.exp(curved(2.0, -0.1))
    assert diagnose_power_law(bent, 11, 125).curved_delta_bic > 10
    assert diagnose_power_law(bent, 11, 125).verdict == "power law"
    assert diagnose_power_law(bent, 11, 125, tolerance=0.02).verdict == "curved"


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_diagnosis_ignores_the_scale(scale):
    expected = diagnose_power_law(noisy(curved(1.0, -0.2)), 11, 60)
    found = diagnose_power_law(scale * noisy(curved(1.0, -0.2)), 11, 60)
    assert found.verdict == expected.verdict
    np.testing.assert_allclose(found.alpha_range, expected.alpha_range, rtol=1e-9)
    assert found.curved_delta_bic == pytest.approx(expected.curved_delta_bic, rel=1e-6)


def test_a_flat_spectrum_is_a_power_law_of_exponent_zero():
    diagnosis = diagnose_power_law(np.ones(200))
    assert (diagnosis.verdict, diagnosis.fit.alpha, diagnosis.exponent_change) == ("power law", 0.0, 0.0)


@pytest.mark.parametrize("eigenvalues", [np.zeros(0), np.zeros(30), np.ones(12), np.r_[np.ones(12), np.zeros(100)]])
def test_what_cannot_be_fitted_is_reported(eigenvalues):
    for method in (diagnose_power_law, fit_weighted_power_law, fit_variances):
        with pytest.raises(FitImpossible, match="no power law"):
            method(eigenvalues)


def test_a_spectrum_without_slope_that_is_not_flat_is_reported_and_never_infinite():
    log_n = np.log(N[10:500])
    parabola = (log_n - log_n.mean()) ** 2 / 10
    x, y, _ = binned(log_n, parabola)
    level = parabola - np.polyfit(x, y, 1)[0] * log_n
    with pytest.raises(FitImpossible, match="no share of 0"):
        diagnose_power_law(np.exp(np.r_[np.full(10, level[0]), level]))


def test_too_few_eigenvalues_to_tell_alternatives_apart_are_reported():
    assert fit_power_law(N**-1.0, 11, 15).alpha == pytest.approx(1.0)
    with pytest.raises(FitImpossible, match="fill 5 bins"):
        diagnose_power_law(N**-1.0, 11, 15)
    assert diagnose_power_law(N**-1.0, 1, 8).verdict == "power law"


@pytest.mark.parametrize("settings", [{"tolerance": 0.0}, {"tolerance": np.nan}, {"evidence": -1.0}])
def test_senseless_thresholds_are_refused(settings):
    with pytest.raises(ValueError, match="tolerance"):
        diagnose_power_law(N**-1.0, **settings)


@pytest.mark.parametrize("method", [diagnose_power_law, fit_weighted_power_law, fit_variances])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_what_is_no_variance_is_refused(method, bad):
    with pytest.raises(ValueError, match="variances must be"):
        method(np.r_[N**-1.0, bad])


def test_variances_that_do_not_fall_are_fitted_up_to_the_first_below_the_floor():
    variances = N**-1.0
    variances[[20, 21]] = variances[[21, 20]]
    assert fit_variances(variances).alpha == pytest.approx(1.0, abs=1e-3)
    assert diagnose_power_law(variances).verdict == "power law"
    variances[60] = 0.0
    assert fit_variances(variances).window == (11, 60)
    with pytest.raises(ValueError, match="sorted"):
        fit_power_law(variances)


def test_held_out_variance_of_the_reference_itself_is_its_spectrum():
    features = np.random.default_rng(3).normal(size=(200, 30)) * np.arange(1.0, 31.0) ** -0.5
    matrix = covariance(features)
    np.testing.assert_allclose(held_out_spectrum(matrix, matrix), covariance_spectrum(matrix), rtol=1e-9)


def test_held_out_variance_is_that_of_projected_data():
    generator = np.random.default_rng(4)
    training, test = generator.normal(size=(60, 8)) * np.arange(1, 9), generator.normal(size=(40, 8)) + 3.0
    directions = np.linalg.svd(training - training.mean(axis=0))[2]
    expected = (test @ directions.T).var(axis=0, ddof=1)
    np.testing.assert_allclose(held_out_spectrum(covariance(training), covariance(test)), expected, rtol=1e-9)
    assert np.sum(expected) == pytest.approx(np.trace(covariance(test)))


def test_held_out_variances_do_not_steepen_as_a_small_sample_does():
    generator = np.random.default_rng(5)
    training, test = (covariance(generator.normal(size=(300, 100)) * np.arange(1.0, 101.0) ** -0.5) for _ in range(2))
    held_out, own = held_out_spectrum(training, test), covariance_spectrum(test)
    # Ky Fan: no directions hold more of a covariance's variance than as many of its own.
    assert np.all(np.cumsum(held_out) <= np.cumsum(own) * (1 + 1e-12))
    assert fit_variances(held_out, 11, 90).alpha < 1.0 < fit_power_law(own, 11, 90).alpha


@pytest.mark.parametrize(
    ("reference", "other"),
    [(np.eye(3), np.eye(4)), (np.full((2, 2), np.nan), np.eye(2)), (np.triu(np.ones((2, 2))),) * 2],
)
def test_covariances_that_do_not_match_are_refused(reference, other):
    with pytest.raises(ValueError, match="covariance"):
        held_out_spectrum(reference, other)


@given(alpha=st.floats(0.1, 2.5), scale=st.floats(1e-3, 1e3))
def test_an_exact_power_law_gives_its_exponent_whatever_the_weights(alpha, scale):
    fit = fit_weighted_power_law(scale * N**-alpha)
    assert fit.alpha == pytest.approx(alpha, abs=1e-9)
    assert fit.r2 == pytest.approx(1.0)
    assert fit.window == (11, 500)


def test_the_weighted_regression_is_that_of_repeated_points():
    variances = noisy(curved(1.0, -0.3), noise=0.1)[:14]
    n = np.arange(11, 15)
    # 1/n in proportion: every point as often as the least common multiple of 11 … 14 holds it.
    times = np.lcm.reduce(n) // n
    line = scipy.stats.linregress(np.repeat(np.log(n), times), np.repeat(np.log(variances[10:]), times))
    fit = fit_weighted_power_law(variances, 11, 14)
    assert fit.alpha == pytest.approx(-line.slope, rel=1e-9)
    assert fit.r2 == pytest.approx(line.rvalue**2, rel=1e-9)
    # The same residuals, but the repeated points count as observations and ours do not.
    assert fit.stderr == pytest.approx(line.stderr * np.sqrt((times.sum() - 2) / 2), rel=1e-9)


def test_weights_favour_the_head_of_a_bent_spectrum():
    steepening = np.exp(curved(1.0, -0.3))
    assert fit_weighted_power_law(steepening).alpha < fit_power_law(steepening).alpha
    assert fit_weighted_power_law(np.ones(50)) == (0.0, 0.0, 1.0, (11, 50))
