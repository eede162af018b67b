"""The figures of question 1, of its results.json and figures.npz alone; here those that results.json is enough for."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.attacks import ATTACK_LABELS
from experiments.models import CONTROLS, ROWS, STYLES, label
from experiments.questions.deciding import alignments
from experiments.questions.drawing import cross, curve, middle, style_of
from experiments.questions.why import array_figures
from experiments.questions.why.adding import ADDING
from experiments.questions.why.plan import START
from experiments.report.claims import Results
from experiments.report.numbers import dig
from experiments.results.figure_arrays import Arrays
from jax_bioadv import figures
from jax_bioadv.analysis.broken_power_law import MOUSE_V1
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.spectra import V1_COLOR
from jax_bioadv.figures.style import (
    FAINT,
    GREY,
    INK,
    in_shared_style,
    letter,
    new_figure,
    plain_logarithmic_ticks,
    settle,
)


def makers(results: Results, arrays: Arrays) -> Mapping[str, Callable[[], Figure]]:
    """Every figure by the name of its file."""
    return {
        "adding": partial(adding, results),
        "spectra": partial(array_figures.spectra, results, arrays),
        "alignment": partial(array_figures.alignment, results, arrays),
        "courses": partial(courses, results),
        "rest": partial(array_figures.rest, results, arrays),
        "settings": partial(variants, results),
        "rows": partial(array_figures.rows, arrays),
        "robustness": partial(robustness, results),
        "broken": partial(broken, results),
    }


@in_shared_style
def adding(results: Results) -> Figure:
    entries = alignments(results)
    require(entries, "exponent")
    figure = new_figure(13.5, 5.6)
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for panel, key, words in zip(
        panels, ("sum", "unaligned"), ("α on noise + α of the images", "α with random singular vectors"), strict=True
    ):
        for model, entry in entries.items():
            cross(panel, entry[key], entry["measured"], style_of(model), label(model))
        panel.set(xlabel=words)
    top = 1.08 * max(panels[0].get_xlim()[1], panels[0].get_ylim()[1])
    for panel in panels:
        line = np.array([0, top])
        panel.plot(line, line, color=INK, linewidth=1, zorder=1)
        panel.fill_between(line, (1 - ADDING) * line, (1 + ADDING) * line, color=FAINT, zorder=0)
        panel.set(xlim=(0, top), ylim=(0, top))
    panels[0].set_ylabel("α on test images, measured")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right center", fontsize=9.5)
    letter(list(panels))
    settle(panels)
    return figure


@in_shared_style
def courses(results: Results) -> Figure:
    names = {"kh": "Krotov–Hopfield, from images", "noise_start": "Krotov–Hopfield, from noise", "bp": "backprop"}
    shown = {name: one for name in names if (one := dig(results, "courses", name)) and any(one["exponents"])}
    require(shown, "course")
    figure = new_figure(4.4 * len(shown), 7.2)
    panels = figure.subplots(2, len(shown), sharex="col", sharey="row", squeeze=False)
    curves = {"images": ("on images", "#0072B2"), "sum": ("sum", INK), "layer": ("on noise", "#D55E00")}
    for column, (name, course) in enumerate(shown.items()):
        above, below = panels[:, column]
        for key, (words, color) in curves.items():
            curve(above, course, key, color, words)
        curve(below, course, "nearby", "#009E73", "aligned share")
        curve(below, course, "by_chance", GREY, "by chance")
        above.set_title(names[name], fontsize=12)
        below.set_xlabel("epoch")
        below.set_xscale("symlog", linthresh=1)
        below.set_xticks(course["epochs"], [str(epoch) for epoch in course["epochs"]])
        below.minorticks_off()
    panels[0, 0].set_ylabel("exponent α")
    panels[1, 0].set(ylabel="share of directions", ylim=(0, 1))
    panels[0, -1].legend(fontsize=10)
    panels[1, -1].legend(fontsize=10)
    settle(panels.ravel())
    return figure


@in_shared_style
def variants(results: Results) -> Figure:
    entries = {name: one for name, one in (dig(results, "variants") or {}).items() if dig(one, "layer")}
    require(entries, "layer with another setting")
    figure = new_figure(12.0, 1.4 + 0.42 * len(entries))
    panels = figure.subplots(1, 3, sharey=True)
    titles = {"layer": "α on noise", "images": "α on images", "nearby": "aligned share"}
    for panel, (key, words) in zip(panels, titles.items(), strict=True):
        for place, (name, entry) in enumerate(entries.items()):
            found = middle(entry[key])
            if found is None:
                continue
            color = "#0072B2" if name == "base" else INK
            panel.plot(found[1:], [place] * 2, color=color, linewidth=2)
            panel.plot([found[0]], [place], "o", color=color, markersize=7)
            if name == "base":
                panel.axvline(found[0], color=color, linewidth=0.8, linestyle="--")
        panel.set_xlabel(words)
    panels[0].set_yticks(range(len(entries)), list(entries))
    panels[0].invert_yaxis()
    settle(panels)
    return figure


def robustness(results: Results) -> Figure:
    pairs: Sequence[Mapping[str, Any]] = results["comparisons"]
    return figures.comparison_figure(pairs, START, STYLES, (*CONTROLS, *ROWS), ATTACK_LABELS)


@in_shared_style
def broken(results: Results) -> Figure:
    models = dig(results, "models") or {}
    entries = {model: one["broken"] for model, one in models.items() if dig(one, "broken", "first_alpha")}
    require(entries, "broken power law")
    figure = new_figure(13.0, 1.4 + 0.34 * len(entries))
    panels = figure.subplots(1, 3, sharey=True)
    titles = {"first_alpha": "α before the break", "break_at": "break at n", "second_alpha": "α after the break"}
    for panel, (key, words) in zip(panels, titles.items(), strict=True):
        middle, low, high = MOUSE_V1[key]
        panel.axvspan(low, high, color=V1_COLOR, zorder=0)
        panel.axvline(middle, color="#2E7D4F", linewidth=1.4, label="mouse V1")
        for place, (model, entry) in enumerate(entries.items()):
            cross(panel, entry[key], [place], style_of(model))
        panel.set_xlabel(words)
    panels[1].set_xscale("log")
    plain_logarithmic_ticks(panels[1].xaxis, *panels[1].get_xlim())
    panels[0].set_yticks(range(len(entries)), [label(model) for model in entries], fontsize=9.5)
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=9.5)
    settle(panels)
    return figure
