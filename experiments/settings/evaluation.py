"""What the evaluation of a network that a user brings can be told: the measurements, and nothing of trainings."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

from experiments.settings.measurements import (
    AttackSettings,
    BoundarySettings,
    BoundsSettings,
    CorruptionSettings,
    MaskingSettings,
    SmoothnessSettings,
    SpectraSettings,
    ThreatSettings,
)
from experiments.settings.presets import PRESETS, Preset
from experiments.settings.reproduction import Settings, check_numbers


@dataclass(frozen=True)
class TapSettings:
    """Measurements of what is inside a network."""

    images: int = 10_000
    """At most so many test images, and as much noise, for the spectra of each tap."""
    memory_mib: int = 512
    """Memory of a covariance; where neither that of the features fits nor that of the samples, a sketch is made."""
    projections: int = 32
    """Random directions for Jacobian norms, where images and representation have more dimensions."""


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured, with the settings of a preset of the reproduction."""

    dataset: str = "cifar10"
    """cifar10, digits, any image-classification set of TensorFlow Datasets, or the path of a folder of images by class
    or of a .npz file."""
    norm: float = 3.0
    """With --input unit, every image is divided by its own L_p norm with this p."""
    precision: Literal["default", "high", "highest"] = "highest"
    """Of matrix products on accelerators; default and high are faster and less exact there. CPUs have one."""
    taps: TapSettings = field(default_factory=TapSettings)
    spectra: SpectraSettings = field(default_factory=SpectraSettings)
    attacks: AttackSettings = field(default_factory=AttackSettings)
    threats: ThreatSettings = field(default_factory=ThreatSettings)
    masking: MaskingSettings = field(default_factory=MaskingSettings)
    bounds: BoundsSettings = field(default_factory=BoundsSettings)
    smoothness: SmoothnessSettings = field(default_factory=SmoothnessSettings)
    boundaries: BoundarySettings = field(default_factory=BoundarySettings)
    corruptions: CorruptionSettings = field(default_factory=CorruptionSettings)

    def of_reproduction(self, preset: Preset) -> Settings:
        """The settings of a reproduction that measures the same; ValueError for a number of taps that cannot work."""
        check_numbers("taps.", dataclasses.asdict(self.taps), set())
        shared = {one.name: getattr(self, one.name) for one in dataclasses.fields(self) if one.name != "taps"}
        return dataclasses.replace(PRESETS[preset], seeds=1, **shared)


UNREAD = (
    *("spectra.last_on_data", "spectra.populations", "attacks.published_images", "attacks.published_epsilons"),
    "threats.control_images",
)
"""What no task of an evaluation reads: it has no controls, no layer of its own and no published numbers beside it."""
_TAPS: dict[Preset, TapSettings] = {
    "smoke": TapSettings(images=500, memory_mib=64, projections=4),
    "quick": TapSettings(images=2000, memory_mib=128, projections=16),
    "paper": TapSettings(),
}


def evaluation_preset(preset: Preset) -> EvaluationSettings:
    """The settings of a preset, but for trainings."""
    whole = PRESETS[preset]
    shared = [one.name for one in dataclasses.fields(EvaluationSettings) if one.name != "taps"]
    return EvaluationSettings(taps=_TAPS[preset], **{name: getattr(whole, name) for name in shared})


def in_pixels(settings: EvaluationSettings, length: float) -> EvaluationSettings:
    """Settings of unit-norm images for raw ones, whose lengths are so many times as large.

    Grids of ε, radii of balls and squares are multiplied; threats have strengths of their own for raw pixels.
    """
    attacks, smoothness, boundaries = settings.attacks, settings.smoothness, settings.boundaries
    ends = ("gaussian_low", "gaussian_high", "gradient_low", "gradient_high")
    return dataclasses.replace(
        settings,
        attacks=dataclasses.replace(attacks, **{name: length * getattr(attacks, name) for name in ends}),
        smoothness=dataclasses.replace(smoothness, radius=length * smoothness.radius),
        boundaries=dataclasses.replace(boundaries, radii=tuple(length * radius for radius in boundaries.radii)),
    )
