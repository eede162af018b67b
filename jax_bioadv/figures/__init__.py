"""The paper's figures: data in, :class:`matplotlib.figure.Figure` out.

Holzhausen et al., arXiv 2405.00679, figures 1–4, A1 and A2, and the course of training. Every function takes plain
numbers (NumPy or JAX arrays, or nested lists as they stand in a results file), any subset of the models and any number
of seeds; a member that diverged is ``None`` and is skipped. Nothing here shows a window, registers a figure with pyplot
or leaves a global setting changed:

    figure = robustness_figure(curves, critical)
    save_figure(figure, directory, "figure1")
"""

from jax_bioadv.figures.landscapes import landscape_figure
from jax_bioadv.figures.pruning import pruning_figure
from jax_bioadv.figures.robustness import accuracy_robustness_figure, robustness_figure
from jax_bioadv.figures.seeds import mean_interval
from jax_bioadv.figures.spectra import SpectrumCurve, layer_spectra_figure, model_spectra_figure
from jax_bioadv.figures.style import MODEL_NAMES, ModelStyle, display_name, model_styles, ordered_models, save_figure
from jax_bioadv.figures.training import ConvergenceHistory, TrainingHistory, training_curves_figure

__all__ = [
    "MODEL_NAMES",
    "ConvergenceHistory",
    "ModelStyle",
    "SpectrumCurve",
    "TrainingHistory",
    "accuracy_robustness_figure",
    "display_name",
    "landscape_figure",
    "layer_spectra_figure",
    "mean_interval",
    "model_spectra_figure",
    "model_styles",
    "ordered_models",
    "pruning_figure",
    "robustness_figure",
    "save_figure",
    "training_curves_figure",
]
