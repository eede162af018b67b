"""Attacks at fixed strengths that do not trust one gradient, transfer between models, and the diagnosis of masking.

A threat is a norm, a strength and a space: the paper's, in which images are divided by their own norm, or that of raw
pixels in [0, 1], where this division stands inside the attacked model.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.engine.tasks import Outcome, Task, progress
from experiments.models import CONTROLS, PAPER_MODELS
from experiments.study import Study, purpose_key
from jax_bioadv import attacks
from jax_bioadv.analysis import masking, robustness
from jax_bioadv.attacks.attack import Attack, succeeded
from jax_bioadv.models import logits_function
from jax_bioadv.raw_pixels import raw_pixel_logits, raw_pixels

# The DLR losses compare scores of so many classes.
CLASSES_NEEDED = {"apgd_dlr": 3, "apgd_targeted": 4}


class Threat(NamedTuple):
    """A norm, a radius and the space that both are measured in."""

    norm: float
    epsilon: float
    raw: bool


def threat_of(study: Study, name: str) -> Threat:
    space, norm = name.split("_")
    return Threat(math.inf if norm == "linf" else 2.0, getattr(study.settings.threats, name), space == "raw")


def threat_images(study: Study, threat: Threat, count: int) -> np.ndarray:
    """The first test images, in the threat's space."""
    if threat.raw:
        return raw_pixels(study.dataset.test_images[:count])
    return np.asarray(study.test_images[:count])


def threat_logits(study: Study, threat: Threat, model: str, trained: Outcome) -> Partial:
    logits = logits_function(study.trained_network(model, trained))
    return raw_pixel_logits(logits, study.settings.norm) if threat.raw else logits


def threat_attacks(study: Study, threat: Threat) -> dict[str, Attack]:
    """The attacks on one model by name."""
    chosen, norm, shape = study.settings.threats, threat.norm, study.dataset.image_shape
    targets = min(chosen.targets, study.dataset.classes - 1)
    make: dict[str, Callable[[], Attack]] = {
        "apgd_ce": lambda: attacks.apgd(norm, chosen.steps, "cross_entropy", chosen.restarts),
        "apgd_dlr": lambda: attacks.apgd(norm, chosen.steps, "dlr", chosen.restarts),
        "apgd_targeted": lambda: attacks.apgd(norm, chosen.target_steps, "targeted_dlr", chosen.restarts, targets),
        "square": lambda: attacks.square(norm, chosen.queries, shape),
        "minimum_norm": lambda: attacks.minimum_norm(norm, chosen.minimum_norm_steps, targets),
    }
    return {name: attack() for name, attack in make.items() if study.dataset.classes >= CLASSES_NEEDED.get(name, 2)}


def left_out(study: Study) -> list[str]:
    """Which attacks the data have too few classes for."""
    classes = study.dataset.classes
    return [
        f"{name} is left out of the attacks: its loss needs {needed} classes and {study.dataset.name} has {classes}"
        for name, needed in CLASSES_NEEDED.items()
        if classes < needed
    ]


def images_to_attack(study: Study, model: str) -> int:
    chosen = study.settings.threats
    return min(chosen.control_images, chosen.images) if model in CONTROLS else chosen.images


