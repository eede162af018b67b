"""What is drawn are the numbers that were given, and nothing is dropped silently."""

import io

import numpy as np
import pytest
import scipy.stats
from figure_cases import STYLES, drawn, histories, plane, power_law, robustness_inputs, synapses, texts
from hypothesis import given
from hypothesis import strategies as st

from jax_bioadv import figures
from jax_bioadv.analysis.broken_power_law import broken_law
from jax_bioadv.analysis.spectra import PowerLawFit
from jax_bioadv.figures.depth import Axis
from jax_bioadv.figures.pruning import chosen_rows
from jax_bioadv.figures.robustness import censored_box
from jax_bioadv.figures.seeds import mean_interval, members
from jax_bioadv.figures.spectra import exponent_label

distances = st.lists(st.one_of(st.floats(1e-3, 1e3), st.just(np.inf)), min_size=1, max_size=30).map(np.array)


@given(distances)
def test_quantiles_are_among_the_distances_and_count_the_censored(values):
    box = censored_box(values)
    assert set(box.quantiles) <= set(values.tolist())
    assert list(box.quantiles) == sorted(box.quantiles)
    assert box.censored == np.isinf(values).mean()
    assert np.isinf(box.quantiles[2]) == (np.isfinite(values).sum() < len(values) / 2)


@given(distances)
def test_censoring_what_lies_above_the_median_leaves_the_median(values):
    median = censored_box(values).quantiles[2]
    assert censored_box(np.where(values > median, np.inf, values)).quantiles[2] == median


@pytest.mark.parametrize("wrong", [[], [1.0, np.nan], [-1.0]])
def test_distances_that_are_none_are_refused(wrong):
    with pytest.raises(ValueError, match="distance"):
        censored_box(np.array(wrong))


def test_the_share_of_images_never_flipped_is_printed():
    curves, _ = robustness_inputs(["kh"], 1, ["pgd"])
    critical = {"pgd": {"kh": [np.array([1.0, np.inf, np.inf, np.inf])]}}
    assert "75 %" in texts(drawn(figures.robustness_figure(curves, critical)))


def test_boxes_that_are_infinite_throughout_can_be_drawn():
    critical = {"fgsm": {"kh": [np.full(5, np.inf)]}}
    assert "100 %" in texts(drawn(figures.robustness_figure({}, critical)))


@pytest.mark.parametrize("seeds", [1, 3])
def test_bands_about_the_curves_cover_the_images(seeds):
    """Of 40 images half survive in every seed: Clopper–Pearson's 0.34 to 0.66, whatever the seeds agree on."""
    distances = [np.r_[np.full(20, 0.5), np.full(20, 2.0)]] * seeds
    curves = {"pgd": {"kh": ([0.1, 1.0, 3.0], [[1.0, 0.5, 0.0]] * seeds)}}
    figure = figures.robustness_figure(curves, {"pgd": {"kh": distances}})
    [band] = figure.axes[0].collections
    heights = band.get_paths()[0].vertices
    at_half = heights[np.isclose(heights[:, 0], 1.0), 1]
    assert (at_half.min(), at_half.max()) == (pytest.approx(0.338, abs=1e-3), pytest.approx(0.662, abs=1e-3))
    assert heights[np.isclose(heights[:, 0], 3.0), 1].max() == pytest.approx(0.088, abs=1e-3)


def test_bars_of_accuracy_against_robustness_cover_the_images():
    shown = []
    for intervals in ((), ({"kh": [[0.4, 0.6]] * 2}, {"pgd": {"kh": [[0.5, 2.0]] * 2}})):
        figure = drawn(figures.accuracy_robustness_figure({"kh": [0.5, 0.5]}, {"pgd": {"kh": [1.0, 1.0]}}, *intervals))
        [bars] = figure.axes[0].containers
        shown.append([float(np.ptp(line.get_segments()[0], axis=0).max()) for line in bars.lines[2]])
    assert shown[0] == pytest.approx([0.0, 0.0])
    assert shown[1] == pytest.approx([0.2, 1.5])


def test_a_diverged_seed_changes_no_curve():
    epsilons, row = [0.1, 1.0, 2.0], [1.0, 0.6, 0.1]
    with_gap = figures.robustness_figure({"pgd": {"kh": (epsilons, [row, None, [None] * 3])}}, {"pgd": {"kh": [None]}})
    lines = [line for line in drawn(with_gap).axes[0].lines if len(line.get_xdata()) == 3]
    np.testing.assert_array_equal(lines[0].get_ydata(), row)


