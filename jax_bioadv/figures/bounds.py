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

from jax_bioadv.figures.seeds import numbers_at, over_seeds, require
from jax_bioadv.figures.style import (
    GREY,
    INK,
    ModelStyle,
    display_name,
    in_shared_style,
    model_styles,
    new_figure,
    ordered_models,
    plain_logarithmic_ticks,
    settle,
)

BOUNDS = {"lipschitz": ("certified: Lipschitz", "|"), "relaxation": ("certified: relaxation", ">")}
FOUND = ("found by an attack", "<")


def _middle(entry: Mapping[str, Any], bound: str) -> tuple[float, float, float] | None:
    found = over_seeds(entry, bound, "median")
    return found if found is not None and 0 < found[0] < math.inf else None


def _draw(panel: Axes, place: int, entry: Mapping[str, Any], style: ModelStyle) -> list[float]:
    lower = [found[0] for bound in BOUNDS if (found := _middle(entry, bound)) is not None]
    upper = _middle(entry, "upper")
    if lower and upper is not None:
        ends = [max(lower), upper[0]]
        panel.plot(ends, [place, place], color=style.color, alpha=0.45, linewidth=9, solid_capstyle="butt")
    shown = []
    for bound, (_, marker) in {**BOUNDS, "upper": FOUND}.items():
        middle = _middle(entry, bound)
        if middle is None:
            continue
        mean, low, high = middle
        errors = [[mean - max(low, 0.1 * mean)], [min(high, 10 * mean) - mean]]
        panel.errorbar(
            [mean], [place], xerr=errors, marker=marker, color=style.color, markersize=11, markeredgewidth=2.6,
            markeredgecolor=style.color, elinewidth=1.5, capsize=3, linestyle="",
        )  # fmt: skip
        seeds = numbers_at(entry, bound, "median")
        seeds = seeds[np.isfinite(seeds) & (seeds > 0)]
        if seeds.size > 1:
            panel.plot(seeds, np.full(seeds.size, place + 0.27), ".", color=style.color, markersize=4, alpha=0.7)
        shown += [mean, *seeds.tolist()]
    return shown


@in_shared_style
def bounds_figure(models: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Figure 7: per model the median certified L2 distances and the smallest that any attack found.

    Means over seeds of the median over images with their 95 % interval, or for one seed the interval over images;
    small points are seeds. The bar spans what is not known: from the better certificate to the best attack.

    Args:
        models: the map ``models`` of results.json; what is read is ``certified_l2``.

    Raises:
        ValueError: no model has a certified distance.
    """
    found = {model: entry["certified_l2"] for model, entry in models.items() if entry.get("certified_l2")}
    names = [model for model in ordered_models(found) if any(_middle(found[model], bound) for bound in BOUNDS)]
    require(dict.fromkeys(names), "certified distance")
    styles = model_styles(names)
    figure = new_figure(11.0, 1.9 + 0.46 * len(names))
    panel = figure.subplots()
    shown = [value for place, model in enumerate(names) for value in _draw(panel, place, found[model], styles[model])]
    panel.set_xscale("log")
    low, high = min(shown) / 1.6, max(shown) * 1.6
    panel.set_xlim(low, high)
    plain_logarithmic_ticks(panel.xaxis, low, high)
    panel.set_ylim(len(names) - 0.4, -0.6)
    panel.set_yticks(range(len(names)), [display_name(model) for model in names])
    panel.set_xlabel("median L₂ distance to the nearest adversarial image")
    settle([panel])
    handles = [
        Line2D([], [], linestyle="", marker=marker, color=INK, markersize=10, markeredgewidth=2.4, label=name)
        for name, marker in (*BOUNDS.values(), FOUND)
    ]
    handles.append(Line2D([], [], color=GREY, alpha=0.45, linewidth=9, label="not known"))
    figure.legend(handles=handles, loc="outside upper center", ncols=4)
    return figure