def run_threat(study: Study, name: str, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Every attack on every one of the first test images that the model classifies correctly."""
    threat = threat_of(study, name)
    logits = threat_logits(study, threat, model, needed["model"])
    images = threat_images(study, threat, images_to_attack(study, model))
    labels = study.test_labels[: len(images)]
    correct = robustness.correctly_classified(logits, images, labels)
    values = {"images": len(images), "clean": len(correct) / len(images)}
    if not len(correct):
        return Outcome(values, {"correct": correct})
    half = -(-len(images) // 2)
    # Half of the images, or all: two numbers of images, so that models of one shape share compilations.
    filled = np.resize(correct, half if len(correct) <= half else len(images))
    arrays = {"correct": correct}
    made = threat_attacks(study, threat)
    with progress(f"{name} on {model}-{seed}", len(made), "attack") as advance:
        for attack_name, attack in made.items():
            sweep = robustness.epsilon_sweep(
                attack,
                purpose_key(seed, attack_name),
                logits,
                images[filled],
                labels[filled],
                [threat.epsilon],
                image_indices=filled,
                epsilon_block=1,
            )
            arrays[f"success/{attack_name}"] = sweep.success[0, : len(correct)]
            advance(1)
    return Outcome(values, arrays)


@jax.jit
def _adversarial(attack: Attack, key: jax.Array, logits: Partial, images: Any, labels: Any, epsilon: Any) -> jax.Array:
    return attack(key, logits, images, labels, epsilon).images


@jax.jit
def _fooled(logits: Partial, images: jax.Array, labels: jax.Array) -> jax.Array:
    return succeeded(logits(images), labels)


def run_transfer(study: Study, name: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Which images each model gets wrong after an attack on each of the paper's models; diverged ones are left out."""
    threat = threat_of(study, name)
    images = jnp.asarray(threat_images(study, threat, study.settings.threats.images))
    labels = study.test_labels[: len(images)]
    # Not APGD, which leaves as it is what the source gets wrong anyway.
    attack = attacks.pgd(threat.norm, study.settings.threats.steps, clip_each_step=True)
    there = {model: outcome for model, outcome in needed.items() if not outcome.diverged}
    logits = {model: threat_logits(study, threat, model, outcome) for model, outcome in there.items()}
    arrays = {}
    for source in [model for model in PAPER_MODELS if model in logits]:
        key = purpose_key(seed, f"transfer from {source}")
        perturbed = _adversarial(attack, key, logits[source], images, labels, threat.epsilon)
        for target in logits:
            if target != source:
                arrays[f"{source}/{target}"] = np.asarray(_fooled(logits[target], perturbed, labels))
    return Outcome({"images": len(images)}, arrays)


def transferred(outcome: Outcome, target: str, images: np.ndarray) -> np.ndarray | None:
    """Per image, whether an attack on any other model fools the target; None if there is no other model."""
    columns: Sequence[np.ndarray] = [
        fooled[images] for name, fooled in outcome.arrays.items() if name.split("/")[1] == target
    ]
    return np.any(columns, axis=0) if columns else None


def run_masking(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """Whether attacks on the model fail for want of a gradient, at the paper's L∞ threat."""
    chosen, epsilon = study.settings.masking, study.settings.threats.unit_linf
    logits = logits_function(study.trained_network(model, needed["model"]))
    images = robustness.correctly_classified(logits, study.test_images, study.test_labels, chosen.images)
    if not len(images):
        return Outcome({"checks": {}, "verdict": None})
    others = {name: other for name, other in needed.items() if name != "model" and not other.diverged}
    outcomes = masking.masking_outcomes(
        purpose_key(seed, "masking"),
        logits,
        study.test_images[images],
        study.test_labels[images],
        epsilon,
        image_shape=study.dataset.image_shape,
        steps=chosen.steps,
        queries=chosen.queries,
        sources=[logits_function(study.trained_network(name, other)) for name, other in others.items()],
    )
    checks = masking.diagnose_masking(outcomes)
    found = {name: {"value": float(check.value), "suspect": bool(check.suspect)} for name, check in checks.items()}
    return Outcome({"checks": found, "verdict": masking.masking_verdict(checks)}, {"images": images})


def run_minimum_norm(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The length of each image's shortest adversarial perturbation in L2, on the images that the sweeps attack."""
    logits = logits_function(study.trained_network(model, needed["model"]))
    limit, chosen = study.settings.attacks.images, study.settings.threats
    images = robustness.correctly_classified(logits, study.test_images, study.test_labels, limit)
    if not len(images):
        return Outcome({"n_attacked": 0})
    attack = attacks.minimum_norm(2, chosen.minimum_norm_steps, chosen.targets)
    found = attacks.minimum_norm_perturbations(
        attack, purpose_key(seed, "minimum_norm"), logits, study.test_images[images], study.test_labels[images]
    )
    return Outcome({"n_attacked": len(images)}, {"images": images, "critical_l2": np.asarray(found.length)})
