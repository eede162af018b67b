"""Intervals cover, seeds are what replicates, infinities are ordered above all, corrections equal their definitions."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jax_bioadv.analysis import statistics
from jax_bioadv.analysis.statistics import (
    bootstrap_interval,
    holm,
    paired_comparison,
    rank_correlation,
)

INF = np.inf
lengths = st.one_of(st.floats(0.0, 10.0), st.just(INF))


def test_the_interval_of_a_mean_is_the_normal_one():
    values = np.random.default_rng(0).normal(size=400)
    low, high = bootstrap_interval(values, resamples=4000)
    error = values.std() / 20
    # A percentile of 4000 draws is uncertain by sqrt(0.025 · 0.975 / 4000) / density, 0.04 standard errors; four times.
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.2 * error)


def test_the_interval_of_a_share_covers_as_often_as_it_says():
    generator = np.random.default_rng(1)
    shares = [bootstrap_interval(generator.random(150) < 0.6, resamples=300, seed=trial) for trial in range(100)]
    covered = sum(low <= 0.6 <= high for low, high in shares)
    assert covered >= scipy.stats.binom.ppf(1e-3, 100, 0.93)


@pytest.mark.parametrize("statistic", ["mean", "median"])
@pytest.mark.parametrize("value", [0.3, 0.0, INF])
@pytest.mark.parametrize("images", [1, 7])
def test_identical_values_have_an_interval_of_no_width(statistic, value, images):
    assert bootstrap_interval([value] * images, statistic, resamples=50) == (value, value)


@given(values=st.lists(lengths, min_size=1, max_size=12), statistic=st.sampled_from(["mean", "median"]))
def test_censored_values_give_ordered_ends_without_a_warning(values, statistic):
    low, high = bootstrap_interval(values, statistic, resamples=40)
    assert min(values) <= low <= high <= max(values)


def test_the_median_of_many_censored_images_is_bounded_below_alone():
    low, high = bootstrap_interval(np.r_[np.linspace(1, 2, 50), np.full(51, INF)], "median")
    assert 1.5 < low < 2.0
    assert high == INF


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(2).normal(size=50)
    assert bootstrap_interval(values, seed=3) == bootstrap_interval(values, seed=3)
    assert bootstrap_interval(values, seed=3) != bootstrap_interval(values, seed=4)


def test_more_confidence_is_wider():
    values = np.random.default_rng(2).normal(size=50)
    inner, outer = bootstrap_interval(values, confidence=0.5), bootstrap_interval(values, confidence=0.99)
    assert outer[0] < inner[0] < inner[1] < outer[1]


def test_a_bootstrap_in_parts_is_the_bootstrap_at_once(monkeypatch):
    values = np.random.default_rng(5).exponential(size=80)
    whole = bootstrap_interval(values, "median", seed=1)
    monkeypatch.setattr(statistics, "_RESAMPLED_AT_ONCE", 700)
    assert bootstrap_interval(values, "median", seed=1) == whole


@pytest.mark.parametrize(
    ("values", "arguments"),
    [
        ([], {}),
        ([np.nan, 1.0], {}),
        ([-INF, 1.0], {}),
        ([[1.0]], {}),
        ([1.0], {"confidence": 1.0}),
        ([1.0], {"resamples": 0}),
        ([1.0], {"statistic": "mode"}),
    ],
)
def test_what_has_no_interval_is_refused(values, arguments):
    with pytest.raises(ValueError, match=r"must be|minus infinity|not a number"):
        bootstrap_interval(values, **arguments)


def pairs_of_seeds(effects, images=200, seed=0):
    generator = np.random.default_rng(seed)
    second = [generator.exponential(size=images) for _ in effects]
    return [np.exp(effect) * lengths for effect, lengths in zip(effects, second, strict=True)], second


def test_seeds_that_agree_on_all_images_give_the_t_test_of_their_effects():
    effects = [0.2, 0.5, 0.1, 0.4]
    found = paired_comparison(*pairs_of_seeds(effects))
    expected = scipy.stats.ttest_1samp(effects, 0.0)
    assert found.log_ratio == pytest.approx(0.3)
    assert found.p_value == pytest.approx(expected.pvalue)
    assert found.interval == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert (found.superiority, found.seeds, found.images) == (1.0, 4, (200,) * 4)


@pytest.mark.parametrize("seeds", [1, 5])
def test_comparisons_cover_the_images_that_all_seeds_share(seeds):
    """Models that differ on no image but by chance, each image's chance the same for all seeds."""
    generator = np.random.default_rng(3)
    rejected, covered = 0, 0
    for _ in range(200):
        images = generator.normal(size=60)
        effects = images + 0.05 * generator.normal(size=(seeds, 1)) + 0.2 * generator.normal(size=(seeds, 60))
        found = paired_comparison(list(np.exp(effects)), [np.ones(60)] * seeds)
        rejected += found.p_value < 0.05
        covered += found.interval[0] <= 0 <= found.interval[1]
        assert (found.p_value < 0.05) == (not found.interval[0] <= 0 <= found.interval[1])
    assert rejected <= scipy.stats.binom.ppf(0.999, 200, 0.05)
    assert covered >= scipy.stats.binom.ppf(0.001, 200, 0.95)