def test_seeds_of_unequal_length_are_refused():
    with pytest.raises(ValueError, match="needs 3 numbers"):
        members([[1.0, 2.0, 3.0], [1.0, 2.0]], "loss")


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=6).filter(lambda values: np.std(values) > 1e-6))
def test_the_interval_is_students(values):
    mean, half = mean_interval(np.array(values))
    low, high = scipy.stats.t.interval(0.95, len(values) - 1, np.mean(values), scipy.stats.sem(values))
    # Both compute the same expression in float64; cancellation in the sums costs a few digits.
    np.testing.assert_allclose([mean - half, mean + half], [low, high], rtol=1e-9, atol=1e-9)


def test_one_seed_has_no_interval():
    mean, half = mean_interval(np.array([0.5]))
    assert mean == 0.5
    assert np.isnan(half)


@pytest.mark.parametrize("seeds", [1, 3])
def test_the_fitted_line_of_an_exact_power_law_lies_on_it(seeds):
    figure = figures.model_spectra_figure({"images": {"kh": [power_law(1.7)] * seeds}})
    line = next(line for line in figure.axes[0].lines if len(line.get_xdata()) == 2)
    assert tuple(line.get_xdata()) == (5, 50)
    # Exact up to the rounding of logarithms and exponentials.
    np.testing.assert_allclose(line.get_ydata(), np.array([5.0, 50.0]) ** -1.7, rtol=1e-9)


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_break_is_marked_where_two_laws_meet_and_no_other(seeds):
    n = np.arange(1.0, 101.0)
    fit = PowerLawFit(1.0, 0.01, 0.99, (11, 100))
    broken = figures.SpectrumCurve(np.append(3.0 * broken_law(n, 0.4, 15.0, 1.6), [0.0, 0.0]), fit)  # two units pruned
    single = figures.SpectrumCurve(2.0 * n**-1.2, fit)
    figure = figures.model_spectra_figure({"images": {"kh": [broken] * seeds, "bp": [single] * seeds}})
    [mark] = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert mark.get_xdata()[0] == pytest.approx(15, rel=0.05)
    assert mark.get_ydata()[0] == pytest.approx(15**-0.4, rel=0.05)
    [told] = [name for name in texts(figure) if "◇" in name]
    assert told.startswith("kh: α = 1.00")
    assert told.endswith("(◇ 0.40, 1.60)")


def test_mouse_v1_is_shown_on_images_alone():
    figure = figures.model_spectra_figure({kind: {"kh": power_law(1.2)} for kind in ("images", "noise")})
    labels = [panel.get_legend_handles_labels()[1] for panel in figure.axes]
    assert ["mouse V1" in each for each in labels] == [True, False]


def test_a_pruned_spectrum_with_zeros_and_one_without_fit_can_be_drawn():
    curve = figures.SpectrumCurve(np.array([2.0, 1.0, 0.5, 0.0, 0.0]))
    figure = drawn(figures.model_spectra_figure({"images": {"kh": curve, "bp": [None]}}))
    assert len(figure.axes[0].lines[0].get_xdata()) == 3
    assert "kh: no fit" in texts(figure)


def test_the_error_of_an_exponent_is_the_regressions_or_that_over_seeds():
    def curve(alpha):
        return figures.SpectrumCurve(np.ones(3), PowerLawFit(alpha, 0.012, 1.0, (1, 3)))

    assert exponent_label([curve(2.0)]) == "α = 2.00 ± 0.01"
    # t(0.975, 2) · 0.1 / √3
    assert exponent_label([curve(1.9), curve(2.0), curve(2.1)]) == "α = 2.00 ± 0.25"


@pytest.mark.parametrize("value", [0.0, 1e-9, 1.0])
def test_landscapes_with_vanishing_norms_can_be_drawn(value):
    drawn(figures.landscape_figure({"kh": plane(value), "bp": plane()}))
    drawn(figures.landscape_figure({"kh": plane(value)}))


def test_points_without_finite_logits_get_no_class():
    broken = plane()
    broken.predicted_class[0, 0] = -1
    [classes] = drawn(figures.landscape_figure({"kh": broken}, ["one", "two", "three"])).axes[1].images
    np.testing.assert_array_equal(np.ma.getmaskarray(classes.get_array()), broken.predicted_class < 0)


