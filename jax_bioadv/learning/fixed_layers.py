"""First layers that no learning rule has made: what every claim about learning must beat.

Centroids of k-means in the place of Krotov–Hopfield rows, and the principal directions of the images, as they are or
whitened. (Training images themselves as rows are ``krotov_hopfield.init(…, start="samples")``, random rows those of an
untrained :class:`jax_bioadv.models.Network`.)
"""

import numpy as np
import scipy
from jaxtyping import Array, Float

from jax_bioadv.extras import extra


def centroid_rows(
    seed: int,
    images: Float[Array | np.ndarray, "samples inputs"],
    hidden: int,
    *,
    p: float = 3.0,
    radius: float | None = 1.0,
    batch_size: int = 4096,
    passes: int = 5,
) -> Float[np.ndarray, "hidden inputs"]:
    """Centroids of minibatch k-means from random images, each scaled to the L_p norm of a converged row of synapses.

    Args:
        seed: of the first centroids and the minibatches.
        images: unit-norm images.
        hidden: number of centroids.
        p: order of the norm.
        radius: R, the rows' norm; None leaves centroids as long as they are.
        batch_size: images per step of k-means.
        passes: at most so many passes over the images; it ends after ten steps without improvement.

    Returns:
        Rows that may stand where synapses do.

    Raises:
        ValueError: there are fewer images than centroids, or p or radius is out of its range.
    """
    with extra("analysis"):
        from sklearn.cluster import MiniBatchKMeans
    if hidden > len(images):
        raise ValueError(f"{len(images)} images cannot have {hidden} centroids")
    clusters = MiniBatchKMeans(
        hidden, init="random", batch_size=batch_size, max_iter=passes, n_init=1, random_state=seed
    )
    centroids = clusters.fit(np.asarray(images)).cluster_centers_
    return centroids.astype(np.float32) if radius is None else rows_of_norm(centroids, p, radius)


def rows_of_norm(
    rows: Float[Array | np.ndarray, "hidden inputs"], p: float, radius: float
) -> Float[np.ndarray, "hidden inputs"]:
    """Rows scaled to an L_p norm; one that is zero stays so. ValueError unless 1 ≤ p < ∞ and 0 < radius < ∞."""
    if not 1 <= p < np.inf or not 0 < radius < np.inf:
        raise ValueError(f"p must be at least 1, radius positive, and both finite, got {p} and {radius}")
    norms = (np.abs(rows) ** p).sum(axis=1, keepdims=True) ** (1 / p)
    return np.asarray(radius * rows / np.where(norms > 0, norms, 1), np.float32)


def principal_rows(
    covariance: Float[Array | np.ndarray, "inputs inputs"], hidden: int, *, whiten: bool = False
) -> Float[np.ndarray, "hidden inputs"]:
    """The leading principal directions of the images, each with both its signs, since a ReLU keeps one half of either.

    Args:
        covariance: of the images.
        hidden: number of rows; of an odd number the last is one sign alone.
        whiten: divides each direction by the standard deviation along it, so that all rows respond equally strongly.

    Returns:
        Rows of unit L2 norm (whitened: of unit response), the leading direction first.

    Raises:
        ValueError: there are too few directions, or to whiten, too few with any variance.
    """
    count = -(-hidden // 2)
    if count > len(covariance):
        raise ValueError(f"{len(covariance)} directions with both signs cannot make {hidden} rows")
    inputs = len(covariance)
    variances, directions = scipy.linalg.eigh(
        np.asarray(covariance, np.float64), subset_by_index=(inputs - count, inputs - 1)
    )
    variances, directions = variances[::-1], directions[:, ::-1].T
    if whiten:
        if variances[-1] <= 1e-9 * variances[0]:
            raise ValueError(f"the images vary along fewer than {count} directions: whitening needs fewer hidden units")
        directions = directions / np.sqrt(variances)[:, None]
    return np.stack([directions, -directions], axis=1).reshape(2 * count, -1)[:hidden].astype(np.float32)
