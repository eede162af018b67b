"""The figures of question 2."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.models import label
from experiments.questions.dimension.claims import alphas, bound, manifolds
from experiments.questions.drawing import mean_log, middle, style_of
from experiments.report.claims import Results
from experiments.report.figures import Missing
from experiments.report.numbers import dig
from experiments.results.figure_arrays import Arrays
from jax_bioadv.data.manifolds import spectral_exponent
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.style import FAINT, GREY, INK, in_shared_style, letter, new_figure, settle


def makers(results: Results, arrays: Arrays) -> Mapping[str, Callable[[], Figure]]:
    """Every figure by the name of its file."""
    return {
        "exponents": partial(exponents, results),
        "dimensions": partial(dimensions, results),
        "spectra": partial(spectra, results, arrays),
    }


def _lines(panel: Axes, entries: Mapping[int, Any], kind: str, measure: str) -> None:
    """The data's numbers, and a line for each model over the dimensions, with its intervals."""
    data = {one: middle(dig(entry, "data", measure)) for one, entry in entries.items()}
    there = [(one, found[0]) for one, found in data.items() if found is not None]
    if there:
        panel.plot(*zip(*there, strict=True), "*", color=INK, markersize=11, label="the data", zorder=5)
    for model in dict.fromkeys(model for entry in entries.values() for model in dig(entry, "models") or {}):
        found = {one: middle(dig(entry, "models", model, kind, measure)) for one, entry in entries.items()}
        known = [(one, *each) for one, each in found.items() if each is not None]
        if known:
            x, centres, lows, highs = (np.array(column) for column in zip(*known, strict=True))
            style = style_of(model)
            panel.plot(x, centres, color=style.color, linestyle=style.dashes, marker=style.marker, label=label(model))
            panel.vlines(x, lows, highs, color=style.color, linewidth=1.2)


def _over_dimensions(panel: Axes, entries: Iterable[int]) -> None:
    panel.set_xscale("log")
    panel.set_xticks(list(entries), [str(one) for one in entries])
    panel.minorticks_off()
    panel.set_xlabel("dimension d of the data")


@in_shared_style
def exponents(results: Results) -> Figure:
    entries = manifolds(results)
    require({str(one): entry for one, entry in entries.items() if any(alphas(entry, "kh") or [])}, "exponent")
    figure = new_figure(12.5, 5.4)
    panels = figure.subplots(1, 2, sharey=True)
    fine = np.geomspace(min(entries), max(entries), 100)
    theory = [spectral_exponent(float(one), results["settings"]["dimension"]["smoothness"]) for one in fine]
    titles = {"preactivation": "before the nonlinearity", "activation": "after it"}
    for panel, (kind, title) in zip(panels, titles.items(), strict=True):
        panel.plot(fine, theory, color=GREY, linestyle=":", label="1 + 2ν/d")
        panel.fill_between(fine, 0, [bound(one) for one in fine], color=FAINT, label="below 1 + 2/d")
        _lines(panel, entries, kind, "alpha")
        _over_dimensions(panel, entries)
        panel.set_title(title, fontsize=12)
    panels[0].set_ylabel("exponent α")
    panels[0].set_ylim(bottom=0)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    letter(list(panels))
    settle(panels)
    return figure


@in_shared_style
def dimensions(results: Results) -> Figure:
    entries = manifolds(results)
    require({str(one): entry for one, entry in entries.items()}, "manifold")
    figure = new_figure(12.5, 5.4)
    panels = figure.subplots(1, 2, sharey=True)
    titles = {"two_nearest": "TwoNN", "maximum_likelihood": "maximum likelihood"}
    for panel, (name, title) in zip(panels, titles.items(), strict=True):
        panel.plot(list(entries), list(entries), color=GREY, linewidth=1, label="d")
        _lines(panel, entries, "preactivation", name)
        _over_dimensions(panel, entries)
        panel.set_title(title, fontsize=12)
    panels[0].set(ylabel="dimension that is found", yscale="log")
    panels[0].set_yticks(list(entries), [str(one) for one in entries])
    panels[0].minorticks_off()
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize=10)
    letter(list(panels))
    settle(panels)
    return figure


@in_shared_style
def spectra(results: Results, arrays: Arrays) -> Figure:
    sets = [name for name in dig(results, "sets") or {} if f"spectrum/{name}/data" in arrays]
    if not sets:
        raise Missing("there are no spectra to draw")
    columns = min(len(sets), 4)
    count = -(-len(sets) // columns)
    figure = new_figure(3.6 * columns, 0.8 + 3.1 * count)
    panels = figure.subplots(count, columns, squeeze=False).ravel()
    for panel, name in zip(panels, sets, strict=False):
        models = [model for model in dig(results, "sets", name, "models") if f"spectrum/{name}/{model}" in arrays]
        for what in ("data", *models):
            values = mean_log(arrays, f"spectrum/{name}/{what}")
            n = np.arange(1, len(values) + 1)
            color, dashes = (INK, ":") if what == "data" else (style_of(what).color, "-")
            words = "the data" if what == "data" else label(what)
            panel.loglog(n, values / values[0], color=color, linewidth=1.6, linestyle=dashes, label=words)
        panel.set_title(name, fontsize=12)
        panel.set_ylim(1e-10, 3)
    for panel in panels[len(sets) :]:
        panel.set_visible(False)
    for panel in panels[max(0, len(sets) - columns) : len(sets)]:
        panel.set_xlabel("n")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    settle(panels[: len(sets)])
    return figure
