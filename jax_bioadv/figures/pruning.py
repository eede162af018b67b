"""Figure A1: what pruning keeps, what it cuts, and what that does to the spectrum.

Holzhausen et al., arXiv 2405.00679. Rows of the Krotov–Hopfield synapses that never won stay noise; their variances
form a mode of their own. With a single mode there is nothing to cut, and the figure says so.
"""

import textwrap
from collections.abc import Mapping

import numpy as np
import scipy
from jax import Array
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from jax_bioadv.figures.spectra import (
    Members,
    draw_spectra,
    exponent_label,
    finish_spectra,
    present_curves,
    shade_windows,
)
from jax_bioadv.figures.style import GREY, INK, INPUT_NAMES, in_shared_style, letter, new_figure, settle
from jax_bioadv.learning.pruning import Cut, Mixture
from jax_bioadv.styles import SOLID, ModelStyle

KEPT = "#0072B2"
PRUNED = "#D55E00"
BROKEN = (0.0, (2.0, 1.0))
TILES_PER_ROW = 7


def chosen_rows(kept: Bool[np.ndarray, " units"], count: int) -> np.ndarray:
    """``count`` rows spread evenly over those kept, then those pruned: in proportion, but a few of each."""
    groups = [np.flatnonzero(kept), np.flatnonzero(~kept)]
    count = min(count, kept.size)
    few = min(max(1, count // 4), len(groups[1]), max(0, count - 1))
    pruned = max(min(round(count * len(groups[1]) / kept.size), count - min(few, len(groups[0]))), few)
    pruned = min(pruned, len(groups[1]))
    shares = (min(count - pruned, len(groups[0])), pruned)
    return np.concatenate(
        [
            group[np.linspace(0, len(group) - 1, share).round().astype(int)]
            for group, share in zip(groups, shares, strict=True)
            if share
        ]
    )


def _tile(row: Float[np.ndarray, " inputs"], shape: tuple[int, int, int]) -> Float[np.ndarray, "height width channels"]:
    """A row of weights as an image around middle grey: signs stay, the largest weight has full contrast."""
    largest = np.abs(row).max()
    return 0.5 + 0.5 * (row / largest if largest > 0 else row).reshape(shape)


def _draw_tiles(panel: Axes, synapses: np.ndarray, shape: tuple[int, int, int], kept: np.ndarray, columns: int) -> None:
    picked = chosen_rows(kept, columns * columns)
    rows = -(-len(picked) // columns)
    height, width = shape[:2]
    gap = max(1, height // 10)
    mosaic = np.full((rows * (height + gap), columns * (width + gap), shape[2]), np.nan)
    for place, unit in enumerate(picked):
        top, left = (place // columns) * (height + gap), (place % columns) * (width + gap)
        mosaic[top : top + height, left : left + width] = _tile(synapses[unit], shape)
        color, dashes = (KEPT, SOLID) if kept[unit] else (PRUNED, BROKEN)
        frame = Rectangle(
            (left - 0.5, top - 0.5), width, height, fill=False, edgecolor=color, linewidth=1.8, linestyle=dashes
        )
        panel.add_patch(frame)
    if shape[2] == 3:
        panel.imshow(np.nan_to_num(mosaic, nan=1.0), interpolation="nearest")
    else:
        tiles = np.ma.masked_invalid(mosaic.mean(axis=2))
        panel.imshow(tiles, cmap="PuOr", vmin=0.0, vmax=1.0, interpolation="nearest")
    panel.set_xlim(-1.5, mosaic.shape[1] - gap + 0.5)
    panel.set_ylim(mosaic.shape[0] - gap + 0.5, -1.5)
    panel.set_axis_off()
    handles = [Line2D([], [], color=KEPT, linewidth=2.5, label=f"kept ({int(kept.sum())})")]
    if not kept.all():
        handles.append(
            Line2D([], [], color=PRUNED, linewidth=2.5, linestyle=BROKEN, label=f"pruned ({int((~kept).sum())})")
        )
    panel.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2, fontsize=12)


def _draw_histogram(panel: Axes, log_variances: np.ndarray, cut: Cut) -> None:
    decades = log_variances / np.log(10)
    spread = max(float(np.ptp(decades)), 0.05)
    edges = np.linspace(decades.min() - 0.05 * spread, decades.max() + 0.05 * spread, 42)
    panel.hist(decades, bins=list(edges), color="#C9C9C9", edgecolor="white", linewidth=0.4)
    if cut.mixture is not None:
        grid = np.linspace(edges[0], edges[-1], 600)
        scale = decades.size * (edges[1] - edges[0])
        parts = [
            weight * scipy.stats.norm.pdf(grid, mean / np.log(10), max(deviation, 1e-6) / np.log(10)) * scale
            for weight, mean, deviation in zip(*cut.mixture, strict=True)
        ]
        for part, color in zip(parts, _component_colors(cut.mixture, cut.variance), strict=True):
            panel.plot(grid, part, color=color, linewidth=2.4)
    if cut.variance is None:
        words = textwrap.fill(cut.reason, 38)
        panel.text(0.5, 0.98, words, transform=panel.transAxes, ha="center", va="top", fontsize=12)
        panel.set_ylim(0, 1.35 * panel.get_ylim()[1])
    else:
        place = float(np.log10(cut.variance))
        panel.axvline(place, color=INK, linestyle=(0, (4, 2)), linewidth=2)
        panel.annotate(
            f"cut at {cut.variance:.2g}", (place, 0.98), xycoords=("data", "axes fraction"), xytext=(-5, 0),
            textcoords="offset points", rotation=90, ha="right", va="top", fontsize=12,
        )  # fmt: skip
    panel.set_xlabel("log₁₀ variance of a row's weights")
    panel.set_ylabel("hidden units")


def _component_colors(mixture: Mixture, variance: float | None) -> list[str]:
    return [PRUNED if variance is not None and mean > np.log(variance) else KEPT for mean in mixture.means]


def _draw_spectra(panel: Axes, raw: Members | None, pruned: Members | None, kind: str) -> None:
    shown = []
    styles = {"raw": ModelStyle(GREY, "o", SOLID), "pruned": ModelStyle(KEPT, "o", SOLID)}
    for name, given in (("raw", raw), ("pruned", pruned)):
        curves = present_curves(given)
        if curves:
            shade_windows(panel, curves)
            draw_spectra(panel, curves, styles[name], f"{name}: {exponent_label(curves)}")
            shown += curves
    panel.set_title(f"on {INPUT_NAMES.get(kind, kind)}")
    panel.set_xlabel("n")
    panel.set_ylabel("λₙ / λ₁")
    if shown:
        finish_spectra([panel], shown)
        panel.legend(loc="lower left", fontsize=12)
    else:
        panel.text(0.5, 0.5, "not available", transform=panel.transAxes, ha="center", va="center")


@in_shared_style
def pruning_figure(
    synapses: Float[np.ndarray, "hidden inputs"] | Float[Array, "hidden inputs"],
    image_shape: tuple[int, int, int],
    cut: Cut,
    spectra: Mapping[str, tuple[Members | None, Members | None]],
    variances: Float[np.ndarray, " hidden"] | None = None,
    tiles_per_row: int = TILES_PER_ROW,
) -> Figure:
    """Figure A1: synapses as images, the histogram of their log-variances with the cut, spectra raw and pruned.

    Args:
        synapses: the rows before pruning. A tile shows weights around middle grey, each scaled to its own largest.
        image_shape: (height, width, channels) of the inputs.
        cut: which rows pruning keeps, and by which mixture of log-variances it decided.
        spectra: "images" | "noise" -> (raw, pruned), each a curve, one per seed, or None.
        variances: of all rows, if ``synapses`` hold only those that are shown (:func:`chosen_rows`).
        tiles_per_row: the grid shows at most the square of this many rows.

    Raises:
        ValueError: sizes that do not fit, or no spread in any row.
    """
    weights, keep = np.asarray(synapses, dtype=np.float64), np.asarray(cut.keep)
    if weights.shape[1] != np.prod(image_shape) or image_shape[2] not in (1, 3):
        raise ValueError(f"{weights.shape[1]} inputs are no image of shape {image_shape} with 1 or 3 channels")
    if not np.isfinite(weights).all():
        raise ValueError("the synapses hold NaN or infinite weights: this layer diverged and cannot be drawn")
    variances = weights.var(axis=1) if variances is None else variances
    if not (variances > 0).any():
        raise ValueError("no row of the synapses has any variance: give them as they were before pruning")
    kinds = [kind for kind in INPUT_NAMES if kind in spectra] + sorted(set(spectra) - set(INPUT_NAMES))
    figure = new_figure(13.6, 5.6) if len(kinds) < 2 else new_figure(14.4, 9.2)
    if len(kinds) < 2:
        panels = list(figure.subplots(1, 2 + len(kinds), width_ratios=[1.25] + [1.0] * (1 + len(kinds))))
    else:
        outer = figure.subplots(2, 2)
        panels = [outer[0, 0], outer[0, 1], outer[1, 0], outer[1, 1]]
    _draw_tiles(panels[0], weights, image_shape, keep, tiles_per_row)
    panels[0].set_title("synapses")
    _draw_histogram(panels[1], np.log(variances[variances > 0]), cut)
    panels[1].set_title("row variances")
    for panel, kind in zip(panels[2:], kinds[:2], strict=True):
        _draw_spectra(panel, *spectra[kind], kind)
    settle(panels[1:2])
    letter(panels)
    return figure
