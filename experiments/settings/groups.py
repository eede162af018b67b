"""Settings of trainings, in groups, with the published values; those of measurements are in ``measurements``."""

from dataclasses import dataclass, fields
from typing import Literal, TypeVar

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
    """Radius of the L∞ ball around images as the network takes them: of unit norm, or raw pixels in depth."""
    steps: int = 7
    """Steps of PGD on every minibatch, each of 2.5 ε / steps, at most ε, from the clean image: with one step, FGSM."""
