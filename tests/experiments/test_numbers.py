"""How reports write numbers over seeds: what is missing or infinite, intervals, probabilities."""

import pytest

from experiments.report.numbers import (
    centre,
    number_text,
    p_text,
    percent_text,
    signed_text,
    summary_text,
    told,
)

INFINITY = float("inf")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (None, "not available"),
        ([None, None], "not available"),
        ([0.4711], "0.471"),
        ([0.47, None], "0.470 (1 of 2 seeds)"),
        # t(0.975, 2) · 0.1 / √3 = 0.248
        ([0.9, 1.0, 1.1], "1.0 ± 0.2"),
        ([INFINITY], "∞"),
        (["Infinity", 1.0], "∞ in 1 of 2 seeds"),
        (["Infinity", 1.0, 2.0], "≥ 2 (∞ in 1 of 3 seeds)"),
        ([float("nan")], "not available"),
        ([412], "412"),
    ],
)
def test_numbers_over_seeds_count_what_is_missing(values, text):
    assert summary_text(values) == text


def test_the_error_of_one_seed_is_shown_where_it_is_known():
    assert summary_text([2.6666], error=0.004) == "2.667 ± 0.004"


def test_numbers_are_written_for_reading():
    assert [number_text(value) for value in (0.0, 1.23456, 12.3456, 1.5e-7, None)] == [
        "0", "1.23", "12.3", "1.50e-07", "not available",
    ]  # fmt: skip
    assert [percent_text(share) for share in (0.0, 0.004, 0.25)] == ["0 %", "<1 %", "25 %"]
    assert [signed_text(number) for number in (0.1, -0.1, -0.001)] == ["+0.10", "−0.10", "0.00"]


def test_where_a_seed_is_infinite_the_median_of_all_stands_for_the_mean():
    assert centre([INFINITY, 1.0]) == INFINITY
    assert centre([INFINITY, 1.0, 2.0]) == 2.0
    assert centre([1.0, 2.0]) == 1.5
    assert centre([]) is None


@pytest.mark.parametrize(
    ("values", "intervals", "text"),
    [
        ([0.425], [[0.415, 0.435]], "0.425 [0.415, 0.435]"),
        ([0.425], [[0.415, None]], "0.425 [0.415, ∞]"),
        ([0.425], None, "0.425"),
        ([0.425], [None], "0.425"),
        # √(0.248² + 0.2²) = 0.319
        ([0.9, 1.0, 1.1], [[0.7, 1.1], [0.8, 1.2], [0.9, 1.3]], "1.0 ± 0.3"),
        ([0.9, 1.0, 1.1], None, "1.0 ± 0.2"),
        ([0.0, 0.0], [[0.0, 0.0183]] * 2, "0 [0, 0.0183]"),
        ([0.02, 0.02], [[0.0, 0.0404]] * 2, "0.0200 [0, 0.0404]"),
        ([15.8, 15.8], [[15.7999, 15.8002]] * 2, "15.8"),
        ([None], [None], "not available"),
        ([0.226, 0.23, None], [[0.17, 0.29], [0.17, 0.29], None], "0.228 ± 0.067 (2 of 3 seeds)"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_an_interval_covers_images_and_seeds(values, intervals, text, nested):
    if nested:
        assert told({"attacks": {"pgd": values}, "attacks_interval": {"pgd": intervals}}, "attacks", "pgd") == text
    else:
        assert told({"median": values, "median_interval": intervals}, "median") == text


def test_small_probabilities_are_not_written_as_zero():
    assert [p_text(p) for p in (0.0, 1e-9, 0.042, None)] == ["< 0.001", "< 0.001", "= 0.042", "not available"]
    assert p_text(0.00055, at_floor=True) == "≤ 0.00055"
