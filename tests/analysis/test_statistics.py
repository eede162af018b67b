"""Intervals cover, seeds are what replicates, infinities are ordered above all, corrections equal their definitions."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from jax_bioadv.analysis import statistics
from jax_bioadv.analysis.statistics import (
    bootstrap_interval,
    holm,
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
