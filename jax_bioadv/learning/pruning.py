"""Pruning of rows that stayed noise: Krotov–Hopfield units that never won.

Holzhausen et al. (arXiv 2405.00679) see two components in the log-variances of the rows of W: rows that took the shape
of images have a low variance, rows that never won keep the high variance of their start N(0, σ²). The rows above a cut
between the two are set to zero; the paper's first cut is a variance of 0.0015.

:func:`mixture_cut` places the cut by a Gaussian mixture in log-variance. Deviations from the paper, which decides by a
χ² likelihood-ratio test that is not valid for mixture components:

1. BIC chooses the number of components. They describe the density and nothing more: a skewed mode takes several.
2. A cut lies at an antimode (a local minimum between two maxima) of the fitted density.
3. The antimode must be real. The rows themselves, not the fit, must refute that the density rises or falls across it
   (:mod:`jax_bioadv.learning.antimodes`). Whatever the shape of a single mode, skewed or heavy-tailed, the probability
   that anything is cut is at most ``significance``.
4. A handful of rows is too few for a test that looks everywhere. Beyond the variance that a row of norm R can have
   (:func:`largest_variance`), where rows have not converged, there is a test that looks there alone, wherever the
   antimodes leave all rows: three rows that lie close together, far above all others, are enough. One or two rows, and
   a tail that thins out, are kept.

With more than two modes it matters which of them are images. Given the variance of a noise-shaped row whose norm has
converged (:func:`noise_shaped_variance`; 0.0035 at D = 3072, p = 3, R = 1), modes clearly below it are images and the
cut lies above the highest of those: rows that won sometimes and remained noise are pruned with those that never won.
Without it, or where no mode lies below it (the norms have not converged), the cut is the highest antimode, which prunes
least: an unpruned noise row costs little, a pruned image row costs what it had learnt.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy
from jaxtyping import Array, Bool, Float, Float64

from jax_bioadv.learning.antimodes import Mixture, best_mixture, borne_out_modes, valley_beyond

PUBLISHED_VARIANCE = 0.0015
# Log-variances closer together than this differ by the rounding of float32 weights.
_CONSTANT_SPREAD = 1e-6
_FEWEST_ROWS_PER_COMPONENT = 5
# A converged norm is within 1 % of R and a sampled variance within a few times sqrt(2/D) of its expectation, while
# image-shaped rows have about a third of the variance of noise.
_CLEARLY_BELOW_NOISE = 0.8


class Cut(NamedTuple):
    """Which rows to keep, and why."""

    variance: float | None
    """Rows above this variance go; None where nothing is pruned."""
    keep: Bool[np.ndarray, " hidden"]
    mixture: Mixture | None
    bic: dict[int, float]
    """Bayesian information criterion for every number of components that was fitted (lowest is best)."""
    reason: str


def log_variances(synapses: Float[Array | np.ndarray, "hidden inputs"]) -> Float64[np.ndarray, " hidden"]:
    """Logarithm of the variance of every row over its weights, in float64.

    Args:
        synapses: W, one row per hidden unit.

    Returns:
        One log-variance per row.

    Raises:
        ValueError: if weights are not finite, or a row is constant and so has none.
    """
    rows = np.asarray(synapses)
    if not np.all(np.isfinite(rows)):
        raise ValueError("synapses hold values that are not finite; the training has diverged")
    variances = np.array([np.var(row, dtype=np.float64) for row in rows])
    if np.any(variances == 0.0):
        raise ValueError(f"rows {np.flatnonzero(variances == 0.0)[:8]} are constant: pruned before, or never trained")
    return np.log(variances)


def noise_shaped_variance(inputs: int, norm_exponent: float = 3.0, radius: float = 1.0) -> float:
    """Variance of a row of Gaussian noise whose L_p norm is ``radius``: ``R² / (D·E|z|^p)^(2/p)``, z ~ N(0, 1).

    Args:
        inputs: D, weights in a row.
        norm_exponent: p.
        radius: R.

    Returns:
        The variance.
    """
    p = norm_exponent
    absolute_moment = 2.0 ** (p / 2.0) * scipy.special.gamma((p + 1.0) / 2.0) / np.sqrt(np.pi)
    return float(radius**2 / (inputs * absolute_moment) ** (2.0 / p))


def largest_variance(inputs: int, norm_exponent: float = 3.0, radius: float = 1.0) -> float:
    """Upper bound of the variance of a row of L_p norm R, ``R² D^(-2/p)``; 0.0047 at D = 3072, p = 3, R = 1.

    The mean square is at most the 2/p-th power of the mean p-th power, for p ≥ 2.

    Args:
        inputs: weights per row, D.
        norm_exponent: p, at least 2.
        radius: R.
    """
    return radius**2 * inputs ** (-2.0 / norm_exponent)


def threshold_cut(log_variances: Float64[np.ndarray, " hidden"], variance: float = PUBLISHED_VARIANCE) -> Cut:
    """The published cut at a fixed variance.

    Args:
        log_variances: from :func:`log_variances`.
        variance: rows above it go.

    Returns:
        The cut, without a mixture.

    Raises:
        ValueError: if log-variances are not finite or the variance is not positive.
    """
    _check_finite(log_variances)
    if not variance > 0.0:
        raise ValueError(f"the variance to cut at must be positive, got {variance}")
    return Cut(variance, log_variances <= np.log(variance), None, {}, "fixed threshold")


def prune(
    synapses: Float[Array, "hidden inputs"], keep: Bool[Array | np.ndarray, " hidden"]
) -> Float[Array, "hidden inputs"]:
    """Synapses with the rows that are not kept set to zero; the shape stays."""
    return jnp.where(jnp.asarray(keep)[:, None], synapses, jnp.zeros((), synapses.dtype))


def mixture_cut(
    log_variances: Float64[np.ndarray, " hidden"],
    *,
    noise_variance: float | None = None,
    converged_variance: float | None = None,
    max_components: int = 5,
    significance: float = 1e-2,
    seed: int = 0,
) -> Cut:
    """The cut between image rows and noise rows, or none where the rows form a single mode.

    The result does not depend on the order of the rows; scaling all weights scales the cut.

    Args:
        log_variances: from :func:`log_variances`.
        noise_variance: variance of a noise-shaped row of converged norm, see :func:`noise_shaped_variance`; decides
            where to cut when there are several antimodes (module docstring).
        converged_variance: the most that a converged row can have, see :func:`largest_variance`; without it a handful
            of rows that never won is not told from a single mode.
        max_components: most components that BIC may choose.
        significance: bound on the probability of cutting a single mode, whatever its shape.
        seed: of the mixture's initialization.

    Returns:
        The cut; ``variance`` is None and every row is kept where nothing is pruned, with the reason.

    Raises:
        ValueError: if log-variances are not finite or an argument is out of range.
    """
    _check_finite(log_variances)
    if max_components < 1 or not 0.0 < significance < 1.0:
        raise ValueError(f"need max_components >= 1 and 0 < significance < 1, got {max_components} and {significance}")
    for name, variance in (("noise_variance", noise_variance), ("converged_variance", converged_variance)):
        if variance is not None and not variance > 0.0:
            raise ValueError(f"{name} must be positive, got {variance}")
    keep_all = np.ones(log_variances.shape, bool)
    rows = log_variances.size
    if rows < 2 * _FEWEST_ROWS_PER_COMPONENT:
        return Cut(None, keep_all, None, {}, f"nothing pruned: {rows} rows are too few to tell modes apart")
    ascending = np.sort(log_variances)
    center, spread = float(np.mean(ascending)), float(np.std(ascending))
    if spread < _CONSTANT_SPREAD:
        return Cut(None, keep_all, None, {}, "nothing pruned: all rows have the same variance")
    standardized = (ascending - center) / spread
    mixture, bic = best_mixture(standardized, min(max_components, rows // _FEWEST_ROWS_PER_COMPONENT), seed)
    # Equal values are one: a test of spacings would take values that are rounded for as many modes.
    distinct = standardized[np.diff(ascending, prepend=-np.inf) > _CONSTANT_SPREAD]
    antimodes, modes = borne_out_modes(mixture, standardized, distinct, significance)
    fitted = Mixture(mixture.weights, mixture.means * spread + center, mixture.standard_deviations * spread)
    one_mode = f"nothing pruned: the rows bear out one mode only (BIC describes it by {len(fitted.weights)} components)"
    chosen, reason = _choose(modes * spread + center, noise_variance) if antimodes.size else (None, one_mode)
    if chosen is None and converged_variance is not None:
        beyond = valley_beyond(distinct, (np.log(converged_variance) - center) / spread, significance / 2.0)
        if beyond is not None:
            keep = log_variances <= beyond * spread + center
            reason = f"{np.count_nonzero(~keep)} rows beyond the variance that a converged row can have"
            return Cut(float(np.exp(beyond * spread + center)), keep, fitted, bic, reason)
    if chosen is None:
        return Cut(None, keep_all, fitted, bic, reason)
    cut = float(antimodes[chosen]) * spread + center
    return Cut(float(np.exp(cut)), log_variances <= cut, fitted, bic, reason)


def _check_finite(log_variances: np.ndarray) -> None:
    if not np.all(np.isfinite(log_variances)):
        raise ValueError("log-variances must be finite")


def _choose(modes: np.ndarray, noise_variance: float | None) -> tuple[int | None, str]:
    """Index of the antimode to cut at, given the modes from low to high: number i lies between modes i and i + 1."""
    highest = modes.size - 2
    if noise_variance is None:
        return highest, f"{modes.size} modes: everything above the highest antimode is noise"
    images = int(np.count_nonzero(np.exp(modes) < _CLEARLY_BELOW_NOISE * noise_variance))
    if images == 0:
        return highest, f"{modes.size} modes, none of converged norm: everything above the highest antimode is noise"
    if images == modes.size:
        return None, f"nothing pruned: all {modes.size} modes lie below the variance of noise-shaped rows"
    return images - 1, f"{modes.size} modes: the {modes.size - images} at the variance of noise-shaped rows or above go"
