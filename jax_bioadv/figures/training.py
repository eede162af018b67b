"""The course of training: loss and accuracy per epoch, and how the Krotov–Hopfield rows reach their unit norm."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from jax_bioadv.figures.seeds import Numbers, mean_interval, members, require
from jax_bioadv.figures.style import GREY, in_shared_style, letter, new_figure, plain_logarithmic_ticks, settle
from jax_bioadv.styles import ModelStyle, Styles, model_styles


class TrainingHistory(NamedTuple):
    """Loss and accuracy of a model, each of shape (seeds, epochs); a seed that diverged is None."""

    loss: Numbers
    accuracy: Numbers


class ConvergenceHistory(NamedTuple):
    """Share of rows whose L_p norm is within 1e-2 of R, and the median norm, each of shape (seeds, epochs)."""

    converged_share: Numbers
    median_norm: Numbers


def _draw_course(panel: Axes, values: Numbers, style: ModelStyle) -> None:
    rows = members(values, style.label)
    if not len(rows):
        return
    epochs = np.arange(1, rows.shape[1] + 1)
    mean, half = mean_interval(rows)
    marker = style.marker if epochs.size <= 3 else ""
    panel.plot(
        epochs,
        mean,
        color=style.color,
        linestyle=style.dashes,
        linewidth=style.width,
        zorder=1 + style.width,
        label=style.label,
        marker=marker,
    )
    if len(rows) > 1:
        panel.fill_between(epochs, mean - half, mean + half, color=style.color, alpha=0.18, linewidth=0)


def _logarithmic_if_wide(panel: Axes) -> None:
    drawn = [np.asarray(line.get_ydata(), dtype=np.float64) for line in panel.lines]
    values = np.concatenate([*drawn, np.empty(0)])
    values = values[np.isfinite(values)]
    if values.size and values.min() > 0 and values.max() > 5 * values.min():
        panel.set_yscale("log")
        plain_logarithmic_ticks(panel.yaxis, values.min(), values.max())


def _logarithmic_epochs_if_wide(panel: Axes) -> None:
    """A decoder on a frozen layer takes many more epochs than a network; on a linear axis it squeezes the others."""
    lengths = [np.size(line.get_xdata()) for line in panel.lines]
    if lengths and max(lengths) > 5 * min(lengths):
        panel.set_xscale("log")
        plain_logarithmic_ticks(panel.xaxis, 1, max(lengths))


@in_shared_style
def training_curves_figure(
    histories: Mapping[str, TrainingHistory],
    convergence: Mapping[str, ConvergenceHistory] | None = None,
    styles: Styles | None = None,
) -> Figure:
    """Loss and accuracy of each model against epochs and, below, the convergence of the Krotov–Hopfield rows.

    Lines are means over seeds, bands their 95 % intervals.

    Args:
        histories: model -> loss and accuracy; models may have been trained for different numbers of epochs.
        convergence: model -> convergence of its rows; the lower panels are left out if there is none.
        styles: how models are drawn and called, in this order; others get further colours, by name.

    Raises:
        ValueError: nothing to draw, or seeds of unequal length.
    """
    rows_of_model = convergence or {}
    require({**histories, **rows_of_model}, "training history")
    styles = model_styles([*histories, *rows_of_model], styles)
    kinds = bool(histories) + bool(rows_of_model)
    figure = new_figure(12.6, 0.7 + 4.3 * kinds)
    grid = figure.subplots(kinds, 2, squeeze=False)
    if histories:
        loss, accuracy = grid[0]
        for model in (model for model in styles if model in histories):
            _draw_course(loss, histories[model].loss, styles[model])
            _draw_course(accuracy, histories[model].accuracy, styles[model])
        loss.set(ylabel="training loss", title="loss")
        accuracy.set(ylabel="accuracy", title="accuracy")
        _logarithmic_if_wide(loss)
        for panel in (loss, accuracy):
            _logarithmic_epochs_if_wide(panel)
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        if loss.lines:
            loss.legend(loc="best", fontsize=12, handlelength=3)
    if rows_of_model:
        share, norm = grid[-1]
        for model in (model for model in styles if model in rows_of_model):
            _draw_course(share, rows_of_model[model].converged_share, styles[model])
            _draw_course(norm, rows_of_model[model].median_norm, styles[model])
        share.axhline(0.9, color=GREY, linewidth=1.2, linestyle=(0, (2, 2)))
        share.text(
            0.99, 0.885, "accepted above", transform=share.get_yaxis_transform(), ha="right", va="top", color=GREY
        )
        share.set(ylabel="rows at unit norm", title="Krotov–Hopfield convergence", ylim=(-0.02, 1.04))
        share.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        norm.axhline(1.0, color=GREY, linewidth=1.2, linestyle=(0, (2, 2)))
        norm.set(ylabel="median row norm", title="norm of the synapses")
        if len(rows_of_model) > 1:
            share.legend(loc="center right", fontsize=12)
    for panel in grid.ravel():
        panel.set_xlabel("epoch")
        panel.margins(x=0.02)
    settle(grid.ravel())
    letter(list(grid.ravel()))
    return figure
