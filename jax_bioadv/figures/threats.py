"""Figure 6: robust accuracy under each threat model, attack by attack, and in the worst case of all attacks.

An image counts as robust in the worst case if no attack of the battery changes its class within ε; the share is taken
of all images, those misclassified from the start among them.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from jax_bioadv.figures.seeds import overall_at, require
from jax_bioadv.figures.style import GREY, INK, in_shared_style, letter, new_figure, settle
from jax_bioadv.styles import CROWD, ModelStyle, Names, Styles, model_styles, named

ATTACK_MARKERS = "osD^v<>PX*"


def _epsilon_text(entry: Mapping[str, Any]) -> str:
    epsilon = entry.get("epsilon")
    if epsilon is None:
        return ""
    in_levels = 255 * float(epsilon)
    if entry.get("space") == "raw" and entry.get("norm") == "linf" and abs(in_levels - round(in_levels)) < 1e-6:
        return f", ε = {round(in_levels)}/255"
    return f", ε = {float(epsilon):.3g}"


def _draw(
    panel: Axes,
    entries: Mapping[str, Mapping[str, Any]],
    styles: Mapping[str, ModelStyle],
    attacks: list[str],
    markers: Mapping[str, str],
) -> None:
    for place, (model, style) in enumerate(styles.items()):
        entry = entries.get(model, {})
        worst, clean = overall_at(entry, "worst_case"), overall_at(entry, "clean")
        if worst is not None:
            mean, (low, high) = worst.centre, worst.interval or (worst.centre, worst.centre)
            panel.bar([place], [mean], width=0.72, color=style.color, alpha=0.55, linewidth=0)
            below, above = [max(mean - max(low, 0.0), 0.0)], [max(min(high, 1.0) - mean, 0.0)]
            panel.errorbar([place], [mean], yerr=[below, above], color=INK, capsize=4, linewidth=1.6)
        if clean is not None:
            panel.plot([place - 0.36, place + 0.36], [clean.centre] * 2, color=style.color, linewidth=2.4)
        for number, attack in enumerate(attacks):
            found = overall_at(entry, "attacks", attack)
            if found is not None:
                shift = 0.5 * ((number + 0.5) / len(attacks) - 0.5)
                panel.plot(
                    [place + shift], [found.centre], marker=markers[attack], markersize=5, color="white",
                    markeredgecolor=INK, markeredgewidth=0.9, linestyle="",
                )  # fmt: skip
    crowded = len(styles) > CROWD
    names = [style.label for style in styles.values()]
    panel.set_xticks(range(len(names)), names, rotation=45 if crowded else 25, ha="right")
    panel.set_xlim(-0.6, len(names) - 0.4)


@in_shared_style
def threat_figure(
    models: Mapping[str, Mapping[str, Any]],
    styles: Styles | None = None,
    attacks: Names | None = None,
    threats: Names | None = None,
) -> Figure:
    """Figure 6: a panel for each threat model; bars are the worst case, points the single attacks.

    Bars are means over seeds with their 95 % interval over seeds and images, for one seed over images. A short line
    marks the accuracy on the same images before any attack.

    Args:
        models: the map ``models`` of results.json; what is read is ``robust_accuracy``.
        styles: how models are drawn and called, in this order; others get further colours, by name.
        attacks: what attacks are called, in this order; others by their keys, behind.
        threats: what threat models are called, likewise.

    Raises:
        ValueError: no model has a robust accuracy.
    """
    found = {
        model: entry["robust_accuracy"]
        for model, entry in models.items()
        if any(overall_at(threat, "worst_case") is not None for threat in entry.get("robust_accuracy", {}).values())
    }
    require(found, "robust accuracy")
    threats = named((threat for entry in found.values() for threat in entry), threats)
    tried = (attack for entry in found.values() for threat in entry.values() for attack in threat.get("attacks") or {})
    attacks = named(tried, attacks)
    markers = {attack: ATTACK_MARKERS[place % len(ATTACK_MARKERS)] for place, attack in enumerate(attacks)}
    styles = model_styles(found, styles)
    columns = min(len(threats), 2)
    rows = -(-len(threats) // columns)
    figure = new_figure(1.4 + max(4.4, 0.52 * len(styles)) * columns, 0.8 + 4.2 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True, sharex=len(threats) == rows * columns)
    for panel in grid.ravel()[len(threats) :]:
        panel.set_axis_off()
    panels = list(grid.ravel()[: len(threats)])
    for panel, (threat, name) in zip(panels, threats.items(), strict=True):
        entries = {model: found[model][threat] for model in styles if threat in found[model]}
        _draw(panel, entries, styles, list(attacks), markers)
        panel.set_title(name + _epsilon_text(next(iter(entries.values()))), fontsize=13)
        panel.set_ylim(0, None)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    for row in grid:
        row[0].set_ylabel("robust accuracy")
    settle(panels)
    letter(panels)
    handles: list[Any] = [
        Patch(facecolor=GREY, alpha=0.55, label="worst case of all attacks"),
        Line2D([], [], color=GREY, linewidth=2.4, label="no attack"),
    ]
    handles += [
        Line2D([], [], linestyle="", marker=markers[attack], color="white", markeredgecolor=INK, label=name)
        for attack, name in attacks.items()
    ]
    across = 5 if columns > 1 else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=across, fontsize=11.5, columnspacing=1.2)
    return figure
