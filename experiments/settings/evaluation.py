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
from experiments.settings.paths import setting, with_settings
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
    """Every image is divided by its own L_p norm with this p; raw pixels are not, and a preset's ε and lengths are
    multiplied by their median norm."""
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


LENGTHS = (
    *(f"attacks.{attack}_{end}" for attack in ("gaussian", "gradient") for end in ("low", "high")),
    *("smoothness.radius", "boundaries.radii"),
)
"""Grids of ε, radii of balls and squares; threats have strengths of their own for raw pixels."""


def in_pixels(
    settings: EvaluationSettings, length: float, given: EvaluationSettings, usual: EvaluationSettings
) -> EvaluationSettings:
    """Settings of unit-norm images for raw ones, whose lengths are so many times as large.

    Args:
        settings: as they follow the data.
        length: of an image.
        given: as the user gave them: what is not as ``usual`` there stands as it was given.
        usual: those of the preset.
    """
    follow = [path for path in LENGTHS if setting(given, path) == setting(usual, path)]
    return with_settings(settings, {path: _times(setting(settings, path), length) for path in follow})


def _times(value: float | tuple[float, ...], length: float) -> float | tuple[float, ...]:
    return tuple(length * one for one in value) if isinstance(value, tuple) else length * value
