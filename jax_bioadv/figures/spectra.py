"""Figures 2 and 3: covariance spectra λ_n/λ_1 against n on logarithmic axes, with their fitted power laws.

Holzhausen et al., arXiv 2405.00679. A fit is shown over its own window only. It is the least-squares line of log λ on
log n, so it passes through the mean of the points in the window and the exponent alone says where it lies.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from jax import Array
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from jax_bioadv.analysis.broken_power_law import MOUSE_V1, broken_law, fit_broken_power_law
from jax_bioadv.analysis.power_law import EVIDENCE
from jax_bioadv.analysis.spectra import FitImpossible, PowerLawFit
from jax_bioadv.figures.seeds import mean_interval, require
from jax_bioadv.figures.style import FAINT, INK, INPUT_NAMES, in_shared_style, letter, new_figure, settle
from jax_bioadv.styles import ModelStyle, Styles, model_styles

V1_COLOR = "#CDE3D5"


@dataclass(frozen=True)
class SpectrumCurve:
    """One covariance spectrum as it is drawn.

    Args:
        eigenvalues: in falling order; what is not positive (a pruned layer has zeros) is left out of the plot.
        fit: the fitted power law, None if no fit was possible.
        populations: number of hidden units -> spectrum of that many units, drawn as lighter lines.
    """

    eigenvalues: Float[np.ndarray, " units"] | Float[Array, " units"]
    fit: PowerLawFit | None = None
    populations: Mapping[int, np.ndarray | Array] = field(default_factory=dict)


Members = SpectrumCurve | Sequence[SpectrumCurve | None]


def _points(eigenvalues: np.ndarray | Array) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(eigenvalues, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not values[0] > 0:
        raise ValueError("a spectrum needs eigenvalues in falling order of which the first is positive")
    index = np.arange(1, values.size + 1)
    shown = values > 0
    return index[shown], values[shown] / values[0]


def present_curves(curves: Members | None) -> list[SpectrumCurve]:
    """The curves of the seeds that are there."""
    if curves is None:
        return []
    if isinstance(curves, SpectrumCurve):
        return [curves]
    return [curve for curve in curves if curve is not None]


def exponent_label(curves: Sequence[SpectrumCurve]) -> str:
    """``α = 2.67 ± 0.01``: for one seed ± the regression's standard error, else the mean ± its 95 % interval."""
    fits = [curve.fit for curve in curves if curve.fit is not None]
    if not fits:
        return "no fit"
    if len(fits) == 1:
        return _with_error(fits[0].alpha, fits[0].stderr)
    mean, half = mean_interval(np.asarray([fit.alpha for fit in fits], dtype=np.float64))
    return _with_error(float(mean), float(half))


def _with_error(alpha: float, error: float) -> str:
    if error <= 1e-9 * abs(alpha):
        return f"α = {alpha:.2f}"
    digits = min(max(2, -math.floor(math.log10(error))), 5)
    return f"α = {alpha:.{digits}f} ± {error:.{digits}f}"


def _fit_line(curve: SpectrumCurve) -> tuple[np.ndarray, np.ndarray] | None:
    if curve.fit is None:
        return None
    first, last = curve.fit.window
    index, values = _points(curve.eigenvalues)
    inside = (index >= first) & (index <= last)
    if not inside.any():
        raise ValueError(f"the fit window {curve.fit.window} holds none of the {index.size} positive eigenvalues")
    centre_index, centre_value = np.log(index[inside]).mean(), np.log(values[inside]).mean()
    ends = np.asarray([first, last], dtype=np.float64)
    return ends, np.exp(centre_value - curve.fit.alpha * (np.log(ends) - centre_index))


def _over_seeds(curves: Sequence[SpectrumCurve]) -> tuple[SpectrumCurve, np.ndarray, np.ndarray]:
    """Geometric mean of the normalised spectra with the mean exponent, and the lowest and highest value at each n."""
    values = [_points(curve.eigenvalues)[1] for curve in curves]
    shortest = min(value.size for value in values)
    rows = np.stack([value[:shortest] for value in values])
    fits = [curve.fit for curve in curves if curve.fit is not None]
    fit = None
    if fits:
        window = (max(one.window[0] for one in fits), min(one.window[1] for one in fits))
        fit = fits[0]._replace(alpha=float(np.mean([one.alpha for one in fits])), window=window)
    return SpectrumCurve(np.exp(np.log(rows).mean(axis=0)), fit), rows.min(axis=0), rows.max(axis=0)


