"""How long a run will take: what its tasks have to compute, at the speed of this device and of the tasks that are done.

Nearly all of the work are products of images with a layer, so that a task is counted in them. How long one takes is
measured at the start; how many times longer the tasks of a stage take than their products is learned from those that
are done, in this run or in an earlier one that it goes on from.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.engine.populations import population_of
from experiments.engine.tasks import Task
from experiments.images import Images
from experiments.settings.reproduction import Settings
from jax_bioadv.analysis.critical import search_evaluations
from jax_bioadv.data.corruptions import SEVERITIES

# Of test images about so many are classified correctly, and attacked.
ATTACKED_SHARE = 0.5
# Of every task besides its products: compiling, files.
OVERHEAD_SECONDS = 0.5
# Of another stage counts what is learned beyond so much of expected work: one task alone says little of all others.
FOREIGN_SECONDS = 60.0
# An epoch of a decoder moves its features through the memory, which takes as long as so many of its few products.
DECODER_FACTOR = 10
# The accuracy-matched control stops where it is as accurate as the hybrid, which took less than this.
EPOCHS_TO_MATCH = 10


class Estimate:
    """Seconds that tasks will take.

    Args:
        settings: whose sizes count.
        images: whose number counts.
        product_seconds: how long a product of one image with the layer takes; measured if not given.
        counted: how many of them a task comes to; :func:`products` if not given.
    """

    def __init__(
        self,
        settings: Settings,
        images: Images,
        product_seconds: float | None = None,
        counted: Callable[[Task], float] | None = None,
    ):
        self.counted = partial(products, units=settings.hidden) if counted is None else counted
        self.product_seconds = measure_product(settings, images) if product_seconds is None else product_seconds
        self._done: dict[str, tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))

    def learn(self, task: Task, seconds: float) -> None:
        """Take account of a task that is done."""
        expected, spent = self._done[task.stage]
        self._done[task.stage] = expected + self._expected(task), spent + seconds

    def seconds(self, tasks: Iterable[Task]) -> float:
        """What tasks will take, one after another."""
        return sum(self._expected(task) * self._ratio(task.stage) for task in tasks)

    def _expected(self, task: Task) -> float:
        return OVERHEAD_SECONDS + self.product_seconds * self.counted(task)

    def _ratio(self, stage: str) -> float:
        if stage in self._done:
            expected, spent = self._done[stage]
            return spent / expected
        expected, spent = (
            FOREIGN_SECONDS + sum(column) for column in zip((0.0, 0.0), *self._done.values(), strict=True)
        )
        return spent / expected


def measure_product(settings: Settings, images: Images) -> float:
    """Seconds per image of the product of a batch with the layer, the best of three."""
    batch = jnp.ones((min(settings.backprop.batch_size, len(images.dataset.train_images)), images.inputs))
    multiply = jax.jit(jnp.matmul)
    kernel = jnp.ones((images.inputs, settings.hidden))
    multiply(batch, kernel).block_until_ready()
    spent = []
    for _ in range(3):
        started = time.perf_counter()
        multiply(batch, kernel).block_until_ready()
        spent.append(time.perf_counter() - started)
    return min(spent) / len(batch)


def products(task: Task, units: int) -> float:
    """How many products of one image with a layer a task comes to; what is small beside them is left out."""
    dataset, given, inputs = task.images.dataset, task.settings, task.images.inputs
    train, test = len(dataset.train_images), len(dataset.test_images)
    hidden = units / inputs  # a product of the layer with itself, in products with an image
    decoder = dataset.classes / inputs
    if task.stage == "layer":
        return train * (given.get("layer", {}).get("epochs", 0) + given.get("kmeans", {}).get("passes", 0))
    if task.stage == "train" and "backprop" in given:
        return train * _epoch_of_network(given, hidden) * _epochs(task)
    if task.stage == "train":
        return train * (1 + 3 * DECODER_FACTOR * decoder * given.get("decoder", {}).get("epochs", 0))
    if task.stage == "spectra":
        return (test + given.get("spectra", {}).get("noise_images", 0)) * (1 + 2 * hidden)
    if task.stage == "jacobian":
        return test
    if task.stage == "attacks":
        return _sweep(task, test)
    if task.stage == "threats":
        return _battery(task, test)
    chosen = given.get(task.stage, {})
    images = min(chosen.get("images", 0), test)
    if task.stage == "masking":
        return images * (20 * chosen["steps"] + chosen["queries"])
    if task.stage == "corruptions":
        return images * len(task.given["corruptions"].kinds) * len(SEVERITIES)
    return 50 * images  # bounds, smoothness; boundaries and landscapes are small


def _epoch_of_network(given: Mapping[str, Any], hidden: float) -> float:
    """Products per image: forward and the gradient of the weights; an attack's gradients; a projection and back."""
    attack = 2 * given["adversarial"]["steps"] if "adversarial" in given else 0
    return 2 + attack + (2 * hidden if "spectral" in given else 0)


def _epochs(task: Task) -> float:
    if "adversarial" in task.given:
        return task.given["adversarial"].epochs
    epochs = task.given["backprop"].epochs
    return min(epochs, EPOCHS_TO_MATCH) if "hybrid" in task.needs else epochs


def _sweep(task: Task, test: int) -> float:
    attack, settings = task.run.attack, task.given["attacks"]  # type: ignore[attr-defined]
    strengths = len(attack.epsilons(settings))
    if population_of(task) is not None:
        strengths = search_evaluations(strengths)
    steps = 1 + 2 * settings.pgd_steps if "pgd_steps" in attack.reads else 1
    return ATTACKED_SHARE * min(getattr(settings, attack.images), test) * strengths * steps


def _battery(task: Task, test: int) -> float:
    chosen = task.given["threats"]
    shortest = chosen.targets * chosen.minimum_norm_steps
    if "limit" in task.given:  # minimum norm
        return ATTACKED_SHARE * 2 * min(task.given["limit"], test) * shortest
    images = min(chosen.images, test)
    if task.optional:  # transfer, from each of the models of the paper
        return images * 5 * 2 * chosen.steps
    gradients = chosen.restarts * (2 * chosen.steps + chosen.targets * chosen.target_steps) + shortest
    return ATTACKED_SHARE * images * (2 * gradients + chosen.queries)


def in_words(seconds: float) -> str:
    """A duration as a person says it."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    if seconds < 90 * 60:
        return f"{round(seconds / 60)} min"
    return f"{seconds / 3600:.1f} h"
