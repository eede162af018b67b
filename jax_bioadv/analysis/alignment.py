"""Why a linear layer has the spectrum that it has on images: its own spectrum, theirs, and how the two are aligned.

For ``h = V x`` the covariance is exactly ``V C Vᵀ`` with C the covariance of the inputs, ``V Vᵀ`` on white noise. With
the singular values ``σ_n`` of V and the eigenvalues ``c_n`` of C, Horn's inequality (Proc. Natl. Acad. Sci. 36, 1950)
bounds all products of leading eigenvalues: ``λ_1 ⋯ λ_n ≤ σ_1² c_1 ⋯ σ_n² c_n``. They are equal where the right
singular vectors of V are the principal directions of the inputs, rank by rank; then eigenvalues multiply, and exponents
of power laws add. A regression of logarithms being linear, what is missing from that sum is the exponent of the ratio
``λ_n / (σ_n² c_n)``, whatever the spectra look like::

    principal = principal_directions(covariance(images))
    found = layer_alignment(kernel.T, principal)
    exponents = exponents_of(found, first=11, last=125)
    exponents.images, exponents.layer + exponents.inputs, exponents.missing
"""

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Array, Float, Float64

from jax_bioadv.analysis.spectra import covariance_spectrum, fit_variances, logarithms_in_window

# A squared singular value below this share of the largest is rounding, of weights in float32.
_RANK_FLOOR = 1e-12


class Principal(NamedTuple):
    """Principal directions of inputs, a row each, and the variances along them, largest first."""

    variances: Float64[np.ndarray, " inputs"]
    directions: Float64[np.ndarray, "inputs inputs"]


class Alignment(NamedTuple):
    """Spectra of a layer up to its rank, and where its right singular vectors lie.

    ``layer``: ``σ_n²``, the spectrum on white noise. ``inputs``: ``c_n``. ``images``: ``λ_n`` of ``V C Vᵀ``. ``along``:
    ``v_nᵀ C v_n``, the variance along the n-th right singular vector: ``c_n`` where it is aligned. ``unaligned``: the
    spectrum of a layer with the same singular values whose right singular vectors are drawn at random. ``nearby``: the
    share of ``v_n`` that lies in principal directions of ranks n / within to n · within; ``by_chance``: that share of a
    vector in no direction in particular. ``gain``: ``u_nᵀ V Vᵀ u_n``, the variance on white noise along the n-th
    eigenvector u_n of ``V C Vᵀ``: in the order of the images, in which it need not fall.
    """

    layer: Float64[np.ndarray, " rank"]
    inputs: Float64[np.ndarray, " rank"]
    images: Float64[np.ndarray, " rank"]
    along: Float64[np.ndarray, " rank"]
    unaligned: Float64[np.ndarray, " rank"]
    nearby: Float64[np.ndarray, " rank"]
    by_chance: Float64[np.ndarray, " rank"]
    gain: Float64[np.ndarray, " rank"]


@dataclasses.dataclass(frozen=True)
class Exponents:
    """Exponents over one window that all spectra have in common.

    Attributes:
        images: of the layer on images.
        layer: of the layer on white noise.
        inputs: of the images.
        along: of the images along the layer's right singular vectors, in their order.
        unaligned: of the layer on images, had it random right singular vectors.
        gain: of the layer on white noise along the directions of its spectrum on images; below 0 where it rises.
        window: first and last n, counted from 1.
    """

    images: float
    layer: float
    inputs: float
    along: float
    unaligned: float
    gain: float
    window: tuple[int, int]

    @property
    def missing(self) -> float:
        """What the sum of the layer's and the inputs' exponents lacks: the exponent of ``λ_n / (σ_n² c_n)``."""
        return self.images - self.layer - self.inputs


def principal_directions(covariance: Float64[np.ndarray, "inputs inputs"]) -> Principal:
    """The eigenvectors of a covariance, largest variance first.

    Args:
        covariance: symmetric and positive semi-definite up to rounding.

    Raises:
        ValueError: it is not finite, or not symmetric.
    """
    if not np.all(np.isfinite(covariance)) or not np.allclose(
        covariance, covariance.T, atol=1e-10 * np.ptp(covariance)
    ):
        raise ValueError("a covariance must be finite and symmetric")
    variances, directions = scipy.linalg.eigh(covariance, driver="evd", check_finite=False)
    return Principal(np.maximum(variances[::-1], 0.0), np.ascontiguousarray(directions[:, ::-1].T))


