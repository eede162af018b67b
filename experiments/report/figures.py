"""The figures of a published folder, from its results.json and figures.npz alone; what cannot be drawn is named.

Figures show the paper's models. Controls have figures of their own, in two families, each with the Krotov–Hopfield
network and plain backpropagation for orientation. Figure 8 alone has all: what it shows is said of all models.
"""

import logging
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.attacks import ATTACK_LABELS, ATTACK_STRENGTHS, ATTACKS
from experiments.models import CONTROLS, MODELS, PAPER_MODELS, STYLES, in_order
from experiments.report.numbers import dig, present
from experiments.results import figure_arrays
from experiments.results.figure_arrays import INPUTS
from experiments.results.schema import read_results
from experiments.threats import THREAT_LABELS
from jax_bioadv import figures
from jax_bioadv.analysis.spectra import PowerLawFit
from jax_bioadv.command_line import stop_if_told
from jax_bioadv.figures import ConvergenceHistory, SpectrumCurve, TrainingHistory
from jax_bioadv.figures.pruning import TILES_PER_ROW, chosen_rows
from jax_bioadv.learning.pruning import Cut, Mixture

logger = logging.getLogger("experiments")

ORIENTATION = ("kh", "bp")
FAMILIES = {"layers": "controls with a frozen first layer", "networks": "controls trained as a whole"}
"""Whose figures NAME_layers and NAME_networks are."""


def family_of(model: str) -> str | None:
    """The family of a control; None for a model of the paper."""
    if model in PAPER_MODELS:
        return None
    return "layers" if model in MODELS and MODELS[model].first_layer is not None else "networks"


class Missing(ValueError):
    """There is no figures.npz, which the figure needs."""


