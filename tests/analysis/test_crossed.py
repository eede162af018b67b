"""Intervals hold what is true of other seeds and other images; seeds that are infinite are never dropped."""

import numpy as np
import pytest
import scipy.stats

from jax_bioadv.analysis.crossed import change_interval, overall, share_interval

INF = np.inf


def shared_images(generator, seeds=5, images=200):
    """Correctness of networks that differ by their seeds, and agree on which images are hard."""
    hard = generator.normal(size=images)
    networks = 0.1 * generator.normal(size=(seeds, 1)) + 0.4 * generator.normal(size=(seeds, images))
    return hard + networks > 0.8


TRUE_SHARE = scipy.stats.norm.sf(0.8 / np.sqrt(1 + 0.1**2 + 0.4**2))


def test_intervals_of_shares_cover_other_images_and_other_seeds():
    generator = np.random.default_rng(0)
    both, seeds_alone = [], []
    for _ in range(300):
        shares = shared_images(generator).mean(axis=1)
        low, high = overall(shares, [share_interval(share, 200) for share in shares]).interval
        both.append(low <= TRUE_SHARE <= high)
        low, high = overall(shares).interval
        seeds_alone.append(low <= TRUE_SHARE <= high)
    assert np.sum(both) >= scipy.stats.binom.ppf(1e-3, 300, 0.95)
    assert np.mean(seeds_alone) < 0.8


def test_several_seeds_on_few_images_are_no_better_known_than_the_images_allow():
    """0.226 ± 0.011 over seeds stands on 200 images, whose own half-width is 0.058."""
    shares = [0.22, 0.235, 0.215, 0.235, 0.225]
    low, high = overall(shares, [share_interval(share, 200) for share in shares]).interval
    assert high - low > 2 * 0.055


def test_the_interval_over_seeds_alone_is_students():
    found = overall([0.9, 1.0, 1.1])
    assert found.interval == pytest.approx((0.7516, 1.2484), abs=1e-4)  # t(0.975, 2) · 0.1 / √3 = 0.2484
    assert found.over == "seeds"


def test_one_seed_has_its_interval_over_images():
    found = overall([0.4], [[0.3, 0.6]])
    assert (found.interval, found.over) == (pytest.approx((0.3, 0.6)), "images")
    alone = overall([0.4])
    assert (alone.interval, alone.over) == (None, "nothing")


def test_both_parts_are_added_as_variances_are():
    seeds = overall([0.9, 1.0, 1.1]).interval[1] - 1.0
    low, high = overall([0.9, 1.0, 1.1], [[0.8, 1.0], [0.9, 1.1], [1.0, 1.2]]).interval
    assert high - 1.0 == pytest.approx(np.hypot(seeds, 0.1))
    assert 1.0 - low == pytest.approx(np.hypot(seeds, 0.1))


def test_missing_seeds_are_left_out_with_their_intervals():
    assert overall([None, 0.4], [None, [0.3, 0.5]]) == overall([0.4], [[0.3, 0.5]])
    assert overall([0.4, 0.5], [None, [0.3, 0.6]]).over == "seeds"
    assert overall([None, np.nan]) is None


@pytest.mark.parametrize("count", [0, 2, 4])
def test_intervals_of_other_seeds_are_refused(count):
    with pytest.raises(ValueError, match=f"each of 3 seeds needs an interval or None, got {count}"):
        overall([0.2, 0.21, 0.22], count * [(0.0, 0.9)])


@pytest.mark.parametrize(
    ("values", "centre"),
    [([INF, 1.0], INF), ([INF, 1.0, 2.0], 2.0), ([INF, INF, 1.0, 2.0, 3.0], 3.0), ([INF, INF, INF, 0.1, 0.2], INF)],
)
def test_infinite_seeds_are_the_largest_and_leave_a_lower_bound(values, centre):
    found = overall(values)
    assert found.centre == centre
    assert found.interval == (min(values), INF)
    assert found.infinite == values.count(INF)


def test_an_infinite_seed_keeps_what_its_images_say():
    found = overall([INF, 1.0, 2.0], [[1.5, None], [0.7, 1.3], [1.8, 2.2]])
    assert (found.centre, found.interval) == (2.0, (0.7, INF))


@pytest.mark.parametrize(("share", "images"), [(0.0, 200), (1.0, 200), (0.25, 200), (0.004, 10_000)])
def test_the_interval_of_a_share_is_clopper_and_pearsons(share, images):
    expected = scipy.stats.binomtest(round(share * images), images).proportion_ci(0.95)
    assert share_interval(share, images) == pytest.approx((expected.low, expected.high))


def test_none_of_two_hundred_is_not_none_of_all():
    assert share_interval(0.0, 200) == (0.0, pytest.approx(0.018, abs=5e-4))
    low, high = overall([0.0] * 5, [share_interval(0.0, 200)] * 5).interval
    assert (low, high) == (0.0, pytest.approx(0.018, abs=5e-4))


@pytest.mark.parametrize("arguments", [(0.5, 0), (1.5, 10), (-0.1, 10), (0.5, 10, 1.0)])
def test_what_is_no_share_is_refused(arguments):
    with pytest.raises(ValueError, match="share"):
        share_interval(*arguments)


def test_intervals_of_changes_cover_other_images():
    generator, covered, images = np.random.default_rng(1), 0, 400
    chances = [0.02, 0.05, 0.93]  # gained, lost, unchanged
    for gained, lost, _ in generator.multinomial(images, chances, size=1000):
        low, high = change_interval(int(gained), int(lost), images)
        covered += low <= 0.02 - 0.05 <= high
    assert covered >= scipy.stats.binom.ppf(1e-3, 1000, 0.95)


def test_no_change_on_two_hundred_images_is_not_none_on_all():
    low, high = change_interval(0, 0, 200)
    assert (low, high) == (pytest.approx(-0.018, abs=5e-4), pytest.approx(0.018, abs=5e-4))


@pytest.mark.parametrize("arguments", [(0, 0, 0), (6, 5, 10), (-1, 0, 10), (0, 0, 10, 1.0)])
def test_changes_of_more_images_than_there_are_are_refused(arguments):
    with pytest.raises(ValueError, match="images"):
        change_interval(*arguments)


def test_more_confidence_is_wider():
    inner, outer = (overall([0.9, 1.1], [[0.8, 1.0], [1.0, 1.2]], confidence=level).interval for level in (0.9, 0.99))
    assert outer[0] < inner[0] < inner[1] < outer[1]
    with pytest.raises(ValueError, match="confidence"):
        overall([1.0], confidence=1.0)
