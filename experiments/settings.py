"""Everything that an experiment can be told, as typed dataclasses, and the three presets.

``smoke``   seconds, scikit-learn's digits, no network: every stage runs, nothing is to be believed.
``quick``   CIFAR-10, the whole paper at reduced size, at most ten minutes on two CPU cores.
``paper``   CIFAR-10 at the published sizes; for an accelerator (on two cores it is a day and more).
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from jax_bioadv.learning.krotov_hopfield import KrotovHopfield

MODELS = ("kh", "bp", "l2", "jacobian", "spectral")
# The rows that the layer of kh started from, never trained, under the same decoder: learning must beat them.
CONTROLS = ("kh_start",)
ATTACKS = ("gaussian", "fgsm", "pgd")
PUBLISHED_NOISE = "gaussian_published"
# Of results.json.
SCHEMA = 1
Preset = Literal["smoke", "quick", "paper"]


@dataclass(frozen=True)
class LayerSettings:
    """A Krotov–Hopfield layer."""

    epochs: int = 1000
    """Passes over the training images."""
    start: Literal["normal", "samples"] = "normal"
    """First synapses: N(0, scale²) as published, or random training images, which converges within some ten epochs."""
    scale: float = 1.0
    """Standard deviation of the normal start."""
    learning_rate: float = 0.02
    """Largest change of a weight per batch; falls linearly to 0."""
    batch_size: int = 1000
    """Images per step."""
    p: float = 3.0
    """Exponent of the norm that the rule controls."""
    k: int = 2
    """Rank of the unit that is pushed away."""
    delta: float = 0.4
    """Strength of that push."""
    radius: float = 1.0
    """L_p norm of a converged row."""

    @property
    def rule(self) -> KrotovHopfield:
        return KrotovHopfield(self.p, self.k, self.delta, self.radius)


@dataclass(frozen=True)
class PruningSettings:
    """Which hidden units of the Krotov–Hopfield layer are set to zero because they stayed noise."""

    method: Literal["mixture", "threshold", "none"] = "mixture"
    """A cut between the modes of a mixture on the rows' log-variances, a fixed variance, or no pruning."""
    threshold: float = 0.0015
    """The variance of the fixed cut; the paper's first."""


@dataclass(frozen=True)
class DecoderSettings:
    """The decoder on the frozen layer."""

    power: float = 4.5
    """Exponent n of the hidden activation ReLU(h)^n."""
    epochs: int = 1000
    """Passes over the layer's activations, which are computed once."""
    learning_rate: float = 1e-3
    """Of Adam."""
    batch_size: int = 1000
    """Images per step."""


@dataclass(frozen=True)
class BackpropSettings:
    """What the four networks trained by backpropagation share."""

    epochs: int = 1000
    """Passes over the training images."""
    batch_size: int = 1000
    """Images per step."""
    learning_rates: tuple[float, ...] = (1e-3, 5e-4, 2e-4, 1e-4, 1e-5)
    """Of Adam, one after another (bp, l2, jacobian)."""
    boundaries: tuple[int, ...] = (31, 91, 121, 161)
    """Epochs at which the learning rate changes."""


@dataclass(frozen=True)
class L2Settings:
    """Weight decay."""

    weight: float = 5e-4
    """Factor of the sum of all squared parameters."""


@dataclass(frozen=True)
class JacobianSettings:
    """Jacobian regularization."""

    weight: float = 1e-3
    """Factor of the mean squared Frobenius norm."""
    target: Literal["preactivation", "activation"] = "preactivation"
    """Whose Jacobian: of the hidden pre-activation, as published, or of the activation."""


@dataclass(frozen=True)
class SpectralSettings:
    """Spectral regularization, with its own learning rate."""

    weight: float = 1.0
    """Factor of the distance between the spectrum and its target."""
    exponent: float = 1.0
    """Exponent of the target."""
    first: int = 1
    """First eigenvalue, counted from 1, that is pulled."""
    anchored: bool = True
    """Target λ_τ (τ/n)^α, with λ_τ of the untrained network at τ = first; else n^-α as in the published code."""
    refresh_every: int = 5
    """Batches between two renewals of the eigenvectors (published: an epoch's 50)."""
    learning_rate: float = 1e-3
    """Of Adam."""
    constant_epochs: int = 90
    """Epochs before the learning rate decays."""
    decay_epochs: float = 30.0
    """Epochs in which it then falls e-fold."""


@dataclass(frozen=True)
class SpectraSettings:
    """Covariance spectra of the hidden pre-activation, on test images and on white noise."""

    noise_images: int = 10_000
    """White-noise inputs, N(0, 1), the same for every model."""
    first: int = 11
    """First eigenvalue of the fits' windows."""
    last_on_images: int = 500
    """Last eigenvalue of the window on images: a quarter of the published layer, as it is of the quick preset's."""
    last_on_data: int = 500
    """Last eigenvalue of the window for the images themselves."""
    last_on_noise: int = 100
    """Last eigenvalue of the window on noise."""
    populations: tuple[int, ...] = (10, 50, 100, 500, 1000, 1500, 2000)
    """Also the spectra of the first so many hidden units."""


@dataclass(frozen=True)
class AttackSettings:
    """Attacks on the test images that a model classifies correctly."""

    images: int = 10_000
    """At most so many images are attacked."""
    epsilons: int = 400
    """Sizes of the perturbation on a logarithmic grid."""
    method: Literal["grid", "search"] = "grid"
    """Every ε of the grid on every image, as published, or a bracketing search on the grid, image by image."""
    gaussian_low: float = 1e-6
    """Smallest ε of the Gaussian attack."""
    gaussian_high: float = 8.25
    """Largest ε of the Gaussian attack."""
    gradient_low: float = 1e-6
    """Smallest ε of FGSM and PGD."""
    gradient_high: float = 10**-1.5
    """Largest ε of FGSM and PGD."""
    published_images: int = 10_000
    """At most so many images for Gaussian noise by the published protocol: new noise at every ε, so that the first flip
    is a minimum over draws and depends on the grid."""
    published_epsilons: int = 400
    """Its grid, over the published 1e-6 to 8.25."""
    pgd_steps: int = 20
    """Steps of PGD."""