class Drawing:
    """Hands the numbers of a published folder to the figures; each of ``models`` where it is there."""

    def __init__(self, directory: Path):
        self.results, self.arrays = read_results(directory), figure_arrays.read(directory)
        self.seeds = len(self.results["seeds"])

    def _rows(self, path: str) -> list[np.ndarray | None]:
        """One row a seed, as far as it goes; None where it is missing."""
        if not self.arrays:
            raise Missing(f"there is no {figure_arrays.FILE} beside results.json")
        if path not in self.arrays:
            return [None] * self.seeds
        return [None if np.isnan(row).all() else row[~np.isnan(row)] for row in self.arrays[path]]

    def _present(self, models: list[str], path: str) -> dict[str, list[np.ndarray | None]]:
        found = {model: self._rows(path.format(model)) for model in models}
        return {model: rows for model, rows in found.items() if any(row is not None for row in rows)}

    def figure1(self, models: list[str]) -> Figure:
        critical = {attack: self._present(models, f"critical/{attack}/{{}}") for attack in ATTACKS}
        curves = {}
        for attack in ATTACKS:
            entries = {m: dig(self.results, "models", m, "relative_accuracy", attack) for m in critical[attack]}
            curves[attack] = {m: (one["epsilons"], one["accuracy"]) for m, one in entries.items() if one}
        return figures.robustness_figure(curves, critical, STYLES, ATTACK_LABELS, ATTACK_STRENGTHS)

    def figure2(self) -> Figure:
        layers = ("data", "untrained", *(["kh"] if "kh" in self.results["models"] else []))
        spectra = {kind: {name: self._curves(name, kind) for name in layers} for kind in INPUTS}
        return figures.layer_spectra_figure(spectra, STYLES)

    def figure3(self, models: list[str]) -> Figure:
        spectra = {kind: {model: self._curves(model, kind) for model in models} for kind in INPUTS}
        present = {
            kind: {model: found for model, found in each.items() if any(found)} for kind, each in spectra.items()
        }
        return figures.model_spectra_figure(present, STYLES)

    def figure4(self, models: list[str]) -> Figure:
        self._rows("landscape")
        planes = figure_arrays.landscapes_of(self.arrays, models)
        return figures.landscape_figure(planes, figure_arrays.class_names_of(self.arrays), STYLES)

    def figure5(self, models: list[str]) -> Figure:
        """Against the first model of the run, which is the Krotov–Hopfield network where that is there."""
        reference = in_order(self.results["models"])[0]
        pairs = [p for p in self.results["comparisons"] if {p["first"], p["second"]} <= {reference, *models}]
        return figures.comparison_figure(pairs, reference, STYLES, CONTROLS, ATTACK_LABELS)

    def figure6(self, models: list[str]) -> Figure:
        return figures.threat_figure(self._entries(models), STYLES, ATTACK_LABELS, THREAT_LABELS)

    def figure7(self, models: list[str]) -> Figure:
        return figures.bounds_figure(self._entries(models), STYLES)

    def figure8(self) -> Figure:
        """All models, over which the rank correlations are."""
        models, correlations = self.results["models"], self.results["correlations"]
        return figures.smoothness_figure(models, correlations, styles=STYLES, attacks=ATTACK_LABELS)

    def figure9(self, models: list[str]) -> Figure:
        return figures.corruption_figure(self._entries(models), STYLES)

    def _entries(self, models: list[str]) -> dict[str, Any]:
        return {model: self.results["models"][model] for model in models}

    def figure_a1(self) -> Figure:
        """The layer of the first seed that started from noise."""
        self._rows("pruning")
        parts = {name.removeprefix("pruning/"): a for name, a in self.arrays.items() if name.startswith("pruning/")}
        if not parts:
            raise ValueError("the layer started from noise is missing")
        keep, height_width_channels = parts["keep"], self.arrays["image_shape"]
        shown = np.zeros((keep.size, parts["rows"].shape[1]))
        shown[chosen_rows(keep, TILES_PER_ROW**2)] = parts["rows"]
        mixture = [parts.get(f"mixture/{name}") for name in Mixture._fields]
        at = float(parts["cut_variance"])
        entry = self.results["baselines"]["noise_start"]
        cut = Cut(
            None if math.isnan(at) else at,
            keep,
            None if mixture[0] is None else Mixture(*mixture),  # type: ignore[arg-type]
            {},
            entry["cut_reason"][0],
        )
        spectra = {
            kind: tuple(SpectrumCurve(parts[one], fit_of(entry, one, 0)) for one in (f"{kind}_raw", kind))
            for kind in INPUTS
        }
        height, width, channels = map(int, height_width_channels)
        return figures.pruning_figure(shown, (height, width, channels), cut, spectra, parts["variances"])  # type: ignore[arg-type]

    def figure_a2(self, models: list[str]) -> Figure:
        entries = {model: dig(self.results, "models", model) for model in models}
        found = {
            attack: {
                m: of for m, one in entries.items() if present(dig(of := dig(one, "critical_l2", attack), "median"))
            }
            for attack in ATTACKS
        }

        def medians(key: str) -> dict[str, dict[str, Any]]:
            return {
                attack: {model: of[key] for model, of in each.items() if key in of} for attack, each in found.items()
            }

        return figures.accuracy_robustness_figure(
            {model: one["test_accuracy"] for model, one in entries.items()},
            medians("median"),
            {m: one["test_accuracy_interval"] for m, one in entries.items() if "test_accuracy_interval" in one},
            medians("median_interval"),
            STYLES,
            ATTACK_LABELS,
        )

    def training_curves(self, models: list[str], layers: tuple[str, ...] = ()) -> Figure:
        losses, accuracies = (self._present(models, f"history/{{}}/{what}") for what in ("loss", "accuracy"))
        histories = {m: TrainingHistory(_padded(losses[m]), _padded(accuracies[m])) for m in losses}
        shares, norms = (self._present(list(layers), f"layer/{{}}/{w}") for w in ("converged_share", "median_norm"))
        convergence = {name: ConvergenceHistory(shares[name], norms[name]) for name in shares}
        return figures.training_curves_figure(histories, convergence, STYLES)

    def _curves(self, name: str, kind: str) -> list[SpectrumCurve | None]:
        of_first = f"spectrum/{name}/{kind}_first_"
        sizes = [int(path.removeprefix(of_first)) for path in self.arrays if path.startswith(of_first)]
        populations = {size: self._rows(f"{of_first}{size}") for size in sizes}
        entry = self.results["baselines" if name in self.results["baselines"] else "models"].get(name)
        curves: list[SpectrumCurve | None] = []
        for seed, row in enumerate(self._rows(f"spectrum/{name}/{kind}")):
            parts = {size: part for size, rows in populations.items() if (part := rows[seed]) is not None}
            if row is None or not row[0] > 0:  # of a dead layer, too, there is nothing to draw
                curves.append(None)
            else:
                curves.append(SpectrumCurve(row, fit_of(entry, kind, seed), parts))
        return curves


