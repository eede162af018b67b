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

from experiments.engine.tasks import Outcome, Task
from experiments.settings.groups import SpectraSettings
from experiments.study import Study
from experiments.training.training import cut_outcome, decide_cut
from jax_bioadv.analysis import power_law, spectra
from jax_bioadv.learning import krotov_hopfield


def _preactivation_covariance(kernel: jax.Array, images: jax.Array) -> np.ndarray:
    return spectra.covariance(np.asarray(jnp.matmul(images, kernel, precision="highest")))


def _fit(settings: SpectraSettings, variances: np.ndarray, last: int) -> dict[str, Any]:
    """A fit as in results.json, with the test whether it is a power law where there are enough eigenvalues."""
    try:
        fit = _plain(spectra.fit_variances(variances, settings.first, last))
    except spectra.FitImpossible as error:
        return {"impossible": str(error)}
    try:
        found = power_law.diagnose_power_law(variances, settings.first, last)
    except spectra.FitImpossible:
        return fit
    diagnosis = {name: value for name, value in found._asdict().items() if name != "fit"}
    return {**fit, **diagnosis, "alpha_range": list(found.alpha_range)}


def _plain(fit: spectra.PowerLawFit) -> dict[str, Any]:
    return {"alpha": fit.alpha, "stderr": fit.stderr, "r2": fit.r2, "window": list(fit.window)}


def _weighted_fit(settings: SpectraSettings, eigenvalues: np.ndarray, last: int) -> dict[str, Any]:
    try:
        return _plain(power_law.fit_weighted_power_law(eigenvalues, settings.first, last))
    except spectra.FitImpossible as error:
        return {"impossible": str(error)}


def _spectra_outcome(
    study: Study,
    covariances: Mapping[str, np.ndarray],
    populations: bool = False,
    references: Mapping[str, np.ndarray] | None = None,
) -> Outcome:
    """Eigenvalues and fits of a layer's covariances.

    Args:
        study: of the experiment.
        covariances: named ``images``, ``noise`` or those with a suffix.
        populations: whether to give the spectra of the first hidden units too.
        references: covariances of other inputs of the kind, whose eigenvectors are the directions of held-out variance.
    """
    settings = study.settings.spectra
    last = {"images": settings.last_on_images, "noise": settings.last_on_noise}
    eigenvalues = {name: spectra.covariance_spectrum(covariance) for name, covariance in covariances.items()}
    for name, covariance in covariances.items() if populations else ():
        sizes = [size for size in settings.populations if size < len(covariance)]
        for size, values in spectra.subpopulation_spectra(covariance, sizes).items():
            eigenvalues[f"{name}_first_{size}"] = values
    for kind, reference in (references or {}).items():
        eigenvalues[f"{kind}_held_out"] = power_law.held_out_spectrum(reference, covariances[kind])
    fits = {name: _fit(settings, values, last[name.split("_")[0]]) for name, values in eigenvalues.items()}
    # A few units alone have too few eigenvalues for the window; that is no finding.
    fits = {name: fit for name, fit in fits.items() if "_first_" not in name or "impossible" not in fit}
    weighted = {f"{kind}_weighted": _weighted_fit(settings, eigenvalues[kind], last[kind]) for kind in references or {}}
    return Outcome({"fits": {**fits, **weighted}}, eigenvalues)


def _layer_covariances(study: Study, kernel: jax.Array, suffix: str = "") -> dict[str, np.ndarray]:
    return {
        "images" + suffix: _preactivation_covariance(kernel, study.test_images),
        "noise" + suffix: _preactivation_covariance(kernel, jnp.asarray(study.noise)),
    }


def _reference_covariances(study: Study, kernel: jax.Array) -> dict[str, np.ndarray]:
    """Of the layer on the training images, and on noise of which there is no end: the layer is linear."""
    rows = np.asarray(kernel, np.float64).T
    return {"images": rows @ study.train_covariance @ rows.T, "noise": rows @ rows.T}


def run_spectra(study: Study, model: str, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Spectra of the hidden pre-activation; a pruned unit is no unit any more. The ``kh`` layer also unpruned."""
    kernel = study.trained_network(model, needed["model"]).encoder.kernel[...]
    keep = needed["model"].arrays.get("keep", np.ones(kernel.shape[1], bool))
    kernel = kernel[:, keep]
    outcome = _spectra_outcome(
        study, _layer_covariances(study, kernel), populations=True, references=_reference_covariances(study, kernel)
    )
    if model != "kh":
        return outcome
    if keep.all():
        raw = Outcome(
            {"fits": {f"{kind}_raw": outcome.values["fits"][kind] for kind in ("images", "noise")}},
            {f"{kind}_raw": outcome.arrays[kind] for kind in ("images", "noise")},
        )
    else:
        synapses = jnp.asarray(needed["layer"].arrays["synapses"])
        kernel = krotov_hopfield.effective_weights(synapses, study.settings.layer.p).T
        raw = _spectra_outcome(study, _layer_covariances(study, kernel, "_raw"))
    return Outcome({"fits": {**outcome.values["fits"], **raw.values["fits"]}}, {**outcome.arrays, **raw.arrays})


def run_noise_start_spectra(study: Study, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The layer that started from noise: its cut, and its spectra raw and pruned."""
    synapses, layer = needed["layer"].arrays["synapses"], study.settings.noise_start
    cut = cut_outcome(decide_cut(study, synapses, layer))
    keep = cut.arrays["keep"]
    kernel = krotov_hopfield.effective_weights(jnp.asarray(synapses), layer.p).T
    covariances = _layer_covariances(study, kernel, "_raw")
    covariances |= {kind: covariances[f"{kind}_raw"][np.ix_(keep, keep)] for kind in ("images", "noise")}
    measured = _spectra_outcome(study, covariances, references=_reference_covariances(study, kernel[:, keep]))
    return Outcome({**cut.values, **measured.values}, {**cut.arrays, **measured.arrays})


def run_data_spectra(study: Study, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    settings = study.settings.spectra
    covariances = {"images": spectra.covariance(study.test_images), "noise": spectra.covariance(study.noise)}
    last = {"images": settings.last_on_data, "noise": settings.last_on_noise}
    eigenvalues = {kind: spectra.covariance_spectrum(covariance) for kind, covariance in covariances.items()}
    held_out = power_law.held_out_spectrum(study.train_covariance, covariances["images"])
    fits = {kind: _fit(settings, values, last[kind]) for kind, values in eigenvalues.items()}
    fits["images_held_out"] = _fit(settings, held_out, settings.last_on_data)
    fits["images_layer_window"] = _fit(settings, eigenvalues["images"], settings.last_on_images)
    for kind, values in eigenvalues.items():
        fits[f"{kind}_weighted"] = _weighted_fit(settings, values, last[kind])
    return Outcome({"fits": fits}, {**eigenvalues, "images_held_out": held_out})


def run_untrained_spectra(study: Study, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    kernel = study.network(seed).encoder.kernel[...]
    references = _reference_covariances(study, kernel)
    return _spectra_outcome(study, _layer_covariances(study, kernel), populations=True, references=references)