def test_p_and_direction_come_from_one_source():
    """Wins by far on few images, ties on most: the median ratio is 1, and nothing is decided by the wins alone."""
    first = np.r_[np.ones(60), np.full(35, 2.0), np.full(5, 0.5)]
    found = paired_comparison([first] * 5, [np.ones(100)] * 5)
    assert found.superiority > 0.6
    assert (found.log_ratio, found.p_value) == (0.0, 1.0)


def test_equal_effects_of_all_seeds_have_the_interval_over_images():
    """As lengths on a coarse grid give them; the seeds alone would say nothing."""
    lengths = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 0.9])
    found = paired_comparison([lengths] * 5, [np.ones(9)] * 5)
    assert (found.log_ratio, found.p_value) == (0.0, 1.0)
    assert found.interval == (0.0, 0.0)
    one = paired_comparison([lengths[6:]] * 5, [np.ones(3)] * 5)
    assert one.interval == (-INF, INF), "three images bound no median"


def test_images_do_not_replace_seeds():
    """Networks that differ by their seeds alone: images by the thousand must not make a difference of them."""
    generator = np.random.default_rng(7)
    seeds, alone = [], []
    for trial in range(200):
        first, second = pairs_of_seeds(0.2 * generator.normal(size=3), images=300, seed=trial)
        seeds.append(paired_comparison(first, second).p_value < 0.05)
        alone.append(paired_comparison(first[:1], second[:1]).p_value < 0.05)
    assert np.sum(seeds) <= scipy.stats.binom.ppf(0.999, 200, 0.05)
    assert np.mean(alone) > 0.9  # true of these two networks, and of nothing else


def test_exchange_of_the_models_changes_the_sign():
    first, second = pairs_of_seeds([0.1, -0.3, 0.2])
    first[0][:5] = INF
    second[2][3:9] = INF
    for some in (slice(None), slice(1)):
        found, swapped = paired_comparison(first[some], second[some]), paired_comparison(second[some], first[some])
        assert swapped.log_ratio == pytest.approx(-found.log_ratio)
        assert swapped.superiority == pytest.approx(1 - found.superiority)
        assert swapped.p_value == pytest.approx(found.p_value)
        assert swapped.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_one_seed_gives_the_sign_test_and_a_median():
    first, second = [4.0, 4.0, INF, 1.0, INF, 2.0], [2.0, 2.0, 5.0, 2.0, INF, 2.0]
    found = paired_comparison([first], [second])
    # Three wins, one loss, two ties, which count against; of the six log ratios the middle two are 0 and log 2.
    assert found.superiority == pytest.approx((3 + 2 / 2) / 6)
    assert found.p_value == 1.0
    assert found.log_ratio == pytest.approx(np.log(2) / 2)
    assert found.interval == (pytest.approx(-np.log(2)), INF)
    assert (found.seeds, found.images) == (1, (6,))


