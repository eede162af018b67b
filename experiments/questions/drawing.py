"""Marks that the figures of questions share."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments.models import STYLES
from experiments.report.figures import Missing
from experiments.report.numbers import dig, per_seed
from experiments.results.figure_arrays import FILE, Arrays
from jax_bioadv import figures
from jax_bioadv.analysis.crossed import overall
from jax_bioadv.styles import ModelStyle


def style_of(name: str) -> ModelStyle:
    return figures.model_styles([name], STYLES)[name]


def middle(values: Any) -> tuple[float, float, float] | None:
    """Centre and ends over seeds; of one seed the centre alone."""
    found = overall(per_seed(values))
    if found is None:
        return None
    low, high = found.interval or (found.centre, found.centre)
    return found.centre, low, high


def cross(panel: Axes, x: Any, y: Any, style: ModelStyle, name: str = "") -> None:
    """A marker with its intervals."""
    one, other = middle(x), middle(y)
    if one is None or other is None:
        return
    panel.plot(one[1:], [other[0]] * 2, color=style.color, linewidth=1.2)
    panel.plot([one[0]] * 2, other[1:], color=style.color, linewidth=1.2)
    panel.plot([one[0]], [other[0]], style.marker, color=style.color, markersize=8, label=name, linestyle="none")


def mean_log(arrays: Arrays, path: str) -> np.ndarray:
    """Geometric mean over the seeds that there are."""
    if not arrays:
        raise Missing(f"there is no {FILE} beside results.json")
    values = np.asarray(arrays[path], np.float64)
    logarithms = np.log(np.where(values > 0, values, np.nan))
    return np.exp(logarithms[~np.isnan(logarithms).all(axis=1)].mean(axis=0))


def curve(panel: Axes, course: Mapping[str, Any], key: str, color: str, words: str) -> None:
    found = [(epoch, middle(dig(one, key))) for epoch, one in zip(course["epochs"], course["exponents"], strict=True)]
    known = [(epoch, *one) for epoch, one in found if one is not None]
    if not known:
        return
    epochs, centres, lows, highs = (np.array(column) for column in zip(*known, strict=True))
    panel.fill_between(epochs, lows, highs, color=color, alpha=0.2, linewidth=0)
    panel.plot(epochs, centres, color=color, marker="o", markersize=4, label=words)
