"""One look for all figures: a colour, marker and line for each model, and legible sizes.

How models look, and what they and attacks are called, is handed in; colours should stay apart for all common kinds of
colour blindness, as those of Okabe and Ito (2008) do, and markers and dashes repeat what colour says.
"""

import functools
import io
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from string import ascii_lowercase
from typing import Any, Literal, NamedTuple, ParamSpec

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from PIL import Image

from jax_bioadv.storage import atomic_file

MEASURE_NAMES = {
    "jacobian_frobenius": "‖∂a/∂x‖ (Frobenius)",
    "jacobian_spectral": "‖∂a/∂x‖ (spectral)",
    "relative_jacobian": "relative Jacobian (Frobenius)",
    "relative_jacobian_spectral": "relative Jacobian (spectral)",
    "logit_jacobian_spectral": "Jacobian of the logits",
    "relative_logit_jacobian": "relative Jacobian of the logits",
    "lipschitz_global": "global Lipschitz bound, logits",
    "lipschitz_global_activation": "global Lipschitz bound, activation",
    "lipschitz_local": "local Lipschitz constant, logits",
    "lipschitz_local_activation": "local Lipschitz constant, activation",
    "relative_lipschitz_local": "relative local Lipschitz constant",
    "loss_curvature": "curvature of the loss",
    "loss_hessian_spectral": "largest curvature of the loss",
    "margin_over_gradient": "margin / gradient",
    "margin_curvature": "curvature of the margin",
    "alpha_images": "exponent α on images",
    "alpha_noise": "exponent α on noise",
    "boundary_length_radius_4": "boundary length, radius 4",
    "boundary_length_radius_20": "boundary length, radius 20",
    "boundary_curvature_radius_4": "boundary curvature, radius 4",
    "boundary_curvature_radius_20": "boundary curvature, radius 20",
    "test_accuracy": "test accuracy",
}
INPUT_NAMES = {"images": "images", "noise": "white noise"}

P = ParamSpec("P")

INK = "#222222"
FAINT = "#E9E9E9"
GREY = "#7A7A7A"

Dashes = Literal["-"] | tuple[float, tuple[float, ...]]
SOLID: Dashes = "-"
THIN = 1.3
"""The width of lines that are less to the point, such as those of controls."""
CROWD = 8
"""More models than this need more room: wider panels, legends outside, small print."""


class ModelStyle(NamedTuple):
    """How a model is drawn, everywhere, and what it is called; without a label by its own name."""

    color: str
    marker: str
    dashes: Dashes
    width: float = 2.2
    label: str = ""


Styles = Mapping[str, ModelStyle]
"""How models are drawn; their order is the order of drawing."""
Names = Mapping[str, str]
"""What attacks or threats are called; their order is the order of drawing."""

_FURTHER = (
    ModelStyle("#882255", "d", SOLID),
    ModelStyle("#6A3D9A", "h", (0.0, (6.0, 1.6))),
    ModelStyle("#8C5A2B", "p", (0.0, (3.5, 1.2, 1.0, 1.2))),
    ModelStyle("#B8A800", "<", (0.0, (2.4, 1.2))),
    ModelStyle("#000000", ">", (0.0, (1.1, 1.1))),
)


def _ordered(present: Iterable[str], known: Iterable[str]) -> list[str]:
    names = set(present)
    first = [name for name in known if name in names]
    return first + sorted(names - set(first))


def model_styles(models: Iterable[str], styles: Styles | None = None) -> dict[str, ModelStyle]:
    """A style with a label for each model, in the order of drawing.

    Args:
        models: the names of those that are there.
        styles: of known models, which come first and in this order; others follow by name, in further colours that
            their names choose.
    """
    known, found, taken = styles or {}, {}, set[int]()
    for model in _ordered(models, known):
        style = known.get(model)
        if style is None:
            place = zlib.crc32(model.encode()) % len(_FURTHER)
            while place in taken and len(taken) < len(_FURTHER):
                place = (place + 1) % len(_FURTHER)
            taken.add(place)
            style = _FURTHER[place]
        found[model] = style._replace(label=style.label or model.replace("_", " "))
    return found


