"""Figure 4: smoothness and decisions over a plane through an image.

Holzhausen et al., arXiv 2405.00679: ‖∂a/∂x‖_F on a random plane spanned by two orthonormal directions, beside the class
that the model decides for and the contours of its largest softmax output.
"""

import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import scipy
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from jax_bioadv.analysis.boundaries import Landscape
from jax_bioadv.figures.seeds import require
from jax_bioadv.figures.style import INK, in_shared_style, letter, new_figure, plain_logarithmic_ticks, settle
from jax_bioadv.styles import Styles, model_styles

# Paul Tol's "muted" scheme: ten colours that stay apart for colour-blind readers, light enough for dark contours.
CLASS_COLORS = (
    "#88CCEE", "#DDCC77", "#CC6677", "#44AA99", "#AA4499", "#DDDDDD", "#999933", "#882255", "#117733", "#332288",
)  # fmt: skip
CONFIDENCE_LEVELS = (0.3, 0.5, 0.7, 0.9, 0.99)


def _norm_scale(landscapes: Sequence[Landscape]) -> Normalize:
    """One logarithmic scale for all models, over at most four decades; linear if the norm is the same everywhere."""
    values = np.concatenate([np.asarray(one.jacobian_norm, dtype=np.float64).ravel() for one in landscapes])
    if not np.isfinite(values).all() or (values < 0).any():
        raise ValueError("Jacobian norms must be finite and not negative; leave a diverged model out")
    largest = values.max()
    if largest == 0:
        return Normalize(0.0, 1.0)
    smallest = max(values[values > 0].min(), largest * 1e-4)
    return LogNorm(smallest, largest) if smallest < largest * 0.999 else Normalize(0.0, largest)


def _class_colors(count: int) -> list[str]:
    return [CLASS_COLORS[index % len(CLASS_COLORS)] for index in range(count)]


def _name_regions(panel: Axes, classes: np.ndarray, coordinates: np.ndarray, names: Sequence[str]) -> None:
    """Write the class into the middle of every region that has room for it, off the image itself."""
    away = np.hypot(coordinates[:, None], coordinates) > 0.08 * np.ptp(coordinates)
    for index in np.unique(classes[classes >= 0]):
        regions, count = scipy.ndimage.label(classes == index)
        for region in range(1, count + 1):
            inside = np.pad((regions == region) & away, 1)
            depth = scipy.ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            if 2 * depth[row, column] > max(0.16, 0.028 * len(names[index])) * len(coordinates):
                across, up = float(coordinates[column]), float(coordinates[row])
                panel.text(
                    across, up, names[index], ha="center", va="center", fontsize=10.5,
                    path_effects=[withStroke(linewidth=2.5, foreground="white")],
                )  # fmt: skip


def _mark_centre(panel: Axes) -> None:
    panel.plot([0], [0], marker="o", markersize=8, markerfacecolor="white", markeredgecolor=INK, markeredgewidth=2)


def _draw_decisions(
    panel: Axes, plane: Landscape, names: Sequence[str], extent: tuple[float, float, float, float]
) -> None:
    coordinates = np.asarray(plane.coordinates, dtype=np.float64)
    classes = np.ma.masked_less(np.asarray(plane.predicted_class), 0)
    confidence = np.asarray(plane.confidence, dtype=np.float64)
    colors = ListedColormap(_class_colors(len(names)))
    panel.imshow(
        classes, extent=extent, origin="lower", cmap=colors, vmin=-0.5, vmax=len(names) - 0.5, interpolation="nearest",
        alpha=0.8,
    )  # fmt: skip
    levels = [level for level in CONFIDENCE_LEVELS if confidence.min() < level < confidence.max()]
    if levels:
        contours = panel.contour(coordinates, coordinates, confidence, levels=levels, colors=INK, linewidths=0.9)
        panel.clabel(contours, fmt="%g", fontsize=8.5)
    _name_regions(panel, classes.filled(-1), coordinates, names)


