"""The measuring tasks: covariance spectra, attacks, Jacobian norms, landscapes."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments.settings import PUBLISHED_NOISE, AttackSettings, SpectraSettings
from experiments.study import Study, purpose_key
from experiments.tasks import Outcome, Task, progress
from experiments.training import cut_outcome, decide_cut
from jax_bioadv import attacks
from jax_bioadv.analysis import boundaries, critical, robustness, spectra
from jax_bioadv.jacobian import activation_jacobian_norms, preactivation_jacobian_norm
from jax_bioadv.learning import krotov_hopfield
from jax_bioadv.models import logits_function


def _preactivation_covariance(kernel: jax.Array, images: jax.Array) -> np.ndarray:
    return spectra.covariance(np.asarray(jnp.matmul(images, kernel, precision="highest")))


def _fit(settings: SpectraSettings, eigenvalues: np.ndarray, last: int) -> dict[str, Any]:
    try:
        fit = spectra.fit_power_law(eigenvalues, settings.first, last)
    except spectra.FitImpossible as error:
        return {"impossible": str(error)}
    return {"alpha": fit.alpha, "stderr": fit.stderr, "r2": fit.r2, "window": list(fit.window)}


def _spectra_outcome(study: Study, covariances: Mapping[str, np.ndarray], populations: bool) -> Outcome:
    """Eigenvalues and fits of a layer's covariances, named ``images``, ``noise`` or those with a suffix."""
    settings = study.settings.spectra
    eigenvalues = {name: spectra.covariance_spectrum(covariance) for name, covariance in covariances.items()}
    for name, covariance in covariances.items() if populations else ():
        sizes = [size for size in settings.populations if size < len(covariance)]
        for size, values in spectra.subpopulation_spectra(covariance, sizes).items():
            eigenvalues[f"{name}_first_{size}"] = values
    last = {"images": settings.last_on_images, "noise": settings.last_on_noise}
    fits = {name: _fit(settings, values, last[name.split("_")[0]]) for name, values in eigenvalues.items()}
    # A few units alone have too few eigenvalues for the window; that is no finding.
    fits = {name: fit for name, fit in fits.items() if name in covariances or "impossible" not in fit}
    return Outcome({"fits": fits}, eigenvalues)


def _layer_covariances(study: Study, kernel: jax.Array, suffix: str = "") -> dict[str, np.ndarray]:
    return {
        "images" + suffix: _preactivation_covariance(kernel, study.test_images),
        "noise" + suffix: _preactivation_covariance(kernel, jnp.asarray(study.noise)),
    }


