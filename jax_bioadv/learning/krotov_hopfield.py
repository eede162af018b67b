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

:func:`increment` is the readable definition of one sample's increment; :func:`minibatch_increment` is the fast form of
its sum over a batch. A layer is trained by :func:`init` and then :func:`epoch`, once per epoch::

    rule = KrotovHopfield()
    state = init(key, rule, images, hidden=500, start="samples")
    for _ in range(epochs):
        state, info = epoch(rule, state, images, learning_rate, batch_size=1000)
"""

import dataclasses
import math
from functools import partial
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from jax_bioadv.sharding import over_data
from jax_bioadv.tracing import is_traced

Start = Literal["normal", "samples"]
Accumulation = Literal["auto", "scatter", "product"]

# The published run divides by the largest change of the batch, but never by less than this.
SMALLEST_CHANGE = 1e-9
# A row counts as converged when its L_p norm is this close to R, as a share of R (the published criterion, at R = 1).
NORM_TOLERANCE = 1e-2
# A layer counts as converged when fewer than this share of its rows are not (the published criterion).
UNCONVERGED_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class KrotovHopfield:
    """Hyper-parameters of the rule; a pytree whose leaves are Δ and R, and p where it is an array.

    As plain numbers p and k shape the program, which is then as fast as the published p = 3 allows. A population over
    several p gives it as an array.

    Attributes:
        p: exponent of the norm, at least 2.
        k: rank that is pushed away, at least 2.
        delta: strength Δ ≥ 0 of the push.
        radius: L_p norm R > 0 of a converged row.
    """

    p: Float[Array, ""] | float = 3.0
    k: int = 2
    delta: Float[Array, ""] | float = 0.4
    radius: Float[Array, ""] | float = 1.0

    def check(self, hidden: int) -> None:
        """Raise ValueError for values outside their range, unless they are traced, or for fewer hidden units than k."""
        if not is_traced(self.p) and not (np.isfinite(self.p) and self.p >= 2):
            raise ValueError(f"p must be finite and at least 2, got {self.p}")
        if self.k < 2:
            raise ValueError(f"k must be at least 2, got {self.k}")
        if hidden < self.k:
            raise ValueError(f"rank k = {self.k} needs at least as many hidden units, got {hidden}")
        if not is_traced(self.delta) and not (np.isfinite(self.delta) and self.delta >= 0):
            raise ValueError(f"delta must be finite and not negative, got {self.delta}")
        if not is_traced(self.radius) and not (np.isfinite(self.radius) and self.radius > 0):
            raise ValueError(f"radius must be finite and positive, got {self.radius}")


def _flatten(rule: KrotovHopfield) -> tuple[tuple[Any, ...], tuple[float | None, int]]:
    if isinstance(rule.p, (int, float)):
        return (rule.delta, rule.radius), (rule.p, rule.k)
    return (rule.delta, rule.radius, rule.p), (None, rule.k)


def _unflatten(static: tuple[float | None, int], leaves: tuple[Any, ...]) -> KrotovHopfield:
    (p, k), (delta, radius, *traced_p) = static, leaves
    rule = object.__new__(KrotovHopfield)  # JAX puts placeholders here, which checked constructors refuse
    for name, value in {"p": traced_p[0] if traced_p else p, "k": k, "delta": delta, "radius": radius}.items():
        object.__setattr__(rule, name, value)
    return rule


jax.tree_util.register_pytree_node(KrotovHopfield, _flatten, _unflatten)


class State(NamedTuple):
    """Where training stands: enough to go on bitwise as if it had never stopped."""

    synapses: Float[Array, "hidden inputs"]
    epoch: Int[Array, ""]
    key: Key[Array, ""]


class EpochInfo(NamedTuple):
    """What one epoch looked like, measured at its end (the largest change: averaged over its batches)."""

    converged_share: Float[Array, ""]
    median_norm: Float[Array, ""]
    largest_change: Float[Array, ""]
    winning_share: Float[Array, ""]
    largest_weight: Float[Array, ""]


def effective_weights(
    synapses: Float[Array, "hidden inputs"], p: Float[Array, ""] | float
) -> Float[Array, "hidden inputs"]:
    """``V = W |W|^(p-2)``, the linear map from an image to the overlaps."""
    if not isinstance(p, jax.Array) and p in (2, 3):
        return synapses if p == 2 else synapses * jnp.abs(synapses)
    return synapses * jnp.abs(synapses) ** (p - 2)


def row_norms(synapses: Float[Array, "hidden inputs"], p: Float[Array, ""] | float) -> Float[Array, " hidden"]:
    """L_p norm of every row."""
    return jnp.sum(jnp.abs(synapses) ** p, axis=1) ** (1 / p)


def _ranked(scores: Float[Array, "batch hidden"], k: int) -> list[Int[Array, " batch"]]:
    """Indices of ranks 1…k, the first of equals: argmax over the best of every block of units, and then within it.

    A plain argmax is not vectorised on CPUs, where it costs eight times as much, and ``lax.top_k`` sorts.
    """
    hidden = scores.shape[1]
    width = math.isqrt(hidden - 1) + 1
    count = -(-hidden // width)
    padded = jnp.pad(scores, ((0, 0), (0, count * width - hidden)), constant_values=-jnp.inf)
    best = jnp.max(padded.reshape(-1, count, width), axis=2)
    block_index, place = jnp.arange(count), jnp.arange(width)
    ranks: list[Int[Array, " batch"]] = []
    for _ in range(k):
        block = jnp.argmax(best, axis=1)
        units = block[:, None] * width + place
        candidates = jnp.take_along_axis(scores, units, axis=1, mode="fill", fill_value=-jnp.inf)
        for earlier in ranks:
            candidates = jnp.where(units == earlier[:, None], -jnp.inf, candidates)
        first = jnp.argmax(candidates, axis=1)
        ranks.append(block * width + first)
        left = jnp.max(jnp.where(place == first[:, None], -jnp.inf, candidates), axis=1)
        best = jnp.where(block_index == block[:, None], left[:, None], best)
    return ranks


def learning_activation(
    scores: Float[Array, " hidden"], rule: KrotovHopfield, *, sequential: bool
) -> Float[Array, " hidden"]:
    """g: +1 at the largest score, −Δ at rank k (sequential: at ranks 2…k), 0 elsewhere."""
    winner, *others = (rank[0] for rank in _ranked(scores[None], rule.k))
    activation = jnp.zeros_like(scores).at[winner].set(1)
    for other in others if sequential else others[-1:]:
        activation = activation.at[other].set(-rule.delta)
    return activation


def increment(
    rule: KrotovHopfield,
    synapses: Float[Array, "hidden inputs"],
    image: Float[Array, " inputs"],
    *,
    sequential: bool = False,
) -> Float[Array, "hidden inputs"]:
    """One sample's ΔW, written as in the paper.

    Args:
        rule: hyper-parameters.
        synapses: W.
        image: one flattened image x.
        sequential: rank by ``h_μ / ‖W_μ‖_p^(p-1)`` and push ranks 2…k; else rank by ``h_μ`` and push rank k.

    Returns:
        ΔW, before any learning rate.
    """
    overlap = jnp.matmul(effective_weights(synapses, rule.p), image, precision="highest")
    scores = overlap / row_norms(synapses, rule.p) ** (rule.p - 1) if sequential else overlap
    activation = learning_activation(scores, rule, sequential=sequential)
    return activation[:, None] * (rule.radius**rule.p * image[None, :] - overlap[:, None] * synapses)


@jax.jit
def sequential_step(
    rule: KrotovHopfield,
    synapses: Float[Array, "hidden inputs"],
    images: Float[Array, "samples inputs"],
    learning_rate: Float[Array, ""] | float,
) -> Float[Array, "hidden inputs"]:
    """The rule itself: ``W += lr·ΔW`` for one image after another, in the order given."""

    def step(synapses: Array, image: Array) -> tuple[Array, None]:
        return synapses + learning_rate * increment(rule, synapses, image, sequential=True), None

    return lax.scan(step, synapses, images)[0]


def minibatch_increment(
    rule: KrotovHopfield,
    synapses: Float[Array, "hidden inputs"],
    images: Float[Array, "batch inputs"],
    *,
    accumulation: Accumulation = "auto",
    precision: lax.PrecisionLike = "highest",
) -> tuple[Float[Array, "hidden inputs"], Int[Array, " batch"]]:
    """The sum of :func:`increment` over a batch, with one matrix product for the overlaps.

    Args:
        rule: hyper-parameters.
        synapses: W.
        images: the batch.
        accumulation: how images are added to the rows they move. "scatter" adds each to its two rows, the fastest on a
            CPU; "product" multiplies the learning activations with the batch, the fastest on an accelerator and
            deterministic there, where scatter-adds are not; "auto" chooses by the default backend.
        precision: of the matrix products. The overlaps decide who wins, hence "highest".

    Returns:
        ΔW and the index of every image's winner.
    """
    if accumulation == "auto":
        accumulation = "scatter" if jax.default_backend() == "cpu" else "product"
    overlaps = jnp.matmul(images, effective_weights(synapses, rule.p).T, precision=precision)
    ranks = _ranked(overlaps, rule.k)
    winners, pushed = ranks[0], ranks[-1]
    if accumulation == "scatter":
        won, lost = (jnp.take_along_axis(overlaps, rank[:, None], axis=1)[:, 0] for rank in (winners, pushed))
        decay = jnp.zeros_like(synapses[:, 0]).at[winners].add(won).at[pushed].add(-rule.delta * lost)
        attraction = jnp.zeros_like(synapses).at[winners].add(images).at[pushed].add(-rule.delta * images)
    else:
        winning, losing = (jax.nn.one_hot(rank, len(synapses), dtype=images.dtype) for rank in (winners, pushed))
        activations = winning - rule.delta * losing
        decay = jnp.sum(activations * overlaps, axis=0)
        attraction = jnp.matmul(activations.T, images, precision=precision)
    return rule.radius**rule.p * attraction - decay[:, None] * synapses, winners


def minibatch_step(
    rule: KrotovHopfield,
    synapses: Float[Array, "hidden inputs"],
    images: Float[Array, "batch inputs"],
    learning_rate: Float[Array, ""] | float,
    *,
    accumulation: Accumulation = "auto",
    precision: lax.PrecisionLike = "highest",
) -> tuple[Float[Array, "hidden inputs"], tuple[Float[Array, ""], Int[Array, " batch"]]]:
    """``W += lr·ΔW / max(max|ΔW|, 1e-9)``; returns the synapses, and max|ΔW| with the winners as info."""
    change, winners = minibatch_increment(rule, synapses, images, accumulation=accumulation, precision=precision)
    largest = jnp.max(jnp.abs(change))
    return synapses + (learning_rate / jnp.maximum(largest, SMALLEST_CHANGE)) * change, (largest, winners)


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
        chosen = images[jax.random.permutation(start_key, len(images))[:hidden]]
        norms = row_norms(chosen, rule.p)[:, None]
        factors = rule.radius / jnp.where(norms > 0, norms, rule.radius)
        # Images that have this norm up to the rounding of a division stay as they are.
        synapses = chosen * jnp.where(jnp.abs(factors - 1) < 1e-5, 1, factors)
    elif start == "normal":
        synapses = scale * jax.random.normal(start_key, (hidden, images.shape[1]), images.dtype)
    else:
        raise ValueError(f"start must be 'normal' or 'samples', got {start!r}")
    return State(synapses, jnp.array(0), order_key)


def linear_decay(learning_rate: float, epoch: int, epochs: int) -> float:
    """The published schedule: from the initial rate in the first epoch towards 0 after the last."""
    return learning_rate * (1 - epoch / epochs)


def _norm_converged(rule: KrotovHopfield, norms: Float[Array, " hidden"]) -> Bool[Array, " hidden"]:
    return jnp.abs(norms - rule.radius) <= NORM_TOLERANCE * rule.radius


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
    """
    if not 1 <= batch_size <= len(images):
        raise ValueError(f"batch_size must lie between 1 and the number of images, {len(images)}, got {batch_size}")
    batches = len(images) // batch_size
    order = jax.random.permutation(jax.random.fold_in(state.key, state.epoch), len(images))

    def step(carry: tuple[Array, Array], batch: Array) -> tuple[tuple[Array, Array], Array]:
        synapses, has_won = carry
        synapses, (largest, winners) = minibatch_step(
            rule, synapses, images[over_data(batch)], learning_rate, accumulation=accumulation, precision=precision
        )
        return (synapses, has_won.at[winners].set(True)), largest

    start = (state.synapses, jnp.zeros(len(state.synapses), bool))
    (synapses, has_won), largest = lax.scan(step, start, order[: batches * batch_size].reshape(batches, batch_size))
    norms = row_norms(synapses, rule.p)
    info = EpochInfo(
        converged_share=jnp.mean(_norm_converged(rule, norms)),
        median_norm=jnp.median(norms),
        largest_change=jnp.mean(largest),
        winning_share=jnp.mean(has_won),
        largest_weight=jnp.max(jnp.abs(synapses)),
    )
    return State(synapses, state.epoch + 1, state.key), info


class Convergence(NamedTuple):
    """Verdict on a trained layer, by the published criteria (the second one repaired, see :func:`convergence`)."""

    norm_converged: Bool[Array, " hidden"]
    wrong_attractor: Bool[Array, " hidden"]
    accepted: bool


def convergence(rule: KrotovHopfield, synapses: Float[Array, "hidden inputs"]) -> Convergence:
    """Whether a layer has converged.

    Accepted when fewer than 10 % of the rows have an L_p norm further than 1e-2·R from R and no row sits at the wrong
    attractor, where all weights are near ``−R·D^(−1/p)``. The published test for the latter, a mean weight below −R/2,
    can never fire for more than a few inputs; this one asks for a mean below half of the attractor's value.

    Args:
        rule: hyper-parameters.
        synapses: W.

    Returns:
        Per row, norm converged and wrong attractor; and the verdict.
    """
    close = _norm_converged(rule, row_norms(synapses, rule.p))
    attractor = -rule.radius * synapses.shape[1] ** (-1 / rule.p)
    wrong = jnp.mean(synapses, axis=1) < attractor / 2
    accepted = int(jnp.sum(~close)) < UNCONVERGED_SHARE * len(close) and not bool(jnp.any(wrong))
    return Convergence(close, wrong, accepted)
