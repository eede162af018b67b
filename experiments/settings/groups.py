"""The settings of an experiment, group by group: what each stage of it can be told, with the published values."""

from dataclasses import dataclass, fields
from typing import Literal, TypeVar

from experiments.threats import THREATS
from jax_bioadv.data.cifar10_c import CIFAR10_C, EXTRA
from jax_bioadv.data.corruptions import CORRUPTIONS
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield

Group = TypeVar("Group")


def only(group: Group, *names: str) -> Group:
    """A group with these settings, and its defaults for all others: what somebody who reads no others is given."""
    return type(group)(**{name: getattr(group, name) for name in names})


def without(group: Group, *names: str) -> Group:
    """A group without these settings, which stand at their defaults."""
    return only(group, *(one.name for one in fields(group) if one.name not in names))  # type: ignore[arg-type]


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
    def read(self) -> "LayerSettings":
        """What the training reads: no scale where it starts from images."""
        return without(self, "scale") if self.start == "samples" else self

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

    @property
    def read(self) -> "PruningSettings":
        """What a cut reads."""
        return self if self.method == "threshold" else without(self, "threshold")


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
    """Batches between two renewals of the eigenvectors at the full learning rate (published: an epoch's 50); more as
    the rate decays."""
    warm_start: bool = True
    """Renew them by a step of orthogonal iteration from the last ones; else by an eigendecomposition."""
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
    method: Literal["grid", "search"] = "search"
    """A bracketing search on the grid, image by image, or every ε on every image, as published: where larger ε flip
    whatever smaller ones do, both find the same."""
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
class KMeansSettings:
    """The control whose synapses are the centroids of k-means."""

    passes: int = 5
    """Passes over the training images."""
    batch_size: int = 4096
    """Images per step."""


@dataclass(frozen=True)
class AdversarialSettings:
    """The control trained by backpropagation on adversarial images; small, and no match for a full defence."""

    epochs: int = 200
    """Passes over the training images."""
    epsilon: float = 0.002
    """Radius of the L∞ ball around unit-norm images."""
    steps: int = 7
    """Steps of PGD on every minibatch, each of 2.5 ε / steps, at most ε, from the clean image: with one step, FGSM."""


@dataclass(frozen=True)
class ThreatSettings:
    """Attacks at fixed strengths on the first test images, in the paper's space and on raw pixels."""

    names: tuple[str, ...] = tuple(THREATS)
    """Which of the four strengths below."""
    images: int = 1000
    """So many of the first test images, classified correctly or not."""
    control_images: int = 200
    """At most so many of them for each control."""
    unit_linf: float = 0.002
    """ε in L∞, images divided by their own norm."""
    unit_l2: float = 0.1
    """ε in L2, images divided by their own norm."""
    raw_linf: float = 8 / 255
    """ε in L∞, raw pixels in [0, 1], the norm being divided out inside the attacked model."""
    raw_l2: float = 0.5
    """ε in L2, raw pixels."""
    steps: int = 100
    """Gradient steps of APGD with the cross-entropy and with the DLR loss, and of the PGD that is transferred."""
    targets: int = 9
    """Wrong classes that targeted APGD and the minimum-norm attack try, the likeliest or nearest first."""
    target_steps: int = 100
    """Its steps for each of them."""
    restarts: int = 1
    """Restarts of APGD."""
    queries: int = 5000
    """Scores that the Square attack may ask for, for each image."""
    minimum_norm_steps: int = 50
    """Steps of the minimum-norm attack for each of them."""


@dataclass(frozen=True)
class MaskingSettings:
    """The diagnosis of masked gradients."""

    images: int = 500
    """At most so many correctly classified images."""
    steps: int = 40
    """Steps of PGD; twice as many for the check that they suffice."""
    queries: int = 500
    """Scores that the Square attack may ask for."""


@dataclass(frozen=True)
class BoundsSettings:
    """Certified lower bounds on critical L2 perturbations."""

    images: int = 1000
    """At most so many correctly classified images."""


@dataclass(frozen=True)
class SmoothnessSettings:
    """Measures of smoothness beside the Jacobian's Frobenius norm."""

    images: int = 1000
    """At most so many correctly classified images."""
    radius: float = 0.1
    """L2 radius of the ball of the local Lipschitz estimates."""


@dataclass(frozen=True)
class BoundarySettings:
    """Length and curvature of decision boundaries on random planes through test images."""

    planes: int = 100
    """Planes, each through another test image."""
    resolution: int = 128
    """Points along a side of a plane."""
    radii: tuple[float, ...] = (4.0, 20.0)
    """Half the side of a plane, in L2 distance."""


@dataclass(frozen=True)
class CorruptionSettings:
    """Accuracy on corrupted test images."""

    cifar10_c: str = ""
    """Folder of the official CIFAR-10-C, or that holds it as CIFAR-10-C; else corruptions are made here."""
    names: tuple[str, ...] = ()
    """Which corruptions, each at five severities; all that there are, if none is named."""
    images: int = 10_000
    """So many of the first test images, classified correctly or not; the same corrupted ones for all networks."""

    @property
    def known(self) -> tuple[str, ...]:
        return (*CIFAR10_C, *EXTRA) if self.cifar10_c else CORRUPTIONS

    @property
    def chosen(self) -> tuple[str, ...]:
        return self.names or (CIFAR10_C if self.cifar10_c else CORRUPTIONS)