def fit_of(entry: Any, kind: str, seed: int) -> PowerLawFit | None:
    """The fit of a model's or baseline's spectrum, if there is one for the seed."""
    fits = [dig(entry, "spectrum", kind, name) for name in PowerLawFit._fields]
    if None in fits or fits[0][seed] is None:
        return None
    alpha, stderr, r2, window = (values[seed] for values in fits)
    return PowerLawFit(alpha, stderr, r2, tuple(window))


def _padded(rows: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """Histories over seeds; one that stopped earlier goes on without numbers."""
    whole = figure_arrays.stacked(rows)
    return [None if row is None else padded for row, padded in zip(rows, whole, strict=True)]


class Undrawn(NamedTuple):
    """Why figures are missing, in words, and which of them should have been there."""

    notes: list[str]
    failed: list[str]


def makers(drawing: Drawing) -> dict[str, Callable[[], Figure]]:
    """Every figure that the folder of a run should have, by the name of its file."""
    models = in_order(drawing.results["models"])
    paper = [model for model in models if model in PAPER_MODELS]
    of_models: dict[str, Callable[[list[str]], Figure]] = {
        "figure1": drawing.figure1,
        "figure3": drawing.figure3,
        "figure4": drawing.figure4,
        "figure5": drawing.figure5,
        "figure6": drawing.figure6,
        "figure7": drawing.figure7,
        "figure9": drawing.figure9,
        "figureA2": drawing.figure_a2,
        "training_curves": drawing.training_curves,
    }
    made: dict[str, Callable[[], Figure]] = {name: partial(draw, paper) for name, draw in of_models.items()}
    made["training_curves"] = partial(drawing.training_curves, paper, ("noise_start", "kh"))
    made |= {
        "figure2": drawing.figure2,
        "figure8": drawing.figure8,
        "figureA1": drawing.figure_a1,
    }
    for family in FAMILIES:
        controls = [model for model in models if family_of(model) == family]
        shown = [model for model in ORIENTATION if model in models] + controls
        if controls:
            made |= {f"{name}_{family}": partial(draw, shown) for name, draw in of_models.items()}
    return made


def draw_all(directory: Path) -> Undrawn:
    """Draw the published folder's figures as PNG and PDF; one that fails takes no other with it.

    A figure that is there stays as it is where the folder lacks the arrays to draw it again.
    """
    folder, made = directory / "figures", makers(Drawing(directory))
    for family in FAMILIES:
        for old in folder.glob(f"*_{family}.*"):
            if old.stem not in made:
                old.unlink()  # of controls that these results do not have
    return draw(made, folder)


def draw(made: Mapping[str, Callable[[], Figure]], folder: Path) -> Undrawn:
    """Draw figures by name into a folder."""
    undrawn = Undrawn([], [])
    for name, make in made.items():
        figure = None
        try:
            figure = make()
            figures.save_figure(figure, folder, name)
            continue
        except Missing as error:
            undrawn.notes.append(f"{name} was not drawn again: {error}")
            logger.warning(undrawn.notes[-1])
            continue
        except Exception as error:
            stop_if_told()
            if figure is None and isinstance(error, ValueError):  # there is nothing to draw
                undrawn.notes.append(f"{name} was not drawn: {error}")
                logger.info("as expected, %s", undrawn.notes[-1])
            else:
                undrawn.failed.append(name)
                undrawn.notes.append(f"{name} could not be drawn: {type(error).__name__}: {error}")
                logger.warning(undrawn.notes[-1], exc_info=error)
        for stale in folder.glob(f"{name}.*"):
            stale.unlink(missing_ok=True)
    return undrawn
