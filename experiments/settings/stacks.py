"""The settings of convolutional stacks, group by group: the architecture, and how filters and readouts come about."""

import dataclasses
from dataclasses import dataclass

from jax_bioadv.convolutional import StageSettings, published_stages


@dataclass(frozen=True)
class StackSettings:
    """The architecture, the same for all models of a depth, and how many images they learn from."""

    filters: tuple[int, ...] = (96, 384, 1536)
    """Filters of each stage."""
    stride: int = 1
    """Of the first convolution; 2 makes all maps a quarter as large."""
    powers: tuple[float, ...] = (1.0, 1.0, 1.0)
    """Exponents of the stages' rectification. Published are 0.7, 1.4 and 1; below 1 the slope at 0 has no bound, so
    that neither Jacobians nor attacks with gradients say much."""
    images: int = 50_000
    """At most so many training images."""

    def stages(self, depth: int) -> tuple[StageSettings, ...]:
        """Stages of the network of a depth, with a bias, which whitened filters need."""
        published = published_stages(depth, self.filters)
        return tuple(
            dataclasses.replace(stage, power=power, bias=True, radius=2.0**0.5, stride=1 if number else self.stride)
            for number, (stage, power) in enumerate(zip(published, self.powers, strict=False))
        )


@dataclass(frozen=True)
class ReadoutSettings:
    """The linear readout on frozen features, which are brought to mean 0 and variance 1."""

    epochs: int = 50
    """Passes over the features."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 1e-3
    """Of Adam, halved seven times."""
    dropout: float = 0.5
    """Share of the features that a step does not see."""


@dataclass(frozen=True)
class StackBackpropSettings:
    """Backpropagation through the same architecture."""

    epochs: int = 50
    """Passes over the training images."""
    batch_size: int = 64
    """Images per step."""
    learning_rate: float = 1e-3
    """Of Adam, halved seven times."""


@dataclass(frozen=True)
class TapPenaltySettings:
    """Penalties at the last representation."""

    jacobian: float = 1e-3
    """Weight of its Jacobian's squared norm."""
    projections: int = 1
    """Random directions by which that is estimated."""
    spectral: float = 1.0
    """Weight of the distance of its channels' spectrum from a power law of exponent 1."""
    refresh_every: int = 50
    """Steps between two eigendecompositions for that."""
