"""How a sample, or a minibatch, changes the synapses under the Krotov–Hopfield rule: the increment ΔW.

:func:`increment` is the readable definition of one sample's, as the paper has it; :func:`minibatch_increment` is the
fast form of its sum over a batch. Formulas and use are in :mod:`jax_bioadv.learning.krotov_hopfield`.
"""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

from jax_bioadv.tracing import is_traced

Accumulation = Literal["auto", "scatter", "product"]


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

    def __post_init__(self) -> None:
        for name in ("p", "delta", "radius"):  # NumPy's would make what they meet as wide as themselves
            if isinstance(number := getattr(self, name), np.floating):
                object.__setattr__(self, name, float(number))

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
        sequential: rank by ``h_μ / ‖W_μ‖_p^(p-1)``, 0 for a row of zeros, and push ranks 2…k; else rank by ``h_μ`` and
            push rank k.

    Returns:
        ΔW, before any learning rate.

    Raises:
        ValueError: a hyper-parameter outside its range, or fewer rows than k.
    """
    rule.check(len(synapses))
    overlap = jnp.matmul(effective_weights(synapses, rule.p), image, precision="highest")
    scores = overlap
    if sequential:
        norms = row_norms(synapses, rule.p)
        scores = overlap / jnp.where(norms > 0, norms, 1) ** (rule.p - 1)
    activation = learning_activation(scores, rule, sequential=sequential)
    return activation[:, None] * (rule.radius**rule.p * image[None, :] - overlap[:, None] * synapses)


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

    Raises:
        ValueError: for another accumulation, a hyper-parameter outside its range, or fewer rows than k.
    """
    rule.check(len(synapses))
    if accumulation not in ("auto", "scatter", "product"):
        raise ValueError(f"accumulation must be 'auto', 'scatter' or 'product', got {accumulation!r}")
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
