"""The figures from the outcomes of a run's tasks; one whose tasks are missing is left out and named."""

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from experiments.attacks import ATTACKS
from experiments.engine.ledger import Ledger
from experiments.engine.tasks import Outcome, Task
from experiments.plan import Plan
from jax_bioadv import figures
from jax_bioadv.analysis.boundaries import Landscape
from jax_bioadv.analysis.crossed import share_interval
from jax_bioadv.analysis.robustness import median_interval, median_with_censoring
from jax_bioadv.analysis.spectra import PowerLawFit
from jax_bioadv.command_line import stop_if_told
from jax_bioadv.figures import ConvergenceHistory, SpectrumCurve, TrainingHistory
from jax_bioadv.learning.pruning import Cut, Mixture

logger = logging.getLogger("experiments")

KINDS = ("images", "noise")


class Drawing:
    """Reads finished tasks and hands their arrays to the figures."""

    def __init__(self, plan: Plan, ledger: Ledger):
        self.plan, self.ledger = plan, ledger
        self.models, self.seeds = plan.settings.model_names, range(plan.settings.seeds)

    def _outcomes(self, task: Callable[[int], Task]) -> list[Outcome | None]:
        found = [self.ledger.find(task(seed)) for seed in self.seeds]
        return [outcome if outcome is not None and outcome.arrays else None for outcome in found]

    def _models(self, task: Callable[[str, int], Task]) -> dict[str, list[Outcome | None]]:
        """Outcomes over seeds of the models that have any."""
        found = {model: self._outcomes(lambda seed, model=model: task(model, seed)) for model in self.models}  # type: ignore[misc]
        return {model: outcomes for model, outcomes in found.items() if any(outcomes)}

    def figure1(self) -> Figure:
        curves: dict[str, Any] = {}
        critical: dict[str, Any] = {}
        for attack in ATTACKS:
            found = self._models(lambda model, seed, attack=attack: self.plan.attack(attack, model, seed))  # type: ignore[misc]
            curves[attack] = {
                model: (_first(outcomes).arrays["epsilons"], _column(outcomes, "relative_accuracy"))
                for model, outcomes in found.items()
            }
            critical[attack] = {model: _column(outcomes, "critical_l2") for model, outcomes in found.items()}
        return figures.robustness_figure(curves, critical)

    def figure2(self) -> Figure:
        layers = {
            "data": [self.ledger.find(self.plan.data_spectra())],
            "untrained": self._outcomes(self.plan.untrained_spectra),
        }
        if "kh" in self.models:
            layers["kh"] = self._outcomes(lambda seed: self.plan.spectra("kh", seed))
        return figures.layer_spectra_figure(
            {kind: {name: _curves(outcomes, kind) for name, outcomes in layers.items()} for kind in KINDS}
        )

    def figure3(self) -> Figure:
        found = self._models(self.plan.spectra)
        return figures.model_spectra_figure(
            {kind: {model: _curves(outcomes, kind) for model, outcomes in found.items()} for kind in KINDS}
        )

    def figure4(self) -> Figure:
        found = {model: self.ledger.find(self.plan.landscape(model)) for model in self.models}
        landscapes = {model: Landscape(**one.arrays) if one and one.arrays else None for model, one in found.items()}
        return figures.landscape_figure(landscapes, self.plan.images.dataset.class_names)

    def figure_a1(self) -> Figure:
        """The layer of the first seed that started from noise."""
        layer = self.ledger.find(self.plan.noise_start_layer(0))
        measured = self.ledger.find(self.plan.noise_start_spectra(0))
        if layer is None or measured is None or not layer.arrays or not measured.arrays:
            raise ValueError("the layer started from noise is missing")
        values, arrays = measured.values, measured.arrays
        parts = [arrays.get(f"mixture/{name}") for name in Mixture._fields]
        mixture = None if parts[0] is None else Mixture(*parts)  # type: ignore[arg-type]
        cut = Cut(values["cut_variance"], arrays["keep"], mixture, {}, values["cut_reason"])
        spectra = {kind: (_curve(measured, f"{kind}_raw"), _curve(measured, kind)) for kind in KINDS}
        return figures.pruning_figure(layer.arrays["synapses"], self.plan.images.dataset.image_shape, cut, spectra)

    def figure_a2(self) -> Figure:
        trained = self._models(self.plan.model)
        accuracy = {
            model: [None if one is None else one.values["test_accuracy"] for one in outcomes]
            for model, outcomes in trained.items()
        }
        images = len(self.plan.images.dataset.test_images)
        accuracy_interval = {
            model: [None if share is None else share_interval(share, images) for share in shares]
            for model, shares in accuracy.items()
        }
        medians: dict[str, Any] = {}
        median_intervals: dict[str, Any] = {}
        for attack in ATTACKS:
            found = self._models(lambda model, seed, attack=attack: self.plan.attack(attack, model, seed))  # type: ignore[misc]
            lengths = {model: _column(outcomes, "critical_l2") for model, outcomes in found.items()}
            medians[attack], median_intervals[attack] = (
                {model: [None if one is None else of(one) for one in each] for model, each in lengths.items()}
                for of in (median_with_censoring, median_interval)
            )
        return figures.accuracy_robustness_figure(accuracy, medians, accuracy_interval, median_intervals)

    def training_curves(self) -> Figure:
        histories = {
            model: TrainingHistory(_padded(outcomes, "history/loss"), _padded(outcomes, "history/accuracy"))
            for model, outcomes in self._models(self.plan.model).items()
        }
        layers = {"noise_start": self._outcomes(self.plan.noise_start_layer)}
        if "kh" in self.models:
            layers["kh"] = self._outcomes(self.plan.layer)
        convergence = {
            name: ConvergenceHistory(
                _column(outcomes, "history/converged_share"), _column(outcomes, "history/median_norm")
            )
            for name, outcomes in layers.items()
            if any(outcomes)
        }
        return figures.training_curves_figure(histories, convergence)


