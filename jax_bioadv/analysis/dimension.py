"""How many dimensions a representation has: counted from its spectrum, or from distances between neighbours.

From a spectrum: the participation ratio ``(Σλ)² / Σλ²``, α-ReQ, the exponent of its decay, and RankMe (Garrido et
al., arXiv 2210.02885), the exponential of the entropy of the *singular values*, which are square roots of the
covariance's eigenvalues; several public versions take the eigenvalues themselves and find less. From distances, for
data on a curved manifold: TwoNN (Facco et al., Sci. Rep. 2017) and the maximum-likelihood estimator of Levina & Bickel
(NIPS 2004). All run in float64 on the host.

:func:`cross_validated_spectrum` is the spectrum of what two recordings of the same stimuli share (cvPCA: Stringer et
al., Nature 2019), which noise that differs from recording to recording does not enter.
"""

from typing import Literal

import numpy as np
import scipy
from jaxtyping import Array, Float, Float64

from jax_bioadv.analysis.spectra import PowerLawFit, fit_power_law
from jax_bioadv.extras import extra

Features = Float[Array | np.ndarray, "samples units"]


def participation_ratio(eigenvalues: Float[np.ndarray, " units"]) -> float:
    """``(Σλ)² / Σλ²``: n for n equal eigenvalues, 1 for a single one.

    Args:
        eigenvalues: of a covariance, in any order.

    Returns:
        Between 1 and the number of eigenvalues.

    Raises:
        ValueError: an eigenvalue is negative or not finite, or all are zero.
    """
    known = _spectrum(eigenvalues)
    return float(known.sum() ** 2 / np.sum(known**2))


def rank_me(eigenvalues: Float[np.ndarray, " units"]) -> float:
    """RankMe, ``exp(-Σ p ln p)`` with ``p = σ / Σσ`` over the singular values ``σ = √λ``.

    Args:
        eigenvalues: of a covariance, in any order; of centred features, where the original leaves the mean in.

    Returns:
        Between 1 and the number of eigenvalues.

    Raises:
        ValueError: an eigenvalue is negative or not finite, or all are zero.
    """
    singular = np.sqrt(_spectrum(eigenvalues))
    shares = singular[singular > 0] / singular.sum()
    return float(np.exp(-np.sum(shares * np.log(shares))))


def alpha_req(eigenvalues: Float64[np.ndarray, " units"]) -> PowerLawFit:
    """α-ReQ (Agrawal et al., NeurIPS 2022): the exponent of a representation's spectrum over n = 10…100.

    Args:
        eigenvalues: of a covariance, largest first.

    Returns:
        The fit; near 1 is where the authors find representations that generalise.

    Raises:
        FitImpossible, ValueError: as :func:`jax_bioadv.analysis.spectra.fit_power_law`.
    """
    return fit_power_law(eigenvalues, 10, 100)


def two_nearest_neighbours_dimension(points: Features, kept: float = 0.9) -> float:
    """TwoNN: the ratio μ of the distances to a point's second and first neighbour has ``P(μ > x) = x^-d``.

    The slope of ``-ln(1 - F(μ))`` against ``ln μ`` through the origin, over all but the largest ratios.

    Args:
        points: (samples, units), one row per point; points that occur twice count once.
        kept: share of the ratios, the smallest, that the slope is fitted to.

    Returns:
        The dimension.

    Raises:
        ValueError: fewer than four distinct points, values that are not finite, ``kept`` outside (0, 1] or so small
            that none is, or points whose neighbours are all equally far.
    """
    if not 0 < kept <= 1:
        raise ValueError(f"kept is a share between 0 and 1, got {kept}")
    distances = _neighbour_distances(points, 2)
    points_below = np.arange(1, min(int(kept * len(distances)), len(distances) - 1) + 1)  # 1 - F of the last is 0
    ratios = np.log(np.sort(distances[:, 1] / distances[:, 0]))[: len(points_below)]
    if not ratios.any():
        raise ValueError(f"no ratio of distances above 1 is kept; raise kept = {kept}, or give points off a lattice")
    survival = -np.log1p(-points_below / len(distances))
    return float(ratios @ survival / (ratios @ ratios))


