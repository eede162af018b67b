"""Pruning: mixtures of known truth are cut near the Bayes boundary, and a single mode, of whatever shape, never is."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import binom, norm

from jax_bioadv.learning.antimodes import valley_beyond
from jax_bioadv.learning.pruning import (
    largest_variance,
    log_variances,
    mixture_cut,
    noise_shaped_variance,
    prune,
    threshold_cut,
)

IMAGES, NOISE = (-6.9, 0.3), (0.0, 0.03)  # what image-shaped and unchanged N(0, 1) rows of a trained layer look like


def mixture(generator, counts, components):
    """Shuffled values and the component of each."""
    drawn = np.concatenate([generator.normal(*at, count) for count, at in zip(counts, components, strict=True)])
    order = generator.permutation(drawn.size)
    return drawn[order], np.repeat(np.arange(len(counts)), counts)[order]


@pytest.mark.parametrize("noise_rows", [40, 500, 1000, 1960])
def test_well_separated_rows_are_told_apart_without_error(noise_rows):
    values, component = mixture(np.random.default_rng(0), (2000 - noise_rows, noise_rows), (IMAGES, NOISE))
    cut = mixture_cut(values)
    np.testing.assert_array_equal(cut.keep, component == 0)
    assert cut.variance == pytest.approx(np.exp(-0.7), rel=0.8)  # somewhere in the empty valley
    assert min(cut.bic, key=cut.bic.get) == len(cut.mixture.weights) == 2
    np.testing.assert_allclose(cut.mixture.means, [-6.9, 0.0], atol=0.05)
    np.testing.assert_allclose(cut.mixture.standard_deviations, [0.3, 0.03], rtol=0.3)


@pytest.mark.parametrize(("distance", "noise_share"), [(5.0, 0.2), (5.0, 0.7), (4.0, 0.5), (4.0, 0.7)])
def test_overlapping_rows_are_cut_near_the_bayes_boundary(distance, noise_share):
    rows, images, noise = 2000, (-7.0, 0.3), (-7.0 + 0.3 * distance, 0.3)
    counts = (round(rows * (1 - noise_share)), round(rows * noise_share))

    def error(boundary):
        return (1 - noise_share) * norm.sf(boundary, *images) + noise_share * norm.cdf(boundary, *noise)

    def advantage(boundary):
        return (1 - noise_share) * norm.pdf(boundary, *images) - noise_share * norm.pdf(boundary, *noise)

    bayes = error(brentq(advantage, images[0], noise[0]))
    values, component = mixture(np.random.default_rng(1), counts, (images, noise))
    cut = mixture_cut(values)
    # The antimode is not the Bayes boundary: on top of the Bayes error it costs up to another one, and with a few dozen
    # wrong rows of 2000 four binomial standard deviations are the sampling error.
    wrong = np.mean(cut.keep != (component == 0))
    assert wrong < 2 * bayes + 4 * np.sqrt(bayes / rows)


@pytest.mark.parametrize("rows", [20, 100, 500])
def test_a_single_normal_mode_is_never_cut(rows):
    for seed in range(8):
        cut = mixture_cut(np.random.default_rng(seed).normal(-6.9, 0.3, rows), seed=seed)
        assert cut.variance is None
        assert cut.keep.all()
        assert "nothing pruned" in cut.reason


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: np.log(generator.gamma(0.5, size=600)),
        lambda generator: generator.uniform(size=600),
        lambda generator: generator.exponential(size=600),
        lambda generator: -generator.exponential(size=600),
        lambda generator: generator.lognormal(0.0, 1.5, size=600),
        # heavy tails: BIC takes several components, but the outliers leave no valley and so nothing is pruned
        lambda generator: generator.standard_t(3, size=600),
        lambda generator: generator.standard_cauchy(size=600),
        # a broad and a narrow component on the same place: two components, one mode
        lambda generator: np.r_[generator.normal(0, 1, 300), generator.normal(0.5, 0.2, 300)],
    ],
    ids=["log-gamma", "uniform", "exponential", "reflected", "log-normal", "student-t", "cauchy", "scale mixture"],
)
def test_a_single_mode_of_any_shape_is_never_cut(draw):
    described_by_several = 0
    for seed in range(4):
        cut = mixture_cut(draw(np.random.default_rng(seed)), seed=seed)
        described_by_several += len(cut.mixture.weights) > 1
        assert cut.variance is None
        assert cut.keep.all()
    assert described_by_several > 0  # BIC alone would have split these


@pytest.mark.parametrize(
    "draw",
    [
        lambda generator: generator.standard_t(2, 100),
        lambda generator: generator.standard_t(5, 100),
        lambda generator: generator.normal(size=100),
        lambda generator: np.round(2 * generator.standard_t(2, 100)) / 2,
    ],
    ids=["t2", "t5", "normal", "ties of t2"],
)
def test_a_single_mode_that_crosses_the_bound_is_cut_no_more_often_than_the_significance_says(draw):
    draws = [draw(np.random.default_rng(seed)) for seed in range(500)]
    valleys = [valley_beyond(np.unique(values), float(np.quantile(values, 0.9)), 0.005) for values in draws]
    assert sum(valley is not None for valley in valleys) <= binom.ppf(0.99, 500, 0.005)
    for seed, values in enumerate(draws[:4]):
        assert mixture_cut(values, converged_variance=np.exp(np.quantile(values, 0.9)), seed=seed).variance is None


@pytest.mark.parametrize("outliers", [1, 2])
@pytest.mark.parametrize("converged", [None, largest_variance(3072)])
def test_a_few_outliers_are_no_mode(outliers, converged):
    values, _ = mixture(np.random.default_rng(2), (500 - outliers, outliers), (IMAGES, (-2.0, 1.0)))
    assert mixture_cut(values, converged_variance=converged).keep.all()


def test_of_three_modes_the_reference_decides_which_are_noise():
    won_noise = noise_shaped_variance(3072)
    components = (IMAGES, (np.log(won_noise), 0.05), NOISE)
    values, component = mixture(np.random.default_rng(3), (1200, 500, 300), components)
    np.testing.assert_array_equal(mixture_cut(values).keep, component < 2)
    wrong = mixture_cut(values, noise_variance=won_noise).keep != (component == 0)
    assert wrong.mean() < 1e-3  # the two modes nearest to one another are four standard deviations apart


def test_a_minority_of_rows_at_the_wrong_attractor_is_not_taken_for_the_images():
    values, component = mixture(np.random.default_rng(4), (100, 1500, 400), ((-15.0, 0.2), IMAGES, NOISE))
    for reference in (None, noise_shaped_variance(3072)):
        np.testing.assert_array_equal(mixture_cut(values, noise_variance=reference).keep, component < 2)


def test_two_modes_of_images_are_both_kept():
    values, _ = mixture(np.random.default_rng(5), (600, 600), ((-6.5, 0.1), (-7.5, 0.1)))
    cut = mixture_cut(values, noise_variance=noise_shaped_variance(3072))
    assert cut.variance is None
    assert cut.keep.all()
    assert mixture_cut(values).variance is not None


def test_where_norms_have_not_converged_only_the_highest_mode_goes():
    values, component = mixture(np.random.default_rng(6), (1500, 500), ((-4.9, 0.3), NOISE))
    np.testing.assert_array_equal(mixture_cut(values, noise_variance=noise_shaped_variance(3072)).keep, component == 0)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_rows_does_not_matter(seed):
    values, _ = mixture(np.random.default_rng(7), (80, 40), (IMAGES, (-4.0, 0.3)))
    order = np.random.default_rng(seed).permutation(120)
    expected, found = mixture_cut(values), mixture_cut(values[order])
    assert found.variance == expected.variance
    np.testing.assert_array_equal(found.keep, expected.keep[order])
    assert not found.keep.all()


@pytest.mark.parametrize("scale", [1e-3, 0.5, 40.0])
def test_scaling_the_weights_scales_the_cut(scale):
    values, _ = mixture(np.random.default_rng(8), (200, 100), (IMAGES, (-4.0, 0.3)))
    expected, found = mixture_cut(values), mixture_cut(values + 2 * np.log(scale))
    np.testing.assert_array_equal(found.keep, expected.keep)
    assert found.variance == pytest.approx(scale**2 * expected.variance, rel=1e-6)


def test_the_same_seed_gives_the_same_cut():
    values, _ = mixture(np.random.default_rng(9), (200, 100), (IMAGES, (-4.0, 0.3)))
    assert mixture_cut(values, seed=3).variance == mixture_cut(values, seed=3).variance


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(50, -7.0), "same variance"),
        (-7.0 + 1e-9 * np.random.default_rng(0).normal(size=50), "same variance"),
        (np.array([-7.0, 0.0, -7.1]), "too few"),
        (np.zeros(0), "too few"),
    ],
)
def test_rows_without_a_distribution_are_kept(values, reason):
    cut = mixture_cut(values)
    assert cut.variance is None
    assert cut.keep.shape == values.shape
    assert cut.keep.all()
    assert reason in cut.reason


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("cut", [mixture_cut, threshold_cut])
def test_log_variances_that_are_not_finite_are_refused(cut, bad):
    with pytest.raises(ValueError, match="finite"):
        cut(np.r_[np.zeros(30), bad])


@pytest.mark.parametrize("settings", [{"max_components": 0}, {"significance": 0.0}, {"noise_variance": -1.0}])
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        mixture_cut(np.zeros(30), **settings)


def test_log_variance_is_that_of_each_row():
    synapses = np.random.default_rng(10).normal(3.0, 0.1, (5, 40)).astype(np.float32)
    np.testing.assert_allclose(log_variances(jnp.asarray(synapses)), np.log(synapses.astype(float).var(axis=1)))


@pytest.mark.parametrize(("value", "message"), [(np.nan, "finite"), (1.0, "constant")])
def test_rows_without_a_log_variance_are_refused(value, message):
    synapses = np.random.default_rng(11).normal(size=(5, 40))
    synapses[2] = value
    with pytest.raises(ValueError, match=message):
        log_variances(synapses)


@pytest.mark.parametrize("exponent", [2.0, 3.0, 4.0])
def test_the_variance_of_noise_shaped_rows(exponent):
    rows = np.random.default_rng(12).normal(size=(20, 20_000))
    rows *= 2.0 / np.linalg.norm(rows, exponent, axis=1, keepdims=True)
    # 400 000 weights: their moments are known to some per mille
    assert rows.var() == pytest.approx(noise_shaped_variance(20_000, exponent, 2.0), rel=0.01)


def test_the_published_threshold():
    cut = threshold_cut(np.log([0.001, 0.0014, 0.0016, 1.0]))
    np.testing.assert_array_equal(cut.keep, [True, True, False, False])
    assert cut.variance == 0.0015
    with pytest.raises(ValueError, match="positive"):
        threshold_cut(np.zeros(3), 0.0)


def test_pruned_rows_are_zero_and_the_others_untouched():
    synapses = jnp.asarray(np.random.default_rng(13).normal(size=(4, 6)), jnp.float32)
    keep = np.array([True, False, True, False])
    pruned = prune(synapses, keep)
    assert pruned.shape == synapses.shape
    assert pruned.dtype == synapses.dtype
    np.testing.assert_array_equal(pruned[keep], synapses[keep])
    np.testing.assert_array_equal(pruned[~keep], 0.0)
    np.testing.assert_array_equal(prune(synapses.at[1].set(jnp.nan), keep)[1], 0.0)


class TestRowsThatCannotHaveConverged:
    """Too few rows for a test of modes, but of a variance that no row of norm R has."""

    inputs = 3072

    def cut(self, log_variances, **options):
        noise = noise_shaped_variance(self.inputs)
        return mixture_cut(log_variances, noise_variance=noise, **options)

    def rows(self, learnt, left_over, seed):
        random = np.random.default_rng(seed)
        never_won = np.log(random.standard_normal((left_over, self.inputs)).var(axis=1))
        return np.concatenate([random.normal(np.log(0.001), 0.3, learnt), never_won])

    @pytest.mark.parametrize("left_over", range(3, 7))
    @pytest.mark.parametrize("seed", range(2))
    def test_a_handful_that_never_won_goes(self, left_over, seed):
        log_variances = self.rows(95, left_over, seed)
        cut = self.cut(log_variances, converged_variance=largest_variance(self.inputs))
        assert cut.variance is not None
        assert cut.variance > largest_variance(self.inputs)
        np.testing.assert_array_equal(cut.keep, np.arange(log_variances.size) < 95)

    @pytest.mark.parametrize("seed", range(5))
    def test_it_goes_where_the_images_have_two_modes_too(self, seed):
        images, _ = mixture(np.random.default_rng(seed), (600, 600), ((-6.5, 0.1), (-7.5, 0.1)))
        log_variances = np.concatenate([images, self.rows(0, 3, seed)])
        cut = self.cut(log_variances, converged_variance=largest_variance(self.inputs))
        np.testing.assert_array_equal(cut.keep, np.arange(log_variances.size) < images.size)
        assert self.cut(images, converged_variance=largest_variance(self.inputs)).keep.all()

    def test_without_the_bound_it_stays(self):
        assert self.cut(self.rows(95, 4, 0)).variance is None

    @pytest.mark.parametrize("middle", [np.log(0.0002), np.log(0.05)])
    def test_a_single_mode_on_one_side_of_the_bound_stays(self, middle):
        for seed in range(2):
            log_variances = np.random.default_rng(seed).normal(middle, 0.3, 100)
            assert self.cut(log_variances, converged_variance=largest_variance(self.inputs)).keep.all()

    @pytest.mark.parametrize(("below", "found"), [(60, True), (50, False), (40, False)])
    def test_a_valley_counts_beyond_most_of_the_rows_alone(self, below, found):
        values = np.r_[np.linspace(-7.0, -6.5, below), np.linspace(0.0, 0.05, 100 - below)]
        assert (valley_beyond(values, np.log(largest_variance(self.inputs)), 0.005) is not None) == found

    @given(st.integers(1, 50), st.sampled_from([2.0, 2.5, 3.0, 4.0]), st.floats(0.1, 10.0), st.integers(0, 100))
    def test_no_row_of_the_norm_has_more_than_the_bound(self, inputs, exponent, radius, seed):
        row = np.random.default_rng(seed).normal(size=inputs)
        row *= radius / (np.abs(row) ** exponent).sum() ** (1 / exponent)
        assert row.var() <= largest_variance(inputs, exponent, radius) * (1 + 1e-12)

    def test_the_bound_is_reached_by_weights_of_one_size(self):
        row = np.tile([1.0, -1.0], 50) * 100 ** (-1 / 3)
        assert row.var() == pytest.approx(largest_variance(100))
