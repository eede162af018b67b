"""Plans of networks of any kind, in the place of a reproduction's: what each measurement needs of them, and gets.

What reads a plan, results.json above all, finds the tasks of a network under its name and a seed.
"""

from abc import abstractmethod
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from experiments.attacks import ATTACKS, SWEPT_ATTACKS
from experiments.brought import Loaded
from experiments.engine.tasks import Outcome, Task
from experiments.images import Images
from experiments.measuring import brought as measuring
from experiments.measuring import threats
from experiments.measuring.corruptions import check_cifar10_c
from experiments.plan import BATTERY, STAGES, Plan
from experiments.settings.evaluation import TapSettings
from experiments.settings.groups import only
from experiments.settings.reproduction import Settings
from experiments.threats import THREATS


class NetworksPlan(Plan):
    """Measurements of networks of any kind; who derives from it says what networks there are.

    Args:
        names: of the networks.
        settings: of a reproduction that measures the same, in the units of the images.
        taps: how representations are measured.
        images: the data, in the space of the networks.

    Raises:
        ValueError: a setting that cannot work.
    """

    transfers = False

    def __init__(self, names: tuple[str, ...], settings: Settings, taps: TapSettings, images: Images):
        settings.check_values()
        check_cifar10_c(settings.corruptions, images)
        self.settings, self.images, self.models, self.tap_settings = settings, images, names, taps

    @abstractmethod
    def taps_of(self, model: str) -> tuple[str, ...]:
        """Names of a network's representations; the last of them stands for it where one number is asked for."""

    @abstractmethod
    def example(self, model: str) -> Loaded:
        """A network of this kind, whatever its weights."""

    def _of_model(self, kind: str, run: Callable[..., Outcome], model: str, seed: int, **given: Any) -> Task:
        return self._measured(kind, kind if kind in STAGES else "threats", run, model, seed, seed=seed, **given)

    def _measured(
        self, kind: str, stage: str, run: Callable[..., Outcome], model: str, seed: int, /, **given: Any
    ) -> Task:
        return self._task(self.called(kind, model, seed), stage, run, given, {"model": self.model(model, seed)})

    # What needs a representation.

    def tap_spectrum(self, tap: str, model: str, seed: int, positions: bool = False) -> Task:
        """Of its flattened values, or of the channels at every position."""
        kind = "positions" if positions else "spectra"
        given = {"tap": tap, "positions": positions, "taps": self.tap_settings, **self._spectra()}
        return self._measured(f"{kind}-{tap}", "spectra", measuring.tap_spectrum, model, seed, **given)

    def tap_smoothness(self, tap: str, model: str, seed: int) -> Task:
        given = {"seed": seed, "tap": tap, "taps": self.tap_settings, "smoothness": self.settings.smoothness}
        return self._measured(f"jacobian-{tap}", "jacobian", measuring.tap_smoothness, model, seed, **given)

    def has_positions(self, tap: str, model: str) -> bool:
        """Whether it is a map (height, width, channels)."""
        image = jax.ShapeDtypeStruct((1, self.images.inputs), jnp.float32)
        return len(jax.eval_shape(self.example(model).tap(tap), image).shape) == 4

    def spectra_of(self, tap: str, model: str) -> tuple[bool, ...]:
        """Which spectra of a representation there are: of its values, and of channels over positions."""
        return (False, True) if self.has_positions(tap, model) else (False,)

    def spectra(self, model: str, seed: int) -> Task:
        return self.tap_spectrum(self.taps_of(model)[-1], model, seed)

    def jacobian(self, model: str, seed: int) -> Task:
        return self.tap_smoothness(self.taps_of(model)[-1], model, seed)

    # What needs logits.

    def attacks_on(self, model: str) -> list[str]:
        return list(ATTACKS)

    def attack(self, attack: str, model: str, seed: int) -> Task:
        record = SWEPT_ATTACKS[attack]
        given = {"seed": seed, "attacks": only(self.settings.attacks, record.images, *record.reads)}
        return self._measured(attack, "attacks", partial(measuring.searched, attack), model, seed, **given)

    def threat(self, threat: str, model: str, seed: int) -> Task:
        chosen = only(self.settings.threats, *BATTERY, threat, "images")
        return self._of_model(threat, partial(threats.fixed_strength, THREATS[threat]), model, seed, threats=chosen)

    def masking(self, model: str, seed: int) -> Task:
        strengths, chosen = self.settings.threats, self.settings.masking
        epsilon = strengths.raw_linf if self.images.space == "raw" else strengths.unit_linf
        return self._of_model("masking", threats.masked_gradients, model, seed, masking=chosen, epsilon=epsilon)

    def smoothness(self, model: str, seed: int) -> Task:
        chosen = self.settings.smoothness
        return self._of_model("smoothness", measuring.logits_smoothness, model, seed, smoothness=chosen)

    def boundaries(self, model: str, seed: int) -> Task:
        return self._of_model("boundaries", measuring.boundaries, model, seed, boundaries=self.settings.boundaries)

    # What needs one hidden layer.

    def bounds(self, model: str, seed: int) -> Task:
        return self._of_model("bounds", measuring.bounds, model, seed, bounds=self.settings.bounds)

    def measurements(self, model: str, seed: int) -> list[Task]:
        """All tasks of a network but what makes it, and its bounds."""
        tasks = []
        for tap in self.taps_of(model):
            tasks += [self.tap_spectrum(tap, model, seed, positions) for positions in self.spectra_of(tap, model)]
            tasks += [self.tap_smoothness(tap, model, seed)]
        tasks += [self.attack(attack, model, seed) for attack in ATTACKS]
        tasks += [self.threat(threat, model, seed) for threat in self.settings.threats.names]
        kinds = (self.minimum_norm, self.masking, self.smoothness, self.boundaries)
        return [*tasks, *(kind(model, seed) for kind in kinds)]


def offered_threats(settings: Settings, images: Images) -> tuple[str, ...]:
    """Those of the settings' threats that there are in the space of the images."""
    return tuple(one for one in settings.threats.names if THREATS[one].raw or images.space == "unit")