def maximum_likelihood_dimension(
    points: Features, neighbours: int = 20, averaged: Literal["inverses", "dimensions"] = "inverses"
) -> float:
    """Levina & Bickel's estimator: distances to neighbours within a ball grow as ``r^d`` counts points.

    Args:
        points: (samples, units), one row per point; points that occur twice count once.
        neighbours: k, whose k-th distance is the ball's radius.
        averaged: the points' inverse dimensions, which is the likelihood of all points together (MacKay & Ghahramani
            2005), or their dimensions, as first published.

    Returns:
        The dimension.

    Raises:
        ValueError: not more distinct points than neighbours, fewer than three neighbours, values that are not finite,
            neighbours that are all equally far, or another average.
    """
    if neighbours < 3:
        raise ValueError(f"the estimator needs at least three neighbours, got {neighbours}")
    if averaged not in ("inverses", "dimensions"):
        raise ValueError(f"averaged must be 'inverses' or 'dimensions', got {averaged!r}")
    distances = _neighbour_distances(points, neighbours)
    growth = np.log(distances[:, -1:] / distances[:, :-1]).sum(axis=1)
    if not (growth.any() if averaged == "inverses" else growth.all()):
        raise ValueError(f"{neighbours} neighbours are all equally far, which tells no dimension; take more")
    # The sum of k - 1 exponential variables, and its inverse, have no bias by these factors.
    if averaged == "inverses":
        return float((neighbours - 1) / growth.mean())
    return float(np.mean((neighbours - 2) / growth))


def cross_validated_spectrum(
    first: Features, second: Float[Array | np.ndarray, "repeated units_again"]
) -> Float64[np.ndarray, " units"]:
    """Variance of the shared signal along the principal components of one repeat (cvPCA).

    Args:
        first: (samples, units), responses to the stimuli; its principal components are used.
        second: responses to the same stimuli once more.

    Returns:
        Covariance of both repeats' projections, component by component, largest component of ``first`` first. Noise
        that the repeats do not share has mean zero here, so that values may be negative.

    Raises:
        ValueError: shapes that differ, fewer than two samples, values that are not finite.
    """
    if first.shape != second.shape:
        raise ValueError(f"both repeats must have the same stimuli and units, got {first.shape} and {second.shape}")
    one, other = _centred(first), _centred(second)
    left, singular, components = scipy.linalg.svd(one, full_matrices=False)
    return np.sum(left * singular * (other @ components.T), axis=0) / (len(one) - 1)


def _spectrum(eigenvalues: np.ndarray) -> np.ndarray:
    known = np.asarray(eigenvalues, np.float64)
    if not (np.all(np.isfinite(known)) and np.all(known >= 0) and np.any(known > 0)):
        raise ValueError("eigenvalues must be finite, not negative, and not all zero")
    return known


def _finite(points: Features) -> np.ndarray:
    host = np.asarray(points, np.float64)
    if not np.all(np.isfinite(host)):
        raise ValueError("features hold values that are not finite; check that the network has not diverged")
    return host


def _centred(features: Features) -> np.ndarray:
    host = _finite(features)
    if len(host) < 2:
        raise ValueError(f"a spectrum needs at least two samples, got {len(host)}")
    return host - host.mean(axis=0)


def _neighbour_distances(points: Features, neighbours: int) -> np.ndarray:
    """Distances of every distinct point to its nearest others, nearest first."""
    with extra("analysis"):
        from sklearn.neighbors import NearestNeighbors
    distinct = np.unique(_finite(points), axis=0)
    if len(distinct) < max(neighbours + 1, 4):
        raise ValueError(f"{neighbours} neighbours need more distinct points than the {len(distinct)} there are")
    centred = distinct - distinct.mean(axis=0)
    search = NearestNeighbors(n_neighbors=neighbours + 1).fit(centred)
    _, nearest = search.kneighbors(centred)  # whose distances are differences of large squares
    distances = [np.linalg.norm(centred[nearest[row]] - centred[row], axis=1) for row in range(len(centred))]
    return np.sort(distances, axis=1)[:, 1:]