def named(present: Iterable[str], names: Names | None = None) -> dict[str, str]:
    """What each of those that are there is called, in the order of drawing.

    Args:
        present: attacks or threats by their keys in the data.
        names: of known ones, which come first and in this order; others follow by key, and are called by it.
    """
    known = names or {}
    return {one: known.get(one, one.replace("_", " ")) for one in _ordered(present, known)}


def measure_name(measure: str) -> str:
    """The name of a measure of smoothness as it stands in a figure or a table."""
    return MEASURE_NAMES.get(measure, measure.replace("_", " "))


def shared_style() -> AbstractContextManager[None]:
    """The settings under which a figure is built; leaving the context restores those of the caller."""
    settings: Any = {
        "font.size": 12.0,
        "axes.titlesize": 14.0,
        "axes.titleweight": "bold",
        "axes.labelsize": 13.0,
        "xtick.labelsize": 11.5,
        "ytick.labelsize": 11.5,
        "legend.fontsize": 11.0,
        "legend.frameon": False,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "text.color": INK,
        "lines.linewidth": 2.2,
        "figure.facecolor": "white",
        "axes.facecolor": "white",
        "pdf.fonttype": 42,
        "svg.hashsalt": "jax_bioadv",
    }
    # On Matplotlib's own defaults, whatever the user's matplotlibrc says: it may ask for LaTeX where there is none.
    return matplotlib.style.context(["default", settings])


def in_shared_style(build: Callable[P, Figure]) -> Callable[P, Figure]:
    """Let a function build its figure in the shared style."""

    @functools.wraps(build)
    def built(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with shared_style():
            return build(*args, **kwargs)

    return built


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that pyplot knows nothing about; ``width`` and ``height`` in inches."""
    return Figure(figsize=(width, height), dpi=100, layout="constrained")


def settle(axes: Iterable[Axes], grid: bool = True) -> None:
    """Fix what Matplotlib would otherwise read from the global settings only when it draws."""
    for panel in axes:
        panel.tick_params(labelsize=11.5, colors=INK, length=4.0)
        panel.tick_params(which="minor", length=2.0, color=GREY)
        if grid:
            panel.grid(True, which="major", color=FAINT, linewidth=0.9)
            panel.set_axisbelow(True)


def plain_logarithmic_ticks(axis: Axis, low: float, high: float) -> None:
    """Ticks from ``low`` to ``high`` on a logarithmic axis: 0.2, 0.5, 1 where few decades are shown, else 10^k.

    Where no two of these lie in between, they are those of a linear axis.
    """
    steps = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
    ticks = [step * 10.0**power for power in range(-15, 16) for step in steps]
    shown = [tick for tick in ticks if low <= tick <= high]
    if len(shown) < 2:
        shown = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
    axis.set_ticks(shown)
    if len(steps) > 1:
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axis.set_minor_locator(NullLocator())


def letter(axes: Sequence[Axes]) -> None:
    """Mark panels a, b, c, … (after z come aa, ab, …) above their upper left corner."""
    for index, panel in enumerate(axes):
        rounds, place = divmod(index, len(ascii_lowercase))
        name = ascii_lowercase[rounds - 1] * bool(rounds) + ascii_lowercase[place]
        panel.set_title(name, loc="left", fontsize=15, fontweight="bold")


def save_figure(figure: Figure, directory: Path, name: str, dpi: int = 120) -> list[Path]:
    """Write ``name.png`` and ``name.pdf`` into ``directory``, each of them whole or not at all, and return the paths.

    Neither file holds a date, so that the same data give the same bytes. The PNG has a palette of 256 colours, which
    takes a third of the room; the PDF is for print.
    """
    paths = [directory / f"{name}.{kind}" for kind in ("png", "pdf")]
    engine, own_dpi = figure.get_layout_engine(), figure.dpi
    with shared_style():
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # laid out once for both files
        # By the canvases themselves: savefig would draw once more for each file, to lay out what is laid out.
        picture = io.BytesIO()
        figure.set_dpi(dpi)
        FigureCanvasAgg(figure).print_png(picture)
        figure.set_dpi(own_dpi)
        with atomic_file(paths[0]) as stream:
            Image.open(picture).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(
                stream, "png", optimize=True
            )
        with atomic_file(paths[1]) as stream:
            FigureCanvasPdf(figure).print_pdf(stream, metadata={"CreationDate": None})
    figure.set_layout_engine(engine)
    return paths
