"""SoftHebb: Hebbian learning in a soft winner-take-all layer, as pure functions.

Moraitis et al., Neuromorph. Comput. Eng. 2022 (doi 10.1088/2634-4386/aca710), in the form that Journé et al., "Hebbian
deep learning without feedback" (ICLR 2023, arXiv 2209.11883), give it for deep networks. With the overlap ``u = W x``
and ``y = softmax(β u)`` over the units, a sample changes the synapses by

    ΔW_μi = g_μ (x_i − u_μ W_μi),

where g is y for the winner and −y for all others. The increments of a batch are summed and divided by the largest
change of a weight, and row μ takes ``η |‖W_μ‖ − 1|^½`` of it: rows start with a norm of 25 and come to rest at 1.

The published layers are trained on patches, for one epoch in batches of 10 images, and :data:`PUBLISHED` holds β and η
for each::

    rule = learning_rule(SoftHebb(inverse_temperature=1.0), 0.08, hidden=96)
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.learning.learning_rule import LearningRule
from jax_bioadv.tracing import is_traced

PUBLISHED = ((1.0, 0.08), (0.65, 0.005), (0.25, 0.01))
"""Inverse temperature and learning rate of each convolution, by depth (CIFAR-10)."""

# Both from the published code: below them a change, or a row's distance from its norm, counts as none.
_SMALLEST_CHANGE = 1e-30
_SMALLEST_DISTANCE = 1e-10


class SoftHebb(NamedTuple):
    """Hyper-parameters of the rule."""

    inverse_temperature: float = 1.0
    """β; infinite for a hard winner-take-all, in which the winner alone learns."""
    rate_power: float = 0.5
    """Power of a row's distance from norm 1 that its learning rate has."""
    radius: float = 25.0
    """Expected norm of a row at the start."""
    losers: float = -1.0
    """Factor of y for all units but the winner: −1 as published in 2023, 1 for the rule of 2022."""

    def check(self) -> None:
        """Raise ValueError for values outside their range, unless they are traced."""
        if not is_traced(self.inverse_temperature) and not self.inverse_temperature > 0:
            raise ValueError(f"inverse_temperature must be positive, got {self.inverse_temperature}")
        if not is_traced(self.radius) and not (np.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"radius must be finite and positive, got {self.radius}")
        if not is_traced(self.rate_power) and not self.rate_power >= 0:
            raise ValueError(f"rate_power must not be negative, got {self.rate_power}")


class State(NamedTuple):
    """All that learning goes on from."""

    synapses: Float[Array, "hidden inputs"]


class StepInfo(NamedTuple):
    """What one minibatch did: ``max|ΔW|`` before scaling, and which unit each sample's winner is."""

    largest_change: Float[Array, ""]
    winners: Int[Array, " batch"]


def init(key: Key[Array, ""], rule: SoftHebb, *, hidden: int, inputs: int) -> State:
    """Synapses from N(0, radius²/inputs).

    Args:
        key: decides the start.
        rule: hyper-parameters, checked here.
        hidden: number of rows.
        inputs: weights in a row.

    Raises:
        ValueError: a hyper-parameter out of its range.
    """
    rule.check()
    return State(rule.radius / inputs**0.5 * jax.random.normal(key, (hidden, inputs)))


def increment(
    rule: SoftHebb, synapses: Float[Array, "hidden inputs"], image: Float[Array, " inputs"]
) -> Float[Array, "hidden inputs"]:
    """One sample's ΔW, written as in the paper.

    Args:
        rule: hyper-parameters.
        synapses: W.
        image: one sample x.

    Returns:
        ΔW, before any learning rate.
    """
    overlap = jnp.matmul(synapses, image, precision="highest")
    activation = _learning_activations(rule, overlap[None])[0][0]
    return activation[:, None] * (image[None, :] - overlap[:, None] * synapses)


def _learning_activations(rule: SoftHebb, overlaps: Array) -> tuple[Array, Array]:
    """Each sample's g, and its winner."""
    winners = jnp.argmax(overlaps, axis=1)
    won = jax.nn.one_hot(winners, overlaps.shape[1], dtype=overlaps.dtype)
    if not is_traced(rule.inverse_temperature) and math.isinf(rule.inverse_temperature):
        return won, winners
    soft = jax.nn.softmax(rule.inverse_temperature * overlaps, axis=1)
    return jnp.where(won > 0, soft, rule.losers * soft), winners


def step(
    rule: SoftHebb,
    state: State,
    images: Float[Array, "batch inputs"],
    learning_rate: Float[Array, ""] | float,
    *,
    precision: lax.PrecisionLike = "highest",
) -> tuple[State, StepInfo]:
    """One minibatch; pure, with nothing random in it, to be jitted by its caller.

    Args:
        rule: hyper-parameters.
        state: from :func:`init` or the previous step.
        images: the minibatch.
        learning_rate: η, the largest change of a weight in a row of norm 2.
        precision: of the matrix products.

    Returns:
        The next state and what the minibatch did.
    """
    synapses = state.synapses
    overlaps = jnp.matmul(images, synapses.T, precision=precision)
    activations, winners = _learning_activations(rule, overlaps)
    attraction = jnp.matmul(activations.T, images, precision=precision)
    change = attraction - jnp.sum(activations * overlaps, axis=0)[:, None] * synapses
    largest = jnp.max(jnp.abs(change))
    distances = jnp.abs(jnp.linalg.norm(synapses, axis=1) - 1) + _SMALLEST_DISTANCE
    rates = learning_rate * distances**rule.rate_power
    return State(synapses + rates[:, None] * change / (largest + _SMALLEST_CHANGE)), StepInfo(largest, winners)


def learning_rule(
    rule: SoftHebb,
    learning_rate: Float[Array, ""] | float,
    *,
    hidden: int,
    precision: lax.PrecisionLike = "highest",
) -> LearningRule:
    """:func:`init` and :func:`step` as a pair, of images (batch, inputs), for whatever trains any learning rule.

    Args:
        rule: hyper-parameters.
        learning_rate: η, see :func:`step`.
        hidden: number of rows.
        precision: of the matrix products.
    """

    def begin(key: Key[Array, ""], images: Float[Array, "samples inputs"]) -> State:
        return init(key, rule, hidden=hidden, inputs=images.shape[1])

    def take(state: State, images: Float[Array, "batch inputs"], key: Key[Array, ""]) -> tuple[State, StepInfo]:
        return step(rule, state, images, learning_rate, precision=precision)

    return LearningRule(begin, take)
