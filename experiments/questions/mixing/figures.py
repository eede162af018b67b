"""The figures of questions 4 and 5, from results.json alone."""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.models import label
from experiments.questions.drawing import style_of
from experiments.questions.mixing import boundary, front
from experiments.questions.mixing.networks import WORDS, Networks, networks_of, published_one
from experiments.report.claims import Results
from experiments.results.figure_arrays import Arrays
from jax_bioadv.analysis.pareto import on_front
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.style import GREY, INK, in_shared_style, letter, new_figure, plain_logarithmic_ticks, settle

COLORS = {"all networks": "#0072B2", "mixes alone": "#D55E00"}


def of_mixing(results: Results, arrays: Arrays) -> Mapping[str, Callable[[], Figure]]:
    """Those of question 4, by the name of their file."""
    return {"front": partial(fronts, results), "gains": partial(gains, results)}


def of_boundaries(results: Results, arrays: Arrays) -> Mapping[str, Callable[[], Figure]]:
    """Those of question 5."""
    return {"correlations": partial(correlations, results), "boundaries": partial(boundaries, results)}


def _scatter(panel: Axes, found: Networks, x: np.ndarray, y: np.ndarray) -> None:
    """A marker for each network, the mean of its seeds; that of the paper is ringed."""
    for model in dict.fromkeys(found.models):
        at = [place for place, one in enumerate(found.models) if one == model]
        style = style_of(model)
        panel.plot(
            x[at],
            y[at],
            style.marker,
            color=style.color,
            markersize=6.5,
            alpha=0.75,
            linestyle="none",
            label=label(model),
        )
    if (ours := published_one(found)) is not None:
        panel.plot(x[ours], y[ours], "o", markersize=15, fillstyle="none", color=INK, markeredgewidth=1.6)


@in_shared_style
def fronts(results: Results) -> Figure:
    found = networks_of(results)
    require(dict.fromkeys(found.names), "network")
    figure = new_figure(13.5, 5.4)
    panels = figure.subplots(1, 2, sharey=True, width_ratios=(1, 1))
    accuracy, distance = found.accuracy.mean(axis=1), np.exp(found.robustness.mean(axis=1))
    _scatter(panels[0], found, 100 * accuracy, distance)
    mixes = np.array(found.mixes, int)
    if len(mixes):
        on_it = mixes[on_front(accuracy[mixes], found.robustness[mixes].mean(axis=1))]
        on_it = on_it[np.argsort(accuracy[on_it])]
        panels[0].step(
            100 * accuracy[on_it], distance[on_it], where="pre", color=GREY, linewidth=1.4, label="front of the mixes"
        )
    panels[0].set(xlabel="test accuracy, %", ylabel="median critical L₂ distance", yscale="log")
    epochs = np.array([one.get("backprop.epochs", one.get("decoder.epochs")) for one in found.changed], float)
    powers = np.array([one["decoder.power"] for one in found.changed])
    sizes = {power: 5 + 3 * place for place, power in enumerate(sorted(set(powers)))}
    for place in found.mixes:
        style = style_of(found.models[place])
        panels[1].plot(
            found.measures["jacobian_norm"][place].mean(),
            distance[place],
            style.marker,
            color=style.color,
            markersize=sizes[powers[place]],
            alpha=0.35 + 0.6 * float(epochs[place] / epochs[found.mixes].max()),
        )
    panels[1].set_xlabel("log mean ‖∂a/∂x‖ (larger marker: larger n; darker: more epochs)")
    plain_logarithmic_ticks(panels[0].yaxis, *panels[0].get_ylim())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    letter(list(panels))
    settle(panels)
    return figure


@in_shared_style
def gains(results: Results) -> Figure:
    found = networks_of(results)
    sets = dict(zip(COLORS, (found, found.only(found.mixes)), strict=True))
    known = {
        question: {where: one for where, some in sets.items() if (one := front.gain(some, *asked)) is not None}
        for question, asked in front.PREDICTIONS.items()
    }
    require({question: one for question, one in known.items() if one}, "prediction")
    figure = new_figure(9.5, 1.6 + 0.42 * len(known))
    panel = figure.subplots()
    for place, by_set in enumerate(known.values()):
        for offset, (where, one) in zip((-0.13, 0.13), by_set.items(), strict=False):
            ends = np.clip([100 * end for end in one.interval], -60, 100)
            panel.plot(ends, [place + offset] * 2, color=COLORS[where], linewidth=2)
            panel.plot(
                [max(100 * one.share, -60)], [place + offset], "o", color=COLORS[where], label="" if place else where
            )
    panel.axvline(0, color=INK, linewidth=0.8)
    panel.axvline(100 * front.GAIN, color=GREY, linewidth=1, linestyle="--")
    panel.set_yticks(range(len(known)), list(known))
    panel.set(xlabel="squared error of the log distance that is taken away, %, networks not seen", xlim=(-62, 100))
    panel.invert_yaxis()
    figure.legend(*panel.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    settle([panel])
    return figure


@in_shared_style
def correlations(results: Results) -> Figure:
    asked = boundary.read_correlations(results)
    known = {key: one for key, one in asked.items() if any(one.values())}
    require(known, "correlation")
    figure = new_figure(13.5, 1.8 + 0.36 * len(known) / 2)
    panels = figure.subplots(1, 2, sharex=True)
    for panel, of in zip(panels, boundary.BOUNDARY, strict=True):
        keys = [key for key in known if boundary.ASKED[key][0] == of]
        for place, key in enumerate(keys):
            for offset, where in zip((-0.14, 0.14), boundary.WHERE, strict=True):
                if (one := known[key][where]) is None:
                    continue
                panel.plot(one.interval, [place + offset] * 2, color=COLORS[where], linewidth=2)
                face = COLORS[where] if boundary.direction(one) else "white"
                words = "" if place else where
                panel.plot(
                    [one.spearman], [place + offset], "o", color=COLORS[where], markerfacecolor=face, label=words
                )
        panel.axvline(0, color=INK, linewidth=0.8)
        panel.set_yticks(range(len(keys)), [_row(key) for key in keys], fontsize=9.5)
        panel.set(xlim=(-1, 1), xlabel=f"partial ρ with {WORDS[of]}")
        panel.invert_yaxis()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    letter(list(panels))
    settle(panels)
    return figure


def _row(key: str) -> str:
    """What is correlated, and what is held fixed besides accuracy."""
    _, name, fixed = boundary.ASKED[key]
    also = {boundary.SMOOTH[-1]: ", smoothness known", boundary.SPECTRUM[-1]: ", spectrum known"}
    return f"{WORDS[name]}{also.get(fixed[-1], '')}"


@in_shared_style
def boundaries(results: Results) -> Figure:
    found = networks_of(results)
    require(dict.fromkeys(found.names), "network")
    figure = new_figure(14.0, 5.2)
    panels = figure.subplots(1, 3, sharey=True)
    length = np.exp(found.measures["boundary_length"].mean(axis=1))
    for panel, name in zip(panels, ("alpha_images", "alpha_noise", "jacobian_norm"), strict=True):
        values = found.measures[name].mean(axis=1)
        _scatter(panel, found, np.exp(values) if name == "jacobian_norm" else values, length)
        panel.set_xlabel(WORDS[name])
    panels[2].set_xscale("log")
    panels[0].set(ylabel="boundary length per area", yscale="log")
    plain_logarithmic_ticks(panels[0].yaxis, *panels[0].get_ylim())
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=10)
    letter(list(panels))
    settle(panels)
    return figure
