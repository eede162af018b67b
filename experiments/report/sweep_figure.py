"""The figure of a sweep, from the table alone."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.attacks import ATTACKS, short_label
from experiments.members import show
from experiments.models import label as name_of
from jax_bioadv.figures.style import save_figure
from jax_bioadv.figures.sweep import SweepLine, sweep_figure
from jax_bioadv.storage import read_json

# Quantities that are drawn where they were measured: stage, column, label.
QUANTITIES = (
    ("train", "test_accuracy", "test accuracy"),
    ("spectra", "alpha_images", "exponent α on images"),
    ("spectra", "alpha_noise", "exponent α on white noise"),
    *((attack, "median_critical_l2", f"median critical L2, {short_label(attack)}") for attack in ATTACKS),
)
LABELS = {
    "layer.delta": "Δ",
    "layer.p": "p",
    "layer.k": "k",
    "layer.radius": "R",
    "hidden": "hidden units H",
    "decoder.power": "power n",
}


def _label(path: str) -> str:
    return LABELS.get(path, path.replace("_", " "))


def _number(cell: str) -> float | None:
    return float(cell) if cell else None


def figure_of(table: Sequence[Mapping[str, str]], grid: Mapping[str, Sequence[Any]]) -> Figure:
    """One panel a quantity: the grid's first setting on the abscissa, all others and the models as lines.

    Raises:
        ValueError: the table holds none of the quantities.
    """
    first, *others = grid or {"": [""]}
    ticks = [show(value) for value in grid[first]] if grid else [""]
    models = list(dict.fromkeys(row["model"] for row in table))
    panels = {}
    for stage, column, label in QUANTITIES:
        measured = [row for row in table if row["stage"] == stage and (row[column] or row["diverged"])]
        lines: dict[str, dict[int, list[float | None]]] = {}
        for row in measured:
            parts = [name_of(row["model"])] if len(models) > 1 else []
            parts += [
                row[path] if len(others) == 1 and not parts else f"{_label(path)} = {row[path]}" for path in others
            ]
            place = ticks.index(row[first]) if first else 0
            lines.setdefault(", ".join(parts), {}).setdefault(place, []).append(_number(row[column]))
        if measured:
            panels[label] = {name: SweepLine(list(found), list(found.values())) for name, found in lines.items()}
    line_label = _label(others[0]) if len(others) == 1 and len(models) == 1 else ""
    return sweep_figure(panels, ticks, _label(first) if first else "", line_label)


def draw_sweep(directory: Path) -> list[Path]:
    """Draw what the folder of a sweep holds; nothing where nothing was measured."""
    grid = read_json(directory / "sweep.json")["grid"]
    with (directory / "sweep.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    drawable = {stage for stage, _, _ in QUANTITIES}
    if not any(row["stage"] in drawable for row in table):
        return []
    values = {path: [tuple(value) if isinstance(value, list) else value for value in grid[path]] for path in grid}
    return save_figure(figure_of(table, values), directory, "sweep")
