"""Attacks of one strength that do not trust one gradient, transfer between models, and the diagnosis of masking."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.engine.tasks import Outcome, Work, progress
from experiments.images import Images
from experiments.measuring.corruptions import are_pictures
from experiments.networks import purpose_key, trained_logits
from experiments.settings.measurements import MaskingSettings, ThreatSettings
from experiments.threats import Threat
from jax_bioadv import attacks
from jax_bioadv.analysis import masking as diagnosis
from jax_bioadv.analysis import robustness
from jax_bioadv.attacks.attack import Attack, succeeded
from jax_bioadv.raw_pixels import raw_pixel_logits, raw_pixels

# The DLR losses compare scores of so many classes.
CLASSES_NEEDED = {"apgd_dlr": 3, "apgd_targeted": 4}


def threat_images(images: Images, threat: Threat, count: int) -> np.ndarray:
    """The first test images, in the threat's space."""
    if threat.raw:
        return raw_pixels(images.dataset.test_images[:count])
    return np.asarray(images.test[:count])


def threat_logits(images: Images, threat: Threat, trained: Outcome) -> Partial:
    logits = trained_logits(images, trained)
    return raw_pixel_logits(logits, images.norm) if threat.raw and images.space == "unit" else logits


def threat_attacks(images: Images, threat: Threat, chosen: ThreatSettings) -> dict[str, Attack]:
    """The attacks on one model by name."""
    norm, shape = threat.norm, images.dataset.image_shape
    targets = min(chosen.targets, images.classes - 1)
    make: dict[str, Callable[[], Attack]] = {
        "apgd_ce": lambda: attacks.apgd(norm, chosen.steps, "cross_entropy", chosen.restarts),
        "apgd_dlr": lambda: attacks.apgd(norm, chosen.steps, "dlr", chosen.restarts),
        "apgd_targeted": lambda: attacks.apgd(norm, chosen.target_steps, "targeted_dlr", chosen.restarts, targets),
        "square": lambda: attacks.square(norm, chosen.queries, shape),
        "minimum_norm": lambda: attacks.minimum_norm(norm, chosen.minimum_norm_steps, targets),
    }
    return {name: attack() for name, attack in make.items() if images.classes >= CLASSES_NEEDED.get(name, 2)}


def left_out(images: Images) -> list[str]:
    """Which attacks the data have too few classes for, and whether their images can be corrupted."""
    channels = images.dataset.image_shape[2]
    neither = f"corruptions are left out: images have {channels} channels, neither 1 nor 3"
    return [neither] * (not are_pictures(images)) + [
        f"{name} is left out of the attacks: its loss needs {needed} classes and {images.dataset.name} has "
        f"{images.classes}"
        for name, needed in CLASSES_NEEDED.items()
        if images.classes < needed
    ]


def fixed_strength(threat: Threat, work: Work, *, seed: int, threats: ThreatSettings) -> Outcome:
    """Every attack on every one of the first test images that the model classifies correctly."""
    logits, epsilon = threat_logits(work.images, threat, work.needed["model"]), getattr(threats, threat.name)
    images = threat_images(work.images, threat, threats.images)
    labels = work.images.test_labels[: len(images)]
    correct = robustness.correctly_classified(logits, images, labels)
    values = {"images": len(images), "clean": len(correct) / len(images)}
    if not len(correct):
        return Outcome(values, {"correct": correct})
    half = -(-len(images) // 2)
    # Half of the images, or all: two numbers of images, so that models of one shape share compilations.
    filled = np.resize(correct, half if len(correct) <= half else len(images))
    arrays = {"correct": correct}
    made = threat_attacks(work.images, threat, threats)
    with progress(work.name, len(made), "attack") as advance:
        for attack_name, attack in made.items():
            sweep = robustness.epsilon_sweep(
                attack,
                purpose_key(seed, attack_name),
                logits,
                images[filled],
                labels[filled],
                [epsilon],
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


def transfer(threat: Threat, work: Work, *, seed: int, threats: ThreatSettings, sources: Sequence[str]) -> Outcome:
    """Which images each model gets wrong after an attack on each of the sources; diverged models are left out."""
    images = jnp.asarray(threat_images(work.images, threat, threats.images))
    labels, epsilon = work.images.test_labels[: len(images)], getattr(threats, threat.name)
    # Not APGD, which leaves as it is what the source gets wrong anyway.
    attack = attacks.pgd(threat.norm, threats.steps, clip_each_step=True)
    there = {model: outcome for model, outcome in work.needed.items() if not outcome.diverged}
    logits = {model: threat_logits(work.images, threat, outcome) for model, outcome in there.items()}
    arrays = {}
    for source in [model for model in sources if model in logits]:
        key = purpose_key(seed, f"transfer from {source}")
        perturbed = _adversarial(attack, key, logits[source], images, labels, epsilon)
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


def masked_gradients(work: Work, *, seed: int, masking: MaskingSettings, epsilon: float) -> Outcome:
    """Whether attacks on the model fail for want of a gradient, at the paper's L∞ threat."""
    images = work.images
    logits = trained_logits(images, work.needed["model"])
    chosen = robustness.correctly_classified(logits, images.test, images.test_labels, masking.images)
    if not len(chosen):
        return Outcome({"checks": {}, "verdict": None})
    others = [other for name, other in work.needed.items() if name != "model" and not other.diverged]
    outcomes = diagnosis.masking_outcomes(
        purpose_key(seed, "masking"),
        logits,
        images.test[chosen],
        images.test_labels[chosen],
        epsilon,
        image_shape=images.dataset.image_shape,
        steps=masking.steps,
        queries=masking.queries,
        sources=[trained_logits(images, other) for other in others],
    )
    checks = diagnosis.diagnose_masking(outcomes)
    found = {name: {"value": float(check.value), "suspect": bool(check.suspect)} for name, check in checks.items()}
    return Outcome({"checks": found, "verdict": diagnosis.masking_verdict(checks)}, {"images": chosen})


def minimum_norm(work: Work, *, seed: int, limit: int, threats: ThreatSettings) -> Outcome:
    """The length of each image's shortest adversarial perturbation in L2, on the images that the sweeps attack."""
    images, logits = work.images, trained_logits(work.images, work.needed["model"])
    chosen = robustness.correctly_classified(logits, images.test, images.test_labels, limit)
    if not len(chosen):
        return Outcome({"n_attacked": 0})
    attack = attacks.minimum_norm(2, threats.minimum_norm_steps, threats.targets)
    found = attacks.minimum_norm_perturbations(
        attack, purpose_key(seed, "minimum_norm"), logits, images.test[chosen], images.test_labels[chosen]
    )
    return Outcome({"n_attacked": len(chosen)}, {"images": chosen, "critical_l2": np.asarray(found.length)})
