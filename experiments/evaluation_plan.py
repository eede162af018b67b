"""The plan of an evaluation: the tasks of one network that a user brings, in the place of all models of a reproduction.

What reads a plan, results.json above all, finds the tasks of this network under its name and seed 0.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.attacks import ATTACKS, SWEPT_ATTACKS
from experiments.brought import LOGITS, Loaded, fingerprint
from experiments.engine.tasks import Outcome, Task, with_needs
from experiments.images import Images
from experiments.measuring import brought as measuring
from experiments.measuring import threats
from experiments.plan import BATTERY, STAGES, Plan
from experiments.settings.evaluation import EvaluationSettings
from experiments.settings.groups import only
from experiments.settings.presets import Preset
from experiments.threats import THREATS


class EvaluationPlan(Plan):
    """The tasks of an evaluation.

    Args:
        name: of the network.
        network: with its weights.
        taps: names of its representations; the last of them stands for it where one number is asked for.
        settings: in the units of the images.
        preset: that they started from.
        images: the data, in the space of the network.

    Raises:
        ValueError: a setting or a tap that cannot work.
    """

    def __init__(
        self,
        name: str,
        network: Loaded,
        taps: tuple[str, ...],
        settings: EvaluationSettings,
        preset: Preset,
        images: Images,
    ):
        whole = settings.of_reproduction(preset)
        offered = [one for one, threat in THREATS.items() if threat.raw or images.space == "unit"]
        asked = tuple(one for one in whole.threats.names if one in offered)
        self.settings = dataclasses.replace(whole, threats=dataclasses.replace(whole.threats, names=asked))
        self.settings.check_values()
        self.evaluation, self.images, self.models = settings, images, (name,)
        self.name, self.network = name, network
        self.taps = taps or (LOGITS,)
        self.has_bounds = measuring.has_bounds(network)
        self._given = {"made": dataclasses.asdict(network.brought), **fingerprint(network, images)}
        try:
            for tap in self.taps:
                self.has_positions(tap)
        except TypeError as error:  # a function has no inside
            raise ValueError(f"--taps: {error}") from error

    def model(self, name: str = "", seed: int = 0) -> Task:
        """The network, kept with its weights; all others build on it."""
        return self._task("network", "network", measuring.keeping(self.network), self._given, folder="models")

    def _of_network(self, name: str, stage: str, run: Callable[..., Outcome], **given: Any) -> Task:
        return self._task(name, stage, run, given, {"model": self.model()})

    def _of_model(self, kind: str, run: Callable[..., Outcome], model: str, seed: int, **given: Any) -> Task:
        return self._of_network(kind, kind if kind in STAGES else "threats", run, seed=seed, **given)

    # What needs a representation.

    def tap_spectrum(self, tap: str, positions: bool = False) -> Task:
        """Of its flattened values, or of the channels at every position."""
        kind = "positions" if positions else "spectra"
        given = {"tap": tap, "positions": positions, "taps": self.evaluation.taps, **self._spectra()}
        return self._of_network(f"{kind}-{tap}", "spectra", measuring.tap_spectrum, **given)

    def tap_smoothness(self, tap: str) -> Task:
        given = {"seed": 0, "tap": tap, "taps": self.evaluation.taps, "smoothness": self.settings.smoothness}
        return self._of_network(f"jacobian-{tap}", "jacobian", measuring.tap_smoothness, **given)

    def has_positions(self, tap: str) -> bool:
        """Whether it is a map (height, width, channels)."""
        image = jax.ShapeDtypeStruct((1, self.images.inputs), jnp.float32)
        return len(jax.eval_shape(self.network.tap(tap), image).shape) == 4

    def spectra(self, model: str = "", seed: int = 0) -> Task:
        return self.tap_spectrum(self.taps[-1])

    def jacobian(self, model: str = "", seed: int = 0) -> Task:
        return self.tap_smoothness(self.taps[-1])

    # What needs logits.

    def attacks_on(self, model: str) -> list[str]:
        return list(ATTACKS)

    def attack(self, attack: str, model: str = "", seed: int = 0) -> Task:
        record = SWEPT_ATTACKS[attack]
        given = {"seed": seed, "attacks": only(self.settings.attacks, record.images, *record.reads)}
        return self._of_network(attack, "attacks", partial(measuring.searched, attack), **given)

    def threat(self, threat: str, model: str = "", seed: int = 0) -> Task:
        chosen = only(self.settings.threats, *BATTERY, threat, "images")
        return self._of_model(threat, partial(threats.fixed_strength, THREATS[threat]), model, seed, threats=chosen)

    def masking(self, model: str = "", seed: int = 0) -> Task:
        chosen, strengths = self.settings.masking, self.settings.threats
        epsilon = strengths.raw_linf if self.images.space == "raw" else strengths.unit_linf
        return self._of_model("masking", threats.masked_gradients, model, seed, masking=chosen, epsilon=epsilon)

    def smoothness(self, model: str = "", seed: int = 0) -> Task:
        chosen = self.settings.smoothness
        return self._of_model("smoothness", measuring.logits_smoothness, model, seed, smoothness=chosen)

    def boundaries(self, model: str = "", seed: int = 0) -> Task:
        return self._of_model("boundaries", measuring.boundaries, model, seed, boundaries=self.settings.boundaries)

    # What needs one hidden layer.

    def bounds(self, model: str = "", seed: int = 0) -> Task:
        return self._of_model("bounds", measuring.bounds, model, seed, bounds=self.settings.bounds)

    def all_tasks(self) -> list[Task]:
        tasks = [self.model()]
        for tap in self.taps:
            tasks += [self.tap_spectrum(tap)]
            tasks += [self.tap_spectrum(tap, positions=True)] if self.has_positions(tap) else []
            tasks += [self.tap_smoothness(tap)]
        tasks += [self.attack(attack) for attack in ATTACKS]
        tasks += [self.threat(threat) for threat in self.settings.threats.names]
        tasks += [self.minimum_norm(self.name, 0), self.masking(), self.smoothness(), self.boundaries()]
        tasks += [self.bounds()] if self.has_bounds else []
        return with_needs(tasks)
