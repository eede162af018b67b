"""Whitening of patches, and what filters that were learnt behind it are of patches as they are.

Coates, Ng & Lee (AISTATS 2011) found that k-means needs it. It is linear, and so becomes part of the filters: a stage
of :mod:`jax_bioadv.convolutional` knows nothing of it::

    whitening = zca(sampled_patches(network, 0, images, key, 100_000), epsilon=0.1)
    state, _ = train_stage(network, 0, rule, images, key, rates, whitening=whitening)
    network = with_filters(network, 0, *whitening.filters(state.synapses))      # of a stage with bias
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Float


class Filters(NamedTuple):
    """Rows that look at patches, and what is added to their overlaps."""

    rows: Float[Array | np.ndarray, "filters inputs"]
    bias: Float[Array | np.ndarray, " filters"] | None = None


class Whitening(NamedTuple):
    """The map ``x -> matrix (x - mean)`` to patches without correlations; a pytree."""

    mean: Float[Array | np.ndarray, " inputs"]
    matrix: Float[Array | np.ndarray, "inputs inputs"]

    def __call__(self, patches: Float[Array, "*shape inputs"]) -> Float[Array, "*shape inputs"]:
        """Whitened patches."""
        return jnp.matmul(patches - self.mean, self.matrix.T, precision="highest")

    def filters(self, rows: Float[Array | np.ndarray, "filters inputs"]) -> Filters:
        """Rows of whitened patches as filters, with a bias, of patches as they are."""
        exact = np.asarray(rows, np.float64) @ np.asarray(self.matrix, np.float64)
        return Filters(exact.astype(np.float32), (-exact @ np.asarray(self.mean, np.float64)).astype(np.float32))


def zca(patches: Float[Array | np.ndarray, "samples inputs"], epsilon: float) -> Whitening:
    """Whitening that changes patches least, ``matrix = (C + ε)^(-1/2)`` of their covariance C.

    Args:
        patches: to whiten.
        epsilon: ε, in units of the patches' variance; 0.1 is published for patches whose pixels have variance 1.

    Raises:
        ValueError: ε is negative, or 0 where patches lack variance along some direction.
    """
    if not epsilon >= 0.0:
        raise ValueError(f"epsilon must not be negative, got {epsilon}")
    exact = np.asarray(patches, np.float64)
    variances, directions = scipy.linalg.eigh(np.cov(exact, rowvar=False))
    variances = variances + epsilon
    if variances[0] <= 1e-9 * variances[-1]:
        raise ValueError("the patches do not vary along some direction: whitening needs epsilon > 0")
    matrix = (directions / np.sqrt(variances)) @ directions.T
    return Whitening(exact.mean(axis=0).astype(np.float32), matrix.astype(np.float32))
