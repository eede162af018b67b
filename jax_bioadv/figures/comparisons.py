"""Figure 5: how much farther one model's images must be moved than another's, with 95 % intervals.

A forest plot of paired comparisons: the median over images of log(critical distance of the reference / of the other
model), averaged over seeds. Right of 1 the reference is more robust; an interval that crosses 1 tells nothing apart.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, NullLocator

from jax_bioadv.figures.seeds import require
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

FINE_TICKS = (0.1, 0.2, 0.35, 0.5, 0.7, 1, 1.4, 2, 3, 5, 7, 10)


class Ratio(NamedTuple):
    """Critical distance of the reference over that of another model: value, 95 % interval, and if they differ.

    An interval that is open has 0 or infinity as its end.
    """

    value: float
    interval: tuple[float, float] | None
    decided: bool


def log_ratio_interval(pair: Mapping[str, Any]) -> tuple[float, float] | None:
    """Both ends of a comparison's log ratio, infinite where JSON has none; None without an interval."""
    ends = pair.get("log_ratio_interval")
    if ends is None or set(ends) == {None}:
        return None
    return -math.inf if ends[0] is None else ends[0], math.inf if ends[1] is None else ends[1]


def ratios_to(comparisons: Sequence[Mapping[str, Any]], reference: str) -> dict[str, dict[str, Ratio]]:
    """Attack -> other model -> ratio, whichever of the two stands first; pairs without a number are left out."""
    found: dict[str, dict[str, Ratio]] = {}
    for pair in comparisons:
        first, second, log_ratio = pair["first"], pair["second"], pair.get("log_ratio")
        if reference not in (first, second) or log_ratio is None or not math.isfinite(log_ratio):
            continue
        sign = 1.0 if first == reference else -1.0
        ends, interval = log_ratio_interval(pair), None
        if ends is not None:
            low, high = sorted(math.exp(sign * end) for end in ends)
            interval = (low, high)
        other = second if first == reference else first
        ratio = Ratio(math.exp(sign * log_ratio), interval, pair.get("better") is not None)
        found.setdefault(str(pair["attack"]), {})[other] = ratio
    return found


def _draw(
    panel: Axes, ratios: Mapping[str, Ratio], places: Mapping[str, int], styles: Mapping[str, ModelStyle]
) -> None:
    for model, ratio in ratios.items():
        style, place = styles[model], places[model]
        if ratio.interval is not None:
            edges = panel.get_xlim()
            panel.plot(
                np.clip(ratio.interval, *edges), [place, place], color=style.color, linewidth=2.4,
                solid_capstyle="butt",
            )  # fmt: skip
            for end, edge, arrow in zip(ratio.interval, edges, "<>", strict=True):
                if end in (0.0, math.inf):
                    panel.plot([edge], [place], arrow, color=style.color, markersize=8, clip_on=False)
        face = style.color if ratio.decided else "white"
        panel.plot(
            [ratio.value], [place], marker=style.marker, color=style.color, markerfacecolor=face, markersize=9.5,
            markeredgewidth=1.6,
        )  # fmt: skip


@in_shared_style
def comparison_figure(
    comparisons: Sequence[Mapping[str, Any]],
    reference: str,
    styles: Styles | None = None,
    controls: Collection[str] = (),
    attacks: Names | None = None,
) -> Figure:
    """Figure 5: the reference against every other model, a panel for each attack.

    Hollow markers: not told apart after correction for all pairs.

    Args:
        comparisons: the entries of ``comparisons`` in results.json: attack, first, second, log_ratio,
            log_ratio_interval, better; either model of a pair may be the reference.
        reference: the model that all others are compared with.
        styles: how models are drawn and called, in this order; others get further colours, by name.
        controls: models that stand below a dotted line, where the order of drawing has them last.
        attacks: what attacks are called, in this order; others by their keys, behind.

    Raises:
        ValueError: no comparison with the reference.
    """
    found = ratios_to(comparisons, reference)
    require(found, f"comparison with {reference}")
    attacks = named(found, attacks)
    styles = model_styles({reference, *(model for ratios in found.values() for model in ratios)}, styles)
    ours = styles.pop(reference).label
    models = list(styles)
    places = {model: place for place, model in enumerate(models)}
    ends = [
        end
        for ratios in found.values()
        for ratio in ratios.values()
        for end in (ratio.value, *(ratio.interval or ()))
        if 0 < end < math.inf
    ]
    low, high = min(0.8, *ends) / 1.15, max(1.25, *ends) * 1.15
    columns = min(len(attacks), 4)
    rows = -(-len(attacks) // columns)
    figure = new_figure(3.0 + 3.5 * columns, (1.7 + 0.36 * len(models)) * rows)
    grid = figure.subplots(rows, columns, sharey=True, sharex=True, squeeze=False)
    for panel in grid.ravel()[len(attacks) :]:
        panel.set_axis_off()
    panels = list(grid.ravel()[: len(attacks)])
    first = min((places[model] for model in models if model in controls), default=0)
    for panel, (attack, name) in zip(panels, attacks.items(), strict=True):
        panel.set_xscale("log")
        panel.set_xlim(low, high)
        panel.axvspan(1.0, high, color=FAINT, alpha=0.6, linewidth=0, zorder=0)
        panel.axvline(1.0, color=INK, linewidth=1.2)
        if first > 0:
            panel.axhline(first - 0.5, color=GREY, linewidth=0.9, linestyle=(0, (2, 2)))
        _draw(panel, found[attack], places, styles)
        panel.set_ylim(len(models) - 0.4, -0.6)
        panel.set_yticks(range(len(models)), [style.label for style in styles.values()])
        if high / low < 12:
            panel.set_xticks([tick for tick in FINE_TICKS if low <= tick <= high])
            panel.xaxis.set_major_formatter(FormatStrFormatter("%g"))
            panel.xaxis.set_minor_locator(NullLocator())
        else:
            plain_logarithmic_ticks(panel.xaxis, low, high)
        panel.set_title(name)
        panel.set_xlabel(f"ratio of critical distances\n{ours} / other")
    settle(panels)
    letter(panels)
    return figure