def draw_spectra(panel: Axes, curves: Sequence[SpectrumCurve], style: ModelStyle, label: str) -> None:
    """The spectrum with its fitted power law; of several seeds their geometric mean in a band that holds them all."""
    if not curves:
        return
    middle, lowest, highest = (curves[0], None, None) if len(curves) == 1 else _over_seeds(curves)
    index, values = _points(middle.eigenvalues)
    width, above = 1.35 * style.width, 1 + style.width
    panel.plot(index, values, color=style.color, linewidth=width, solid_capstyle="round", label=label, zorder=above)
    if lowest is not None and highest is not None:
        panel.fill_between(index, lowest, highest, color=style.color, alpha=0.25, linewidth=0)
    line = _fit_line(middle)
    if line is not None:
        casing = [withStroke(linewidth=1.2 * style.width, foreground="white")]
        dashes = (0, (4, 2))
        panel.plot(*line, color=INK, linewidth=0.6 * style.width, linestyle=dashes, zorder=4, path_effects=casing)


def _draw_mouse_v1(panel: Axes) -> None:
    """All broken power laws with exponents and breaks in the range of the recordings."""
    _, lowest, highest = zip(*(MOUSE_V1[key] for key in ("first_alpha", "break_at", "second_alpha")), strict=True)
    n = np.geomspace(1, 1e4, 200)
    laws = np.stack([broken_law(n, *numbers) for numbers in product(*zip(lowest, highest, strict=True))])
    lowest_law, highest_law = laws.min(axis=0), laws.max(axis=0)
    panel.fill_between(n, lowest_law, highest_law, color=V1_COLOR, linewidth=0, label="mouse V1", zorder=0.5)


def _mark_break(panel: Axes, curves: Sequence[SpectrumCurve], style: ModelStyle) -> str:
    """Marks a break that the spectrum from n = 1 gives evidence for, and says the exponents before and behind it."""
    middle = curves[0] if len(curves) == 1 else _over_seeds(curves)[0]
    if middle.fit is None:
        return ""
    eigenvalues = np.asarray(middle.eigenvalues, np.float64)
    try:
        found = fit_broken_power_law(eigenvalues, 1, middle.fit.window[1])
    except FitImpossible:
        return ""
    if found.delta_bic <= EVIDENCE:
        return ""
    index, values = _points(eigenvalues)
    height = np.exp(np.interp(np.log(found.break_at), np.log(index), np.log(values)))
    panel.plot(
        [found.break_at], [height], marker="D", markersize=8, color="white",
        markeredgecolor=style.color, markeredgewidth=2, linestyle="", zorder=5,
    )  # fmt: skip
    return f" (◇ {found.first_alpha:.2f}, {found.second_alpha:.2f})"


def shade_windows(panel: Axes, curves: Sequence[SpectrumCurve]) -> None:
    """Shade faintly from the first to the last n that any of the fits uses."""
    windows = [curve.fit.window for curve in curves if curve.fit is not None]
    if windows:
        first, last = min(window[0] for window in windows), max(window[1] for window in windows)
        panel.axvspan(first, last, color=FAINT, alpha=0.6, linewidth=0, zorder=0)


def finish_spectra(panels: Sequence[Axes], curves: Sequence[SpectrumCurve]) -> None:
    """Logarithmic axes with limits that all of the curves share."""
    spectra = [*(curve.eigenvalues for curve in curves), *(s for c in curves for s in c.populations.values())]
    lowest = min(_points(spectrum)[1].min() for spectrum in spectra)
    for panel in panels:
        panel.set(xscale="log", yscale="log")
        panel.set_xlim(0.9, 1.15 * max(len(curve.eigenvalues) for curve in curves))
        # Below 1e-11 of the first even a float64 eigenvalue is rounding, and it would flatten the rest.
        panel.set_ylim(max(lowest / 2, 1e-11), 2.0)
    settle(panels)


def _inputs(present: Mapping[str, object]) -> list[str]:
    return [kind for kind in INPUT_NAMES if kind in present] + sorted(set(present) - set(INPUT_NAMES))


def _lighter(color: str, amount: float) -> tuple[float, float, float]:
    red, green, blue = (1 - (1 - part) * (1 - amount) for part in to_rgb(color))
    return red, green, blue


