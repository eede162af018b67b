"""Comparisons cover seeds and images, infinities are ordered above all, p and direction have one source."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jax_bioadv.analysis.paired import paired_comparison

INF = np.inf
lengths = st.one_of(st.floats(0.0, 10.0), st.just(INF))


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
    # The fifth image is turned in neither: which of its lengths is the longer is not known.
    assert found.interval == (-INF, INF)
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


@pytest.mark.parametrize("seeds", [1, 5])
def test_images_that_neither_model_loses_leave_the_interval_open(seeds):
    """Their ratio is not known: were it 0, models would be level for sure where most lengths are censored in both."""
    generator = np.random.default_rng(0)
    lengths = generator.lognormal(size=(2, seeds, 200))
    lengths[:, :, :60] = INF
    first, second = ([*one] for one in lengths)
    found = paired_comparison(first, second)
    known = paired_comparison(*([one[60:] for one in model] for model in (first, second)))
    assert found.interval[0] < known.interval[0] < known.interval[1] < found.interval[1]
    lengths[:, :, :120] = INF
    assert paired_comparison(*([*one] for one in lengths)).interval == (-INF, INF)
