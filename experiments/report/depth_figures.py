"""The figures of the study of depth, from its results.json and figures.npz alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from experiments.results import figure_arrays
from experiments.results.figure_arrays import INPUTS
from experiments.stacks import STACK_MODELS
from experiments.threats import THREAT_LABELS
from jax_bioadv.figures import filters_figure, tap_spectra_figure
from jax_bioadv.figures.depth import Axis, depth_figure

STYLES = {name: model.style._replace(label=model.label) for name, model in STACK_MODELS.items()}
SPECTRA_OF = ("soft_hebb", "kh", "bp", "spectral", "random", "kmeans")
"""Whose spectra are shown."""


def depth_makers(directory: Path, results: dict[str, Any]) -> dict[str, Callable[[], Figure]]:
    """Every figure that the folder of the study should have, by the name of its file."""
    arrays = figure_arrays.read(directory)

    def accuracy() -> Figure:
        models: dict[str, dict[int, Any]] = {}
        for name, entry in results["models"].items():
            models.setdefault(name.rpartition("-")[0], {})[entry["depth"]] = entry
        threats = dict.fromkeys(one for entry in results["models"].values() for one in entry["robust_accuracy"])
        up = [Axis(("critical_l2", "minimum_norm", "median"), "median critical L₂ distance, shortest found")]
        for threat in threats:
            label = f"robust accuracy, {THREAT_LABELS[threat]}"
            up.append(Axis(("robust_accuracy", threat, "worst_case"), label, share=True))
        return depth_figure(models, Axis(("test_accuracy",), "test accuracy", share=True), up, STYLES)

    def spectra() -> Figure:
        deepest = max(results["depths"])
        shown: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in INPUTS}
        for kind in INPUTS:
            for model in SPECTRA_OF:
                for stage in range(deepest):
                    found = arrays.get(f"spectrum/{model}-{deepest}/stages.{stage}.convolution/{kind}")
                    if found is not None:
                        shown[kind].setdefault(f"overlaps of stage {stage + 1}", {})[model] = found
        return tap_spectra_figure(shown, STYLES)

    def filters() -> Figure:
        first = min(results["depths"])
        found = {model: arrays.get(f"filters/{model}-{first}") for model in STACK_MODELS}
        return filters_figure({model: one for model, one in found.items() if one is not None}, STYLES)

    return {"accuracy": accuracy, "spectra": spectra, "filters": filters}
