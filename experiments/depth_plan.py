"""The plan of the study of depth: every model at every depth as a network by itself, MODEL-DEPTH."""

import dataclasses
import itertools
from collections.abc import Callable
from functools import partial

from experiments.brought import Brought, Loaded
from experiments.engine.tasks import Outcome, Task, with_needs
from experiments.images import Images
from experiments.networks import untrained_stack
from experiments.networks_plan import NetworksPlan, offered_threats
from experiments.settings.depth import DepthSettings
from experiments.settings.presets import Preset
from experiments.stacks import STACK_MODELS
from experiments.training import stacks as training

RIVALS = ("soft_hebb", "kh")
"""Models that all others of their depth are compared with."""


def of_depth(model: str, depth: int) -> str:
    """What a model is called at a depth."""
    return f"{model}-{depth}"


def model_and_depth(name: str) -> tuple[str, int]:
    """The inverse of :func:`of_depth`."""
    model, _, depth = name.rpartition("-")
    return model, int(depth)


class DepthPlan(NetworksPlan):
    """The tasks of the study.

    Args:
        settings: in the units of the images.
        preset: that they started from.
        images: the data, as pixels.

    Raises:
        ValueError: a setting that cannot work, or a model that is not known.
    """

    def __init__(self, settings: DepthSettings, preset: Preset, images: Images):
        self.study = settings
        settings.check(images.dataset)
        names = [of_depth(model, depth) for depth in settings.depths for model in settings.model_names]
        whole = settings.measured.of_reproduction(preset)
        asked = dataclasses.replace(whole.threats, names=offered_threats(whole, images))
        whole = dataclasses.replace(whole, threats=asked, seeds=settings.seeds)
        super().__init__(tuple(names), whole, settings.measured.taps, images)
        self._examples = dict[int, Loaded]()

    def example(self, model: str) -> Loaded:
        _, depth = model_and_depth(model)
        if depth in self._examples:
            return self._examples[depth]
        network = untrained_stack(self.images, self.study.stack, depth, 0)
        self._examples[depth] = Loaded(Brought("", self.images.dataset.image_shape), network)
        return self._examples[depth]

    def taps_of(self, model: str) -> tuple[str, ...]:
        return tuple(self.example(model).network.taps)

    def spectra_of(self, tap: str, model: str) -> tuple[bool, ...]:
        """Over positions; of all values of the last representation alone, which are many."""
        return (False, True) if tap == self.taps_of(model)[-1] else (True,)

    def model(self, name: str, seed: int) -> Task:
        model, depth = model_and_depth(name)
        record, study = STACK_MODELS[model], self.study
        given = {"seed": seed, "depth": depth, "stack": study.stack, **record.given(study)}
        if record.filters is not None:
            run: Callable[..., Outcome] = partial(training.greedy, record.filters)
            given |= {"readout": study.readout}
        else:
            run = training.matched if record.matches else training.by_backprop
            given |= {"backprop": study.backprop}
        needs = {"matched": self.model(of_depth(record.matches, depth), seed)} if record.matches else {}
        return self._task(f"{name}-{seed}", "train", run, given, needs, "models")

    def pairs(self) -> list[tuple[str, str]]:
        """What is compared on the same images: each rival with all others of its depth, and with itself at others."""
        models, depths = self.study.model_names, self.study.depths
        rivals = [rival for rival in RIVALS if rival in models]
        found = [
            (of_depth(rival, depth), of_depth(other, depth))
            for depth in depths
            for number, rival in enumerate(rivals)
            for other in models
            if other != rival and other not in rivals[:number]
        ]
        across = itertools.combinations(depths, 2)
        return found + [(of_depth(model, one), of_depth(model, other)) for one, other in across for model in models]

    def all_tasks(self) -> list[Task]:
        """Every task: networks first, then what is measured on them."""
        networks = [(model, seed) for seed in range(self.settings.seeds) for model in self.models]
        tasks = [self.model(*network) for network in networks]
        return with_needs([*tasks, *(task for network in networks for task in self.measurements(*network))])
