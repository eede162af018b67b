"""One look for all figures, at legible sizes; how each model looks is in :mod:`jax_bioadv.styles`."""

import functools
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from string import ascii_lowercase
from typing import Any, ParamSpec

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullLocator, ScalarFormatter
from PIL import Image

from jax_bioadv.storage import atomic_file

INPUT_NAMES = {"images": "images", "noise": "white noise"}

P = ParamSpec("P")

INK = "#222222"
FAINT = "#E9E9E9"
GREY = "#7A7A7A"


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
        if engine is not None:
            engine.execute(figure)
            figure.set_layout_engine("none")  # laid out once for both files
        # By the canvases themselves: savefig would draw once more for each file, to lay out what is laid out.
        figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        figure.set_dpi(own_dpi)
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        with atomic_file(paths[0]) as stream:
            picture.quantize(256, dither=Image.Dither.NONE).save(stream, "png", optimize=True)
        with atomic_file(paths[1]) as stream:
            FigureCanvasPdf(figure).print_pdf(stream, metadata={"CreationDate": None})
    figure.set_layout_engine(engine)
    return paths
