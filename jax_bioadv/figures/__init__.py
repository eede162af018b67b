"""The paper's figures: data in, :class:`matplotlib.figure.Figure` out.

Holzhausen et al., arXiv 2405.00679, figures 1–4, A1 and A2, the course of training, and five figures of evidence that
the paper does not have (5–9): comparisons, threat models, bounds, smoothness against robustness, corrupted images.
Every function takes plain numbers (NumPy or JAX arrays, or nested lists as they stand in a results file), any subset of
the models and any number of seeds; a member that diverged is ``None`` and is skipped. Nothing here shows a window,
registers a figure with pyplot or leaves a global setting changed:

    figure = robustness_figure(curves, critical)
    save_figure(figure, directory, "figure1")
"""

from jax_bioadv.extras import extra

with extra("figures"):
    import matplotlib  # noqa: F401

from jax_bioadv.figures.accuracy import accuracy_robustness_figure
from jax_bioadv.figures.bounds import bounds_figure
from jax_bioadv.figures.comparisons import comparison_figure
from jax_bioadv.figures.corruptions import corruption_figure, corruption_name
from jax_bioadv.figures.depth import depth_figure, filters_figure, tap_spectra_figure
from jax_bioadv.figures.landscapes import landscape_figure
from jax_bioadv.figures.pruning import pruning_figure
from jax_bioadv.figures.robustness import robustness_figure
from jax_bioadv.figures.seeds import mean_interval, overall_at
from jax_bioadv.figures.smoothness import smoothness_figure
from jax_bioadv.figures.spectra import SpectrumCurve, layer_spectra_figure, model_spectra_figure
from jax_bioadv.figures.style import save_figure
from jax_bioadv.figures.threats import threat_figure
from jax_bioadv.figures.training import ConvergenceHistory, TrainingHistory, training_curves_figure
from jax_bioadv.styles import MEASURE_NAMES, ModelStyle, Names, Styles, measure_name, model_styles, named

__all__ = [
    "MEASURE_NAMES",
    "ConvergenceHistory",
    "ModelStyle",
    "Names",
    "SpectrumCurve",
    "Styles",
    "TrainingHistory",
    "accuracy_robustness_figure",
    "bounds_figure",
    "comparison_figure",
    "corruption_figure",
    "corruption_name",
    "depth_figure",
    "filters_figure",
    "landscape_figure",
    "layer_spectra_figure",
    "mean_interval",
    "measure_name",
    "model_spectra_figure",
    "model_styles",
    "named",
    "overall_at",
    "pruning_figure",
    "robustness_figure",
    "save_figure",
    "smoothness_figure",
    "tap_spectra_figure",
    "threat_figure",
    "training_curves_figure",
]
