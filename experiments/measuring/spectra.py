"""The spectra tasks: covariance spectra of the hidden layer, of the data and of untrained networks, and what they are.

Every spectrum is fitted as published; whether it is a power law is tested; the exponent is also found by held-out
variance (directions from the training images, variances on the test images; for noise directions from the covariance
of the noise itself) and by the regression with weights 1/n.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.networks import trained_network, untrained_network
from experiments.settings.groups import PruningSettings
from experiments.settings.measurements import SpectraSettings
from experiments.training.layers import cut_outcome, decide_cut
from jax_bioadv.analysis import power_law
from jax_bioadv.analysis import spectra as measures
from jax_bioadv.learning import krotov_hopfield


def _preactivation_covariance(kernel: jax.Array, images: jax.Array) -> np.ndarray:
    return measures.covariance(np.asarray(jnp.matmul(images, kernel, precision="highest")))


def fitted(settings: SpectraSettings, variances: np.ndarray, last: int) -> dict[str, Any]:
    """A fit as in results.json, with the test whether it is a power law where there are enough eigenvalues."""
    if last < settings.first:
        return {"impossible": f"a window from n = {settings.first} cannot end at {last}: there are too few units"}
    try:
        fit = _plain(measures.fit_variances(variances, settings.first, last))
    except measures.FitImpossible as error:
        return {"impossible": str(error)}
    try:
        found = power_law.diagnose_power_law(variances, settings.first, last)
    except measures.FitImpossible:
        return fit
    diagnosis = {name: value for name, value in found._asdict().items() if name != "fit"}
    return {**fit, **diagnosis, "alpha_range": list(found.alpha_range)}


def _plain(fit: measures.PowerLawFit) -> dict[str, Any]:
    return {"alpha": fit.alpha, "stderr": fit.stderr, "r2": fit.r2, "window": list(fit.window)}


def _weighted_fit(settings: SpectraSettings, eigenvalues: np.ndarray, last: int) -> dict[str, Any]:
    try:
        return _plain(power_law.fit_weighted_power_law(eigenvalues, settings.first, last))
    except measures.FitImpossible as error:
        return {"impossible": str(error)}


def _spectra_outcome(
    settings: SpectraSettings,
    covariances: Mapping[str, np.ndarray],
    populations: bool = False,
    references: Mapping[str, np.ndarray] | None = None,
) -> Outcome:
    """Eigenvalues and fits of a layer's covariances.

    Args:
        settings: windows of the fits.
        covariances: named ``images``, ``noise`` or those with a suffix.
        populations: whether to give the spectra of the first hidden units too.
        references: covariances of other inputs of the kind, whose eigenvectors are the directions of held-out variance.
    """
    last = {"images": settings.last_on_images, "noise": settings.last_on_noise}
    eigenvalues = {name: measures.covariance_spectrum(covariance) for name, covariance in covariances.items()}
    for name, covariance in covariances.items() if populations else ():
        sizes = [size for size in settings.populations if size < len(covariance)]
        for size, values in measures.subpopulation_spectra(covariance, sizes).items():
            eigenvalues[f"{name}_first_{size}"] = values
    for kind, reference in (references or {}).items():
        eigenvalues[f"{kind}_held_out"] = power_law.held_out_spectrum(reference, covariances[kind])
    fits = {name: fitted(settings, values, last[name.split("_")[0]]) for name, values in eigenvalues.items()}
    # A few units alone have too few eigenvalues for the window; that is no finding.
    fits = {name: fit for name, fit in fits.items() if "_first_" not in name or "impossible" not in fit}
    weighted = {f"{kind}_weighted": _weighted_fit(settings, eigenvalues[kind], last[kind]) for kind in references or {}}
    return Outcome({"fits": {**fits, **weighted}}, eigenvalues)


def _layer_covariances(
    work: Work, chosen: SpectraSettings, kernel: jax.Array, suffix: str = ""
) -> dict[str, np.ndarray]:
    return {
        "images" + suffix: _preactivation_covariance(kernel, work.images.test),
        "noise" + suffix: _preactivation_covariance(kernel, jnp.asarray(work.images.noise(chosen.noise_images))),
    }


def _reference_covariances(images: Images, kernel: jax.Array) -> dict[str, np.ndarray]:
    """Of the layer on the training images, and on noise of which there is no end: the layer is linear."""
    rows = np.asarray(kernel, np.float64).T
    return {"images": images.covariance_through(rows), "noise": rows @ rows.T}


def layer_spectra(work: Work, *, spectra: SpectraSettings, p: float | None = None) -> Outcome:
    """Spectra of the hidden pre-activation; a pruned unit is no unit any more.

    With the p of a Krotov–Hopfield layer, given as ``needs["layer"]``, also the spectra of that layer unpruned.
    """
    kernel = trained_network(work.images, work.needed["model"]).encoder.kernel[...]
    keep = work.needed["model"].arrays.get("keep", np.ones(kernel.shape[1], bool))
    outcome = _of_kernel(work, spectra, kernel[:, keep])
    if p is None:
        return outcome
    if keep.all():
        raw = Outcome(
            {"fits": {f"{kind}_raw": outcome.values["fits"][kind] for kind in ("images", "noise")}},
            {f"{kind}_raw": outcome.arrays[kind] for kind in ("images", "noise")},
        )
    else:
        synapses = jnp.asarray(work.needed["layer"].arrays["synapses"])
        kernel = krotov_hopfield.effective_weights(synapses, p).T
        raw = _spectra_outcome(spectra, _layer_covariances(work, spectra, kernel, "_raw"))
    return Outcome({"fits": {**outcome.values["fits"], **raw.values["fits"]}}, {**outcome.arrays, **raw.arrays})


def _of_kernel(work: Work, spectra: SpectraSettings, kernel: jax.Array) -> Outcome:
    covariances, references = _layer_covariances(work, spectra, kernel), _reference_covariances(work.images, kernel)
    return _spectra_outcome(spectra, covariances, populations=True, references=references)


def untrained_spectra(work: Work, *, seed: int, hidden: int, spectra: SpectraSettings) -> Outcome:
    return _of_kernel(work, spectra, untrained_network(work.images, hidden, seed).encoder.kernel[...])


def noise_start_spectra(
    work: Work, *, p: float, radius: float, pruning: PruningSettings, spectra: SpectraSettings
) -> Outcome:
    """The layer that started from noise: its cut, and its spectra raw and pruned."""
    synapses = work.needed["layer"].arrays["synapses"]
    cut = cut_outcome(decide_cut(synapses, pruning, p, radius))
    keep = cut.arrays["keep"]
    kernel = krotov_hopfield.effective_weights(jnp.asarray(synapses), p).T
    covariances = _layer_covariances(work, spectra, kernel, "_raw")
    covariances |= {kind: covariances[f"{kind}_raw"][np.ix_(keep, keep)] for kind in ("images", "noise")}
    references = _reference_covariances(work.images, kernel[:, keep])
    measured = _spectra_outcome(spectra, covariances, references=references)
    return Outcome({**cut.values, **measured.values}, {**cut.arrays, **measured.arrays})


def data_spectra(work: Work, *, spectra: SpectraSettings) -> Outcome:
    noise = work.images.noise(spectra.noise_images)
    covariances = {"images": measures.covariance(work.images.test), "noise": measures.covariance(noise)}
    last = {"images": spectra.last_on_data, "noise": spectra.last_on_noise}
    eigenvalues = {kind: measures.covariance_spectrum(covariance) for kind, covariance in covariances.items()}
    held_out = power_law.held_out_spectrum(work.images.train_covariance, covariances["images"])
    fits = {kind: fitted(spectra, values, last[kind]) for kind, values in eigenvalues.items()}
    fits["images_held_out"] = fitted(spectra, held_out, spectra.last_on_data)
    fits["images_layer_window"] = fitted(spectra, eigenvalues["images"], spectra.last_on_images)
    for kind, values in eigenvalues.items():
        fits[f"{kind}_weighted"] = _weighted_fit(spectra, values, last[kind])
    return Outcome({"fits": fits}, {**eigenvalues, "images_held_out": held_out})
