"""The figures of evidence: comparisons, threat models, bounds, and smoothness against robustness."""

import math

import matplotlib
import matplotlib.pyplot
import numpy as np
import pytest
from evidence_cases import CONTROLS, PAPER, evidence
from figure_cases import drawn, texts

from experiments.attacks import ATTACK_LABELS, attack_labels
from experiments.models import STYLES, label
from experiments.threats import THREAT_LABELS
from jax_bioadv import figures
from jax_bioadv.figures.comparisons import ratios_to
from jax_bioadv.figures.seeds import overall_at
from jax_bioadv.figures.smoothness import members, predictors

FIGURES = {
    "comparisons": lambda results: figures.comparison_figure(
        results["comparisons"], "kh", STYLES, CONTROLS, ATTACK_LABELS
    ),
    "threats": lambda results: figures.threat_figure(results["models"], STYLES, ATTACK_LABELS, THREAT_LABELS),
    "bounds": lambda results: figures.bounds_figure(results["models"], STYLES),
    "corruptions": lambda results: figures.corruption_figure(results["models"], STYLES),
    "smoothness": lambda results: figures.smoothness_figure(
        results["models"], results["correlations"], "pgd", STYLES, ATTACK_LABELS
    ),
}


def assert_legends_lie_within(figure):
    assert figure.legends
    for legend in figure.legends:
        box = legend.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


@pytest.mark.parametrize("models", [PAPER, PAPER + CONTROLS])
@pytest.mark.parametrize("threats", [("raw_l2",), ("unit_linf", "raw_l2")])
def test_the_legend_of_few_threats_lies_within_the_figure(models, threats):
    results = evidence(1, models)
    for model in results["models"].values():
        model["robust_accuracy"] = {threat: model["robust_accuracy"][threat] for threat in threats}
    assert_legends_lie_within(drawn(FIGURES["threats"](results)))


@pytest.mark.parametrize("name", ["bounds", "corruptions", "smoothness"])
def test_the_legend_of_the_papers_models_lies_within_the_figure(name):
    assert_legends_lie_within(drawn(FIGURES[name](evidence(1, PAPER))))


@pytest.mark.parametrize("attacks", [("pgd",), ("fgsm", "pgd"), ("gaussian", "fgsm", "pgd")])
def test_the_legend_of_fourteen_accuracies_lies_within_the_figure(attacks):
    models = PAPER + CONTROLS
    medians = {attack: {model: [1.0 + place] for place, model in enumerate(models)} for attack in attacks}
    figure = drawn(figures.accuracy_robustness_figure({model: [0.5] for model in models}, medians))
    assert_legends_lie_within(figure)


@pytest.mark.parametrize(("seeds", "models"), [(1, ("kh", "bp")), (3, PAPER + CONTROLS)])
@pytest.mark.parametrize("name", list(FIGURES))
def test_each_figure_names_every_model_and_leaves_no_trace(name, seeds, models):
    before = dict(matplotlib.rcParams)
    figure = drawn(FIGURES[name](evidence(seeds, models)))
    assert dict(matplotlib.rcParams) == before
    assert matplotlib.pyplot.get_fignums() == []
    assert {label(model) for model in models if model != "kh"} <= set(texts(figure))
    if name != "comparisons":  # whose rows are named
        assert_legends_lie_within(figure)


def emptied(entry):
    if isinstance(entry, dict):
        return {key: emptied(value) for key, value in entry.items()}
    return [None] * len(entry) if isinstance(entry, list) else entry


@pytest.mark.parametrize("name", list(FIGURES))
def test_a_model_whose_seeds_all_diverged_is_drawn_around(name):
    results = evidence(2, ("kh", "bp", "l2"))
    results["models"]["bp"] = emptied(results["models"]["bp"])
    for pair in results["comparisons"]:
        if "bp" in (pair["first"], pair["second"]):
            pair |= {"log_ratio": None, "log_ratio_interval": None, "p": None, "p_corrected": None, "better": None}
    drawn(FIGURES[name](results))