def layer_alignment(
    rows: Float[Array | np.ndarray, "hidden inputs"], principal: Principal, *, within: float = 1.5, seed: int = 0
) -> Alignment:
    """The spectra of a linear layer on images and on white noise, and how its directions lie to those of the images.

    Args:
        rows: V, with ``h = V x``: the transposed kernel, or the effective weights of Krotov–Hopfield synapses.
        principal: of the images.
        within: factor of the rank up to which a principal direction is near.
        seed: of the random directions.

    Returns:
        All of it, up to the layer's numerical rank.

    Raises:
        ValueError: rows that are not finite, all zero, or of other inputs; ``within`` below 1.
    """
    host = np.asarray(rows, np.float64)
    inputs = len(principal.variances)
    if host.shape[1] != inputs:
        raise ValueError(f"rows of {host.shape[1]} inputs cannot be aligned with principal directions of {inputs}")
    if not np.all(np.isfinite(host)) or not np.any(host):
        raise ValueError("rows must be finite and not all zero; check that the network has not diverged")
    if not within >= 1:
        raise ValueError(f"within is a factor of the rank, at least 1, got {within}")
    squared, left = scipy.linalg.eigh(host @ host.T, driver="evd", check_finite=False)
    kept = squared > _RANK_FLOOR * squared[-1]
    squared, rank = squared[kept][::-1], int(kept.sum())
    # σ_n v_n, in the basis of the principal directions.
    scaled = left[:, kept][:, ::-1].T @ host @ principal.directions.T
    random = np.random.default_rng(seed).normal(size=(rank, inputs))
    random = scipy.linalg.solve_triangular(np.linalg.cholesky(random @ random.T), random, lower=True)  # orthonormal
    shares = scaled**2 / squared[:, None]
    ranks = np.arange(1, rank + 1)
    low, high = np.ceil(ranks / within).astype(int) - 1, np.minimum(np.floor(ranks * within).astype(int), inputs)
    summed = np.concatenate([np.zeros((rank, 1)), np.cumsum(shares, axis=1)], axis=1)
    return Alignment(
        layer=squared,
        inputs=principal.variances[:rank],
        images=_through(scaled, principal.variances),
        along=shares @ principal.variances,
        unaligned=_through(np.sqrt(squared)[:, None] * random, principal.variances),
        nearby=summed[ranks - 1, high] - summed[ranks - 1, low],
        by_chance=(high - low) / inputs,
        gain=_gain(scaled, squared, principal.variances),
    )


def _through(scaled: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Spectrum of a layer, in the basis of the principal directions, on inputs with these variances."""
    factor = scaled * np.sqrt(variances)
    return covariance_spectrum(factor @ factor.T)


def _gain(scaled: np.ndarray, squared: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """Variance on white noise along the eigenvectors on images, in the basis of the left singular vectors."""
    factor = scaled * np.sqrt(variances)
    _, vectors = scipy.linalg.eigh(factor @ factor.T, driver="evd", check_finite=False)
    return np.asarray(squared @ vectors[:, ::-1] ** 2)


def exponents_of(alignment: Alignment, first: int = 11, last: int = 500, floor: float = 1e-12) -> Exponents:
    """The exponents of all spectra over one window, so that they may be added.

    Args:
        alignment: of a layer.
        first: first n, counted from 1.
        last: last n; the window ends earlier where one of the spectra does.
        floor: share of the largest eigenvalue up to which one is taken as rounding.

    Raises:
        FitImpossible: fewer than 3 usable eigenvalues remain, with the reason.
        ValueError: a window or floor that makes no sense.
    """
    spectra = [alignment.images, alignment.layer, alignment.inputs, alignment.along, alignment.unaligned]
    last = first - 1 + min(len(logarithms_in_window(one, first, last, floor)[0]) for one in spectra)
    images, layer, inputs, along, unaligned = (fit_variances(one, first, last, floor).alpha for one in spectra)
    gain = fit_variances(alignment.gain, first, last, 0.0).alpha
    return Exponents(images, layer, inputs, along, unaligned, gain, (first, last))
