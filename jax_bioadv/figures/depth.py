"""Networks of several depths: accuracy against robustness, spectra of the layers, and the filters of the first."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.figures.seeds import overall_at, require
from jax_bioadv.figures.style import (
    GREY,
    INK,
    INPUT_NAMES,
    in_shared_style,
    letter,
    new_figure,
    plain_logarithmic_ticks,
    settle,
)
from jax_bioadv.styles import ModelStyle, Styles, model_styles


class Axis(NamedTuple):
    """What an axis shows: the path to a number in a model's entry of a results file, and its label."""

    path: tuple[str, ...]
    label: str
    share: bool = False


def _error(found: Overall) -> list[list[float]]:
    low, high = found.interval or (found.centre, found.centre)
    return [[max(found.centre - low, 0.0)], [max(high - found.centre, 0.0)]]


def _draw_line(
    panel: Axes, entries: Mapping[int, Any], style: ModelStyle, across: Axis, up: Axis
) -> list[tuple[float, float]]:
    """One model: a marker for each depth, larger the deeper, and a line through them; where the markers stand."""
    found = {
        depth: (overall_at(entry, *across.path), overall_at(entry, *up.path))
        for depth, entry in sorted(entries.items())
    }
    there = {
        depth: (x, y) for depth, (x, y) in found.items() if x is not None and y is not None and np.isfinite(y.centre)
    }
    centres = [(x.centre, y.centre) for x, y in there.values()]
    for (depth, (x, y)), centre in zip(there.items(), centres, strict=True):
        panel.errorbar(*centre, xerr=_error(x), yerr=_error(y), color=style.color, linewidth=0.8, alpha=0.25, zorder=1)
        panel.plot(
            *centre, color=style.color, marker=style.marker, markersize=4 + 2.5 * depth, markeredgecolor="white",
            markeredgewidth=0.8, zorder=3,
        )  # fmt: skip
    if centres:
        panel.plot(
            *np.transpose(centres),
            color=style.color,
            linestyle=style.dashes,
            linewidth=style.width,
            alpha=0.8,
            zorder=2,
        )
    return centres


def _look_at(panel: Axes, centres: Sequence[tuple[float, float]], logarithmic: bool) -> None:
    """The region of the markers: where few seeds make bars long, these leave it."""
    across, up = np.array(centres).T
    panel.set_xlim(across.min() - 0.05, across.max() + 0.05)
    if logarithmic:
        positive = up[up > 0]
        panel.set_ylim(positive.min() / 1.6, positive.max() * 1.6)
    else:
        panel.set_ylim(0, max(1.25 * up.max(), 0.05))


def _legend_below(figure: Figure, handles: list[Line2D]) -> None:
    """In up to six columns: as many as the figure is wide enough for."""
    for columns in range(6, 0, -1):
        legend = figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


@in_shared_style
def depth_figure(
    models: Mapping[str, Mapping[int, Any]], across: Axis, up: Sequence[Axis], styles: Styles | None = None
) -> Figure:
    """Accuracy against robustness, a panel for each measure of it.

    Args:
        models: by name and depth, the model's entry in a results file.
        across: what all panels show across.
        up: what each shows upwards.
        styles: how models are drawn.
    """
    require(models, "model")
    known = model_styles(models, styles)
    figure = new_figure(5.2 * len(up), 5.4)
    panels = list(np.atleast_1d(figure.subplots(1, len(up))))
    depths = sorted({depth for entries in models.values() for depth in entries})
    for panel, quantity in zip(panels, up, strict=True):
        centres = [
            one for name, style in known.items() for one in _draw_line(panel, models[name], style, across, quantity)
        ]
        if quantity.share:
            panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        else:
            panel.set_yscale("log")
        if centres:
            _look_at(panel, centres, logarithmic=not quantity.share)
        panel.set(xlabel=across.label, ylabel=quantity.label)
        if across.share:
            panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if not quantity.share:
            plain_logarithmic_ticks(panel.yaxis, *panel.get_ylim())
    handles = [
        Line2D([], [], color=s.color, marker=s.marker, linestyle=s.dashes, linewidth=s.width, label=s.label)
        for s in known.values()
    ]
    handles += [
        Line2D([], [], color=GREY, marker="o", linestyle="", markersize=4 + 2.5 * depth, label=f"depth {depth}")
        for depth in depths
    ]
    _legend_below(figure, handles)
    settle(panels)
    letter(panels)
    return figure


