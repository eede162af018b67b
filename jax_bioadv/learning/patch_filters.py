"""Filters that no learning rule has made: what local learning on patches must beat.

Centroids of k-means, of patches as they are or whitened (Coates, Ng & Lee, AISTATS 2011), sampled patches themselves,
and their principal directions. (Random filters are those of an untrained network.) All are made from patches as the
filters of a stage see them, and go into it by :func:`jax_bioadv.learning.stacks.with_filters`::

    patches = sampled_patches(network, 0, images, key, 100_000)
    network = with_filters(network, 0, *k_means_filters(0, patches, 96, whitening=zca(patches, 0.1)))
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jax_bioadv.convolutional import Pool, StageSettings
from jax_bioadv.learning.fixed_layers import centroid_rows, principal_rows
from jax_bioadv.learning.whitening import Filters, Whitening
from jax_bioadv.patches import PatchNorm

Patches = Float[np.ndarray, "samples inputs"]

COATES_EPSILON = 0.1 / 107
"""Published ε of :func:`~jax_bioadv.learning.whitening.zca`, for patches as :func:`coates_stage` has them."""


def coates_stage(filters: int) -> StageSettings:
    """The published stage for k-means on CIFAR-10 with pixels in [0, 1]: patches of 6 × 6, pooled over quadrants.

    The published patches have variance 1, those here norm 1, so that constants for 6·6·3 − 1 = 107 degrees of freedom
    come along: ``(x − mean) / sqrt(var + 10)``, of pixels up to 255, and ε = 0.1.

    Args:
        filters: how many; up to 4 000 are published.
    """
    contrast = PatchNorm(centred=True, offset=107 * 10 / 255**2)
    # Quadrants of maps of 27 × 27 share the row and the column in the middle.
    return StageSettings(filters, 6, batch_norm=False, patch_norm=contrast, bias=True, pool=Pool("average", 14, 13))


def nearness_filters(centroids: Patches, whitening: Whitening | None = None) -> Filters:
    """Filters whose output is larger the nearer a patch lies to a centroid: ``c·z − |c|²/2`` of the whitened patch z.

    That is half of the squared distance with its sign changed, but for ``|z|²/2``, which is the same for all centroids
    and falls out with the mean that the Triangle subtracts. (Deviation from Coates, Ng & Lee, whose Triangle is one of
    distances, not of their squares.)

    Args:
        centroids: of whitened patches, where a whitening is given.
        whitening: what they were whitened by.

    Returns:
        Rows and bias for patches as they are.
    """
    constants = (-np.sum(np.asarray(centroids, np.float64) ** 2, axis=1) / 2).astype(np.float32)
    if whitening is None:
        return Filters(centroids, constants)
    rows, bias = whitening.filters(centroids)
    return Filters(rows, bias + constants)


def k_means_filters(
    seed: int, patches: Patches, filters: int, *, whitening: Whitening | None = None, passes: int = 20
) -> Filters:
    """Nearness to centroids of minibatch k-means.

    Args:
        seed: of the first centroids and the minibatches.
        patches: to cluster, as a stage's filters see them.
        filters: number of centroids.
        whitening: of the patches; None clusters them as they are.
        passes: at most so many passes over the patches.

    Raises:
        ValueError: there are fewer patches than centroids.
    """
    seen = patches if whitening is None else np.asarray(whitening(jnp.asarray(patches)))
    return nearness_filters(centroid_rows(seed, seen, filters, radius=None, passes=passes), whitening)


def sampled_filters(seed: int, patches: Patches, filters: int) -> Filters:
    """Different patches themselves, each of L2 norm 1; patches of norm 0 are left out.

    Raises:
        ValueError: there are fewer patches than filters.
    """
    norms = np.linalg.norm(patches, axis=1)
    there_are = np.flatnonzero(norms)
    if filters > len(there_are):
        raise ValueError(f"{len(there_are)} patches with a norm cannot make {filters} filters")
    chosen = np.random.default_rng(seed).choice(there_are, filters, replace=False)
    return Filters((patches[chosen] / norms[chosen, None]).astype(np.float32))


def principal_filters(patches: Patches, filters: int, *, whiten: bool = False) -> Filters:
    """The leading principal directions of the patches with both signs, see :func:`fixed_layers.principal_rows`."""
    covariance = np.cov(np.asarray(patches, np.float64), rowvar=False)
    return Filters(principal_rows(covariance, filters, whiten=whiten))
