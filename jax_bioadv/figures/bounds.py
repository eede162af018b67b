"""Figure 7: between which bounds the distance to the nearest adversarial image lies: certified below, found above.

A certificate says that no perturbation shorter than this changes the decision; the shortest perturbation that an attack
found says that one of this length does. The true distance lies between the two, whatever the attack is worth.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.figures.seeds import numbers_at, overall_at, require
from jax_bioadv.figures.style import GREY, INK, in_shared_style, new_figure, plain_logarithmic_ticks, settle
from jax_bioadv.styles import ModelStyle, Styles, model_styles

BOUNDS = {"lipschitz": ("certified: Lipschitz", "|"), "relaxation": ("certified: relaxation", ">")}
FOUND = ("found by an attack", "<")
BEYOND = "$\u2192$"


def _middle(entry: Mapping[str, Any], bound: str) -> Overall | None:
    found = overall_at(entry, bound, "median")
    return found if found is not None and found.centre > 0 else None


def _draw(panel: Axes, place: int, entry: Mapping[str, Any], style: ModelStyle, edge: float) -> None:
    """One model; what is infinite ends in an arrow at the right edge."""
    middles = {bound: found for bound in (*BOUNDS, "upper") if (found := _middle(entry, bound)) is not None}
    lower = [found.centre for bound, found in middles.items() if bound in BOUNDS]
    if lower and "upper" in middles:
        ends = np.minimum([max(lower), middles["upper"].centre], edge)
        panel.plot(ends, [place, place], color=style.color, alpha=0.45, linewidth=9, solid_capstyle="butt")
    for bound, found in middles.items():
        marker = {**BOUNDS, "upper": FOUND}[bound][1]
        if found.infinite:
            panel.plot([min(found.centre, edge), edge], [place, place], color=style.color, linewidth=1.5, linestyle=":")
            panel.plot([edge], [place], marker=BEYOND, color=style.color, markersize=10, clip_on=False, linestyle="")
        if math.isfinite(found.centre):
            low, high = found.interval or (found.centre, found.centre)
            errors = [
                [found.centre - max(low, 0.1 * found.centre)],
                [min(high, 10 * found.centre, edge) - found.centre],
            ]
            panel.errorbar(
                [found.centre], [place], xerr=errors, marker=marker, color=style.color, markersize=11,
                markeredgewidth=2.6, markeredgecolor=style.color, elinewidth=1.5, capsize=3, linestyle="",
            )  # fmt: skip
        seeds = _finite(entry, bound)
        if found.seeds > 1:
            panel.plot(seeds, np.full(seeds.size, place + 0.27), ".", color=style.color, markersize=4, alpha=0.7)


def _finite(entry: Mapping[str, Any], bound: str) -> np.ndarray:
    seeds = numbers_at(entry, bound, "median")
    return seeds[np.isfinite(seeds) & (seeds > 0)]


@in_shared_style
def bounds_figure(models: Mapping[str, Mapping[str, Any]], styles: Styles | None = None) -> Figure:
    """Figure 7: per model the median certified L2 distances and the smallest that any attack found.

    Means over seeds of the median over images with their 95 % interval over both, for one seed over images; small
    points are seeds. The bar spans what is not known: from the better certificate to the best attack. An arrow to the
    right edge: in some seeds no attack turned half of the images, so the marker, their median, is a lower bound.

    Args:
        models: the map ``models`` of results.json; what is read is ``certified_l2``.
        styles: how models are drawn and called, in this order; others get further colours, by name.

    Raises:
        ValueError: no model has a certified distance.
    """
    found = {model: entry["certified_l2"] for model, entry in models.items() if entry.get("certified_l2")}
    names = [model for model in found if any(_middle(found[model], bound) for bound in BOUNDS)]
    require(dict.fromkeys(names), "certified distance")
    styles = model_styles(names, styles)
    figure = new_figure(11.0, 1.9 + 0.46 * len(names))
    panel = figure.subplots()
    shown = [value for model in names for bound in (*BOUNDS, "upper") for value in _finite(found[model], bound)]
    panel.set_xscale("log")
    low, high = min(shown, default=0.5) / 1.6, max(shown, default=2.0) * 1.6
    panel.set_xlim(low, high)
    for place, (model, style) in enumerate(styles.items()):
        _draw(panel, place, found[model], style, high)
    plain_logarithmic_ticks(panel.xaxis, low, high)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.set_yticks(range(len(names)), [style.label for style in styles.values()])
    panel.set_xlabel("median L₂ distance to the nearest adversarial image")
    settle([panel])
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=INK, markersize=10, markeredgewidth=2.4, label=name)
        for name, marker in (*BOUNDS.values(), FOUND)
    ]
    handles.append(Line2D([], [], color=GREY, alpha=0.45, linewidth=9, label="not known"))
    if any((middle := _middle(found[m], "upper")) is not None and middle.infinite for m in names):
        handles.append(Line2D([], [], linestyle=":", marker=BEYOND, color=INK, label="beyond, in some seeds"))
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5))
    return figure
