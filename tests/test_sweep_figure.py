"""The figure of a sweep: what is drawn are the numbers of the members, and nothing that is missing is made up."""

import numpy as np
import pytest
from figure_cases import drawn as rendered
from figure_cases import texts

from jax_bioadv.figures.sweep import SweepLine, sweep_figure


def drawn(panels, ticks=("0", "1"), x_label="Δ", line_label=""):
    return rendered(sweep_figure(panels, ticks, x_label, line_label))


def mean_line(panel, number=0):
    return panel.containers[number].lines[0]


def test_the_line_goes_through_the_means_and_every_seed_is_a_point():
    values = [[1.0, 2.0, 6.0], [4.0, 5.0, 6.0]]
    [panel] = drawn({"accuracy": {"": SweepLine([0, 1], values)}}).axes
    assert mean_line(panel).get_ydata().tolist() == [3.0, 5.0]
    assert mean_line(panel).get_xdata().tolist() == [0.0, 1.0]
    seeds = np.array([line.get_ydata() for line in panel.lines if line.get_marker() == "."])
    np.testing.assert_array_equal(np.sort(seeds, axis=0), np.array(values).T)


def test_the_bars_are_the_interval_of_the_mean():
    """Three values of deviation 1: t of 2 degrees of freedom, 4.303, over √3."""
    [panel] = drawn({"accuracy": {"": SweepLine([0], [[4.0, 5.0, 6.0]])}}, ["0"]).axes
    [bars] = panel.containers[0].lines[2]
    np.testing.assert_allclose(bars.get_segments()[0][:, 1], [5 - 2.4841, 5 + 2.4841], atol=1e-3)


def test_seeds_that_are_missing_are_left_out_of_the_mean():
    [panel] = drawn({"accuracy": {"": SweepLine([0, 1], [[1.0, None, 3.0], [None, np.nan, None]])}}).axes
    np.testing.assert_array_equal(mean_line(panel).get_ydata(), [2.0, np.nan])


def test_one_seed_has_no_interval_and_seeds_may_be_more_at_some_places():
    [panel] = drawn({"accuracy": {"": SweepLine([0, 1], [[1.0], [2.0, 4.0]])}}).axes
    assert mean_line(panel).get_ydata().tolist() == [1.0, 3.0]


def test_where_a_seed_is_infinite_there_is_a_triangle_and_no_mean_that_is_too_small():
    lines = SweepLine([0, 1, 2], [[1.0, np.inf], [2.0, 4.0], [1.0, 3.0, np.inf]])
    figure = drawn({"critical L2": {"": lines}}, ["0", "1", "2"])
    [panel] = figure.axes
    np.testing.assert_array_equal(mean_line(panel).get_ydata(), [np.nan, 3.0, 3.0])
    [triangle] = [line for line in panel.lines if line.get_marker() == "^"]
    assert (triangle.get_xdata().tolist(), triangle.get_ydata().tolist()) == ([0.0, 2.0], [1.0, 1.0])
    assert any("over seeds alone" in text for text in texts(figure))
    assert any("▲" in text for text in texts(figure))
    assert not any("▲" in text for text in texts(drawn({"critical L2": {"": SweepLine([0], [[1.0]])}}, ["0"])))


@pytest.mark.parametrize("value", [None, np.inf])
def test_a_panel_without_any_finite_value_is_drawn_all_the_same(value):
    panels = {"accuracy": {"": SweepLine([0], [[0.5]])}, "critical L2": {"": SweepLine([0], [[value, value]])}}
    assert len(drawn(panels, ["0"]).axes) == 2


def test_lines_stand_beside_one_another_and_are_named_once():
    lines = {f"{p}": SweepLine([0, 1], [[p], [p + 1.0]]) for p in (2.0, 3.0, 4.0)}
    figure = drawn({"accuracy": lines, "α": lines}, line_label="p")
    first = figure.axes[0]
    starts = [mean_line(first, number).get_xdata()[0] for number in range(3)]
    assert len(set(starts)) == 3
    assert np.mean(starts) == pytest.approx(0)
    assert max(np.abs(starts)) < 0.5, "nearer to their tick than to the next"
    assert len(figure.legends) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(lines)


def test_a_line_is_the_same_in_every_panel_and_named_wherever_it_is():
    lines = {name: SweepLine([0], [[float(name)]]) for name in ("16", "200", "400")}
    figure = drawn({"α": {"200": lines["200"]}, "accuracy": lines}, ["0"], line_label="hidden")
    alone, (_, ours, _) = figure.axes[0].containers[0].lines[0], [c.lines[0] for c in figure.axes[1].containers]
    assert alone.get_xdata() == ours.get_xdata()
    assert (*alone.get_color(), alone.get_marker()) == (*ours.get_color(), ours.get_marker())
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["200", "16", "400"]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_there_is_a_panel_for_each_quantity(count):
    panels = {f"quantity {number}": {"": SweepLine([0], [[1.0]])} for number in range(count)}
    axes = drawn(panels, ["0"]).axes
    assert [panel.get_ylabel() for panel in axes] == list(panels)
    assert all(panel.get_xlabel() == "Δ" for panel in axes)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no quantity to draw"):
        sweep_figure({}, [], "", "")
