"""The plan of an evaluation: the tasks of one network that a user brings, in the place of all models of a reproduction.

What reads a plan, results.json above all, finds the tasks of this network under its name and seed 0.
"""

import dataclasses

from experiments.brought import LOGITS, Loaded, fingerprint
from experiments.engine.tasks import Task, with_needs
from experiments.images import Images
from experiments.measuring import brought as measuring
from experiments.networks_plan import NetworksPlan, offered_threats
from experiments.settings.evaluation import EvaluationSettings
from experiments.settings.presets import Preset


class EvaluationPlan(NetworksPlan):
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
        asked = dataclasses.replace(whole.threats, names=offered_threats(whole, images))
        super().__init__((name,), dataclasses.replace(whole, threats=asked), settings.taps, images)
        self.evaluation, self.name, self.network = settings, name, network
        self.taps = taps or (LOGITS,)
        self.has_bounds = measuring.has_bounds(network)
        self._given = {"made": dataclasses.asdict(network.brought), **fingerprint(network, images)}
        try:
            for tap in self.taps:
                self.has_positions(tap, name)
        except TypeError as error:  # a function has no inside
            raise ValueError(f"--taps: {error}") from error

    def taps_of(self, model: str) -> tuple[str, ...]:
        return self.taps

    def example(self, model: str) -> Loaded:
        return self.network

    def called(self, kind: str, model: str, seed: int) -> str:
        return kind

    def model(self, name: str, seed: int) -> Task:
        """The network, kept with its weights; all others build on it."""
        return self._task("network", "network", measuring.keeping(self.network), self._given, folder="models")

    def landscape(self, model: str) -> Task:
        given = {"tap": self.taps[-1], "boundaries": self.settings.boundaries, "taps": self.tap_settings}
        return self._measured("landscape", "landscape", measuring.landscape, model, 0, seed=0, **given)

    def all_tasks(self) -> list[Task]:
        bounds = [self.bounds(self.name, 0)] if self.has_bounds else []
        rest = [self.landscape(self.name), *bounds, *self.if_pictures(self.corruptions(self.name, 0))]
        return with_needs([self.model(self.name, 0), *self.measurements(self.name, 0), *rest])