def test_a_model_against_itself_differs_in_nothing():
    values = [[1.0, INF, 0.0], [2.0, 3.0, INF]]
    for seeds in (1, 2):
        found = paired_comparison(values[:seeds], values[:seeds])
        assert (found.log_ratio, found.superiority, found.p_value) == (0.0, 0.5, 1.0)


def test_one_seed_without_ties_gives_the_sign_test():
    found = paired_comparison([np.r_[np.full(15, 2.0), np.full(4, 0.5)]], [np.ones(19)])
    assert found.p_value == pytest.approx(scipy.stats.binomtest(4, 19).pvalue)


@pytest.mark.parametrize("seeds", [2, 6])
def test_infinite_effects_are_judged_by_their_signs_and_ranks(seeds):
    found = paired_comparison([[INF] * 11 + [1.0]] * seeds, [[1.0] * 11 + [1.0]] * seeds)
    assert (found.log_ratio, found.superiority) == (INF, pytest.approx(23 / 24))
    assert found.p_value == pytest.approx(2 / 2**seeds)
    assert found.interval == ((-INF, INF) if seeds == 2 else (INF, INF))


@pytest.mark.parametrize("sign", [1, -1])
def test_one_infinite_effect_among_others_has_the_signed_rank_test_if_all_point_one_way(sign):
    effects = [0.1, sign * 0.2, 0.3, 0.4, 0.5]
    firsts = [np.full(9, np.exp(effect)) for effect in effects] + [np.full(9, INF)]
    found = paired_comparison(firsts, [np.ones(9)] * 6)
    expected = scipy.stats.wilcoxon([*effects, 100.0], method="exact").pvalue
    assert found.p_value == (pytest.approx(expected) if sign > 0 else 1.0)


@given(arrays(float, (3, 2, 5), elements=lengths), st.integers(1, 3))
def test_no_lengths_break_a_comparison(values, seeds):
    found = paired_comparison(list(values[:seeds, 0]), list(values[:seeds, 1]))
    assert 0 <= found.p_value <= 1
    assert 0 <= found.superiority <= 1
    assert found.interval[0] <= found.log_ratio <= found.interval[1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([], []),
        ([[1.0]], []),
        ([[1.0, 2.0]], [[1.0]]),
        ([[]], [[]]),
        ([[-1.0]], [[1.0]]),
        ([[np.nan]], [[1.0]]),
    ],
)
def test_what_cannot_be_paired_is_refused(first, second):
    with pytest.raises(ValueError, match="seed"):
        paired_comparison(first, second)


def test_holm_on_an_example_by_hand():
    # Sorted 0.01, 0.02, 0.03, 0.5: times 4, 3, 2, 1, and never less than the one before.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.01, None, float("nan"), 0.9]) == [0.02, None, None, 0.9]
    assert holm([None]) == [None]
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=5))
def test_holm_is_the_closed_test_of_bonferronis(p_values):
    """By the closure principle, a hypothesis' p is the largest Bonferroni p of any subset that holds it."""
    places = range(len(p_values))
    subsets = [subset for size in places for subset in itertools.combinations(places, size + 1)]
    bonferroni = {subset: min(1.0, len(subset) * min(p_values[place] for place in subset)) for subset in subsets}
    expected = [max(bonferroni[subset] for subset in subsets if place in subset) for place in places]
    assert holm(p_values) == pytest.approx(expected)


def test_holm_refuses_what_is_no_probability():
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, 1.5])


MODELS = np.repeat(list("abcde"), 3)


def members_of(means, spread, seed=0):
    return np.repeat(means, 3) + spread * np.random.default_rng(seed).normal(size=15)


def test_spearman_is_scipys_with_ties_and_infinities():
    x, y = members_of([1, 2, 3, 4, 5], 2.0), members_of([2, 1, 4, 3, 5], 2.0, 1)
    x[3:6], y[7] = x[3], INF
    found = rank_correlation(x, y, list(MODELS))
    assert found.spearman == pytest.approx(scipy.stats.spearmanr(x, y).statistic)
    assert (found.members, found.models) == (15, 5)
    assert found.interval[0] <= found.interval[1]


