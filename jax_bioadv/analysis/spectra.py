"""Covariance spectra of a representation and their power-law exponent.

Stringer et al. (Nature 2019, doi 10.1038/s41586-019-1346-5) tie the decay ``λ_n ∝ n^-α`` of a representation's
covariance eigenvalues to its smoothness; Holzhausen et al. (arXiv 2405.00679) compare α between networks. A spectrum
that spans seven decades leaves no room for single precision: everything here runs in float64 on the host, about the
true mean. The usual chain is ``fit_power_law(covariance_spectrum(covariance(features)))``. Stringer et al. themselves
take variances of held-out responses along training eigenvectors (:func:`held_out_spectrum`), and regress with weights
1/n over n = 11…500 (:func:`fit_weighted_power_law`).

The features themselves must be computed at full float32 precision: the reduced matmul precision that accelerators
default to is an error of about 1e-6·λ_1 that no later step can remove.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Array, Float, Float64

# Below zero by more than this share of λ_1 is no rounding of a float64 covariance.
_NEGATIVE_SHARE = 1e-10


class FitImpossible(ValueError):
    """The spectrum holds too few usable eigenvalues in the window; the message says why."""


class PowerLawFit(NamedTuple):
    """A fitted ``λ_n ∝ n^-α``.

    ``stderr`` is that of ordinary least squares, which takes residuals as independent. Neighbouring eigenvalues are
    not, so it measures how straight the spectrum is in the window rather than how α would vary between samples.
    """

    alpha: float
    stderr: float
    r2: float
    window: tuple[int, int]
    """First and last n that were used, counted from 1, both included."""


def covariance(
    features: Float[Array | np.ndarray, "samples units"], sample_block: int = 2048
) -> Float64[np.ndarray, "units units"]:
    """Sample covariance (divisor samples - 1) about the true mean, accumulated in float64 on the host.

    Args:
        features: one row per sample, any float precision.
        sample_block: rows that are held in float64 at a time; it bounds the memory and leaves the result alone.

    Returns:
        The symmetric covariance matrix.

    Raises:
        ValueError: with fewer than two samples, or where a feature is not finite.
    """
    samples = features.shape[0]
    if samples < 2:
        raise ValueError(f"a covariance needs at least two samples, got {samples}")
    if sample_block < 1:
        raise ValueError(f"sample_block must be at least 1, got {sample_block}")
    host = np.asarray(features)
    blocks = [slice(start, start + sample_block) for start in range(0, samples, sample_block)]
    total = np.zeros(host.shape[1])
    for block in blocks:
        total += host[block].sum(axis=0, dtype=np.float64)
    if not np.all(np.isfinite(total)):
        raise ValueError("features hold values that are not finite; check that the network has not diverged")
    mean = total / samples
    scatter = np.zeros((host.shape[1], host.shape[1]))
    for block in blocks:
        centred = host[block].astype(np.float64) - mean
        scatter += centred.T @ centred
    return scatter / (samples - 1)


class CovarianceSum:
    """The covariance of features that come in blocks, about a shift that is near their mean, in float64 on the host.

    Blocks may be of any size, come in any order, and be summed up in several places.

    Args:
        shift: subtracted from all features; the nearer to their mean, the less is lost by rounding.
    """

    def __init__(self, shift: Float[Array | np.ndarray, " units"]):
        self.shift = np.array(shift, np.float64)  # its own copy
        self.samples = 0
        self._total = np.zeros(len(self.shift))
        self._products = np.zeros((len(self.shift), len(self.shift)))

    def add(self, features: Float[Array | np.ndarray, "samples units"]) -> None:
        """Take account of a block; ValueError, and it is left out, where it has other units or one is not finite."""
        if features.ndim != 2 or features.shape[1] != len(self.shift):
            raise ValueError(f"features must be (samples, {len(self.shift)}), got {features.shape}")
        shifted = np.asarray(features, np.float64) - self.shift
        if not np.all(np.isfinite(shifted)):
            raise ValueError("features hold values that are not finite; check that the network has not diverged")
        self.samples += len(shifted)
        self._total += shifted.sum(axis=0)
        self._products += shifted.T @ shifted

    def merge(self, other: "CovarianceSum") -> None:
        """Take account of all blocks of another sum about the same shift; ValueError if it is another one."""
        if not np.array_equal(self.shift, other.shift):
            raise ValueError("these sums are about different shifts; start both from the same one")
        self.samples += other.samples
        self._total += other._total
        self._products += other._products

    def covariance(self) -> Float64[np.ndarray, "units units"]:
        """As :func:`covariance` of all features together; ValueError with fewer than two samples."""
        if self.samples < 2:
            raise ValueError(f"a covariance needs at least two samples, got {self.samples}")
        return (self._products - np.outer(self._total, self._total) / self.samples) / (self.samples - 1)


def covariance_spectrum(covariance: Float64[np.ndarray, "units units"]) -> Float64[np.ndarray, " units"]:
    """Eigenvalues of a covariance matrix, largest first.

    Args:
        covariance: symmetric and positive semi-definite up to float64 rounding.

    Returns:
        Eigenvalues; what rounding had put below zero is set to 0. They are sound down to about 1e-13·λ_1 as
        eigenvalues of this matrix; how far down the matrix itself is sound depends on the features' precision.

    Raises:
        ValueError: if the matrix is not finite, not symmetric, or clearly has negative eigenvalues.
    """
    if covariance.shape[0] == 0:
        raise ValueError("a covariance of no units has no spectrum")
    if not np.all(np.isfinite(covariance)):
        raise ValueError("the covariance holds values that are not finite")
    if not np.allclose(covariance, covariance.T, rtol=0.0, atol=_NEGATIVE_SHARE * np.abs(covariance).max()):
        raise ValueError("the covariance is not symmetric")
    eigenvalues = scipy.linalg.eigvalsh(covariance, driver="evd", check_finite=False)[::-1]
    if eigenvalues[-1] < -_NEGATIVE_SHARE * np.abs(eigenvalues).max():
        raise ValueError(f"no covariance: it has the negative eigenvalue {eigenvalues[-1]:.3g}")
    return np.maximum(eigenvalues, 0.0)


def subpopulation_spectra(
    covariance: Float64[np.ndarray, "units units"], sizes: Sequence[int]
) -> dict[int, Float64[np.ndarray, " _"]]:
    """Spectra of the first n units, for several n.

    Args:
        covariance: covariance of all units.
        sizes: the n, each between 1 and the number of units.

    Returns:
        For every n the n eigenvalues of the leading n × n block, largest first.

    Raises:
        ValueError: if a size is out of range.
    """
    units = covariance.shape[0]
    wrong = [size for size in sizes if not 1 <= size <= units]
    if wrong:
        raise ValueError(f"sub-population sizes must lie between 1 and {units}, got {wrong}")
    return {size: covariance_spectrum(covariance[:size, :size]) for size in sizes}


def held_out_spectrum(
    reference_covariance: Float64[np.ndarray, "units units"], covariance: Float64[np.ndarray, "others others"]
) -> Float64[np.ndarray, " units"]:
    """Variances of new data along the eigenvectors of a reference covariance.

    Eigenvalues of a sample covariance are fitted to the sample's own chance: the leading ones come out too large, the
    trailing ones too small, and the spectrum too steep. Directions from other data do not know that chance; being
    imprecise themselves they mix neighbours, so where samples are few the held-out spectrum errs towards too flat.
    The order is the reference's, largest reference eigenvalue first; it is kept, since sorting anew would select by
    chance again, so the variances need not fall. Each covariance is about its own data's mean.

    Args:
        reference_covariance: of the training data; it gives the directions.
        covariance: of the test data, for the same units.

    Returns:
        Variances; what rounding had put below zero is set to 0.

    Raises:
        ValueError: if a covariance is not finite or not symmetric, or both differ in their number of units.
    """
    if reference_covariance.shape != covariance.shape or reference_covariance.shape[0] == 0:
        raise ValueError(
            f"both covariances need the same units, got {reference_covariance.shape} and {covariance.shape}"
        )
    for matrix in (reference_covariance, covariance):
        if not np.all(np.isfinite(matrix)) or not np.allclose(matrix, matrix.T, rtol=0.0, atol=1e-10 * np.ptp(matrix)):
            raise ValueError("a covariance must be finite and symmetric")
    directions = scipy.linalg.eigh(reference_covariance, driver="evd", check_finite=False)[1][:, ::-1]
    return np.maximum(np.sum(directions * (covariance @ directions), axis=0), 0.0)


def fit_power_law(
    eigenvalues: Float64[np.ndarray, " units"], first: int = 11, last: int = 500, floor: float = 1e-7
) -> PowerLawFit:
    """Exponent of ``λ_n ∝ n^-α`` by ordinary least squares of log(λ_n/λ_1) on log n.

    Args:
        eigenvalues: largest first, not negative.
        first: first n of the window, counted from 1 (the paper uses 11).
        last: last n of the window, included (500 for images, 100 for white noise).
        floor: eigenvalues up to ``floor``·λ_1 are taken as rounding, and the window ends before the first of them;
            whatever the floor, it ends at the numerical rank.

    Returns:
        The fit; α is positive for a falling spectrum.

    Raises:
        FitImpossible: if fewer than 3 usable eigenvalues remain in the window, with the reason.
        ValueError: if the arguments make no sense, or eigenvalues are not finite, negative or not in falling order.
    """
    if not np.all(np.isfinite(eigenvalues)) or np.any(eigenvalues < 0.0) or np.any(np.diff(eigenvalues) > 0.0):
        raise ValueError("eigenvalues must be finite, not negative and sorted from the largest to the smallest")
    return fit_variances(eigenvalues, first, last, floor)


def fit_variances(
    variances: Float64[np.ndarray, " units"], first: int = 11, last: int = 500, floor: float = 1e-7
) -> PowerLawFit:
    """:func:`fit_power_law` for variances in an order of their own, such as held-out ones along training directions.

    Args:
        variances: not negative, in the order that numbers them; they need not fall.
        first: first n of the window, counted from 1.
        last: last n of the window, included.
        floor: the window ends before the first variance up to ``floor`` times the largest, or at the numerical rank.

    Returns:
        The fit.

    Raises:
        FitImpossible: if fewer than 3 usable variances remain in the window, with the reason.
        ValueError: if the arguments make no sense, or variances are not finite or negative.
    """
    log_n, logarithms = logarithms_in_window(variances, first, last, floor)
    window = (first, first + log_n.size - 1)
    if np.ptp(logarithms) == 0.0:
        return PowerLawFit(0.0, 0.0, 1.0, window)
    line = scipy.stats.linregress(log_n, logarithms)
    return PowerLawFit(-float(line.slope), float(line.stderr), float(line.rvalue) ** 2, window)


def fit_weighted_power_law(
    variances: Float64[np.ndarray, " units"], first: int = 11, last: int = 500, floor: float = 1e-7
) -> PowerLawFit:
    """Exponent by regression of log λ_n on log n with weights 1/n, which count every stretch of log n alike.

    Args:
        variances: eigenvalues, or held-out variances; they need not fall.
        first: first n of the window, counted from 1 (11 in Stringer et al.).
        last: last n of the window, included (500 in Stringer et al.).
        floor: as in :func:`fit_variances`.

    Returns:
        The fit; r² is the weighted share of the variance of log λ, and the standard error takes 1/n for relative
        precision and the residuals for independent.

    Raises:
        FitImpossible: as in ``fit_variances``.
        ValueError: if the arguments make no sense, or variances are not finite or negative.
    """
    x, y = logarithms_in_window(variances, first, last, floor)
    window = (first, first + x.size - 1)
    if np.ptp(y) == 0.0:
        return PowerLawFit(0.0, 0.0, 1.0, window)
    weights = np.exp(-x) / np.exp(-x).sum()
    x, y = x - weights @ x, y - weights @ y
    spread = weights @ x**2
    slope = weights @ (x * y) / spread
    missed = weights @ (y - slope * x) ** 2
    stderr = np.sqrt(missed / spread / (x.size - 2))
    return PowerLawFit(-float(slope), float(stderr), float(1.0 - missed / (weights @ y**2)), window)


def logarithms_in_window(
    variances: Float64[np.ndarray, " units"], first: int, last: int, floor: float
) -> tuple[Float64[np.ndarray, " used"], Float64[np.ndarray, " used"]]:
    """Usable part of a window: log n and log(λ_n/λ_largest). Arguments and errors are those of `fit_variances`."""
    if not 1 <= first <= last:
        raise ValueError(f"the window must satisfy 1 <= first <= last, got {first} and {last}")
    if not 0.0 <= floor < 1.0:
        raise ValueError(f"floor is a share of the largest eigenvalue, at least 0 and below 1, got {floor}")
    if not np.all(np.isfinite(variances)) or np.any(variances < 0.0):
        raise ValueError("variances must be finite and not negative")
    if variances.size == 0 or variances.max() == 0.0:
        raise FitImpossible("no power law: the features do not vary")
    relative = variances / variances.max()
    rank_floor = max(floor, variances.size * np.finfo(np.float64).eps)
    usable = min(last, int(np.count_nonzero(np.logical_and.accumulate(relative > rank_floor))))
    if usable - first + 1 < 3:
        raise FitImpossible(
            f"no power law: of the window {first} to {last}, {max(usable - first + 1, 0)} of {variances.size} "
            f"eigenvalues exceed {rank_floor:.1e} of the largest, and a fit needs 3"
        )
    return np.log(np.arange(first, usable + 1)), np.log(relative[first - 1 : usable])