@in_shared_style
def tap_spectra_figure(
    spectra: Mapping[str, Mapping[str, Mapping[str, Float[np.ndarray, "seeds features"]]]], styles: Styles | None = None
) -> Figure:
    """Covariance spectra λ_n/λ_1, a row of panels for each kind of input, a column for each representation.

    Args:
        spectra: by input ("images", "noise"), representation and model, a row of eigenvalues for each seed.
        styles: how models are drawn.
    """
    require(spectra, "spectrum")
    columns = list(dict.fromkeys(tap for kind in spectra.values() for tap in kind))
    names = dict.fromkeys(model for kind in spectra.values() for tap in kind.values() for model in tap)
    known = model_styles(names, styles)
    figure = new_figure(4.6 * len(columns), 4.2 * len(spectra) + 0.8)
    panels = figure.subplots(len(spectra), len(columns), squeeze=False)
    for row, (kind, taps) in zip(panels, spectra.items(), strict=True):
        for panel, tap in zip(row, columns, strict=True):
            for model, style in known.items():
                for values in taps.get(tap, {}).get(model, []):
                    if not np.nanmax(values, initial=0.0) > 0:  # a seed that is missing, or a dead layer
                        continue
                    shown = values[np.isfinite(values) & (values > 1e-9 * np.nanmax(values))]
                    panel.loglog(
                        np.arange(1, len(shown) + 1), shown / shown[0], color=style.color, linestyle=style.dashes,
                        linewidth=0.7 * style.width,
                    )  # fmt: skip
            panel.set(title=tap, xlabel="n", ylabel=f"λₙ/λ₁ on {INPUT_NAMES.get(kind, kind)}")
    handles = [
        Line2D([], [], color=s.color, linestyle=s.dashes, linewidth=s.width, label=s.label) for s in known.values()
    ]
    _legend_below(figure, handles)
    settle(panels.flat)
    return figure


@in_shared_style
def filters_figure(
    filters: Mapping[str, Float[np.ndarray, "filters height width channels"]],
    styles: Styles | None = None,
    per_row: int = 8,
) -> Figure:
    """The filters of a first stage as images, each in a range of its own about grey, a panel for each model.

    Args:
        filters: by model; of one channel, or of three.
        styles: what models are called.
        per_row: filters side by side.
    """
    require(filters, "filters")
    known, columns = model_styles(filters, styles), min(4, len(filters))
    rows = -(-len(known) // columns)
    figure = new_figure(
        3.1 * columns, 0.4 + rows * 3.1 * max(-(-len(f) // per_row) for f in filters.values()) / per_row
    )
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel in panels.flat:
        panel.axis("off")
    for panel, (model, style) in zip(panels.flat, known.items(), strict=False):
        panel.imshow(_mosaic(np.asarray(filters[model], np.float64), per_row), cmap="gray", vmin=0, vmax=1)
        panel.set_title(style.label, fontsize=11.5, fontweight="normal", color=INK)
    return figure


def _mosaic(filters: np.ndarray, per_row: int) -> np.ndarray:
    """All filters in one image, white between them."""
    count, height, width, channels = filters.shape
    largest = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    tiles = 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1.0)
    rows = -(-count // per_row)
    whole = np.ones((rows * (height + 1) - 1, per_row * (width + 1) - 1, channels))
    for place, tile in enumerate(tiles):
        top, left = (place // per_row) * (height + 1), (place % per_row) * (width + 1)
        whole[top : top + height, left : left + width] = tile
    return whole[..., 0] if channels == 1 else whole


__all__ = ["Axis", "depth_figure", "filters_figure", "tap_spectra_figure"]