def _check(model: str, plane: Landscape, names: Sequence[str] | None) -> None:
    points = np.asarray(plane.coordinates).size
    for field in ("jacobian_norm", "predicted_class", "confidence"):
        shape = np.asarray(getattr(plane, field)).shape
        if shape != (points, points) or points < 2:
            raise ValueError(
                f"{model}: {field} must have shape ({points}, {points}) with 2 points or more, got {shape}"
            )
    if names is not None and int(np.asarray(plane.predicted_class).max()) >= len(names):
        raise ValueError(f"{model} predicts a class beyond the {len(names)} class names given")


@in_shared_style
def landscape_figure(
    landscapes: Mapping[str, Landscape | None],
    class_names: Sequence[str] | None = None,
    styles: Styles | None = None,
) -> Figure:
    """Figure 4: per model the Jacobian norm (above) and the decision (below) over the same plane through an image.

    The white dot is the image. All models share one logarithmic colour scale of at most four decades; what lies below
    it, as where no unit is active, has the darkest colour. Black contours: the largest softmax output. White: no finite
    logits. One model alone has its two maps side by side.

    Args:
        landscapes: model -> its maps over the plane, None if missing.
        class_names: a name for each class; their numbers if not given.
        styles: what models are called, in the order of drawing; others follow by name.

    Raises:
        ValueError: nothing to draw, or shapes, norms or class names that do not fit.
    """
    present = {model: plane for model, plane in landscapes.items() if plane is not None}
    require(present, "landscape")
    styles = model_styles(present, styles)
    for model in styles:
        _check(model, present[model], class_names)
    count = 1 + max(int(np.asarray(plane.predicted_class).max()) for plane in present.values())
    names = list(class_names) if class_names is not None else [str(index) for index in range(count)]
    scale = _norm_scale(list(present.values()))
    columns = len(styles)
    alone = columns == 1
    width, height = (9.2, 4.4) if alone else (1.8 + 3.0 * columns, 7.0)
    shape = (1, 2) if alone else (2, columns)
    figure = new_figure(width, height)
    grid = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).reshape(2, columns)  # norms, then decisions
    for column, (model, style) in enumerate(styles.items()):
        plane = present[model]
        low, high = float(np.asarray(plane.coordinates).min()), float(np.asarray(plane.coordinates).max())
        extent = (low, high, low, high)
        norms = np.asarray(plane.jacobian_norm, dtype=np.float64)
        if isinstance(scale, LogNorm):
            norms = np.maximum(norms, scale.vmin or 0.0)
        grid[0, column].imshow(norms, extent=extent, origin="lower", cmap="viridis", norm=scale)
        _draw_decisions(grid[1, column], plane, names, extent)
        for panel in grid[:, column]:
            _mark_centre(panel)
        grid[0, column].set_title(textwrap.fill(style.label, 18))
        for panel in grid[0 if alone else 1 :, column]:
            panel.set_xlabel("L₂ distance")
    grid[0, 0].set_ylabel("Jacobian norm\nL₂ distance")
    grid[1, 0].set_ylabel("decision\nL₂ distance")
    settle(grid.ravel(), grid=False)
    grid[0, 0].xaxis.set_major_locator(MaxNLocator(4, prune="both"))
    letter(list(grid.ravel()))
    how = "logarithmic" if isinstance(scale, LogNorm) else "linear"
    bar = figure.colorbar(ScalarMappable(scale, "viridis"), ax=list(grid[0]), pad=0.01, aspect=18, shrink=0.85)
    if isinstance(scale, LogNorm):
        plain_logarithmic_ticks(bar.ax.yaxis, float(scale.vmin or 1.0), float(scale.vmax or 1.0))
    bar.set_label(f"‖∂a/∂x‖ (Frobenius)\n{how}{'' if alone else ', same for all'}", fontsize=11.5)
    bar.ax.tick_params(labelsize=11)
    seen = {int(index) for plane in present.values() for index in np.unique(np.asarray(plane.predicted_class))}
    colors = _class_colors(len(names))
    patches = [Patch(facecolor=colors[index], alpha=0.8, label=names[index]) for index in sorted(seen) if index >= 0]
    side_by_side = 5 if alone else min(10, 2 * columns)
    figure.legend(handles=patches, loc="outside lower center", ncols=side_by_side, fontsize=11.5)
    return figure
