"""The figures of question 1, from its results.json and figures.npz alone."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.attacks import ATTACK_LABELS
from experiments.models import CONTROLS, ROWS, STYLES, label
from experiments.questions.why.adding import ADDING
from experiments.questions.why.deciding import alignments
from experiments.questions.why.results import START
from experiments.report.claims import Results
from experiments.report.figures import Missing
from experiments.report.numbers import dig, per_seed
from experiments.results.figure_arrays import FILE, Arrays
from jax_bioadv import figures
from jax_bioadv.analysis.crossed import overall
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.style import (
    FAINT,
    GREY,
    INK,
    ModelStyle,
    in_shared_style,
    letter,
    new_figure,
    plain_logarithmic_ticks,
    settle,
)

SHOWN = ("kh", "kh_start", "kmeans", "rows_gaussian", "bp", "spectral", "random", "rows_white")
"""Whose spectra are drawn, where they are there."""
V1 = {"first_alpha": (0.52, 0.44, 0.63), "break_at": (15.0, 10.0, 24.0), "second_alpha": (1.20, 1.12, 1.28)}
"""Mouse V1: median and range of seven recordings (Pospisil & Pillow, PNAS 2025)."""


def makers(results: Results, arrays: Arrays) -> Mapping[str, Callable[[], Figure]]:
    """Every figure by the name of its file."""
    return {
        "adding": partial(adding, results),
        "spectra": partial(spectra, results, arrays),
        "alignment": partial(alignment, results, arrays),
        "courses": partial(courses, results),
        "rest": partial(rest, results, arrays),
        "settings": partial(variants, results),
        "rows": partial(rows, arrays),
        "robustness": partial(robustness, results),
        "broken": partial(broken, results),
    }


def _style(name: str) -> ModelStyle:
    return figures.model_styles([name], STYLES)[name]


def _middle(values: Any) -> tuple[float, float, float] | None:
    """Centre and ends over seeds; of one seed the centre alone."""
    found = overall(per_seed(values))
    if found is None:
        return None
    low, high = found.interval or (found.centre, found.centre)
    return found.centre, low, high


def _cross(panel: Axes, x: Any, y: Any, style: ModelStyle, name: str = "") -> None:
    """A marker with its intervals."""
    one, other = _middle(x), _middle(y)
    if one is None or other is None:
        return
    panel.plot(one[1:], [other[0]] * 2, color=style.color, linewidth=1.2)
    panel.plot([one[0]] * 2, other[1:], color=style.color, linewidth=1.2)
    panel.plot([one[0]], [other[0]], style.marker, color=style.color, markersize=8, label=name, linestyle="none")


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
            _cross(panel, entry[key], entry["measured"], _style(model), label(model))
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


def _mean_log(arrays: Arrays, path: str) -> np.ndarray:
    """Geometric mean over seeds."""
    if not arrays:
        raise Missing(f"there is no {FILE} beside results.json")
    values = np.asarray(arrays[path], np.float64)
    return np.exp(np.log(np.where(values > 0, values, np.nan)).mean(axis=0))


@in_shared_style
def spectra(results: Results, arrays: Arrays) -> Figure:
    shown = [model for model in SHOWN if f"spectrum/{model}/measured" in arrays]
    if not shown:
        raise Missing("there are no spectra to draw")
    columns = min(len(shown), 4)
    count = -(-len(shown) // columns)
    figure = new_figure(3.6 * columns, 0.7 + 3.3 * count)
    panels = figure.subplots(count, columns, sharex=True, squeeze=False).ravel()
    for panel, model in zip(panels, shown, strict=False):
        found = {
            kind: _mean_log(arrays, f"spectrum/{model}/{kind}") for kind in ("measured", "layer", "inputs", "unaligned")
        }
        first = found["measured"][0]
        product = found["layer"] * found["inputs"]
        last = min(map(len, found.values()))
        n = np.arange(1, last + 1)
        panel.loglog(
            n, found["unaligned"][:last] / first, color=GREY, linewidth=1.6, linestyle=":", label="random vectors"
        )
        panel.loglog(n, found["measured"][:last] / first, color=_style(model).color, linewidth=3, label="measured")
        panel.loglog(n, product[:last] / first, color=INK, linewidth=1.3, linestyle="--", label="σ² c: aligned")
        panel.set_title(label(model), fontsize=12)
        window = dig(results, "models", model, "alignment", "window") or []
        for ends in window[:1]:
            if ends is not None:
                panel.axvspan(*ends, color=FAINT, alpha=0.6, zorder=0)
        low = np.nanmin(found["measured"][: max(2, last * 3 // 4)] / first)
        panel.set_ylim(max(low / 5, 1e-12), 3)
    for panel in panels[len(shown) :]:
        panel.set_visible(False)
    for panel in panels[-columns:]:
        panel.set_xlabel("n")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    settle(panels[: len(shown)])
    return figure


@in_shared_style
def alignment(results: Results, arrays: Arrays) -> Figure:
    shown = [model for model in (*SHOWN, *ROWS) if f"spectrum/{model}/nearby" in arrays]
    if not shown:
        raise Missing("there are no singular vectors to draw")
    figure = new_figure(11.5, 5.2)
    panel = figure.subplots()
    for model in dict.fromkeys(shown):
        nearby = np.nanmean(arrays[f"spectrum/{model}/nearby"], axis=0)
        n = np.arange(1, len(nearby) + 1)
        # A running mean over an eighth of the rank: single vectors scatter.
        smooth = np.array([nearby[max(0, k - 1 - k // 8) : k + k // 8].mean() for k in n])
        style = _style(model)
        panel.plot(n, smooth, color=style.color, linestyle=style.dashes, linewidth=style.width, label=label(model))
    chance = np.nanmean(arrays[f"spectrum/{shown[0]}/by_chance"], axis=0)
    panel.plot(np.arange(1, len(chance) + 1), chance, color=INK, linewidth=1, linestyle="--", label="by chance")
    panel.set(xscale="log", ylim=(0, 1.02), xlabel="rank n of the singular vector")
    panel.set_ylabel("share near the principal direction n")
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center", fontsize=9.5)
    settle([panel])
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
            _curve(above, course, key, color, words)
        _curve(below, course, "nearby", "#009E73", "aligned share")
        _curve(below, course, "by_chance", GREY, "by chance")
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


def _curve(panel: Axes, course: Mapping[str, Any], key: str, color: str, words: str) -> None:
    found = [(epoch, _middle(dig(one, key))) for epoch, one in zip(course["epochs"], course["exponents"], strict=True)]
    known = [(epoch, *one) for epoch, one in found if one is not None]
    if not known:
        return
    epochs, centres, lows, highs = (np.array(column) for column in zip(*known, strict=True))
    panel.fill_between(epochs, lows, highs, color=color, alpha=0.2, linewidth=0)
    panel.plot(epochs, centres, color=color, marker="o", markersize=4, label=words)


@in_shared_style
def rest(results: Results, arrays: Arrays) -> Figure:
    entries = {name: one for name, one in (dig(results, "rest") or {}).items() if dig(one, "explained")}
    require(entries, "layer at rest")
    figure = new_figure(14.0, 4.8)
    shares, *panels = figure.subplots(1, 3)
    for place, entry in enumerate(entries.values()):
        for offset, key, face in ((-0.18, "explained", "#0072B2"), (0.18, "explained_without_push", "#9BC4DE")):
            found = _middle(entry[key])
            if found is not None:
                shares.bar(place + offset, found[0], 0.32, color=face, label="" if place else key.replace("_", " "))
                shares.plot([place + offset] * 2, found[1:], color=INK, linewidth=1.4)
    shares.axhline(0, color=INK, linewidth=0.8)
    shares.set_xticks(range(len(entries)), [label(name) for name in entries], fontsize=9.5)
    shares.set_ylabel("share of the rows' differences explained")
    low = min((found[1] for one in entries.values() if (found := _middle(one["explained_without_push"]))), default=0)
    shares.set_ylim(max(-1.0, min(0.0, 1.1 * low)), 1.05)
    shares.legend(fontsize=9.5, loc="lower left")
    for panel, on, words in zip(panels, ("layer", "images"), ("white noise", "images"), strict=True):
        for kind, color, dashes in (("won", GREY, ":"), ("trained", "#0072B2", "-"), ("predicted", INK, "--")):
            if f"rest/kh/{kind}/{on}" in arrays:
                values = _mean_log(arrays, f"rest/kh/{kind}/{on}")
                words_of = {"won": "means of images won", "trained": "trained", "predicted": "fixed point"}[kind]
                width = 3 if kind == "trained" else 1.5
                n = np.arange(1, len(values) + 1)
                panel.loglog(n, values / values[0], color=color, linestyle=dashes, linewidth=width, label=words_of)
        panel.set(xlabel="n", title=f"spectrum of V on {words}")
    panels[0].legend(fontsize=10)
    letter([shares])
    settle([shares, *panels])
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
            found = _middle(entry[key])
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


@in_shared_style
def rows(arrays: Arrays) -> Figure:
    shown = [path.removeprefix("rows/") for path in arrays if path.startswith("rows/")]
    if not shown:
        raise Missing("there are no rows to draw")
    shape = tuple(int(size) for size in arrays["image_shape"])
    many = len(arrays[f"rows/{shown[0]}"])
    figure = new_figure(2.6 + 0.9 * many, 0.95 * len(shown))
    panels = figure.subplots(len(shown), many, squeeze=False)
    for line, name in zip(panels, shown, strict=True):
        for panel, row in zip(line, arrays[f"rows/{name}"], strict=True):
            image = np.asarray(row, np.float64).reshape(shape)
            image = 0.5 + image / (2 * max(np.abs(image).max(), 1e-12))  # grey is zero
            panel.imshow(image if shape[2] == 3 else image[..., 0], cmap="gray", vmin=0, vmax=1)
            panel.set_xticks([])
            panel.set_yticks([])
        line[0].set_ylabel(label(name), rotation=0, ha="right", va="center", fontsize=10)
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
        middle, low, high = V1[key]
        panel.axvspan(low, high, color="#CDE3D5", zorder=0)
        panel.axvline(middle, color="#2E7D4F", linewidth=1.4, label="mouse V1")
        for place, (model, entry) in enumerate(entries.items()):
            _cross(panel, entry[key], [place], _style(model))
        panel.set_xlabel(words)
    panels[1].set_xscale("log")
    plain_logarithmic_ticks(panels[1].xaxis, *panels[1].get_xlim())
    panels[0].set_yticks(range(len(entries)), [label(model) for model in entries], fontsize=9.5)
    panels[0].invert_yaxis()
    panels[0].legend(fontsize=9.5)
    settle(panels)
    return figure