def test_the_interval_is_that_of_models_drawn_with_replacement():
    x, y = np.array([1.0, 2.0, 2.0, 4.0]), np.array([2.0, 1.0, 3.0, 5.0])
    groups = [0, 0, 1, 2]
    blocks = [[0, 1], [2], [3]]
    possible = set()
    for drawn in itertools.product(range(3), repeat=3):
        members = np.concatenate([blocks[model] for model in drawn])
        if len(set(drawn)) > 1 and len(set(x[members])) > 1 and len(set(y[members])) > 1:
            possible.add(scipy.stats.spearmanr(x[members], y[members]).statistic)
    low, high = rank_correlation(x, y, groups, confidence=0.999).interval
    assert low == pytest.approx(min(possible))
    assert high == pytest.approx(max(possible))


def test_five_models_in_perfect_order_reach_two_of_their_orders_whatever_the_seeds():
    for seeds in (1, 3, 20):
        x = np.repeat(np.arange(5.0), seeds) + 0.01 * np.random.default_rng(0).random(5 * seeds)
        found = rank_correlation(x, -x, np.repeat(np.arange(5), seeds).tolist(), resamples=100)
        assert (found.spearman, found.interval) == (pytest.approx(-1.0), pytest.approx((-1.0, -1.0)))
        assert found.p_value == pytest.approx(2 / 120)
        assert not found.at_floor, "all orders are counted: p is what it is"


def test_seeds_do_not_make_unrelated_models_correlate():
    """Models without a relation, whose seeds are near copies: the naive p-value is far too sure, ours is not."""
    generator = np.random.default_rng(8)
    ours, naive = [], []
    for _ in range(150):
        x, y = (members_of(generator.normal(size=5), 0.05, generator.integers(10**6)) for _ in range(2))
        ours.append(rank_correlation(x, y, list(MODELS), resamples=20).p_value < 0.05)
        naive.append(scipy.stats.spearmanr(x, y).pvalue < 0.05)
    assert np.sum(ours) <= scipy.stats.binom.ppf(0.999, 150, 0.05)
    assert np.mean(naive) > 0.2


def test_more_models_than_can_be_ordered_are_drawn():
    x = np.arange(12.0)
    related = rank_correlation(x, x, list(range(12)))
    assert related.p_value < 1e-4
    assert related.at_floor, "no drawn order is as strong"
    unrelated = rank_correlation(x, np.random.default_rng(9).permutation(x), list(range(12)))
    expected = scipy.stats.permutation_test(
        (np.arange(12.0), np.random.default_rng(9).permutation(12)),
        lambda one, other: scipy.stats.pearsonr(one, other).statistic,
        permutation_type="pairings",
        n_resamples=2000,
        rng=np.random.default_rng(0),
    ).pvalue
    # 2000 draws give a p-value up to 0.011; four times.
    assert unrelated.p_value == pytest.approx(expected, abs=0.045)
    assert not unrelated.at_floor


@pytest.mark.parametrize(
    ("x", "y", "groups"),
    [
        ([1, 2, 3], [1, 2], [0, 1, 2]),
        ([1, 2, 3], [1, 2, 3], [0, 1]),
        ([1, 2, 3], [1, 2, 3], [0, 0, 1]),
        ([1, 1, 1], [1, 2, 3], [0, 1, 2]),
        ([1, 2, 3], [INF, INF, INF], [0, 1, 2]),
        ([1, 2, np.nan], [1, 2, 3], [0, 1, 2]),
        ([], [], []),
    ],
)
def test_a_degenerate_correlation_is_refused(x, y, groups):
    with pytest.raises(ValueError, match=r"member|three|NaN"):
        rank_correlation(x, y, groups)


def test_the_interval_of_a_correlation_holds_it_where_seeds_scatter():
    """Models drawn twice bring the scatter of their seeds twice; the interval must not lean towards 0 for it."""
    generator = np.random.default_rng(11)
    models = np.repeat(np.arange(12), 5)
    x, y = (models + generator.normal(scale=0.6, size=60) for _ in range(2))
    found = rank_correlation(x, y, list(models))
    assert found.interval[0] < found.spearman < found.interval[1]
