"""One look for all figures: a colour, marker and line for each model, legible sizes, colour-blind-safe colours.

The five models of the paper always have the same style, whichever subset a figure shows. The colours are those of Okabe
and Ito (2008), which stay apart for all common kinds of colour blindness; markers and dashes repeat what colour says.
"""

import functools
import zlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, NamedTuple, ParamSpec

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator, ScalarFormatter

from jax_bioadv.storage import atomic_file

MODEL_NAMES = {"kh": "Krotov–Hopfield", "bp": "backprop", "l2": "L2", "jacobian": "Jacobian", "spectral": "spectral"}
OTHER_NAMES = {"data": "data", "untrained": "untrained", "kh_start": "KH not trained"}
ATTACK_NAMES = {"gaussian": "Gaussian noise", "fgsm": "FGSM", "pgd": "PGD"}
INPUT_NAMES = {"images": "images", "noise": "white noise"}

P = ParamSpec("P")

INK = "#222222"
FAINT = "#E9E9E9"
GREY = "#7A7A7A"

Dashes = Literal["-"] | tuple[float, tuple[float, ...]]
SOLID: Dashes = "-"


class ModelStyle(NamedTuple):
    """How a model is drawn, everywhere."""

    color: str
    marker: str
    dashes: Dashes


_KNOWN = {
    "kh": ModelStyle("#0072B2", "o", SOLID),
    "bp": ModelStyle("#D55E00", "s", (0.0, (6.0, 1.6))),
    "l2": ModelStyle("#009E73", "^", (0.0, (3.5, 1.2, 1.0, 1.2))),
    "jacobian": ModelStyle("#CC79A7", "D", (0.0, (2.4, 1.2))),
    "spectral": ModelStyle("#E69F00", "v", (0.0, (1.1, 1.1))),
    "data": ModelStyle("#222222", "*", SOLID),
    "untrained": ModelStyle("#7A7A7A", "X", SOLID),
    "kh_start": ModelStyle("#56B4E9", "P", (0.0, (1.0, 2.0))),
}
_FURTHER = (
    ModelStyle("#882255", "d", SOLID),
    ModelStyle("#6A3D9A", "h", (0.0, (6.0, 1.6))),
    ModelStyle("#8C5A2B", "p", (0.0, (3.5, 1.2, 1.0, 1.2))),
    ModelStyle("#B8A800", "<", (0.0, (2.4, 1.2))),
    ModelStyle("#000000", ">", (0.0, (1.1, 1.1))),
)


def ordered_models(models: Iterable[str]) -> list[str]:
    """The paper's models first, in the paper's order, then all others by name."""
    present = set(models)
    return [model for model in _KNOWN if model in present] + sorted(present - set(_KNOWN))


def model_styles(models: Iterable[str]) -> dict[str, ModelStyle]:
    """A style per model; those that the paper does not know get further colours, chosen by their names."""
    styles: dict[str, ModelStyle] = {}
    taken: set[int] = set()
    for model in ordered_models(models):
        if model in _KNOWN:
            styles[model] = _KNOWN[model]
            continue
        place = zlib.crc32(model.encode()) % len(_FURTHER)
        while place in taken and len(taken) < len(_FURTHER):
            place = (place + 1) % len(_FURTHER)
        taken.add(place)
        styles[model] = _FURTHER[place]
    return styles


def display_name(model: str) -> str:
    """The name of a model, or of a baseline, as it stands in a figure or a table."""
    return (MODEL_NAMES | OTHER_NAMES).get(model, model.replace("_", " "))


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
        "svg.hashsalt": "jax_bioadv",
    }
    return matplotlib.rc_context(settings)


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
    """Ticks from ``low`` to ``high`` on a logarithmic axis: 0.2, 0.5, 1 where few decades are shown, else 10^k."""
    steps = (1, 2, 5) if high / low < 30 else (1, 3) if high / low < 300 else (1,)
    ticks = [step * 10.0**power for power in range(-15, 16) for step in steps]
    axis.set_ticks([tick for tick in ticks if low <= tick <= high])
    if len(steps) > 1:
        axis.set_major_formatter(ScalarFormatter(useOffset=False))
    axis.set_minor_locator(NullLocator())


def letter(axes: Sequence[Axes]) -> None:
    """Mark panels a, b, c, … above their upper left corner."""
    for index, panel in enumerate(axes):
        panel.set_title(chr(ord("a") + index), loc="left", fontsize=15, fontweight="bold")


def save_figure(figure: Figure, directory: Path, name: str, dpi: int = 160) -> list[Path]:
    """Write ``name.png`` and ``name.pdf`` into ``directory``, each of them whole or not at all, and return the paths.

    Neither file holds a date, so that the same data give the same bytes.
    """
    paths = []
    for kind, metadata in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        paths.append(directory / f"{name}.{kind}")
        with atomic_file(paths[-1]) as stream, shared_style(), matplotlib.rc_context({"pdf.fonttype": 42}):
            figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return paths
