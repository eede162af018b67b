"""The figures of question 1 that need figures.npz besides: spectra, singular vectors, rows."""

import numpy as np
from matplotlib.figure import Figure

from experiments.models import ROWS, label
from experiments.questions.drawing import mean_log, middle, style_of
from experiments.report.claims import Results
from experiments.report.figures import Missing
from experiments.report.numbers import dig
from experiments.results.figure_arrays import Arrays
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.style import FAINT, GREY, INK, in_shared_style, letter, new_figure, settle

SHOWN = ("kh", "kh_start", "kmeans", "rows_gaussian", "bp", "spectral", "random", "rows_white")
"""Whose spectra are drawn, where they are there."""


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
            kind: mean_log(arrays, f"spectrum/{model}/{kind}") for kind in ("measured", "layer", "inputs", "unaligned")
        }
        first = found["measured"][0]
        product = found["layer"] * found["inputs"]
        last = min(map(len, found.values()))
        n = np.arange(1, last + 1)
        panel.loglog(
            n, found["unaligned"][:last] / first, color=GREY, linewidth=1.6, linestyle=":", label="random vectors"
        )
        panel.loglog(n, found["measured"][:last] / first, color=style_of(model).color, linewidth=3, label="measured")
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
        style = style_of(model)
        panel.plot(n, smooth, color=style.color, linestyle=style.dashes, linewidth=style.width, label=label(model))
    chance = np.nanmean(arrays[f"spectrum/{shown[0]}/by_chance"], axis=0)
    panel.plot(np.arange(1, len(chance) + 1), chance, color=INK, linewidth=1, linestyle="--", label="by chance")
    panel.set(xscale="log", ylim=(0, 1.02), xlabel="rank n of the singular vector")
    panel.set_ylabel("share near the principal direction n")
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center", fontsize=9.5)
    settle([panel])
    return figure


@in_shared_style
def rest(results: Results, arrays: Arrays) -> Figure:
    entries = {name: one for name, one in (dig(results, "rest") or {}).items() if dig(one, "explained")}
    require(entries, "layer at rest")
    figure = new_figure(14.0, 4.8)
    shares, *panels = figure.subplots(1, 3)
    for place, entry in enumerate(entries.values()):
        for offset, key, face in ((-0.18, "explained", "#0072B2"), (0.18, "explained_without_push", "#9BC4DE")):
            found = middle(entry[key])
            if found is not None:
                shares.bar(place + offset, found[0], 0.32, color=face, label="" if place else key.replace("_", " "))
                shares.plot([place + offset] * 2, found[1:], color=INK, linewidth=1.4)
    shares.axhline(0, color=INK, linewidth=0.8)
    shares.set_xticks(range(len(entries)), [label(name) for name in entries], fontsize=9.5)
    shares.set_ylabel("share of the rows' differences explained")
    low = min((found[1] for one in entries.values() if (found := middle(one["explained_without_push"]))), default=0)
    shares.set_ylim(max(-1.0, min(0.0, 1.1 * low)), 1.05)
    shares.legend(fontsize=9.5, loc="upper right")
    for panel, on, words in zip(panels, ("layer", "images"), ("white noise", "images"), strict=True):
        for kind, color, dashes in (("won", GREY, ":"), ("trained", "#0072B2", "-"), ("predicted", INK, "--")):
            if f"rest/kh/{kind}/{on}" in arrays:
                values = mean_log(arrays, f"rest/kh/{kind}/{on}")
                words_of = {"won": "means of images won", "trained": "trained", "predicted": "fixed point"}[kind]
                width = 3 if kind == "trained" else 1.5
                n = np.arange(1, len(values) + 1)
                panel.loglog(n, values / values[0], color=color, linestyle=dashes, linewidth=width, label=words_of)
        panel.set(xlabel="n", ylabel=f"λₙ / λ₁ of V on {words}")
    panels[0].legend(fontsize=10)
    letter([shares, *panels])
    settle([shares, *panels])
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
