"""Figure 9: accuracy on corrupted images, against the severity and corruption by corruption."""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jax_bioadv.analysis.crossed import Overall
from jax_bioadv.figures.seeds import overall_at, require
from jax_bioadv.figures.style import FAINT, in_shared_style, letter, new_figure, settle
from jax_bioadv.styles import ModelStyle, Styles, model_styles

_BAND = 0.7  # of the room between two corruptions, what the models share


def corruption_name(corruption: str) -> str:
    """What a corruption is called in figures and tables."""
    return "JPEG" if corruption == "jpeg" else corruption.replace("_", " ")


def _mark(panel: Axes, place: float, found: Overall, style: ModelStyle, across: bool) -> None:
    low, high = found.interval or (found.centre, found.centre)
    arms = [[max(found.centre - low, 0.0)], [max(high - found.centre, 0.0)]]
    x, y = (found.centre, place) if across else (place, found.centre)
    panel.errorbar(
        [x], [y], xerr=arms if across else None, yerr=None if across else arms, color=style.color, marker=style.marker,
        markersize=7, markeredgecolor="white", markeredgewidth=0.8, elinewidth=1.4, linestyle="", zorder=3,
    )  # fmt: skip


def _draw_severities(panel: Axes, entry: Mapping[str, Any], style: ModelStyle) -> None:
    """One model's curve; severity 0 is the image itself."""
    found = {0: overall_at(entry, "clean")}
    found |= {int(severity): overall_at(entry, "by_severity", severity) for severity in entry["by_severity"]}
    there = {severity: one for severity, one in found.items() if one is not None}
    panel.plot(
        list(there), [one.centre for one in there.values()], color=style.color, linestyle=style.dashes,
        linewidth=style.width, label=style.label,
    )  # fmt: skip
    for severity, one in there.items():
        _mark(panel, float(severity), one, style, across=False)


@in_shared_style
def corruption_figure(models: Mapping[str, Mapping[str, Any]], styles: Styles | None = None) -> Figure:
    """Figure 9: a curve against the severity, over all corruptions, and a row for each of them, over all severities.

    Means over seeds with their 95 % interval over seeds and images, for one seed over images.

    Args:
        models: the map ``models`` of results.json; what is read is ``corruptions``.
        styles: how models are drawn and called, in this order; others get further colours, by name.

    Raises:
        ValueError: no model has an accuracy on corrupted images.
    """
    found = {
        model: entry["corruptions"]
        for model, entry in models.items()
        if overall_at(entry, "corruptions", "accuracy") is not None
    }
    require(found, "accuracy on corrupted images")
    styles = model_styles(found, styles)
    kinds = list(dict.fromkeys(kind for entry in found.values() for kind in entry["by_corruption"]))
    figure = new_figure(12.5, 2.6 + 0.42 * max(len(kinds), 6))
    panels = list(figure.subplots(1, 2))
    for model, style in styles.items():
        _draw_severities(panels[0], found[model], style)
    panels[0].set(xlabel="severity", ylabel="accuracy, mean over all corruptions")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
    for row, kind in enumerate(kinds):
        if row % 2:
            panels[1].axhspan(row - 0.5, row + 0.5, color=FAINT, alpha=0.6, linewidth=0, zorder=0)
        for place, (model, style) in enumerate(styles.items()):
            one = overall_at(found[model], "by_corruption", kind)
            if one is not None:
                shift = _BAND * ((place + 0.5) / len(styles) - 0.5)
                _mark(panels[1], row + shift, one, style, across=True)
    panels[1].set_yticks(range(len(kinds)), [corruption_name(kind) for kind in kinds])
    panels[1].set_ylim(len(kinds) - 0.5, -0.5)
    panels[1].set_xlabel("accuracy, mean over all severities")
    panels[1].xaxis.set_major_formatter(PercentFormatter(1.0))
    settle(panels)
    letter(panels)
    handles, names = panels[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(len(names), 5))
    return figure