def test_the_landscape_is_not_turned_around():
    norms = np.ones((9, 9))
    norms[8, 0] = 100.0
    figure = figures.landscape_figure({"kh": plane()._replace(jacobian_norm=norms)})
    image = figure.axes[0].images[0]
    assert image.origin == "lower"
    assert np.unravel_index(image.get_array().argmax(), (9, 9)) == (8, 0)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 49))
def test_the_rows_shown_are_distinct_and_of_both_kinds(kept, count):
    keep = np.array(kept)
    rows = chosen_rows(keep, count)
    assert len(set(rows.tolist())) == len(rows) == min(count, len(kept))
    if min(count, len(kept)) >= 2:
        assert set(keep[rows]) == set(kept)


@pytest.mark.parametrize(("side", "channels"), [(8, 1), (8, 3)])
def test_pruning_is_told_with_its_cut(side, channels):
    rows, cut = synapses(side, channels)
    spectra = {"images": (power_law(), [power_law()]), "noise": (None, power_law())}
    told = texts(drawn(figures.pruning_figure(rows, (side, side, channels), cut, spectra)))
    assert {"kept (15)", "pruned (5)", "cut at 0.1", "not available"} - set(told) == {"not available"}


def test_the_rows_that_are_shown_are_enough_with_the_variances_of_all():
    rows, cut = synapses()
    few = np.zeros_like(rows)
    shown = chosen_rows(cut.keep, 9)
    few[shown] = rows[shown]
    pictures = []
    for weights, variances in ((rows, None), (few, rows.var(axis=1))):
        figure = figures.pruning_figure(weights, (8, 8, 1), cut, {}, variances, tiles_per_row=3)
        stream = io.BytesIO()
        figure.savefig(stream, format="png", dpi=30)
        pictures.append(stream.getvalue())
    assert pictures[0] == pictures[1]


def test_a_single_mode_is_said_to_prune_nothing():
    rows, cut = synapses()
    whole = cut._replace(variance=None, keep=np.full(20, True), reason="nothing pruned: a single mode")
    told = texts(drawn(figures.pruning_figure(rows, (8, 8, 1), whole, {})))
    assert "nothing pruned: a single mode" in told
    assert not any(text.startswith("cut at") for text in told)


def test_training_curves_skip_what_is_missing_and_may_differ_in_length():
    short = figures.TrainingHistory([[2.0, 1.0], None], [None, None])
    histories_of = {"kh": short, **histories(["bp"], 2, 7)}
    figure = drawn(figures.training_curves_figure(histories_of, styles=STYLES))
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [2, 7]


def test_a_colour_bar_over_less_than_a_decade_has_ticks():
    flat = plane()
    norms = np.linspace(62.0, 72.0, flat.jacobian_norm.size).reshape(flat.jacobian_norm.shape)
    figure = figures.landscape_figure({"kh": flat._replace(jacobian_norm=norms)})
    drawn(figure)
    bar = figure.axes[-1]
    assert len([label for label in bar.get_yticklabels() if label.get_text()]) >= 2


@pytest.mark.parametrize("columns", [1, 3])
def test_the_legend_of_spectra_lies_within_the_figure(columns):
    names = ["Krotov–Hopfield", "backprop, accuracy-matched", "random filters", "k-means, whitened", "SoftHebb"]
    taps = {f"stages.{tap}": {name: np.geomspace(1, 1e-3, 20)[None] for name in names} for tap in range(columns)}
    figure = drawn(figures.tap_spectra_figure({"images": taps}))
    [legend] = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0
    assert box.x1 <= figure.bbox.x1


def test_a_seed_that_is_missing_and_a_dead_layer_have_no_spectrum_and_leave_the_others():
    spectra = {"kh": np.stack([np.geomspace(1, 1e-3, 20), np.full(20, np.nan)]), "l2": np.zeros((1, 20))}
    spectra["bp"] = np.zeros((0, 0))
    [panel] = drawn(figures.tap_spectra_figure({"images": {"hidden": spectra}})).axes
    assert len(panel.lines) == 1


def test_shares_near_zero_have_ticks_that_differ():
    entry = {
        "test_accuracy": [0.7],
        "test_accuracy_interval": [[0.69, 0.71]],
        "worst_case": [0.0],
        "worst_case_interval": [[0.0, 0.02]],
    }
    up, across = (Axis(path, path[0], share=True) for path in (("worst_case",), ("test_accuracy",)))
    [panel] = drawn(figures.depth_figure({"kh": {1: entry}}, across, [up])).axes
    labels = [label.get_text() for label in panel.get_yticklabels()]
    assert len(labels) == len(set(labels)) > 2
