"""Where the minibatch rule comes to rest: rows that are weighted means of images, as an equation that can be checked.

Over all images the mean increment of a row (Krotov & Hopfield, PNAS 2019, doi 10.1073/pnas.1820458116) vanishes where

    W_μ (Σ_won h_μ − Δ Σ_pushed h_μ) = R^p (Σ_won x − Δ Σ_pushed x),

the sums over the images that the row wins and over those at which it has rank k. So a row has the direction of the sum
on the right and, multiplied by W|W|^(p-2), the L_p norm R, whatever the sums on the left. It is no recipe, since W
decides who wins; but of a trained layer it predicts every row, with nothing to be fitted::

    found = fixed_point(rule, synapses, images)
    explained(synapses, found.rows, found.exists), explained(synapses, found.means_of_won, found.exists)
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Float64, Int64

from jax_bioadv.learning.krotov_hopfield_increment import KrotovHopfield, effective_weights


class FixedPoint(NamedTuple):
    """What the images that a row wins, and those at which it has rank k, say that it is.

    ``rows``: in the direction of the right side, of norm R. ``means_of_won``: the same without a push, as if Δ were 0.
    ``exists``: where both are defined: the row wins, and the sum on the left is positive; other rows are zero.
    """

    rows: Float64[np.ndarray, "hidden inputs"]
    means_of_won: Float64[np.ndarray, "hidden inputs"]
    won: Int64[np.ndarray, " hidden"]
    pushed: Int64[np.ndarray, " hidden"]
    exists: Bool[np.ndarray, " hidden"]


def fixed_point(
    rule: KrotovHopfield,
    synapses: Float[Array | np.ndarray, "hidden inputs"],
    images: Float[Array | np.ndarray, "samples inputs"],
    *,
    image_block: int = 5000,
) -> FixedPoint:
    """Both sides of the equation, for the ranks that these synapses give to these images.

    Args:
        rule: hyper-parameters.
        synapses: W, trained or not.
        images: the training images, unit-norm.
        image_block: images at a time; it bounds the memory and leaves the result alone.

    Returns:
        The rows that the equation predicts, and how often each wins and is pushed.

    Raises:
        ValueError: a hyper-parameter outside its range, or blocks of none.
    """
    rule.check(len(synapses))
    if image_block < 1:
        raise ValueError(f"image_block must be at least 1, got {image_block}")
    p, delta, radius = float(rule.p), float(rule.delta), float(rule.radius)
    sums = [np.zeros((len(synapses), synapses.shape[1] + 2)) for _ in range(2)]  # of x, of h, and how many
    for start in range(0, len(images), image_block):
        block = _sums(p, rule.k, jnp.asarray(synapses), jnp.asarray(images[start : start + image_block]))
        for total, one in zip(sums, block, strict=True):
            total += np.asarray(one, np.float64)
    (won_x, won_h, won), (pushed_x, pushed_h, pushed) = ((one[:, :-2], one[:, -2], one[:, -1]) for one in sums)
    exists = (won > 0) & (won_h - delta * pushed_h > 0)

    def of_norm(attraction: np.ndarray) -> np.ndarray:
        norms = np.where(exists, np.sum(np.abs(attraction) ** p, axis=1) ** (1 / p), 1.0)[:, None]
        return np.where(exists[:, None], radius * attraction / norms, 0.0)

    rows, means = of_norm(won_x - delta * pushed_x), of_norm(won_x)
    return FixedPoint(rows, means, won.astype(np.int64), pushed.astype(np.int64), exists)


@partial(jax.jit, static_argnums=(0, 1))
def _sums(p: float, k: int, synapses: Array, images: Array) -> tuple[Array, Array]:
    overlaps = jnp.matmul(images, effective_weights(synapses, p).T, precision="highest")
    values, ranked = lax.top_k(overlaps, k)

    def of(rank: int) -> Array:
        columns = [images, values[:, rank, None], jnp.ones((len(images), 1), images.dtype)]
        return jax.ops.segment_sum(jnp.concatenate(columns, axis=1), ranked[:, rank], len(synapses))

    return of(0), of(k - 1)


def explained(
    synapses: Float[Array | np.ndarray, "hidden inputs"],
    predicted: Float[Array | np.ndarray, "hidden inputs"],
    chosen: Bool[np.ndarray, " hidden"],
) -> float:
    """Share of what tells the rows apart that a prediction of them explains.

    Args:
        synapses: W.
        predicted: what they should be.
        chosen: of which rows.

    Returns:
        ``1 − Σ‖W_μ − W*_μ‖² / Σ‖W_μ − W̄‖²``: 1 where the prediction is exact, 0 where it is no better than the mean
        row, and less where it is worse.

    Raises:
        ValueError: fewer than two rows, or rows that are all the same.
    """
    rows, other = np.asarray(synapses, np.float64)[chosen], np.asarray(predicted, np.float64)[chosen]
    spread = np.sum((rows - rows.mean(axis=0)) ** 2) if len(rows) > 1 else 0.0
    if not spread > 0:
        raise ValueError("what tells rows apart needs at least two of them, and different ones")
    return float(1 - np.sum((rows - other) ** 2) / spread)
