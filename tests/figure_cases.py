"""Inputs of the library's figures, each of them from the same few numbers."""

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg

from jax_bioadv import figures
from jax_bioadv.analysis.boundaries import Landscape
from jax_bioadv.analysis.spectra import fit_power_law
from jax_bioadv.learning.pruning import Cut, Mixture

MODELS = ("kh", "bp", "l2", "jacobian", "spectral")
ATTACKS = ("gaussian", "fgsm", "pgd")
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
STYLES = {
    model: figures.ModelStyle(color, marker, "-", label=f"the {model}")
    for model, color, marker in zip(MODELS, COLORS, "os^Dv", strict=True)
}


def drawn(figure):
    """Lay out and render (this is where Matplotlib would warn), once, unlike savefig, and hand the figure back."""
    FigureCanvasAgg(figure).draw()
    return figure


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def robustness_inputs(models=MODELS, seeds=1, attacks=ATTACKS):
    rng = np.random.default_rng(0)
    epsilons = np.geomspace(1e-6, 1.0, 12)
    curves, critical = {}, {}
    for attack in attacks:
        distances = {model: [rng.lognormal(size=40) for _ in range(seeds)] for model in models}
        for rows in distances.values():
            for row in rows:
                row[row > 3] = np.inf
        critical[attack] = distances
        curves[attack] = {m: (epsilons, np.linspace(1, 0.1 * np.ones(seeds), 12).T) for m in models}
    return curves, critical


def power_law(alpha=1.5, size=60, last=50, populations=()):
    eigenvalues = 3.0 * np.arange(1, size + 1) ** -alpha
    parts = {count: np.arange(1.0, count + 1) ** -alpha for count in populations}
    return figures.SpectrumCurve(eigenvalues, fit_power_law(eigenvalues, 5, last), parts)


def plane(value=1.0, resolution=9, classes=3):
    coordinates = np.linspace(-20, 20, resolution)
    across, up = np.meshgrid(coordinates, coordinates)
    predicted = (np.arctan2(up, across) // 1.3).astype(int) % classes
    return Landscape(coordinates, value * (1 + across**2), predicted, 0.3 + 0.6 * np.abs(np.sin(across)))


def synapses(side=8, channels=1, pruned=5, kept=15):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(pruned, side * side * channels))
    rows = np.concatenate([0.05 * rng.normal(size=(kept, side * side * channels)), noise])
    mixture = Mixture(np.array([0.75, 0.25]), np.log([0.0025, 1.0]), np.array([0.2, 0.2]))
    return rows, Cut(0.1, np.arange(kept + pruned) < kept, mixture, {}, "two modes")


def histories(models=MODELS, seeds=1, epochs=4):
    loss = np.tile(np.linspace(2.3, 0.1, epochs), (seeds, 1))
    return {model: figures.TrainingHistory(loss, 1 - loss / 3) for model in models}


def every_figure(models=MODELS, seeds=1, styles=None):
    """Each of the figures, by name, for given models and number of seeds."""
    curves, critical = robustness_inputs(models, seeds)
    spectra = {kind: {model: [power_law()] * seeds for model in models} for kind in ("images", "noise")}
    layers = {kind: {"data": power_law(), "kh": [power_law(populations=(10, 40))] * seeds} for kind in spectra}
    rows, cut = synapses()
    medians = {a: {m: [1.0 + s for s in range(seeds)] for m in models} for a in ATTACKS}
    convergence = {"kh": figures.ConvergenceHistory(np.full((seeds, 4), 0.9), np.full((seeds, 4), 1.1))}
    return {
        "robustness": lambda: figures.robustness_figure(curves, critical, styles),
        "accuracy": lambda: figures.accuracy_robustness_figure(
            {m: [0.5] * seeds for m in models}, medians, styles=styles
        ),
        "layers": lambda: figures.layer_spectra_figure(layers),
        "models": lambda: figures.model_spectra_figure(spectra, styles),
        "landscapes": lambda: figures.landscape_figure({model: plane() for model in models}, styles=styles),
        "pruning": lambda: figures.pruning_figure(rows, (8, 8, 1), cut, {"images": (power_law(), power_law())}),
        "training": lambda: figures.training_curves_figure(histories(models, seeds), convergence, styles),
    }


def built_but_not_printed(figure, folder, name):
    """In place of saving a figure: printing all would take as long as the run."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.draw_without_rendering()
    for kind in ("png", "pdf"):
        (folder / f"{name}.{kind}").touch()
