"""The measuring tasks besides the spectra: attacks over many strengths, Jacobian norms, landscapes."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from experiments.attacks import PUBLISHED_NOISE
from experiments.engine.tasks import Outcome, Task, progress
from experiments.settings.groups import AttackSettings
from experiments.study import Study, purpose_key
from jax_bioadv import attacks
from jax_bioadv.analysis import boundaries, critical, robustness
from jax_bioadv.jacobian import activation_jacobian_norms, preactivation_jacobian_norm
from jax_bioadv.models import logits_function

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