@pytest.mark.parametrize("name", list(FIGURES))
@pytest.mark.parametrize("empty", ["nothing", "no numbers"])
def test_nothing_to_draw_is_refused(name, empty):
    models = {} if empty == "nothing" else {"kh": {"test_accuracy": [0.5], "certified_l2": {}, "critical_l2": {}}}
    with pytest.raises(ValueError, match=r"there is no .+ to draw"):
        FIGURES[name]({"models": models, "comparisons": [], "correlations": []})


def test_ratios_turn_with_the_pair():
    pair = {"attack": "pgd", "first": "bp", "second": "kh", "log_ratio": -0.5, "log_ratio_interval": [-0.7, -0.2]}
    ratio = ratios_to([pair], "kh")["pgd"]["bp"]
    assert ratio.value == pytest.approx(math.exp(0.5))
    assert ratio.interval == pytest.approx((math.exp(0.2), math.exp(0.7)))
    assert not ratio.decided
    assert ratios_to([pair], "l2") == {}
    pair["log_ratio_interval"] = [None, -0.2]
    assert ratios_to([pair], "kh")["pgd"]["bp"].interval == (pytest.approx(math.exp(0.2)), math.inf)


def test_an_interval_without_an_end_has_an_arrow():
    pair = {"attack": "pgd", "first": "kh", "second": "bp", "log_ratio": 0.5, "log_ratio_interval": [0.2, None]}
    [panel] = drawn(figures.comparison_figure([pair], "kh")).axes
    [at_the_edge] = [line for line in panel.lines if list(line.get_xdata()) == [panel.get_xlim()[1]]]
    assert at_the_edge.get_marker() == ">"


def test_the_bar_is_the_worst_case():
    results = evidence(1, ("kh",))
    entry = results["models"]["kh"]["robust_accuracy"]
    entry["raw_l2"] |= {"worst_case": [0.25], "worst_case_interval": [[0.2, 0.3]]}
    figure = FIGURES["threats"]({"models": {"kh": {"robust_accuracy": {"raw_l2": entry["raw_l2"]}}}})
    assert [patch.get_height() for patch in figure.axes[0].patches] == [0.25]
    assert "L₂, raw pixels, ε = 0.5" in texts(figure)


def test_strengths_on_raw_pixels_are_told_in_levels():
    assert "L∞, raw pixels, ε = 8/255" in texts(FIGURES["threats"](evidence(1, ("kh",))))


def test_what_is_not_known_lies_between_the_best_certificate_and_the_best_attack():
    medians = {"lipschitz": 0.01, "relaxation": 0.03, "upper": 0.2}
    entry = {bound: {"median": [value]} for bound, value in medians.items()}
    figure = figures.bounds_figure({"kh": {"certified_l2": entry}})
    spans = [line.get_xdata() for line in figure.axes[0].lines if line.get_linewidth() == 9]
    np.testing.assert_array_equal(spans, [[0.03, 0.2]])


def test_correlations_given_stand_in_the_panel():
    results = evidence(2, PAPER)
    told = texts(figures.smoothness_figure(results["models"], results["correlations"]))
    assert "ρ = −0.80 [−0.92, −0.50], p = 0.002" in told


def test_a_run_without_measures_of_smoothness_still_has_the_jacobian():
    models = {m: {k: e[k] for k in ("jacobian_norm", "critical_l2")} for m, e in evidence(1)["models"].items()}
    assert list(predictors(models)) == ["jacobian_frobenius"]
    drawn(figures.smoothness_figure(models))


def test_members_pair_seeds_and_skip_what_is_missing_but_not_what_is_infinite():
    measure = {"kh": np.array([1.0, np.nan, 3.0]), "bp": np.array([np.nan])}
    distance = {"kh": np.array([4.0, 5.0, np.inf]), "bp": np.array([1.0])}
    pairs = members(measure, distance)
    assert list(pairs) == ["kh"]
    np.testing.assert_array_equal(pairs["kh"], [[1.0, 4.0], [3.0, np.inf]])


def censored_results():
    """Three of five seeds of kh, and two of bp, whose median no attack reaches: null in JSON."""
    results = evidence(5, PAPER)
    for model, medians in (("kh", [None, 0.2, None, 0.02, None]), ("bp", [None, 0.2, 0.15, 0.02, None])):
        entry = {"median": medians, "censored": [0.6 if one is None else 0.1 for one in medians]}
        results["models"][model]["critical_l2"]["pgd"] = entry
        results["models"][model]["certified_l2"]["upper"] = entry
    return results


