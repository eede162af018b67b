"""Krotov–Hopfield winner-take-all learning as pure functions.

Krotov & Hopfield, "Unsupervised learning by competing hidden units", PNAS 2019 (doi 10.1073/pnas.1820458116), as used
by Holzhausen et al., arXiv 2405.00679. With the overlap ``h_μ = Σ_i W_μi |W_μi|^(p-2) x_i`` a sample changes the
synapses by

    ΔW_μi = g_μ (R^p x_i − h_μ W_μi),

where the learning activation g is +1 for the winner, −Δ for the runner(s)-up and 0 elsewhere. At its fixed point every
row has the L_p norm R. Two forms exist and are both here:

* sequential, the rule itself: ranks by ``h_μ / ‖W_μ‖_p^(p-1)``, ranks 2…k get −Δ, one sample at a time;
* minibatch, what is trained: ranks by ``h_μ``, rank k alone gets −Δ, the increments of a batch are summed and scaled so
  that the largest change of a weight is the learning rate.

A layer is trained by :func:`init` and then :func:`epoch`, once per epoch::

    rule = KrotovHopfield()
    state = init(key, rule, images, hidden=500, start="samples")
    for _ in range(epochs):
        state, info = epoch(rule, state, images, learning_rate, batch_size=1000)

An epoch is a scan of :func:`step`, which alone, or as :func:`learning_rule`, learns from images in any order.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.learning.krotov_hopfield_convergence import Convergence as Convergence
from jax_bioadv.learning.krotov_hopfield_convergence import EpochInfo as EpochInfo
from jax_bioadv.learning.krotov_hopfield_convergence import StepInfo as StepInfo
from jax_bioadv.learning.krotov_hopfield_convergence import convergence as convergence
from jax_bioadv.learning.krotov_hopfield_convergence import epoch_info as epoch_info
from jax_bioadv.learning.krotov_hopfield_increment import (
    Accumulation,
    KrotovHopfield,
    increment,
    minibatch_increment,
    row_norms,
)
from jax_bioadv.learning.krotov_hopfield_increment import effective_weights as effective_weights
from jax_bioadv.learning.learning_rule import LearningRule, over_batches
from jax_bioadv.tracing import is_traced

Start = Literal["normal", "samples"]

# The published run divides by the largest change of the batch, but never by less than this.
SMALLEST_CHANGE = 1e-9


class State(NamedTuple):
    """Where training stands: enough to go on bitwise as if it had never stopped."""

    synapses: Float[Array, "hidden inputs"]
    epoch: Int[Array, ""]
    key: Key[Array, ""]


@jax.jit
def sequential_step(
    rule: KrotovHopfield,
    synapses: Float[Array, "hidden inputs"],
    images: Float[Array, "samples inputs"],
    learning_rate: Float[Array, ""] | float,
) -> Float[Array, "hidden inputs"]:
    """The rule itself: ``W += lr·ΔW`` for one image after another, in the order given; ValueError as of `increment`."""
    rate = jnp.asarray(learning_rate, synapses.dtype)

    def of_one(synapses: Array, image: Array) -> tuple[Array, None]:
        return synapses + rate * increment(rule, synapses, image, sequential=True), None

    return lax.scan(of_one, synapses, images)[0]


def minibatch_step(
    rule: KrotovHopfield,
    synapses: Float[Array, "hidden inputs"],
    images: Float[Array, "batch inputs"],
    learning_rate: Float[Array, ""] | float,
    *,
    accumulation: Accumulation = "auto",
    precision: lax.PrecisionLike = "highest",
) -> tuple[Float[Array, "hidden inputs"], StepInfo]:
    """``W += lr·ΔW / max(max|ΔW|, 1e-9)``, of synapses alone; see :func:`step` for the arguments."""
    change, winners = minibatch_increment(rule, synapses, images, accumulation=accumulation, precision=precision)
    largest = jnp.max(jnp.abs(change))
    rate = jnp.asarray(learning_rate, synapses.dtype)
    return synapses + (rate / jnp.maximum(largest, SMALLEST_CHANGE)) * change, StepInfo(largest, winners)


def init(
    key: Key[Array, ""],
    rule: KrotovHopfield,
    images: Float[Array, "samples inputs"],
    *,
    hidden: int,
    start: Start = "normal",
    scale: Float[Array, ""] | float = 1.0,
) -> State:
    """Synapses to start from.

    Args:
        key: one key for the run: it decides the start and the order of the images.
        rule: hyper-parameters, checked here.
        images: the training images.
        hidden: number of rows H.
        start: "normal" draws N(0, scale²), as published; "samples" takes H different training images, scaled to the L_p
            norm R of converged rows, which converges within some ten epochs where the published start needs hundreds.
        scale: standard deviation of the "normal" start.

    Returns:
        The state at epoch 0.

    Raises:
        ValueError: a hyper-parameter outside its range, or fewer images than rows to fill with them.
    """
    rule.check(hidden)
    if hidden > len(images) and start == "samples":
        raise ValueError(
            f"{hidden} rows cannot start from {len(images)} different images; lower hidden or use 'normal'"
        )
    if not is_traced(scale) and not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    start_key, order_key = jax.random.split(key)
    if start == "samples":
        synapses = rows_of_samples(rule, images[samples_to_start_from(key, len(images), hidden)])
    elif start == "normal":
        synapses = scale * jax.random.normal(start_key, (hidden, images.shape[1]), images.dtype)
    else:
        raise ValueError(f"start must be 'normal' or 'samples', got {start!r}")
    return State(synapses, jnp.array(0), order_key)


def samples_to_start_from(key: Key[Array, ""], samples: int, hidden: int) -> Int[Array, " hidden"]:
    """Indices of the different images that :func:`init` takes with the start "samples"."""
    return jax.random.permutation(jax.random.split(key)[0], samples)[:hidden]


def rows_of_samples(rule: KrotovHopfield, images: Float[Array, "hidden inputs"]) -> Float[Array, "hidden inputs"]:
    """Images as synapses, scaled to the L_p norm R; those that have it up to rounding stay as they are."""
    norms = row_norms(images, rule.p)[:, None]
    factors = rule.radius / jnp.where(norms > 0, norms, rule.radius)
    return images * jnp.where(jnp.abs(factors - 1) < 1e-5, 1, factors)


def step(
    rule: KrotovHopfield,
    state: State,
    images: Float[Array, "batch inputs"],
    learning_rate: Float[Array, ""] | float,
    *,
    accumulation: Accumulation = "auto",
    precision: lax.PrecisionLike = "highest",
) -> tuple[State, StepInfo]:
    """One minibatch: ``W += lr·ΔW / max(max|ΔW|, 1e-9)``; pure, with nothing random in it, to be jitted by its caller.

    Args:
        rule: hyper-parameters.
        state: from :func:`init` or the previous step; its epoch and key stay, which order the images of an epoch.
        images: the minibatch, unit-norm.
        learning_rate: the largest change of a weight.
        accumulation: see :func:`minibatch_increment`.
        precision: of the matrix products.

    Returns:
        The next state and what the minibatch did.

    Raises:
        ValueError: another accumulation, a hyper-parameter outside its range, or fewer rows than k.
    """
    synapses, info = minibatch_step(
        rule, state.synapses, images, learning_rate, accumulation=accumulation, precision=precision
    )
    return state._replace(synapses=synapses), info


def learning_rule(
    rule: KrotovHopfield,
    learning_rate: Float[Array, ""] | float,
    *,
    hidden: int,
    start: Start = "normal",
    scale: Float[Array, ""] | float = 1.0,
    accumulation: Accumulation = "auto",
    precision: lax.PrecisionLike = "highest",
) -> LearningRule:
    """:func:`init` and :func:`step` as a pair, of images (batch, inputs), for whatever trains any learning rule.

    Args:
        rule: hyper-parameters.
        learning_rate: the largest change of a weight in a step.
        hidden: as in :func:`init`.
        start: as in :func:`init`.
        scale: as in :func:`init`.
        accumulation: as in :func:`step`.
        precision: as in :func:`step`.
    """

    def begin(key: Key[Array, ""], images: Float[Array, "samples inputs"]) -> State:
        return init(key, rule, images, hidden=hidden, start=start, scale=scale)

    def take(state: State, images: Float[Array, "batch inputs"], key: Key[Array, ""]) -> tuple[State, StepInfo]:
        return step(rule, state, images, learning_rate, accumulation=accumulation, precision=precision)

    return LearningRule(begin, take)


def linear_decay(learning_rate: float, epoch: int, epochs: int) -> float:
    """The published schedule: from the initial rate in the first epoch towards 0 after the last."""
    return learning_rate * (1 - epoch / epochs)


@partial(jax.jit, static_argnames=("batch_size", "accumulation", "precision"))
def epoch(
    rule: KrotovHopfield,
    state: State,
    images: Float[Array, "samples inputs"],
    learning_rate: Float[Array, ""] | float,
    *,
    batch_size: int = 1000,
    accumulation: Accumulation = "auto",
    precision: lax.PrecisionLike = "highest",
) -> tuple[State, EpochInfo]:
    """One pass over the images in an order drawn from the state's key and epoch; an incomplete last batch is left out.

    Pure and deterministic: the same state gives the same bits, however many epochs are run between two checkpoints
    (on an accelerator with accumulation "product", the default there).

    Args:
        rule: hyper-parameters.
        state: from :func:`init` or the previous epoch.
        images: the training images, unit-norm.
        learning_rate: the largest change of a weight in one batch, during this epoch.
        batch_size: images per step, at most the number of images.
        accumulation: see :func:`minibatch_increment`.
        precision: of the matrix products.

    Returns:
        The next state and what the epoch looked like.

    Raises:
        ValueError: there are fewer images than a batch has, or what :func:`step` refuses.
    """
    order = jax.random.permutation(jax.random.fold_in(state.key, state.epoch), len(images))

    def of_batch(state: State, batch: Array) -> tuple[State, StepInfo]:
        return step(rule, state, batch, learning_rate, accumulation=accumulation, precision=precision)

    state, infos = over_batches(of_batch, state, images, order, batch_size)
    return state._replace(epoch=state.epoch + 1), epoch_info(rule, state.synapses, infos)
