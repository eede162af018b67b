"""Figure A2: test accuracy against the length of the shortest flipping perturbations (arXiv 2405.00679)."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from jax_bioadv.analysis.crossed import Interval, Overall, overall
from jax_bioadv.figures.robustness import draw_strip
from jax_bioadv.figures.seeds import Numbers, require, scalars
from jax_bioadv.figures.style import INK, in_shared_style, letter, new_figure, plain_logarithmic_ticks, settle
from jax_bioadv.styles import ModelStyle, Names, Styles, model_styles, named


@in_shared_style
def accuracy_robustness_figure(
    test_accuracy: Mapping[str, Numbers],
    median_critical: Mapping[str, Mapping[str, Numbers]],
    accuracy_interval: Mapping[str, Sequence[Interval | None]] | None = None,
    median_interval: Mapping[str, Mapping[str, Sequence[Interval | None]]] | None = None,
    styles: Styles | None = None,
    attacks: Names | None = None,
) -> Figure:
    """Figure A2: test accuracy against the median critical L2 distance, a panel per attack, a small point per seed.

    With several seeds a large point marks the mean and bars its 95 % interval over seeds and images. An infinite median
    (more than half of the images were never flipped) stands in the strip above the axis; the large point is then the
    median over seeds, a lower bound, with an arrow up.

    Args:
        test_accuracy: model -> one number per seed, None where it is missing.
        median_critical: attack -> model -> one median per seed, None where it is missing.
        accuracy_interval: model -> one interval over images per seed; without, bars are over seeds alone.
        median_interval: attack -> model -> the same of the medians.
        styles: how models are drawn and called, in this order; others get further colours, by name.
        attacks: what attacks are called, in this order; others by their keys, behind.

    Raises:
        ValueError: nothing to draw, or a model with different numbers of seeds in the two mappings.
    """
    require(median_critical, "attack")
    attacks = named(median_critical, attacks)
    models = [model for model in test_accuracy if any(model in median_critical[attack] for attack in attacks)]
    require(dict.fromkeys(models), "model with both accuracy and distance")
    styles = model_styles(models, styles)
    all_medians = np.concatenate([scalars(medians) for each in median_critical.values() for medians in each.values()])
    across = {
        (attack, model): overall(each, (median_interval or {}).get(attack, {}).get(model))
        for attack, medians in median_critical.items()
        for model, each in medians.items()
    }
    ends = [end for one in across.values() if one is not None and one.seeds > 1 for end in one.interval or ()]
    shown = np.concatenate([all_medians, ends])
    finite = shown[np.isfinite(shown) & (shown > 0)]
    floor, ceiling = (finite.min() / 1.5, finite.max() * 1.5) if finite.size else (0.5, 2.0)
    top = ceiling * (ceiling / floor) ** 0.14
    figure = new_figure(1.4 + 4.2 * len(attacks), 5.2)
    grid = figure.subplots(1, len(attacks), sharey=True, sharex=True, squeeze=False)[0]
    for panel, (attack, name) in zip(grid, attacks.items(), strict=True):
        panel.set_yscale("log")
        panel.set_ylim(floor, top)
        if np.isinf(all_medians).any():
            draw_strip(panel, ceiling, top, "median\nnever\nflipped" if panel is grid[0] else None)
        for model in styles:
            if model in median_critical[attack]:
                pairs = _pairs(model, test_accuracy[model], median_critical[attack][model])
                strip = float(np.sqrt(ceiling * top))
                _draw_pairs(panel, pairs, styles[model], strip)
                if len(pairs) > 1:
                    accuracy = overall(test_accuracy[model], (accuracy_interval or {}).get(model))
                    _draw_overall(panel, accuracy, across[attack, model], styles[model], strip)
        panel.set_title(name)
        panel.set_xlabel("test accuracy")
        panel.margins(x=0.12)
        plain_logarithmic_ticks(panel.yaxis, floor, ceiling)
    grid[0].set_ylabel("median critical L₂ distance")
    settle(grid)
    letter(list(grid))
    markers = [
        Line2D([], [], linestyle="", marker=style.marker, markersize=10, color=style.color, label=style.label)
        for style in styles.values()
    ]
    columns = min(len(markers), 2 * len(attacks) - len(attacks) // 2)
    figure.legend(handles=markers, loc="outside upper center", ncols=columns, fontsize=11.5)
    return figure


def _pairs(model: str, accuracy: Numbers, medians: Numbers) -> Float[np.ndarray, "seeds 2"]:
    if len(accuracy) != len(medians):
        raise ValueError(f"{model}: {len(accuracy)} test accuracies but {len(medians)} medians; give one per seed")
    pairs = np.asarray(
        [(np.nan if a is None else a, np.nan if m is None else m) for a, m in zip(accuracy, medians, strict=True)],
        dtype=np.float64,
    ).reshape(-1, 2)
    return pairs[~np.isnan(pairs).any(axis=1)]


def _draw_pairs(panel: Axes, pairs: Float[np.ndarray, "seeds 2"], style: ModelStyle, strip: float) -> None:
    heights = np.where(np.isinf(pairs[:, 1]), strip, pairs[:, 1])
    single = len(pairs) == 1
    panel.plot(
        pairs[:, 0], heights, linestyle="", marker=style.marker, color=style.color,
        markeredgecolor="white", markersize=12 if single else 6, alpha=1.0 if single else 0.5,
    )  # fmt: skip


def _draw_overall(
    panel: Axes, accuracy: Overall | None, distance: Overall | None, style: ModelStyle, strip: float
) -> None:
    if accuracy is None or distance is None:
        return
    low, high = accuracy.interval or (accuracy.centre, accuracy.centre)
    height = min(distance.centre, strip)
    below, above = distance.interval or (height, height)
    # A logarithmic axis cannot show a bar that reaches zero or below: it ends at the axis instead.
    arms = [[max(height - max(below, 0.001 * height), 0.0)], [max(min(above, strip) - height, 0.0)]]
    panel.errorbar(
        [accuracy.centre], [height], xerr=[[accuracy.centre - low], [high - accuracy.centre]], yerr=arms,
        marker=style.marker, color=style.color, markersize=12, markeredgecolor=INK, capsize=4, elinewidth=1.8,
        linestyle="", lolims=[bool(distance.infinite) and height < strip],
    )  # fmt: skip