@dataclass(frozen=True)
class LandscapeSettings:
    """Jacobian landscape and decision boundaries on a random plane through a test image."""

    radius: float = 20.0
    """Half the side of the plane, in L2 distance."""
    resolution: int = 100
    """Points along a side."""
    image: int = 0
    """Index of the test image."""


@dataclass(frozen=True)
class Settings:
    """One reproduction of the paper."""

    dataset: str = "cifar10"
    """cifar10, digits, or any image-classification set of TensorFlow Datasets."""
    seeds: int = 1
    """Number of seeds, 0 to N-1: initialization, order of the images, noise."""
    models: str = ",".join(MODELS)
    """Models to train and measure, separated by commas; kh_start, a control, is kh without the layer's training."""
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

    @property
    def model_names(self) -> tuple[str, ...]:
        return tuple(name.strip() for name in self.models.split(","))

    def check_values(self) -> None:
        """Raise ValueError for a value that cannot work whatever the data, before these are fetched."""
        unknown = [name for name in self.model_names if name not in MODELS + CONTROLS]
        if unknown:
            raise ValueError(f"unknown model {unknown[0]!r}; choose among {', '.join(MODELS + CONTROLS)}")
        if len(set(self.model_names)) != len(self.model_names):
            raise ValueError(f"a model is named twice in {self.models!r}")
        _check_numbers("", dataclasses.asdict(self))
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
        _require(self.landscape.resolution >= 2, "landscape.resolution must be at least 2")

    def check(self, training_images: int, test_images: int, inputs: int) -> None:
        """Raise ValueError for a value that cannot work, by itself or with so many images and pixels."""
        self.check_values()
        for name, hidden, layer in (
            ("hidden", self.hidden, self.layer),
            ("noise-start-hidden", self.noise_start_hidden, self.noise_start),
        ):
            _require(
                layer.start != "samples" or hidden <= training_images,
                f"{name}: {hidden} rows cannot start from {training_images} training images",
            )
        for name, batch in (
            ("layer", self.layer.batch_size),
            ("noise-start", self.noise_start.batch_size),
            ("decoder", self.decoder.batch_size),
            ("backprop", self.backprop.batch_size),
        ):
            _require(
                batch <= training_images, f"{name}.batch-size: {batch} exceeds the {training_images} training images"
            )
        _require(self.landscape.image < test_images, f"landscape.image: there are {test_images} test images")
        _require(inputs >= 2, "images need at least two pixels")


# Numbers that may be 0; every other one must be positive.
MAY_BE_ZERO = {"layer.delta", "noise_start.delta", "spectral.constant_epochs", "landscape.image"} | {
    f"{name}.weight" for name in ("l2", "jacobian", "spectral")
}


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _check_numbers(prefix: str, values: dict[str, Any]) -> None:
    for name, value in values.items():
        path = f"{prefix}{name}"
        if isinstance(value, dict):
            _check_numbers(f"{path}.", value)
            continue
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float):
                least = "not be negative" if path in MAY_BE_ZERO else "be positive"
                good = (number >= 0 if path in MAY_BE_ZERO else number > 0) and number < float("inf")
                good = good or isinstance(number, bool)
                _require(good, f"{path.replace('_', '-')} must {least} and finite, got {number}")


# The published sizes and schedules. Three things differ: the spectral target is tied to the scale of the data and its
# eigenvectors are renewed more often than once an epoch (the published one never left its initialization), and the
# Jacobian penalty is exact, with the stated weight (the published projections made it a third of that).
PAPER = Settings()

QUICK = Settings(
    models=",".join(MODELS + CONTROLS),
    hidden=500,
    layer=LayerSettings(epochs=15, start="samples"),
    noise_start=LayerSettings(epochs=40, batch_size=500),
    noise_start_hidden=100,
    decoder=DecoderSettings(epochs=300),
    backprop=BackpropSettings(epochs=15, learning_rates=(1e-3, 3e-4), boundaries=(12,)),
    spectral=SpectralSettings(constant_epochs=12, decay_epochs=2.0),
    spectra=SpectraSettings(last_on_images=125, populations=(10, 50, 100)),
    attacks=AttackSettings(images=1000, method="search", published_images=200),
)

SMOKE = Settings(
    dataset="digits",
    hidden=48,
    layer=LayerSettings(epochs=6, start="samples", batch_size=100),
    noise_start=LayerSettings(epochs=6, learning_rate=0.05, batch_size=100),
    noise_start_hidden=48,
    decoder=DecoderSettings(epochs=30, learning_rate=1e-2, batch_size=100),
    backprop=BackpropSettings(epochs=6, batch_size=100, learning_rates=(1e-2,), boundaries=()),
    spectral=SpectralSettings(refresh_every=3, learning_rate=1e-2, constant_epochs=6),
    spectra=SpectraSettings(noise_images=500, populations=(10, 30)),
    attacks=AttackSettings(
        images=40,
        epsilons=8,
        gaussian_low=1e-2,
        gradient_low=1e-3,
        gradient_high=0.3,
        published_images=20,
        published_epsilons=20,
    ),
    landscape=LandscapeSettings(resolution=20),
)

PRESETS: dict[Preset, Settings] = {"smoke": SMOKE, "quick": QUICK, "paper": PAPER}
