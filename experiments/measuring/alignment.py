"""What the spectrum of a first layer is made of, on images and on noise, and how its directions lie to theirs."""

from typing import Any

import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.measuring.spectra import fitted
from experiments.networks import trained_network
from experiments.settings.groups import PruningSettings
from experiments.settings.measurements import SpectraSettings
from experiments.training.layers import decide_cut, layer_kernel
from jax_bioadv.analysis.alignment import Alignment, exponents_of, layer_alignment
from jax_bioadv.analysis.broken_power_law import fit_broken_power_law
from jax_bioadv.analysis.dimension import participation_ratio, rank_me
from jax_bioadv.analysis.spectra import FitImpossible, covariance_spectrum, fit_variances

QUARTER = 4
"""Spectra fall off towards the size of a layer: windows end at a quarter of it, as the paper's does."""


def added(found: Alignment, spectra: SpectraSettings, units: int) -> dict[str, Any]:
    """The exponents of a layer of so many units, and what they add up to; empty where there are too few eigenvalues."""
    if (last := last_of(spectra, units)) < spectra.first:
        return {}
    try:
        exponents = exponents_of(found, spectra.first, last)
    except FitImpossible:
        return {}
    window = slice(exponents.window[0] - 1, exponents.window[1])
    return {
        "images": exponents.images,
        "layer": exponents.layer,
        "inputs": exponents.inputs,
        "sum": exponents.layer + exponents.inputs,
        "missing": exponents.missing,
        "diagonal": exponents.layer + exponents.along,
        "unaligned": exponents.unaligned,
        "gain": exponents.gain,
        "nearby": float(found.nearby[window].mean()),
        "by_chance": float(found.by_chance[window].mean()),
        "window": list(exponents.window),
    }


def last_of(spectra: SpectraSettings, units: int, kind: str = "images") -> int:
    """Last n of the window of a layer of so many units, on images or on noise."""
    last = {"images": spectra.last_on_images, "noise": spectra.last_on_noise}[kind]
    return min(last, units // QUARTER)


def aligned(images: Images, rows: Any, spectra: SpectraSettings) -> Outcome:
    """The exponents, what they add up to, and how many of the directions are aligned; with the spectra.

    Args:
        images: the training images give the covariance, the test images what is measured.
        rows: V, of the units that are there.
        spectra: window of the fits.
    """
    found = layer_alignment(np.asarray(rows), images.principal)
    last = last_of(spectra, len(rows))
    exact = np.asarray(rows, np.float64)
    # Of the pre-activation on test images, which is linear: features in float32 would end a steep spectrum in rounding.
    measured = covariance_spectrum(exact @ images.test_covariance @ exact.T)
    values: dict[str, Any] = {
        "participation_ratio": participation_ratio(measured),
        "rank_me": rank_me(measured),
        "fits": {
            "images": fitted(spectra, measured, last),
            "noise": fitted(spectra, found.layer, min(spectra.last_on_noise, last)),
        },
        "broken": _broken(measured, max(last, 1)),
    }
    if exponents := added(found, spectra, len(rows)):
        first, last = exponents["window"]
        values["exponents"] = {**exponents, "measured": fit_variances(measured, first, last, 0.0).alpha}
    return Outcome(values, {**found._asdict(), "measured": measured})


def _broken(spectrum: np.ndarray, last: int) -> dict[str, Any]:
    try:
        found = fit_broken_power_law(spectrum, 1, last)._asdict()
    except FitImpossible as error:
        return {"impossible": str(error)}
    return {name: list(value) if isinstance(value, tuple) else value for name, value in found.items()}


def alignment(
    work: Work,
    *,
    spectra: SpectraSettings,
    p: float = 0.0,
    radius: float = 0.0,
    pruning: PruningSettings | None = None,
) -> Outcome:
    """Of a first layer, given as ``needs["layer"]`` or within ``needs["model"]``; learned rows are pruned."""
    if "model" in work.needed:
        return aligned(work.images, trained_network(work.images, work.needed["model"]).encoder.kernel[...].T, spectra)
    layer = work.needed["layer"].arrays
    if "kernel" in layer:
        return aligned(work.images, layer["kernel"].T, spectra)
    assert pruning is not None
    keep = decide_cut(layer["synapses"], pruning, p, radius).keep
    return aligned(work.images, layer_kernel(layer["synapses"], keep, p).T[keep], spectra)


def spectrum_of_images(work: Work, *, spectra: SpectraSettings) -> Outcome:
    """Of the images themselves, as layers find them: the training images give it."""
    variances = work.images.principal.variances
    return Outcome({"fits": {"images": fitted(spectra, variances, spectra.last_on_images)}}, {"images": variances})