def _first(outcomes: Iterable[Outcome | None]) -> Outcome:
    return next(outcome for outcome in outcomes if outcome is not None)


def _column(outcomes: Iterable[Outcome | None], name: str) -> list[np.ndarray | None]:
    return [None if outcome is None else outcome.arrays[name] for outcome in outcomes]


def _padded(outcomes: Iterable[Outcome | None], name: str) -> list[np.ndarray | None]:
    """Histories over seeds; one that stopped earlier goes on without numbers."""
    columns = _column(outcomes, name)
    longest = max(len(column) for column in columns if column is not None)
    return [
        None if column is None else np.pad(column, (0, longest - len(column)), constant_values=np.nan)
        for column in columns
    ]


def _curve(outcome: Outcome, kind: str) -> SpectrumCurve:
    fit = outcome.values["fits"][kind]
    fitted = None if "impossible" in fit else PowerLawFit(fit["alpha"], fit["stderr"], fit["r2"], tuple(fit["window"]))
    prefix = f"{kind}_first_"
    populations = {
        int(name.removeprefix(prefix)): array for name, array in outcome.arrays.items() if name.startswith(prefix)
    }
    return SpectrumCurve(outcome.arrays[kind], fitted, populations)


def _curves(outcomes: Iterable[Outcome | None], kind: str) -> list[SpectrumCurve | None]:
    return [_curve(outcome, kind) if outcome is not None and outcome.arrays else None for outcome in outcomes]


class Undrawn(NamedTuple):
    """Why figures are missing, in words, and which of them should have been there."""

    notes: list[str]
    failed: list[str]


def draw_all(plan: Plan, ledger: Ledger, results: Mapping[str, Any], directory: Path) -> Undrawn:
    """Write every figure whose data are there as PNG and PDF; one that fails takes no other with it."""
    drawing, models = Drawing(plan, ledger), plan.settings.model_names
    reference = "kh" if "kh" in models else models[0]
    makers = {
        "figure1": drawing.figure1,
        "figure2": drawing.figure2,
        "figure3": drawing.figure3,
        "figure4": drawing.figure4,
        "figure5": lambda: figures.comparison_figure(results["comparisons"], reference),
        "figure6": lambda: figures.threat_figure(results["models"]),
        "figure7": lambda: figures.bounds_figure(results["models"]),
        "figure8": lambda: figures.smoothness_figure(results["models"], results["correlations"]),
        "figureA1": drawing.figure_a1,
        "figureA2": drawing.figure_a2,
        "training_curves": drawing.training_curves,
    }
    undrawn = Undrawn([], [])
    for name, make in makers.items():
        figure = None
        try:
            figure = make()
            figures.save_figure(figure, directory, name)
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
        for stale in directory.glob(f"{name}.*"):
            stale.unlink(missing_ok=True)
    return undrawn
