"""The linear readout of a network whose features are learnt otherwise: dropout and a dense layer."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float


class Dropout(nnx.Module):
    """Sets a share of all numbers to 0, and scales the others up.

    As ``nnx.Dropout``, by as few random bits a number as the share needs, one for a half and at most 8, for drawing 32
    is most of the cost of a readout on a CPU; the share is rounded to a 256th.

    Args:
        share: to set to 0.
        rngs: with a ``dropout`` stream.
    """

    def __init__(self, share: float, *, rngs: nnx.Rngs):
        self.dropped = round(256 * share)
        if not 0 <= self.dropped < 256:
            raise ValueError(f"dropout must be a share of at least 0 and below 1, also as a 256th, got {share}")
        self.stream = rngs.dropout.fork()

    def __call__(self, values: Float[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        """Other numbers of them at every call."""
        bits = next(bits for bits in (1, 2, 4, 8) if self.dropped % 2 ** (8 - bits) == 0)
        dropped, of = self.dropped >> (8 - bits), 2**bits
        # A word serves several samples. Numbers of few bits, asked for as such, take JAX longer than those of 32.
        shifts = jnp.arange(0, 32, bits, dtype=jnp.uint32).reshape(-1, *[1] * (values.ndim - 1))
        words = jax.random.bits(self.stream(), (-(-len(values) // len(shifts)), 1, *values.shape[1:]), jnp.uint32)
        drawn = ((words >> shifts) % of).reshape(-1, *values.shape[1:])[: len(values)]
        return jnp.where(drawn >= dropped, values * (of / (of - dropped)), 0.0)


class Readout(nnx.Module):
    """Dropout and a dense layer with bias; by itself it can be trained on features that stay as they are.

    Args:
        features: how many.
        classes: number of logits.
        dropout: share of the features that a step of training does not see.
        rngs: with streams ``params`` and, where there is dropout, ``dropout``.
    """

    def __init__(self, features: int, classes: int, *, dropout: float = 0.0, rngs: nnx.Rngs):
        start = nnx.initializers.variance_scaling(1 / 3, "fan_in", "uniform")  # U(±1/√features)
        self.dropout = Dropout(dropout, rngs=rngs) if dropout else None
        self.linear = nnx.Linear(features, classes, kernel_init=start, rngs=rngs)

    def preactivation(self, features: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        """The features, as float32 if they were kept in fewer bits."""
        return features.astype(jnp.float32)

    def decode(self, features: Float[Array, "batch features"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits."""
        if not train:
            return self.linear(features)
        if self.dropout is not None:
            features = self.dropout(features)
        # On a CPU the gradient (classes, features) takes XLA far less time than its transpose, which it would
        # otherwise compute instead.
        linear: Any = self.linear
        return features @ lax.optimization_barrier(linear.kernel[...].T).T + linear.bias[...]
