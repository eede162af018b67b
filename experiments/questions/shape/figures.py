"""The figures of question 3, of its results.json and figures.npz alone."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments.attacks import ATTACK_LABELS
from experiments.models import STYLES, label
from experiments.questions.drawing import mean_log, middle, style_of
from experiments.questions.shape.adding import MEASURED, of_kind
from experiments.report.claims import Results
from experiments.report.figures import Missing
from experiments.report.numbers import dig
from experiments.results.figure_arrays import Arrays
from experiments.shaped_models import ROTATED, SHAPES, UNSHAPED, kind_of, label_of_kind
from jax_bioadv import figures
from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.figures import overall_at
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.style import FAINT, INK, in_shared_style, new_figure, plain_logarithmic_ticks, settle

ATTACK = "minimum_norm"


def makers(results: Results, arrays: Arrays) -> Mapping[str, Callable[[], Figure]]:
    """Every figure by the name of its file."""
    return {
        "spectra": partial(spectra, results, arrays),
        "distance": partial(distance, results),
        "plane": partial(plane, results),
        "rule": partial(
            _against, results, "kh", (ROTATED, "kmeans", "spectral", "bp_matched", "rule_spectra", "law_both")
        ),
    }


@in_shared_style
def spectra(results: Results, arrays: Arrays) -> Figure:
    """A column for each kind, with the weights on top of one another."""
    columns: dict[str, list[str]] = {"the rule": ["kh", ROTATED], "others": ["spectral", UNSHAPED, "bp"]}
    columns |= {kind: of_kind(results, kind) for kind in SHAPES}
    columns = {
        name: those for name, each in columns.items() if (those := [m for m in each if f"spectrum/{m}/layer" in arrays])
    }
    if not columns:
        raise Missing("there are no spectra to draw")
    figure = new_figure(3.1 * len(columns), 6.4)
    panels = figure.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for column, (name, those) in enumerate(columns.items()):
        for row, (kind, key) in enumerate({"images": "measured", "noise": "layer"}.items()):
            panel = panels[row, column]
            for model in those:
                style, values = style_of(model), mean_log(arrays, f"spectrum/{model}/{key}")
                n = np.arange(1, len(values) + 1)
                words = label(model).removeprefix(f"{label_of_kind(model)}, ")
                panel.loglog(n, values / values[0], color=style.color, linestyle=style.dashes, label=words)
            _targets(
                panel, results, those, kind, mean_log(arrays, f"spectrum/kh/{key}") if name == "rule_spectra" else None
            )
            if column == 0:
                panel.set_ylabel(f"variance on {'test images' if kind == 'images' else 'white noise'}")
        panels[0, column].set_title(SHAPES[name].label if name in SHAPES else name, fontsize=12)
        panels[0, column].legend(fontsize=8.5, loc="lower left")
        panels[1, column].set_xlabel("n")
    floor = min(line.get_ydata()[len(line.get_ydata()) * 3 // 4] for panel in panels[0] for line in panel.lines)
    panels[0, 0].set_ylim(max(floor / 5, 1e-10), 3)
    settle(panels.ravel())
    return figure


def _targets(panel: Axes, results: Results, models: list[str], kind: str, copied: np.ndarray | None) -> None:
    """What was wanted, dashed, and the window of the fits."""
    for model in models[-1:]:
        for ends in (dig(results, "models", model, "alignment", "window") or [])[:1]:
            if ends is not None:
                panel.axvspan(*ends, color=FAINT, alpha=0.6, zorder=0)
        wanted = middle(dig(results, "models", model, "target", kind))
        if copied is not None:
            panel.loglog(np.arange(1, len(copied) + 1), copied / copied[0], color=INK, linewidth=1.2, linestyle="--")
        elif wanted is not None:
            n = np.array(panel.lines[0].get_xdata())
            panel.loglog(n, n ** -wanted[0], color=INK, linewidth=1.2, linestyle="--", label="wanted")


def _placed(results: Results) -> dict[str, tuple[Overall, Overall]]:
    """Accuracy and distance of each model, over seeds and images."""
    found = {
        model: (overall_at(entry, "test_accuracy"), overall_at(entry, "critical_l2", ATTACK, "median"))
        for model, entry in (dig(results, "models") or {}).items()
    }
    return {
        model: (accuracy, far)
        for model, (accuracy, far) in found.items()
        if accuracy is not None and far is not None and np.isfinite(far.centre)
    }


@in_shared_style
def distance(results: Results) -> Figure:
    shown = _placed(results)
    require(shown, "critical distance")
    figure = new_figure(11.5, 6.0)
    panel = figure.subplots()
    for model, (accuracy, far) in shown.items():
        style = style_of(model)
        thin: dict[str, Any] = {"color": style.color, "linewidth": 1.0, "alpha": 0.7}
        if accuracy.interval is not None:
            panel.plot(accuracy.interval, [far.centre] * 2, **thin)
        if far.interval is not None:
            panel.plot([accuracy.centre] * 2, [min(end, 10 * far.centre) for end in far.interval], **thin)
        panel.plot(
            [accuracy.centre],
            [far.centre],
            style.marker,
            color=style.color,
            markersize=_size(model),
            label=label(model),
        )
    panel.set_yscale("log")
    plain_logarithmic_ticks(panel.yaxis, *panel.get_ylim())
    panel.set(xlabel="test accuracy", ylabel="median distance, minimum norm (L₂)")
    figure.legend(*panel.get_legend_handles_labels(), loc="outside right center", fontsize=8.5)
    settle([panel])
    return figure


def _size(model: str) -> float:
    """The stronger the penalty the larger."""
    return {"weak": 6.0, "middle": 8.5, "strong": 11.0}.get(model.rpartition("_")[2], 9.0)


@in_shared_style
def plane(results: Results) -> Figure:
    shown = _placed(results)
    found = {model: dig(results, "models", model, "alignment") for model in shown}
    ends = {
        model: (images, noise)
        for model, one in found.items()
        if (images := middle(dig(one, MEASURED["images"]))) and (noise := middle(dig(one, MEASURED["noise"])))
    }
    require(ends, "exponent")
    figure = new_figure(10.5, 6.4)
    panel = figure.subplots()
    distances = [shown[model][1].centre for model in ends]
    norm, colors = LogNorm(min(distances), max(distances) * 1.0001), matplotlib.colormaps["viridis"]
    seen = set()
    for model, (images, noise) in ends.items():
        color = colors(norm(shown[model][1].centre))
        kind = kind_of(model)
        panel.plot(noise[1:], [images[0]] * 2, color=color, linewidth=1.2)
        panel.plot([noise[0]] * 2, images[1:], color=color, linewidth=1.2)
        words = "" if kind in seen else label_of_kind(model) or label(model)
        seen.add(kind)
        panel.plot(
            [noise[0]], [images[0]], STYLES[model].marker, color=color, markersize=_size(model), markeredgecolor=INK,
            markeredgewidth=0.6, linestyle="none", label=words or None,
        )  # fmt: skip
    data = middle(dig(next(iter(results["models"].values())), "alignment", "inputs"))
    if data is not None:
        line = np.array([0.0, panel.get_xlim()[1]])
        panel.plot(line, line + data[0], color=INK, linewidth=1, linestyle="--", label="exponents add")
    panel.set(xlabel="α on white noise", ylabel="α on test images")
    scale = matplotlib.cm.ScalarMappable(norm, colors)
    bar = figure.colorbar(scale, ax=panel, label="median distance, minimum norm (L₂)")
    bar.ax.minorticks_off()
    ticks = np.geomspace(min(distances), max(distances), 5).tolist()
    bar.set_ticks(ticks, labels=[f"{tick:.2g}" for tick in ticks])
    figure.legend(*panel.get_legend_handles_labels(), loc="outside left center", fontsize=9)
    settle([panel])
    return figure


def _against(results: Results, reference: str, kinds: tuple[str, ...]) -> Figure:
    """The reference over all others of these kinds."""
    pairs = [
        one
        for one in dig(results, "comparisons") or []
        if one["first"] == reference and kind_of(one["second"]) in kinds
    ]
    return figures.comparison_figure(pairs, reference, STYLES, (), ATTACK_LABELS)
