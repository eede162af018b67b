"""Figure 1: how accuracy falls with the perturbation, and how long the shortest flipping perturbations are.

Holzhausen et al., arXiv 2405.00679. An image that no perturbation flipped has no critical distance: it is infinite
(censored), takes part in every quantile as such, and is shown as a share in a strip above the axis.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from jax_bioadv.analysis.crossed import overall, share_interval
from jax_bioadv.figures.seeds import Numbers, members, require
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
from jax_bioadv.styles import ModelStyle, Names, Styles, model_styles, named

Curves = Mapping[str, Mapping[str, tuple[Numbers, Numbers]]]
Distances = Mapping[str, Mapping[str, Sequence[Numbers | None]]]


class CensoredBox(NamedTuple):
    """Order statistics of distances among which some are infinite, and the share of those."""

    quantiles: tuple[float, float, float, float, float]
    censored: float
    images: int


def censored_box(distances: Float[np.ndarray, " images"]) -> CensoredBox:
    """Quantiles 0.05, 0.25, 0.5, 0.75 and 0.95 with infinite distances taking part; each is one of the distances.

    Raises:
        ValueError: no distance at all, or one that is NaN or negative.
    """
    if distances.size == 0:
        raise ValueError("no critical distances: give at least one image, or leave the model out")
    if np.isnan(distances).any() or (distances < 0).any():
        raise ValueError("critical distances must be 0 or more, and infinite (not NaN) where no perturbation flipped")
    low, lower, median, upper, high = np.quantile(distances, [0.05, 0.25, 0.5, 0.75, 0.95], method="inverted_cdf")
    quantiles = (float(low), float(lower), float(median), float(upper), float(high))
    return CensoredBox(quantiles, float(np.isinf(distances).mean()), distances.size)


def _pooled(members_distances: Sequence[Numbers | None]) -> Float[np.ndarray, " images"]:
    present = [
        np.asarray(distances, dtype=np.float64).ravel() for distances in members_distances if distances is not None
    ]
    return np.concatenate(present) if present else np.empty(0)


def _band(rows: Float[np.ndarray, "seeds strengths"], images: int) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval at every strength, over seeds and, where their number is known, so many images of each."""
    found = []
    for shares in rows.T:
        exact = [share_interval(float(share), images) for share in shares] if images and shares.max() <= 1 else None
        one = overall(shares, exact)
        found.append((np.nan, np.nan) if one is None or one.interval is None else one.interval)
    low, high = np.clip(found, 0, 1).T
    return low, high


def _draw_curves(
    panel: Axes,
    curves: Mapping[str, tuple[Numbers, Numbers]],
    distances: Mapping[str, Sequence[Numbers | None]],
    styles: Mapping[str, ModelStyle],
) -> None:
    leftmost, rightmost = [], []
    for model in (model for model in styles if model in curves):
        strengths = np.asarray(curves[model][0], dtype=np.float64)
        rows = members(curves[model][1], f"relative accuracy of {model}", strengths.size)
        if not len(rows):
            continue
        shown = strengths > 0
        epsilons, rows = strengths[shown], rows[:, shown]
        style = styles[model]
        images = min((np.size(one) for one in distances.get(model, ()) if one is not None), default=0)
        mean = rows.mean(axis=0)
        panel.plot(
            epsilons,
            mean,
            color=style.color,
            linestyle=style.dashes,
            linewidth=style.width,
            zorder=1 + style.width,
            label=style.label,
        )
        if len(rows) > 1 or images:
            panel.fill_between(epsilons, *_band(rows, images), color=style.color, alpha=0.18, linewidth=0)
        falling = np.flatnonzero(mean < 0.985)
        leftmost.append(epsilons[falling[0]] if falling.size else epsilons[-1])
        rightmost.append(epsilons[-1])
    panel.set_xscale("log")
    if leftmost:
        left, right = min(leftmost) / 3.0, max(rightmost)
        panel.set_xlim(left if left < right else right / 10, right)
    panel.set_ylim(-0.02, 1.04)


def _draw_box(panel: Axes, place: int, box: CensoredBox, floor: float, ceiling: float, style: ModelStyle) -> None:
    low, lower, median, upper, high = np.clip(box.quantiles, floor, ceiling)
    infinite = np.isinf(box.quantiles)
    panel.plot([place, place], [low, lower], color=style.color, linewidth=1.8)
    panel.plot([place, place], [upper, high], color=style.color, linewidth=1.8)
    for end, open_end in ((low, infinite[0]), (high, infinite[4])):
        if not open_end:
            panel.plot([place - 0.14, place + 0.14], [end, end], color=style.color, linewidth=1.8)
    if not infinite[1]:
        body = Rectangle((place - 0.3, lower), 0.6, upper - lower, facecolor=style.color + "40", edgecolor=style.color)
        body.set(linewidth=1.8, hatch="////" if infinite[3] else None)
        panel.add_patch(body)
    if infinite[4]:
        panel.plot([place], [ceiling], marker="^", markersize=9, color=style.color, clip_on=False, zorder=5)
    if infinite[2]:
        panel.plot([place - 0.3, place + 0.3], [ceiling, ceiling], color=INK, linewidth=3.0, zorder=4)
    else:
        panel.plot([place - 0.3, place + 0.3], [median, median], color=INK, linewidth=2.4)


