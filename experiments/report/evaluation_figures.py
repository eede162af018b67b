"""The figures of an evaluation, from its results.json and figures.npz alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.attacks import ATTACK_LABELS, ATTACK_STRENGTHS, ATTACKS
from experiments.models import STYLES, label
from experiments.report.evaluation import same_corruptions, same_threats
from experiments.report.figures import fit_of
from experiments.report.numbers import dig
from experiments.results import figure_arrays
from experiments.results.figure_arrays import INPUTS
from experiments.threats import THREAT_LABELS
from jax_bioadv import figures
from jax_bioadv.figures import SpectrumCurve
from jax_bioadv.styles import SOLID, ModelStyle

BROUGHT = ModelStyle("#B2182B", "o", SOLID, 3.0)
"""How the network is drawn that the evaluation is of."""
BESIDE = ("kh", "bp", "kmeans", "adversarial")
"""The references that figures show; tables show all."""


def evaluation_makers(directory: Path, results: dict[str, Any]) -> dict[str, Callable[[], Figure]]:
    """Every figure that the folder of an evaluation should have, by the name of its file."""
    arrays, name = figure_arrays.read(directory), results["network"]["name"]
    styles = {name: BROUGHT._replace(label=label(name)), **STYLES}

    def taps() -> Figure:
        spectra: dict[str, dict[str, list[SpectrumCurve | None]]] = {kind: {} for kind in INPUTS}
        for tap, entry in results["models"][name]["taps"].items():
            for kind in INPUTS:
                if (values := arrays.get(f"spectrum/{tap}/{kind}")) is not None:
                    spectra[kind][tap] = [SpectrumCurve(values[0], fit_of(entry, kind, 0))]
        drawn = figures.model_styles(results["network"]["taps"])
        return figures.model_spectra_figure(spectra, {tap: drawn[tap] for tap in results["network"]["taps"]})

    def robustness() -> Figure:
        found = {attack: arrays.get(f"critical/{attack}/{name}") for attack in ATTACKS}
        curves = {}
        for attack, distances in found.items():
            entry = dig(results, "models", name, "relative_accuracy", attack)
            curves[attack] = {name: (entry["epsilons"], entry["accuracy"])} if distances is not None else {}
        rows = {attack: {} if one is None else {name: list(one)} for attack, one in found.items()}
        return figures.robustness_figure(curves, rows, styles, ATTACK_LABELS, ATTACK_STRENGTHS)

    def beside(whole: dict[str, Any]) -> dict[str, Any]:
        return {one: whole["models"][one] for one in (name, *BESIDE) if one in whole["models"]}

    def threats() -> Figure:
        return figures.threat_figure(beside(same_threats(results)), styles, ATTACK_LABELS, THREAT_LABELS)

    def landscape() -> Figure:
        planes = figure_arrays.landscapes_of(arrays, [name])
        return figures.landscape_figure(planes, figure_arrays.class_names_of(arrays), styles)

    def corruptions() -> Figure:
        return figures.corruption_figure(beside(same_corruptions(results)), styles)

    makers = (taps, robustness, threats, landscape, corruptions)
    return {make.__name__: make for make in makers}
