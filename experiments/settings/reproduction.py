"""Everything that a reproduction of the paper can be told, and what cannot work."""

import dataclasses
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from experiments.models import KNOWN, MODELS
from experiments.settings.groups import (
    AdversarialSettings,
    BackpropSettings,
    DecoderSettings,
    JacobianSettings,
    KMeansSettings,
    L2Settings,
    LayerSettings,
    PruningSettings,
    SpectralSettings,
)
from experiments.settings.measurements import (
    AttackSettings,
    BoundarySettings,
    BoundsSettings,
    CorruptionSettings,
    LandscapeSettings,
    MaskingSettings,
    SmoothnessSettings,
    SpectraSettings,
    ThreatSettings,
)
from experiments.threats import THREATS

NOISE_START = "noise_start"
"""The layer of figure A1 where models are named."""
# Numbers that may be 0; every other one must be positive.
MAY_BE_ZERO = {"layer.delta", "noise_start.delta", "spectral.constant_epochs", "landscape.image"} | {
    f"{name}.weight" for name in ("l2", "jacobian", "spectral")
}


@dataclass(frozen=True)
class Settings:
    """One reproduction of the paper."""

    dataset: str = "cifar10"
    """cifar10, digits, any image-classification set of TensorFlow Datasets, or the path of a folder of images by class
    or of a .npz file."""
    seeds: int = 1
    """Number of seeds, 0 to N-1: initialization, order of the images, noise."""
    models: str = ",".join(MODELS)
    """Models to train and measure, separated by commas; experiments/models.py says what each of them is."""
    hidden: int = 2000
    """Hidden units."""
    norm: float = 3.0
    """Every image is divided by its own L_p norm with this p."""
    precision: Literal["default", "high", "highest"] = "highest"
    """Of matrix products on accelerators; default and high are faster and less exact there. CPUs have one."""
    layer: LayerSettings = field(default_factory=LayerSettings)
    noise_start: LayerSettings = field(default_factory=LayerSettings)
    """The layer started from N(0, scale²) that figure A1 prunes."""
    noise_start_hidden: int = 2000
    """Its hidden units."""
    pruning: PruningSettings = field(default_factory=PruningSettings)
    decoder: DecoderSettings = field(default_factory=DecoderSettings)
    backprop: BackpropSettings = field(default_factory=BackpropSettings)
    l2: L2Settings = field(default_factory=L2Settings)
    jacobian: JacobianSettings = field(default_factory=JacobianSettings)
    spectral: SpectralSettings = field(default_factory=SpectralSettings)
    spectra: SpectraSettings = field(default_factory=SpectraSettings)
    attacks: AttackSettings = field(default_factory=AttackSettings)
    landscape: LandscapeSettings = field(default_factory=LandscapeSettings)
    kmeans: KMeansSettings = field(default_factory=KMeansSettings)
    adversarial: AdversarialSettings = field(default_factory=AdversarialSettings)
    threats: ThreatSettings = field(default_factory=ThreatSettings)
    masking: MaskingSettings = field(default_factory=MaskingSettings)
    bounds: BoundsSettings = field(default_factory=BoundsSettings)
    smoothness: SmoothnessSettings = field(default_factory=SmoothnessSettings)
    boundaries: BoundarySettings = field(default_factory=BoundarySettings)
    corruptions: CorruptionSettings = field(default_factory=CorruptionSettings)

    may_be_zero: ClassVar[set[str]] = MAY_BE_ZERO

    @property
    def model_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.models.split(","))

    def check_values(self) -> None:
        """Raise ValueError for a value that cannot work whatever the data, before these are fetched."""
        unknown = [name for name in self.model_names if name not in KNOWN]
        if unknown:
            raise ValueError(f"unknown model {unknown[0]!r}; choose among {', '.join(KNOWN)}")
        if len(set(self.model_names)) != len(self.model_names):
            raise ValueError(f"a model is named twice in {self.models!r}")
        check_numbers("", dataclasses.asdict(self), self.may_be_zero)
        for name, hidden, layer in (
            ("layer", self.hidden, self.layer),
            ("noise-start", self.noise_start_hidden, self.noise_start),
        ):
            try:
                layer.rule.check(hidden)
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        _require(self.norm >= 1, f"norm: an L_p norm needs p ≥ 1, got {self.norm}")
        _require(self.decoder.power >= 1, f"decoder.power must be at least 1, got {self.decoder.power}")
        rates, boundaries = self.backprop.learning_rates, self.backprop.boundaries
        _require(len(rates) == len(boundaries) + 1, "backprop.learning-rates must be one more than backprop.boundaries")
        _require(list(boundaries) == sorted(set(boundaries)), f"backprop.boundaries must increase, got {boundaries}")
        _require(self.spectral.first <= self.hidden, "spectral.first lies beyond the number of hidden units")
        for threat in self.threats.names:
            _require(threat in THREATS, f"threats.names: unknown {threat!r}; choose among {', '.join(THREATS)}")
        for corruption in self.corruptions.names:
            known = self.corruptions.known
            _require(corruption in known, f"corruptions.names: unknown {corruption!r}; choose among {', '.join(known)}")
        of_cifar10 = self.dataset == "cifar10" or not self.corruptions.cifar10_c
        _require(of_cifar10, f"corruptions.cifar10-c holds images of cifar10, not of {self.dataset}")
        for group, names in (("threats", self.threats.names), ("corruptions", self.corruptions.kinds)):
            _require(0 < len(set(names)) == len(names), f"{group}.names: none, or one twice")
        _require(self.spectra.noise_images >= 2, "spectra.noise-images must be at least 2")
        _require(
            self.spectra.first
            < min(self.spectra.last_on_images, self.spectra.last_on_data, self.spectra.last_on_noise),
            "spectra.first must lie before last-on-images, last-on-data and last-on-noise",
        )
        for name in ("epsilons", "published_epsilons"):
            count = getattr(self.attacks, name)
            _require(count >= 2, f"attacks.{name.replace('_', '-')} must be at least 2, got {count}")
        _require(self.attacks.gaussian_low < self.attacks.gaussian_high, "attacks.gaussian-low must be below its high")
        _require(self.attacks.gradient_low < self.attacks.gradient_high, "attacks.gradient-low must be below its high")
        for name in ("landscape", "boundaries"):
            _require(getattr(self, name).resolution >= 2, f"{name}.resolution must be at least 2")
        told = {f"{radius:g}" for radius in self.boundaries.radii}
        _require(len(told) == len(self.boundaries.radii), "boundaries.radii has one twice, in six digits")
        _require(bool(self.boundaries.radii), "boundaries.radii needs at least one radius")

    def check(
        self, training_images: int, test_images: int, inputs: int, trained: Collection[str] | None = None
    ) -> None:
        """Raise ValueError for a value that cannot work, by itself or with so many images and pixels.

        Args:
            training_images: their number.
            test_images: likewise.
            inputs: pixels of an image.
            trained: models, and ``noise_start``, that are trained with these settings; if None, all of a reproduction.
        """
        self.check_values()
        trained = (*self.model_names, NOISE_START) if trained is None else trained
        layers, batches = [("hidden", self.hidden, self.layer)], [("layer", self.layer.batch_size)]
        if NOISE_START in trained:
            layers.append(("noise-start-hidden", self.noise_start_hidden, self.noise_start))
            batches.append(("noise-start", self.noise_start.batch_size))
        for name, hidden, layer in layers:
            _require(
                layer.start != "samples" or hidden <= training_images,
                f"{name}: {hidden} rows cannot start from {training_images} training images",
            )
        batches += [("decoder", self.decoder.batch_size), ("backprop", self.backprop.batch_size)]
        for name, batch in batches:
            _require(
                batch <= training_images, f"{name}.batch-size: {batch} exceeds the {training_images} training images"
            )
        _require(self.landscape.image < test_images, f"landscape.image: there are {test_images} test images")
        _require(inputs >= 2, "images need at least two pixels")
        for name in trained:
            if name in KNOWN and (largest := KNOWN[name].largest) is not None:
                most, why = largest(training_images, inputs)
                _require(self.hidden <= most, f"hidden: {name} has at most {why}; lower it or leave {name} out")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


LARGEST = float(np.finfo(np.float32).max)
EXPONENTS = ("norm", "layer.p", "noise_start.p")
"""Of norms: computed with in 64 bits before the images are in 32."""


def check_numbers(prefix: str, values: dict[str, Any], may_be_zero: set[str]) -> None:
    """ValueError for a number, at any path that starts like this, that is negative, not finite, or 0 and may not be."""
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            check_numbers(f"{path}.", value, may_be_zero)
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float):
                least = "not be negative" if path in may_be_zero else "be positive"
                good = (number >= 0 if path in may_be_zero else number > 0) and number < float("inf")
                good = good or isinstance(number, bool)
                _require(good, f"{path.replace('_', '-')} must {least} and finite, got {number}")
                single = number <= LARGEST or path in EXPONENTS
                _require(single, f"{path.replace('_', '-')} must be finite in 32 bits too, got {number}")
