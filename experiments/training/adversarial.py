"""The control trained on adversarial images; the only one whose training uses an attack."""

from collections.abc import Mapping
from functools import cache, partial
from typing import Any

import jax

from experiments.settings.groups import AdversarialSettings
from experiments.training.networks import networks
from experiments.training.trainer import Training
from jax_bioadv.attacks import pgd
from jax_bioadv.learning import supervised


def _adversary_of(given: Mapping[str, Any]) -> supervised.Adversary:
    return adversary(given["adversarial"])


@cache  # the same object for the same settings, so that seeds share a program
def adversary(chosen: AdversarialSettings) -> supervised.Adversary:
    attack = pgd(steps=chosen.steps, step_size=min(2.5 / chosen.steps, 1.0) * chosen.epsilon)

    def perturbed(model: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
        return attack(key, model, images, labels, chosen.epsilon).images

    return perturbed


ADVERSARIAL = Training(partial(networks, _adversary_of), ())