def test_seeds_that_no_attack_turned_are_not_dropped_from_the_bounds():
    panel = drawn(figures.bounds_figure(censored_results()["models"], STYLES)).axes[0]
    edge = panel.get_xlim()[1]
    arrows = [line for line in panel.lines if line.get_marker() == "$\u2192$"]
    names = [tick.get_text() for tick in panel.get_yticklabels()]
    assert [names[line.get_ydata()[0]] for line in arrows] == [label("kh"), label("bp")]
    assert all(line.get_xdata()[0] == pytest.approx(edge) for line in arrows)
    dotted = [line.get_xdata()[0] for line in panel.lines if line.get_linestyle() == ":"]
    assert dotted == pytest.approx([edge, 0.2]), "of kh it is infinite, of bp the median over seeds"


def test_members_that_no_attack_turned_stand_at_the_edge_of_the_panels():
    models = {m: {k: e[k] for k in ("jacobian_norm", "critical_l2")} for m, e in censored_results()["models"].items()}
    panel = drawn(figures.smoothness_figure(models)).axes[0]
    edge = [line for line in panel.lines if line.get_marker() == "^" and line.get_clip_on() is False]
    assert sorted(len(line.get_xdata()) for line in edge) == [2, 3]


def test_the_floor_of_a_permutation_test_is_a_bound():
    results = evidence(2, PAPER)
    correlations = [{**one, "p_at_floor": True} for one in results["correlations"]]
    assert "ρ = −0.80 [−0.92, −0.50], p ≤ 0.002" in texts(figures.smoothness_figure(results["models"], correlations))


@pytest.mark.parametrize(
    ("entry", "centre", "interval"),
    [
        ({"median": [2.0], "median_interval": [[1.0, 3.0]]}, 2.0, (1.0, 3.0)),
        ({"median": [2.0]}, 2.0, None),
        ({"median": [None, 2.0]}, 2.0, None),
        ({"median": [None, 2.0], "censored": [0.7, 0.1]}, np.inf, (2.0, np.inf)),
        ({"median": [None, 2.0, 3.0], "median_interval": [[1.0, None], [1, 3], [2, 4]]}, 3.0, (1.0, np.inf)),
        ({"median": [0.9, 1.0, 1.1]}, 1.0, (0.7516, 1.2484)),
        ({"median": [0.9, 1.0, 1.1], "median_interval": [[0.7, 1.1], [0.8, 1.2], [0.9, 1.3]]}, 1.0, (0.6811, 1.3189)),
    ],
)
def test_an_interval_is_over_seeds_and_images(entry, centre, interval):
    found = overall_at(entry, "median")
    assert found.centre == pytest.approx(centre)
    assert found.interval == (interval if interval is None else pytest.approx(interval, abs=1e-4))


@pytest.mark.parametrize("entry", [{"median": [None]}, {}, None])
def test_what_is_missing_has_no_interval(entry):
    assert overall_at(entry, "median") is None


def test_controls_are_thinner_than_the_papers_models_and_told_apart_by_marker():
    styles = figures.model_styles(PAPER + CONTROLS, STYLES)
    assert min(styles[model].width for model in PAPER) > max(styles[model].width for model in CONTROLS)
    assert len({style.marker for style in styles.values()}) == len(styles)
    assert len({style.dashes for model, style in styles.items() if model in CONTROLS}) >= 7


def test_every_name_of_a_control_is_spoken():
    assert all("_" not in label(model) for model in CONTROLS)
    assert label("bp_power") == "backprop, KH's power"
    assert label("my_own_model") == "my own model"


def test_attacks_come_in_the_registrys_order_and_others_behind_by_their_own_names():
    found = {"gaussian": "Gaussian noise", "pgd": "PGD", "apgd_dlr": "APGD-DLR", "my_own": "my own", "zeta": "zeta"}
    assert list(attack_labels(["zeta", "apgd_dlr", "my_own", "pgd", "gaussian"]).items()) == list(found.items())
    assert figures.named(["zeta", "pgd"]) == {"pgd": "pgd", "zeta": "zeta"}
