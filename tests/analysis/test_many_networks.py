"""What is said of many networks: fronts, predictions of those not seen, partial rank correlations."""

import numpy as np
import pytest
from scipy import stats

from jax_bioadv.analysis.held_out import held_out_gain
from jax_bioadv.analysis.pareto import distance_from_front, front_at, on_front
from jax_bioadv.analysis.partial_ranks import partial_rank_correlation
from jax_bioadv.analysis.statistics import rank_correlation


def drawn(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def test_the_front_is_what_nothing_beats():
    x, y = drawn(0, 2, 40)
    beaten = [((x >= x[k]) & (y >= y[k])).sum() > 1 for k in range(40)]
    assert (on_front(x, y) == ~np.array(beaten)).all()
    assert on_front(np.array([1.0, 1.0]), np.array([2.0, 2.0])).all()  # equal ones do not beat each other


def test_the_front_falls_with_accuracy():
    x, y = drawn(1, 2, 40)
    chosen = [front_at(x, y, at) for at in np.linspace(-3, 3, 50)]
    assert chosen[0] == y.argmax()
    assert chosen[-1] is None
    assert (np.diff([y[one] for one in chosen if one is not None]) <= 0).all()


def test_a_broken_network_is_on_no_front():
    broken, whole = np.array([0.5, np.nan, 0.4]), np.array([1.0, 0.8, 0.9])
    for pair in ((broken, whole), (whole, broken)):
        with pytest.raises(ValueError, match="NaN"):
            on_front(*pair)
        with pytest.raises(ValueError, match="NaN"):
            front_at(*pair, 0.1)


def test_the_front_is_as_accurate_as_asked_where_nothing_is_robust():
    assert front_at(np.array([0.1, 0.9]), np.array([1.0, -np.inf]), 0.5) == 1


@pytest.mark.parametrize(("at", "value", "gap"), [(0.4, 1.5, 0.5), (0.2, 1.5, -0.5), (0.6, 1.5, None)])
def test_the_distance_from_a_front_that_is_known_exactly(at, value, gap):
    front = np.full((2, 3), [[0.3], [0.5]]), np.full((2, 3), [[2.0], [1.0]])
    found = distance_from_front(*front, np.full(3, at), np.full(3, value))
    assert (found.above_highest, found.above_chosen) == (gap, gap)
    assert found.highest_interval == found.chosen_interval == (None if gap is None else (gap, gap))


def test_one_seed_has_no_interval():
    found = distance_from_front(np.zeros((1, 1)), np.zeros((1, 1)), np.zeros(1), np.ones(1))
    assert found == (1.0, None, None, None)


def test_images_that_all_share_widen_the_interval():
    given = np.zeros((3, 2)), drawn(22, 3, 2), np.zeros(2), np.ones(2)
    narrow, wide = (distance_from_front(*given, error).highest_interval for error in (0.0, 1.0))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_luck_makes_nothing_better_or_worse_than_its_equals():
    """Of networks that are all alike none is surely above the front that is too high, or below the one too low."""
    noise, surely, seems_below = drawn(2, 200, 21, 3), 0, 0
    for one in noise:
        found = distance_from_front(np.full((20, 3), 0.5), one[:20], np.full(3, 0.5), one[20])
        surely += found.highest_interval[0] > 0 or found.chosen_interval[1] < 0
        seems_below += found.highest_interval[1] < 0
    assert surely <= stats.binom.ppf(0.999, 200, 0.05)
    assert seems_below > 20  # the front that is too high would have many below it


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a, b, c, d: (a, b, c, d[:1]), "go together"),
        (lambda a, b, c, d: (a, b[:1], c, d), "go together"),
        (lambda a, b, c, d: (a, b, c, d * np.nan), "finite"),
    ],
)
def test_what_is_no_front_is_refused(change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        distance_from_front(*change(np.zeros((4, 3)), np.zeros((4, 3)), np.zeros(3), np.zeros(3)))


def gain_by_hand(target, base, more, groups):
    def error(columns):
        total = 0.0
        for one in set(groups):
            out = np.array([group == one for group in groups])
            design = np.column_stack([np.ones(len(target)), *columns])
            normal = design[~out].T @ design[~out]
            coefficients = np.linalg.solve(normal, design[~out].T @ target[~out])
            total += ((target[out] - design[out] @ coefficients) ** 2).sum()
        return total

    return 1 - error([*base.T, *more.T]) / error(base.T)


def test_a_gain_is_that_of_fits_group_by_group():
    groups = [k // 2 for k in range(40)]
    base, more = drawn(3, 40, 1), drawn(4, 40, 2)
    target = base[:, 0] + 2 * more[:, 1] + drawn(5, 40)
    found = held_out_gain(target, base, more, groups)
    assert found.share == pytest.approx(gain_by_hand(target, base, more, groups))
    assert found.interval[0] > 0.3
    assert found.groups == 20


def test_what_has_nothing_to_do_with_it_makes_predictions_worse():
    """In the fit it would always look better."""
    target, base, more = drawn(6, 30), drawn(7, 30, 1), drawn(8, 30, 6)
    assert held_out_gain(target, base, more, range(30)).share < 0


def test_copies_of_a_network_are_no_new_networks():
    target, base, more = drawn(9, 20), drawn(10, 20, 1), drawn(11, 20, 3)
    once = held_out_gain(target, base, more, range(20))
    twice = held_out_gain(*(np.repeat(one, 2, axis=0) for one in (target, base, more)), [k // 2 for k in range(40)])
    assert twice.share == pytest.approx(once.share)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, b, m, g: (t, b, m, g[:-1]), "groups"),
        (lambda t, b, m, g: (t, b, m, [0, 1, 2, 3] * 5), "too few"),
        (lambda t, b, m, g: (t, b * np.inf, m, g), "finite"),
        (lambda t, b, m, g: (np.full_like(t, 0.3), b, m, g), "up to rounding"),
        (lambda t, b, m, g: (0 * t, b, m, g), "up to rounding"),
        (lambda t, b, m, g: (3 * b[:, 0] + 0.3, b, m, g), "up to rounding"),
    ],
)
def test_what_cannot_be_predicted_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        held_out_gain(*change(drawn(12, 20), drawn(13, 20, 1), drawn(14, 20, 1), list(range(20))))


def test_intervals_need_resamples():
    x, y, z = drawn(24, 3, 20)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        held_out_gain(x, y[:, None], z[:, None], range(20), resamples=0)
    with pytest.raises(ValueError, match="resamples must be at least 1"):
        partial_rank_correlation(x, y, [z], range(20), resamples=0)


def test_with_nothing_held_fixed_it_is_the_rank_correlation():
    groups = [k // 3 for k in range(36)]
    x, y = drawn(15, 2, 36)
    partial, plain = partial_rank_correlation(x, y, [], groups, resamples=50), rank_correlation(x, y, groups)
    assert partial.spearman == pytest.approx(plain.spearman)
    assert partial.p_value == pytest.approx(plain.p_value, abs=0.1)


def test_with_one_held_fixed_it_is_the_known_formula():
    x, y, z = drawn(16, 3, 30)
    xy, xz, yz = (stats.spearmanr(*pair).statistic for pair in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / np.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_rank_correlation(x, y, [z], range(30), resamples=20).spearman == pytest.approx(expected)


def test_what_a_third_measure_explains_is_gone():
    z = drawn(17, 60)
    x, y = z + 0.3 * drawn(18, 60), z + 0.3 * drawn(19, 60)
    assert rank_correlation(x, y, range(60)).spearman > 0.7
    found = partial_rank_correlation(x, y, [z], range(60), resamples=300)
    assert found.interval[0] < 0 < found.interval[1]
    assert found.p_value > 0.05
    also = partial_rank_correlation(x, x + 0.1 * y, [z], range(60), resamples=300)
    assert also.interval[0] > 0.5
    assert also.at_floor


def test_means_that_leave_nothing_are_no_evidence():
    """The third measure orders the groups as the second does, of which members alone differ."""
    groups, x = np.repeat(np.arange(8), 5), drawn(22, 40)
    y, z = 10.0 * groups + drawn(23, 2, 40)
    for pair in ((x, y), (y, x)):
        found = partial_rank_correlation(*pair, [z], groups.tolist(), resamples=20)
        assert (found.p_value, found.at_floor) == (1.0, False)


def test_false_alarms_are_as_rare_as_said():
    """Two measures that a third makes alike, in groups of near copies."""
    alarms = 0
    for seed in range(60):
        z = np.repeat(drawn(100 + seed, 15), 2)
        x, y = (z + np.repeat(drawn(1000 + 2 * seed + k, 15), 2) + 0.1 * drawn(k, 30) for k in (0, 1))
        alarms += partial_rank_correlation(x, y, [z], [k // 2 for k in range(30)], resamples=1).p_value < 0.05
    assert alarms <= stats.binom.ppf(0.999, 60, 0.05)


@pytest.mark.parametrize(
    ("given", "groups", "message"),
    [
        ([np.arange(20)], range(19), "one entry per member"),
        ([np.arange(20)], [0, 1, 2, 3] * 5, "too few"),
        ([drawn(20, 20)], range(20), "leaves nothing"),
    ],
)
def test_what_has_no_partial_correlation_is_refused(given, groups, message):
    x = drawn(20, 20)
    with pytest.raises(ValueError, match=message):
        partial_rank_correlation(x, drawn(21, 20), given, groups, resamples=5)
