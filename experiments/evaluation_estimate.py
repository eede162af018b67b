"""How long an evaluation will take: its tasks are counted in passes of one image through the network."""

import time
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.attacks import SWEPT_ATTACKS
from experiments.brought import Loaded
from experiments.engine.estimate import ATTACKED_SHARE, Estimate
from experiments.engine.tasks import Task
from experiments.evaluation_plan import EvaluationPlan
from experiments.images import Images
from jax_bioadv.analysis.critical import search_evaluations
from jax_bioadv.data.corruptions import SEVERITIES

# Images of the batch whose pass is timed.
TIMED = 128
# A gradient takes about as long as so many passes.
GRADIENT = 2


def evaluation_estimate(plan: EvaluationPlan) -> Estimate:
    """An estimate in passes, of which one is timed."""
    return Estimate(plan.settings, plan.images, seconds_of_a_pass(plan.network, plan.images), passes)


def seconds_of_a_pass(network: Loaded, images: Images) -> float:
    batch = images.test[:TIMED]
    call = jax.jit(lambda function, batch: jnp.sum(function(batch)))
    call(network.logits, batch).block_until_ready()
    started = time.perf_counter()
    call(network.logits, batch).block_until_ready()
    return (time.perf_counter() - started) / len(batch)


def passes(task: Task) -> float:
    """How many passes of one image a task comes to; each looks first for images that are classified correctly."""
    given, test = task.given, len(task.images.dataset.test_images)
    if task.stage in ("network", "bounds"):
        return test
    if task.stage == "train":
        return test + _trained(given)
    if task.stage == "spectra":
        return 2 * min(given["taps"].images, test)
    if task.stage == "jacobian":
        return test + given["smoothness"].images * GRADIENT * (given["taps"].projections + 60)
    if task.stage == "smoothness":
        return test + given["smoothness"].images * GRADIENT * 100
    if task.stage == "corruptions":
        chosen = given["corruptions"]
        return min(chosen.images, test) * (1 + len(chosen.kinds) * len(SEVERITIES))
    if task.stage == "boundaries":
        chosen = given["boundaries"]
        return 2 * len(chosen.radii) * chosen.planes * chosen.resolution**2
    if task.stage == "landscape":
        return given["boundaries"].resolution ** 2 * (1 + GRADIENT * given["taps"].projections)
    if task.stage == "attacks":
        settings, record = given["attacks"], SWEPT_ATTACKS[task.name.partition("-")[0]]
        strengths = settings.epsilons if settings.method == "grid" else search_evaluations(settings.epsilons)
        steps = 1 + GRADIENT * settings.pgd_steps if "pgd_steps" in record.reads else 1
        return test + min(settings.images, test) * strengths * steps
    if task.stage == "masking":
        chosen = given["masking"]
        return test + chosen.images * (10 * GRADIENT * chosen.steps + chosen.queries)
    chosen = given["threats"]
    shortest = chosen.targets * chosen.minimum_norm_steps
    if "limit" in given:
        return test + min(given["limit"], test) * GRADIENT * shortest
    gradients = chosen.restarts * (2 * chosen.steps + chosen.targets * chosen.target_steps) + shortest
    return ATTACKED_SHARE * min(chosen.images, test) * (GRADIENT * gradients + chosen.queries)


def _trained(given: Mapping[str, Any]) -> float:
    """Passes of a stack's training: of a readout and of each stage's filters, or of backpropagation and its attack."""
    images = given["stack"].images
    if "readout" in given:
        return images * (given["readout"].epochs + 10 * given["depth"])
    attack = given.get("adversarial")
    epochs = (attack or given["backprop"]).epochs
    besides = {"jacobian": 2, "spectral": 2, "adversarial": attack.steps if attack else 0}
    return images * epochs * (1 + GRADIENT) * (1 + sum(besides.get(name, 0) for name in given))