def _share(censored: float, count: int) -> str:
    if censored == 0:
        return "0"
    percent = 100 * censored
    return f"{percent:.0f} %" if percent >= 1 or count < 100 else "<1 %"


def draw_strip(panel: Axes, ceiling: float, top: float, label: str | None) -> None:
    """The strip above a logarithmic axis in which infinite distances stand."""
    panel.axhspan(ceiling, top, color=FAINT, linewidth=0, zorder=0)
    panel.axhline(ceiling, color=GREY, linewidth=1.0, linestyle=(0, (2, 2)))
    if label is not None:
        panel.annotate(
            label,
            (0, np.sqrt(ceiling * top)),
            xycoords=("axes fraction", "data"),
            xytext=(-6, 0),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=11,
        )


def _draw_boxes(
    panels: Sequence[Axes],
    attacks: Sequence[str],
    critical: Distances,
    styles: Styles,
) -> None:
    pooled = {
        attack: {
            model: distances for model in styles if (distances := _pooled(critical.get(attack, {}).get(model, ()))).size
        }
        for attack in attacks
    }
    boxes = {
        attack: {model: censored_box(distances) for model, distances in each.items()} for attack, each in pooled.items()
    }
    ends = [value for each in boxes.values() for box in each.values() for value in box.quantiles]
    positive = [value for value in ends if 0 < value < np.inf] or [1.0]
    floor, ceiling = min(positive) / 1.6, max(positive) * 1.5
    # The strip takes a sixth of the logarithmic axis, whatever range the data have.
    top = ceiling * (ceiling / floor) ** 0.2
    for column, (panel, attack) in enumerate(zip(panels, attacks, strict=True)):
        panel.set_yscale("log")
        panel.set_ylim(floor, top)
        draw_strip(panel, ceiling, top, "never\nflipped" if column == 0 else None)
        for place, model in enumerate(styles):
            if model not in boxes[attack]:
                continue
            box = boxes[attack][model]
            _draw_box(panel, place, box, floor, ceiling, styles[model])
            height = ceiling * (top / ceiling) ** 0.62
            panel.text(place, height, _share(box.censored, box.images), ha="center", va="center", fontsize=11)
            medians = [_pooled([one]) for one in critical[attack][model] if one is not None]
            if len(medians) > 1:
                dots = np.clip([censored_box(one).quantiles[2] for one in medians], floor, ceiling)
                panel.plot(
                    np.full(dots.size, place), dots, linestyle="", marker=styles[model].marker, markersize=5,
                    markerfacecolor="white", markeredgecolor=INK, zorder=6,
                )  # fmt: skip
        panel.set_xlim(-0.6, len(styles) - 0.4)
        names = [style.label for style in styles.values()]
        panel.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
        plain_logarithmic_ticks(panel.yaxis, floor, ceiling)


@in_shared_style
def robustness_figure(
    curves: Curves,
    critical: Distances,
    styles: Styles | None = None,
    attacks: Names | None = None,
    strengths: Names | None = None,
) -> Figure:
    """Figure 1: relative accuracy against ε, above box plots of the critical L2 distances, one column per attack.

    Lines are means over seeds with their 95 % interval over seeds and the images of ``critical``. Boxes hold the images
    of all seeds (quartiles, whiskers at 5 and 95 %, one marker per seed's median); a box that reaches infinity is
    hatched and ends in an arrow, and the share of images that were never flipped stands above it. The ε axis starts
    where the first curve begins to fall.

    Args:
        curves: attack -> model -> (ε of shape (strengths,), relative accuracy of shape (seeds, strengths)).
        critical: attack -> model -> one array per seed with each image's critical L2 distance, infinite if censored.
        styles: how models are drawn and called, in this order; others get further colours, by name.
        attacks: what attacks are called, in this order; others by their keys, behind.
        strengths: what the ε of an attack measures, of those where it has a name.

    Raises:
        ValueError: nothing to draw, lengths that do not fit, or a NaN among the distances.
    """
    require({**curves, **critical}, "attack")
    attacks = named({*curves, *critical}, attacks)
    models = {model for each in (*curves.values(), *critical.values()) for model in each}
    require(dict.fromkeys(models), "model")
    styles = model_styles(models, styles)
    figure = new_figure(1.6 + max(4.0, 0.62 * len(styles)) * len(attacks), 8.4)
    grid = figure.subplots(2, len(attacks), sharey="row", squeeze=False)
    for panel, (attack, name) in zip(grid[0], attacks.items(), strict=True):
        _draw_curves(panel, curves.get(attack, {}), critical.get(attack, {}), styles)
        panel.set_xlabel(f"perturbation ε ({(strengths or {}).get(attack, name)})")
        panel.set_title(name)
    _draw_boxes(list(grid[1]), list(attacks), critical, styles)
    grid[0, 0].set_ylabel("relative accuracy")
    grid[1, 0].set_ylabel("critical L₂ distance")
    settle(grid.ravel())
    letter(list(grid.ravel()))
    lines = [
        Line2D([], [], color=style.color, linestyle=style.dashes, linewidth=style.width + 0.4, label=style.label)
        for style in styles.values()
    ]
    figure.legend(handles=lines, loc="outside upper center", ncols=min(len(lines), 7), fontsize=12.5, handlelength=3)
    return figure