def run_spectra(study: Study, model: str, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Spectra of the hidden pre-activation; a pruned unit is no unit any more. The ``kh`` layer also unpruned."""
    kernel = study.trained_network(model, needed["model"]).encoder.kernel[...]
    keep = needed["model"].arrays.get("keep", np.ones(kernel.shape[1], bool))
    outcome = _spectra_outcome(study, _layer_covariances(study, kernel[:, keep]), populations=True)
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
        raw = _spectra_outcome(study, _layer_covariances(study, kernel, "_raw"), populations=False)
    return Outcome({"fits": {**outcome.values["fits"], **raw.values["fits"]}}, {**outcome.arrays, **raw.arrays})


def run_noise_start_spectra(study: Study, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The layer that started from noise: its cut, and its spectra raw and pruned."""
    synapses, layer = needed["layer"].arrays["synapses"], study.settings.noise_start
    cut = cut_outcome(decide_cut(study, synapses, layer))
    kernel = krotov_hopfield.effective_weights(jnp.asarray(synapses), layer.p).T
    covariances = _layer_covariances(study, kernel, "_raw")
    kept = np.ix_(cut.arrays["keep"], cut.arrays["keep"])
    covariances |= {kind: covariances[f"{kind}_raw"][kept] for kind in ("images", "noise")}
    measured = _spectra_outcome(study, covariances, populations=False)
    return Outcome({**cut.values, **measured.values}, {**cut.arrays, **measured.arrays})


def run_data_spectra(study: Study, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    settings = study.settings.spectra
    inputs = {"images": np.asarray(study.test_images), "noise": study.noise}
    eigenvalues = {kind: spectra.covariance_spectrum(spectra.covariance(images)) for kind, images in inputs.items()}
    last = {"images": settings.last_on_data, "noise": settings.last_on_noise}
    fits = {kind: _fit(settings, values, last[kind]) for kind, values in eigenvalues.items()}
    return Outcome({"fits": fits}, eigenvalues)


def run_untrained_spectra(study: Study, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    kernel = study.network(seed).encoder.kernel[...]
    return _spectra_outcome(study, _layer_covariances(study, kernel), populations=True)


# The published grid of the Gaussian attack; with new noise at every ε the result depends on it.
PUBLISHED_NOISE_RANGE = (1e-6, 8.25)


class AttackPlan(NamedTuple):
    """An attack, its ε, how many images it gets at most, and whether a search finds their critical perturbations."""

    attack: attacks.Attack
    epsilons: np.ndarray
    images: int
    search: bool


def attack_plan(settings: AttackSettings, name: str) -> AttackPlan:
    if name == PUBLISHED_NOISE:
        grid = robustness.epsilon_grid(*PUBLISHED_NOISE_RANGE, settings.published_epsilons)
        return AttackPlan(attacks.gaussian(protocol="published"), grid, settings.published_images, False)
    search = settings.method == "search"
    if name == "gaussian":
        grid = robustness.epsilon_grid(settings.gaussian_low, settings.gaussian_high, settings.epsilons)
        return AttackPlan(attacks.gaussian(), grid, settings.images, search)
    grid = robustness.epsilon_grid(settings.gradient_low, settings.gradient_high, settings.epsilons)
    attack = attacks.fgsm() if name == "fgsm" else attacks.pgd(steps=settings.pgd_steps)
    return AttackPlan(attack, grid, settings.images, search)


def run_attack(study: Study, name: str, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    logits = logits_function(study.trained_network(model, needed["model"]))
    images, labels = study.test_images, study.test_labels
    plan = attack_plan(study.settings.attacks, name)
    chosen = robustness.correctly_classified(logits, images, labels, plan.images)
    if not len(chosen):
        return Outcome({"n_attacked": 0})
    of_images = (purpose_key(seed, name), logits, images[chosen], labels[chosen], plan.epsilons)
    if plan.search:
        evaluations = critical.search_evaluations(len(plan.epsilons))
        with progress(f"{name} on {model}-{seed}", evaluations, "ε") as advance:
            found = critical.critical_search(plan.attack, *of_images, image_indices=chosen, progress=advance)
        return search_outcome(chosen, found)
    with progress(f"{name} on {model}-{seed}", len(plan.epsilons), "ε") as advance:
        sweep = robustness.epsilon_sweep(plan.attack, *of_images, image_indices=chosen, progress=advance)
    arrays = {
        "images": chosen,
        "epsilons": sweep.epsilons,
        "success": sweep.success,
        "relative_accuracy": robustness.relative_accuracy(sweep),
        "critical_l2": robustness.critical_perturbations(sweep, "l2"),
        "critical_linf": robustness.critical_perturbations(sweep, "linf"),
        "gradient_vanished": sweep.gradient_vanished,
    }
    return Outcome({"n_attacked": len(chosen), "not_monotone": not_monotone(sweep.success)}, arrays)


def not_monotone(success: np.ndarray) -> int:
    """Images that an ε flips and a larger one does not."""
    return int((success[:-1] & ~success[1:]).any(axis=0).sum())


def search_outcome(chosen: np.ndarray, found: critical.CriticalSearch) -> Outcome:
    """An attack's outcome by search; its accuracy curve is the distribution of the critical ε."""
    arrays = {
        "images": chosen,
        "epsilons": found.epsilons,
        "relative_accuracy": critical.relative_accuracy_at(found, found.epsilons),
        "critical_l2": found.l2,
        "critical_linf": found.linf,
        "not_monotone": found.not_monotone,
        "gradient_vanished": found.gradient_vanished,
    }
    return Outcome({"n_attacked": len(chosen), "not_monotone": int(found.not_monotone.sum())}, arrays)


def run_jacobian(study: Study, model: str, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    network = study.trained_network(model, needed["model"])
    kernel = network.encoder.kernel[...]
    norms = activation_jacobian_norms(kernel, network.power, study.test_images)
    return Outcome({"preactivation": float(preactivation_jacobian_norm(kernel))}, {"activation": norms})


def run_landscape(study: Study, model: str, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    network, chosen = study.trained_network(model, needed["model"]), study.settings.landscape
    plane = boundaries.random_plane(purpose_key(0, "plane"), study.inputs)
    image = study.test_images[chosen.image]
    landscape = boundaries.landscape(network, image, plane, chosen.radius, chosen.resolution)
    return Outcome({}, landscape._asdict())
