"""What the study of depth can be told: models and depths, how they are trained, and the measurements."""

import dataclasses
from dataclasses import dataclass, field
from typing import Annotated

import tyro

from experiments.settings.evaluation import UNREAD as UNREAD_BY_EVALUATIONS
from experiments.settings.evaluation import EvaluationSettings, TapSettings, evaluation_preset
from experiments.settings.groups import AdversarialSettings, L2Settings
from experiments.settings.measurements import (
    AttackSettings,
    BoundarySettings,
    MaskingSettings,
    SmoothnessSettings,
    SpectraSettings,
)
from experiments.settings.presets import Preset
from experiments.settings.reproduction import check_numbers
from experiments.settings.stacks import (
    ReadoutSettings,
    StackBackpropSettings,
    StackSettings,
    TapPenaltySettings,
)
from experiments.stacks import STACK_MODELS
from jax_bioadv.data import Dataset

MAY_BE_ZERO = {"l2.weight", "at_tap.jacobian", "at_tap.spectral", "readout.dropout"}


@dataclass(frozen=True)
class DepthSettings:
    """The study: models of every depth, and what is measured on them, as on a network that a user brings."""

    seeds: int = 3
    """Networks of every model and depth."""
    depths: tuple[int, ...] = (1, 2, 3)
    """Numbers of stages, from 1 to 3."""
    models: str = "all"
    """Models to train and measure, separated by commas, or all; experiments/stacks.py says what each of them is."""
    stack: StackSettings = field(default_factory=StackSettings)
    readout: ReadoutSettings = field(default_factory=ReadoutSettings)
    backprop: StackBackpropSettings = field(default_factory=StackBackpropSettings)
    l2: L2Settings = field(default_factory=L2Settings)
    at_tap: TapPenaltySettings = field(default_factory=TapPenaltySettings)
    adversarial: AdversarialSettings = field(default_factory=AdversarialSettings)
    measured: Annotated[EvaluationSettings, tyro.conf.arg(name="")] = field(default_factory=EvaluationSettings)

    @property
    def model_names(self) -> tuple[str, ...]:
        """The models, in the order of their registry."""
        asked = list(STACK_MODELS) if self.models == "all" else self.models.split(",")
        return tuple(name for name in STACK_MODELS if name in asked)

    def check(self, data: Dataset) -> None:
        """Raise ValueError for settings that cannot work with these data; a plan checks those of measurements."""
        values = dataclasses.asdict(self)
        del values["measured"]
        check_numbers("", values, MAY_BE_ZERO)
        if not self.readout.dropout < 1:
            raise ValueError(f"readout.dropout must be below 1, got {self.readout.dropout}")
        asked = set(STACK_MODELS) if self.models == "all" else set(self.models.split(","))
        if unknown := asked - set(STACK_MODELS):
            raise ValueError(f"models: {', '.join(sorted(unknown))} is none of {', '.join(STACK_MODELS)}, or all")
        for name in asked:
            if (other := STACK_MODELS[name].matches) and other not in asked:
                raise ValueError(f"models: {name} stops at the accuracy of {other}; name that too")
        if not self.depths or len(set(self.depths)) < len(self.depths):
            raise ValueError(f"depths must be different, and one at least, got {self.depths}")
        for depth in self.depths:
            maps = data.image_shape
            if len(self.stack.powers) < depth:
                raise ValueError(f"stack.powers must have an exponent for each of {depth} stages")
            for stage in self.stack.stages(depth):
                maps = stage.check(maps)
        images, batch = (
            min(self.stack.images, len(data.train_images)),
            max(self.readout.batch_size, self.backprop.batch_size),
        )
        if images < batch:
            raise ValueError(f"stack.images = {images} are fewer than a batch of {batch}")

    # What decides how the data are seen.

    @property
    def dataset(self) -> str:
        return self.measured.dataset

    @property
    def norm(self) -> float:
        return self.measured.norm

    @property
    def precision(self) -> str:
        return self.measured.precision


UNREAD = tuple(
    f"measured.{path}"
    for path in (*UNREAD_BY_EVALUATIONS, "threats.unit_linf", "threats.unit_l2", "bounds", "corruptions")
)
"""What no task of the study reads: its networks take raw pixels, have several layers, and images as they are."""
_QUICK = evaluation_preset("quick")
_SMOKE = evaluation_preset("smoke")
DEPTH_PRESETS: dict[Preset, DepthSettings] = {
    "paper": DepthSettings(
        measured=dataclasses.replace(evaluation_preset("paper"), attacks=AttackSettings(images=1000))
    ),
    "quick": DepthSettings(
        stack=StackSettings(filters=(16, 32, 64), stride=2, images=5000),
        readout=ReadoutSettings(epochs=20),
        backprop=StackBackpropSettings(epochs=10),
        adversarial=AdversarialSettings(epochs=10, epsilon=4 / 255, steps=1),
        measured=dataclasses.replace(
            _QUICK,
            taps=TapSettings(images=500, memory_mib=64, projections=8),
            spectra=SpectraSettings(noise_images=500, first=2, last_on_images=100, last_on_noise=100),
            attacks=dataclasses.replace(_QUICK.attacks, images=100, epsilons=100, published_images=20, pgd_steps=10),
            threats=dataclasses.replace(_QUICK.threats, images=200, queries=100),
            masking=MaskingSettings(images=32, steps=10, queries=100),
            smoothness=SmoothnessSettings(images=32),
            boundaries=BoundarySettings(planes=10, resolution=32),
        ),
    ),
    "smoke": DepthSettings(
        seeds=1,
        depths=(1, 2),
        models="soft_hebb,random,bp",
        stack=StackSettings(filters=(4, 6, 8), images=500),
        readout=ReadoutSettings(epochs=2),
        backprop=StackBackpropSettings(epochs=1),
        adversarial=AdversarialSettings(epochs=1, epsilon=0.1, steps=1),
        measured=_SMOKE,
    ),
}
