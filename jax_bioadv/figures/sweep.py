"""What a sweep found: one panel a quantity, a line for every setting, means over seeds with 95 % intervals.

A sweep keeps no numbers of single images, so that its intervals are over seeds alone; the figure says so.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jax_bioadv.analysis.crossed import overall
from jax_bioadv.figures.seeds import Numbers, require
from jax_bioadv.figures.style import GREY, in_shared_style, letter, new_figure, settle

MARKERS = "os^Dv<>phX"
# Of a step on the abscissa: how far lines are moved apart, so that their intervals do not cover one another.
SPREAD = 0.24
CHARACTERS_PER_INCH = 11


class SweepLine(NamedTuple):
    """One line: its place on the abscissa for every point, and the members' values there (points, seeds)."""

    places: Sequence[int]
    values: Sequence[Numbers]


def _draw(panel: Axes, lines: Mapping[str, SweepLine], every: Sequence[str], ticks: Sequence[Any]) -> None:
    """A panel; ``every`` line of the figure has its own color, marker and offset, in whichever panels it is."""
    colors = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, max(len(every), 2)))
    offsets = np.linspace(-SPREAD, SPREAD, len(every)) if len(every) > 1 else [0.0]
    for name, line in lines.items():
        number = every.index(name)
        rows = [np.array([np.nan if value is None else value for value in row], float) for row in line.values]
        if not rows:
            continue
        found = [overall(row) for row in rows]
        centres = np.array([np.nan if one is None or math.isinf(one.centre) else one.centre for one in found])
        arms = np.array(
            [
                (0.0, 0.0)
                if one is None or one.interval is None or math.isinf(one.centre)
                else (one.centre - one.interval[0], 0.0 if one.infinite else one.interval[1] - one.centre)
                for one in found
            ]
        )
        beyond = np.array([one is not None and one.infinite > 0 for one in found])
        places = np.asarray(line.places) + offsets[number]
        marker = MARKERS[number % len(MARKERS)]
        panel.errorbar(
            places, centres, arms.T, color=colors[number], marker=marker, markersize=5, capsize=3, label=name
        )
        seeds = max(row.size for row in rows)
        padded = np.stack([np.pad(row, (0, seeds - row.size), constant_values=np.nan) for row in rows])
        panel.plot(places, padded, ".", color=colors[number], alpha=0.45, markersize=3)
        if beyond.any():
            top = panel.get_xaxis_transform()
            panel.plot(places[beyond], np.ones(beyond.sum()), "^", color=colors[number], transform=top, clip_on=False)
    panel.set_xticks(range(len(ticks)), [str(tick) for tick in ticks])
    panel.set_xlim(-0.5, len(ticks) - 0.5)


def _legend_columns(names: Sequence[str], width: float) -> int:
    """As many columns as fit into a width in inches; an entry is its characters and a handle of some eight."""
    longest = max((len(name) for name in names), default=0) + 8
    return max(1, min(len(names), int(width * CHARACTERS_PER_INCH / longest)))


@in_shared_style
def sweep_figure(
    panels: Mapping[str, Mapping[str, SweepLine]], ticks: Sequence[Any], x_label: str, line_label: str
) -> Figure:
    """A panel for each quantity.

    Args:
        panels: for each quantity its lines by name; seeds that are missing or diverged are None or NaN.
        ticks: the values on the abscissa, by place.
        x_label: the setting on the abscissa.
        line_label: the setting that tells the lines apart; empty for none.

    Returns:
        The figure; small points are single seeds. Where a seed's value is infinite, the median over seeds stands for
        the mean (if it is finite), with a triangle at the upper edge: it is a lower bound.

    Raises:
        ValueError: no panel.
    """
    require(panels, "quantity")
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = new_figure(3.6 * columns, 2.9 * rows + 0.5)
    axes = [figure.add_subplot(rows, columns, place + 1) for place in range(len(panels))]
    every = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    for panel, (quantity, lines) in zip(axes, panels.items(), strict=True):
        _draw(panel, lines, every, ticks)
        panel.set_ylabel(quantity)
        panel.set_xlabel(x_label)
    settle(axes)
    letter(axes)
    handles = {name: one for panel in axes for one, name in zip(*panel.get_legend_handles_labels(), strict=True)}
    names = [name for name in every if name in handles]
    if len(names) > 1 or line_label:
        figure.legend(
            [handles[name] for name in names],
            names,
            title=line_label or None,
            loc="outside lower center",
            ncols=_legend_columns(names, 3.6 * columns),
        )
    everything = [value for lines in panels.values() for line in lines.values() for row in line.values for value in row]
    note = "mean over seeds, 95 % interval over seeds alone, not over the test images that they share"
    note += "; ▲ some seeds beyond what was searched: median" if math.inf in everything else ""
    figure.text(0.995, 0.005, note, ha="right", va="bottom", color=GREY, fontsize=7)
    return figure