def _draw_populations(panel: Axes, curve: SpectrumCurve, style: ModelStyle) -> None:
    sizes = sorted(curve.populations)
    for place, size in enumerate(sizes):
        index, values = _points(curve.populations[size])
        color = _lighter(style.color, 0.78 - 0.4 * place / max(len(sizes) - 1, 1))
        panel.plot(index, values, color=color, linewidth=1.6)
        panel.annotate(
            str(size), (index[-1], values[-1]), xytext=(3, 0), textcoords="offset points", fontsize=9.5, va="center",
            color=_lighter(style.color, 0.2),
        )  # fmt: skip


@in_shared_style
def layer_spectra_figure(spectra: Mapping[str, Mapping[str, Members]], styles: Styles | None = None) -> Figure:
    """Figure 2: spectra of the data and of layers, on images and on white noise.

    One row per kind of input, one column per layer; lighter lines, labelled with their number of units, are the spectra
    of the first units alone. Dashed: the fitted power law over its window.

    Args:
        spectra: "images" | "noise" -> layer (or the data) -> a curve, or one per seed (None if missing).
        styles: how models are drawn and called, in this order; others get further colours, by name.

    Raises:
        ValueError: nothing to draw, or a fit window without eigenvalues.
    """
    require(spectra, "spectrum")
    kinds = _inputs(spectra)
    styles = model_styles({name for each in spectra.values() for name in each}, styles)
    require(styles, "layer")
    layers = list(styles)
    figure = new_figure(1.4 + 4.1 * len(layers), 0.8 + 3.9 * len(kinds))
    grid = figure.subplots(len(kinds), len(layers), sharex=True, sharey="row", squeeze=False)
    for row, kind in zip(grid, kinds, strict=True):
        shown = []
        for panel, layer in zip(row, layers, strict=True):
            curves = present_curves(spectra[kind].get(layer))
            if not curves:
                panel.text(0.5, 0.5, "not available", transform=panel.transAxes, ha="center", va="center")
                continue
            shown += curves
            shade_windows(panel, curves)
            _draw_populations(panel, curves[0], styles[layer])
            draw_spectra(panel, curves, styles[layer], exponent_label(curves))
            panel.legend(loc="lower left", fontsize=12.5, handlelength=1.2)
        if shown:
            finish_spectra(list(row), shown)
        row[0].set_ylabel(f"on {INPUT_NAMES.get(kind, kind)}\nλₙ / λ₁")
    for panel, layer in zip(grid[0], layers, strict=True):
        panel.set_title(styles[layer].label)
    for panel in grid[-1]:
        panel.set_xlabel("n")
    letter(list(grid.ravel()))
    return figure


@in_shared_style
def model_spectra_figure(spectra: Mapping[str, Mapping[str, Members]], styles: Styles | None = None) -> Figure:
    """Figure 3: spectra of all models, one panel for images and one for white noise, with their exponents.

    A diamond is the break of a broken power law that describes the spectrum, from n = 1 to the end of the window,
    better than a single one; its two exponents stand in the legend. On images the band holds seven recordings of mouse
    V1.

    Args:
        spectra: "images" | "noise" -> model -> a curve, or one per seed (None if missing).
        styles: how models are drawn and called, in this order; others get further colours, by name.

    Raises:
        ValueError: nothing to draw, or a fit window without eigenvalues.
    """
    require(spectra, "spectrum")
    kinds = _inputs(spectra)
    styles = model_styles({model for each in spectra.values() for model in each}, styles)
    require(styles, "model")
    figure = new_figure(1.0 + 6.2 * len(kinds), 6.2)
    grid = figure.subplots(1, len(kinds), squeeze=False)[0]
    for panel, kind in zip(grid, kinds, strict=True):
        shown = [curve for model in styles for curve in present_curves(spectra[kind].get(model))]
        if not shown:
            panel.text(0.5, 0.5, "not available", transform=panel.transAxes, ha="center", va="center")
            continue
        shade_windows(panel, shown)
        for model, style in styles.items():
            curves = present_curves(spectra[kind].get(model))
            broken = _mark_break(panel, curves, style) if curves else ""
            draw_spectra(panel, curves, style, f"{style.label}: {exponent_label(curves)}{broken}")
        if kind == "images":
            _draw_mouse_v1(panel)
        finish_spectra([panel], shown)
        panel.legend(loc="lower left", fontsize=11.5, handlelength=1.2)
        panel.set_title(f"on {INPUT_NAMES.get(kind, kind)}")
        panel.set_xlabel("n")
        panel.set_ylabel("λₙ / λ₁")
    letter(list(grid))
    return figure
