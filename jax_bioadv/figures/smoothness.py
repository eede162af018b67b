"""Figure 8: which measure of smoothness goes with robustness, over all models and seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jax_bioadv.figures.seeds import numbers_at, require
from jax_bioadv.figures.style import in_shared_style, letter, new_figure, plain_logarithmic_ticks, settle
from jax_bioadv.styles import ModelStyle, Names, Styles, measure_name, model_styles, named

PAPER_MARKER, CONTROL_MARKER = 10, 7


def predictors(models: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Float[np.ndarray, " seeds"]]]:
    """What may predict robustness: measure -> model -> one number per seed, NaN where one is missing.

    All of ``smoothness``; ``boundary_length_radius_4`` and its like; ``alpha_images`` and ``alpha_noise``. Where there
    is no ``smoothness``, the mean norm of the Jacobian alone.

    Args:
        models: the map ``models`` of results.json.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for entry in models.values():
        paths |= {measure: ("smoothness", measure) for measure in entry.get("smoothness") or {}}
        for radius in entry.get("boundaries") or {}:
            paths |= {f"boundary_{what}_{radius}": ("boundaries", radius, what) for what in ("length", "curvature")}
    paths.setdefault("jacobian_frobenius", ("jacobian_norm", "activation"))
    paths |= {f"alpha_{kind}": ("spectrum", kind, "alpha") for kind in ("images", "noise")}
    found = {
        measure: {model: numbers_at(entry, *path) for model, entry in models.items()} for measure, path in paths.items()
    }
    return {measure: each for measure, each in found.items() if any(np.isfinite(n).any() for n in each.values())}


def members(
    measure: Mapping[str, Float[np.ndarray, " seeds"]], distances: Mapping[str, Float[np.ndarray, " seeds"]]
) -> dict[str, Float[np.ndarray, "members 2"]]:
    """Model -> (measure, distance) of the seeds that have both; a distance may be infinite, a measure may not."""
    found = {}
    for model in (model for model in measure if model in distances):
        seeds = min(measure[model].size, distances[model].size)
        pairs = np.stack([measure[model][:seeds], distances[model][:seeds]], axis=1)
        pairs = pairs[np.isfinite(pairs[:, 0]) & ~np.isnan(pairs[:, 1])]
        if len(pairs):
            found[model] = pairs
    return found


def _correlation_text(
    pairs: Mapping[str, np.ndarray], correlations: Sequence[Mapping[str, Any]], measure: str, attack: str
) -> str:
    given = [one for one in correlations if (one.get("measure"), one.get("attack")) == (measure, attack)]
    if given and given[0].get("spearman") is not None:
        text = f"ρ = {given[0]['spearman']:+.2f}"
        ends, p = given[0].get("interval"), given[0].get("p_corrected")
        text += f" [{ends[0]:+.2f}, {ends[1]:+.2f}]" if ends and None not in ends else ""
        text += f", p {'≤' if given[0].get('p_at_floor') else '='} {p:.2g}" if p is not None else ""
        return text.replace("-", "−")
    both = np.concatenate(list(pairs.values()))
    if len(both) < 4 or len(set(both[:, 0])) < 2 or len(set(both[:, 1])) < 2:
        return ""
    return f"ρ = {float(scipy.stats.spearmanr(*both.T).statistic):+.2f}".replace("-", "−")


def _draw(panel: Axes, pairs: Mapping[str, np.ndarray], styles: Mapping[str, ModelStyle], text: str) -> None:
    for model, points in pairs.items():
        style = styles[model]
        size = PAPER_MARKER if style.width > 2 else CONTROL_MARKER
        beyond = np.isinf(points[:, 1])
        if beyond.any():
            panel.plot(
                points[beyond, 0], np.ones(beyond.sum()), linestyle="", marker="^", color=style.color, markersize=size,
                transform=panel.get_xaxis_transform(), clip_on=False,
            )  # fmt: skip
        panel.plot(
            *points[~beyond].T, linestyle="", marker=style.marker, color=style.color, markersize=size,
            markeredgecolor="white", markeredgewidth=0.7, alpha=0.85, zorder=2 + style.width,
        )  # fmt: skip
    both = np.concatenate(list(pairs.values()))
    for values, axis in ((both[:, 0], panel.xaxis), (both[np.isfinite(both[:, 1]), 1], panel.yaxis)):
        if values.size and values.min() > 0 and values.max() > 3 * values.min():
            (panel.set_xscale if axis is panel.xaxis else panel.set_yscale)("log")
            plain_logarithmic_ticks(axis, values.min() / 1.5, values.max() * 1.5)
    panel.margins(0.1)
    panel.set_title(text, fontsize=11, fontweight="normal", loc="right")


@in_shared_style
def smoothness_figure(
    models: Mapping[str, Mapping[str, Any]],
    correlations: Sequence[Mapping[str, Any]] = (),
    attack: str = "pgd",
    styles: Styles | None = None,
    attacks: Names | None = None,
) -> Figure:
    """Figure 8: smoothness, boundaries and exponents against the median critical distance, a panel a measure.

    A point is a member (model and seed); a triangle at the upper edge one whose median distance is infinite. ρ is
    Spearman's, with the interval and the p-value of ``correlations``; where these are missing it is computed over the
    members shown.

    Args:
        models: the map ``models`` of results.json; what is read is ``smoothness``, ``jacobian_norm``, ``boundaries``,
            ``spectrum`` and ``critical_l2``.
        correlations: the entries of ``correlations`` in results.json, with measures named as by :func:`predictors`.
        attack: whose critical distances stand on the ordinate; another is taken where it is missing.
        styles: how models are drawn and called, in this order; others get further colours, by name.
        attacks: what attacks are called, in this order; others by their keys, behind.

    Raises:
        ValueError: no member has both a measure and a critical distance.
    """
    attacks = named((name for entry in models.values() for name in entry.get("critical_l2") or {}), attacks)
    require(dict.fromkeys(attacks), "critical distance")
    attack = attack if attack in attacks else next(iter(attacks))
    distances = {model: numbers_at(entry, "critical_l2", attack, "median") for model, entry in models.items()}
    points = {measure: members(each, distances) for measure, each in predictors(models).items()}
    points = {measure: pairs for measure, pairs in points.items() if pairs}
    require(points, "member with both smoothness and a critical distance")
    styles = model_styles((model for pairs in points.values() for model in pairs), styles)
    columns = min(len(points), 4 if len(points) <= 16 else 5)
    rows = -(-len(points) // columns)
    figure = new_figure(0.6 + 3.9 * columns, 1.2 + 3.4 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for panel in grid.ravel()[len(points) :]:
        panel.set_axis_off()
    panels = list(grid.ravel()[: len(points)])
    for panel, (measure, pairs) in zip(panels, points.items(), strict=True):
        _draw(panel, pairs, styles, _correlation_text(pairs, correlations, measure, attack))
        panel.set_xlabel(measure_name(measure), fontsize=11.5)
    for row in grid:
        row[0].set_ylabel(f"median critical L₂ distance,\n{attacks[attack]}", fontsize=11.5)
    settle(panels)
    letter(panels)
    handles = [
        Line2D([], [], linestyle="", marker=style.marker, color=style.color, markersize=9, label=style.label)
        for style in styles.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 5), fontsize=12)
    return figure
