"""Whether a spectrum is a power law, as a statement that can fail.

A regression of log λ on log n returns an exponent and an r² near 1 for almost any falling spectrum. Three alternatives
are held against the straight line: a parabola (log λ bends smoothly), two straight segments (the exponent changes at a
break) and an exponential (log λ linear in n). Two traps are avoided. *Points*: n from 11 to 500 puts nearly three
quarters of the points into the last third of the log axis, and neighbours deviate together, so a test over eigenvalues
finds everything significant. The spectrum is averaged in bins of equal width in log n, and the number of bins is
further reduced to an effective one by the autocorrelation of the residuals. *Relevance*: no real spectrum is exactly
straight, so evidence alone does not reject a power law; the exponent must also change across the window by a share that
matters.

Typical use, also with variances of held-out responses as Stringer et al. take them::

    diagnosis = diagnose_power_law(covariance_spectrum(covariance(test_features)), 11, 500)
    variances = held_out_spectrum(covariance(training_features), covariance(test_features))
    diagnose_power_law(variances, 11, 500), fit_weighted_power_law(variances)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jax_bioadv.analysis.binned_spectrum import (
    RESOLUTION,
    Description,
    binned,
    descriptions_of,
    effective_bins,
    least_squares,
)
from jax_bioadv.analysis.spectra import FitImpossible, PowerLawFit, fit_variances, logarithms_in_window
from jax_bioadv.analysis.spectra import fit_weighted_power_law as fit_weighted_power_law
from jax_bioadv.analysis.spectra import held_out_spectrum as held_out_spectrum

EVIDENCE = 6.0
"""Difference of BIC that counts as strong evidence (Kass & Raftery 1995, doi 10.1080/01621459.1995.10476572)."""

EXPONENT_TOLERANCE = 0.2
"""A power law's exponent may differ between parts of the window by this share of itself."""

SCATTER_TOLERANCE = 0.25
"""Root mean square deviation of log λ, over bins, that may be left around the best description of a spectrum."""


class PowerLawDiagnosis(NamedTuple):
    """What :func:`diagnose_power_law` found; logarithms are natural.

    ``fit``: least squares over all eigenvalues of the window. ``curvature``: second derivative of log λ by log n,
    negative where the spectrum steepens. ``alpha_range``: smallest and largest exponent over windows that hold half
    of the bins. ``exponent_change``: their difference as a share of the exponent. ``…_delta_bic``: BIC of the
    power law less that of the alternative, positive where the alternative is better. ``break_at``: n of the best
    break. ``max_deviation``: largest absolute residual of ``fit``. ``scatter``: root mean square residual of the
    power law over bins. ``effective_bins``: the independent observations that BIC and ``curvature_stderr`` count.
    """

    verdict: str
    fit: PowerLawFit
    curvature: float
    curvature_stderr: float
    alpha_range: tuple[float, float]
    exponent_change: float
    curved_delta_bic: float
    broken_delta_bic: float
    exponential_delta_bic: float
    break_at: float
    max_deviation: float
    scatter: float
    effective_bins: float


def diagnose_power_law(
    variances: Float64[np.ndarray, " units"],
    first: int = 11,
    last: int = 500,
    floor: float = 1e-7,
    *,
    tolerance: float | int = EXPONENT_TOLERANCE,
    evidence: float | int = EVIDENCE,
) -> PowerLawDiagnosis:
    """Tests whether ``λ_n ∝ n^-α`` holds in a window, against three alternatives.

    The verdict, the first that applies:

    * "not a power law": what describes the bins best (line, parabola, two segments or exponential) still misses
      them by more than 0.25 in log λ (root mean square), so none of the four is the spectrum's form;
    * "power law": the exponent differs between half windows by at most ``tolerance`` of itself, whatever the
      evidence for a deviation so small;
    * "curved", "broken" or "exponential": the exponent changes by more, and this alternative has the lowest BIC, by
      more than ``evidence`` below the power law's;
    * "undecided": the exponent changes by more, yet irregularly or over so few independent bins that no alternative
      earns that evidence. It is no support for a power law.

    Args:
        variances: eigenvalues, or held-out variances; they need not fall.
        first: first n of the window, counted from 1.
        last: last n of the window, included.
        floor: as in :func:`jax_bioadv.analysis.spectra.fit_variances`.
        tolerance: change of the exponent, as a share of it, from which a deviation is relevant.
        evidence: difference of BIC from which it is believed.

    Returns:
        The verdict and what it rests on.

    Raises:
        FitImpossible: as in ``fit_variances``, and if the window holds too few eigenvalues to tell alternatives apart,
            or a spectrum that falls as much as it rises, whose exponent changes by no share of itself.
        ValueError: if the arguments make no sense, or variances are not finite or negative.
    """
    if not tolerance > 0.0 or not evidence >= 0.0:
        raise ValueError(f"tolerance must be positive and evidence not negative, got {tolerance} and {evidence}")
    fit = fit_variances(variances, first, last, floor)
    log_n, logarithms = logarithms_in_window(variances, first, last, floor)
    residuals = logarithms - logarithms.mean() + fit.alpha * (log_n - log_n.mean())
    x, y, n = binned(log_n, logarithms)
    descriptions, break_at = descriptions_of(x, y, n)
    effective = min(effective_bins(log_n, logarithms), float(x.size))
    bic = {name: description.bic(effective) for name, description in descriptions.items()}
    gains = {name: bic["power law"] - value for name, value in bic.items()}
    alphas = _exponents_of_halves(x, y)
    alpha = abs(float(descriptions["power law"].coefficients[1]))
    spread = max(alphas) - min(alphas)
    if alpha <= RESOLUTION < spread:
        raise FitImpossible(
            "no power law to test: the exponent over the whole window is 0, and over halves of it "
            f"{min(alphas):.3g} to {max(alphas):.3g}, which is no share of 0"
        )
    change = spread / alpha if alpha > RESOLUTION else 0.0
    best = max(gains, key=lambda name: gains[name])
    if descriptions[best].scatter > SCATTER_TOLERANCE:
        verdict = "not a power law"
    elif change <= tolerance:
        verdict = "power law"
    else:
        verdict = best if gains[best] > evidence else "undecided"
    curvature, curvature_stderr = _curvature(descriptions["curved"], effective)
    return PowerLawDiagnosis(
        verdict=verdict,
        fit=fit,
        curvature=curvature,
        curvature_stderr=curvature_stderr,
        alpha_range=(min(alphas), max(alphas)),
        exponent_change=change,
        curved_delta_bic=gains["curved"],
        broken_delta_bic=gains["broken"],
        exponential_delta_bic=gains["exponential"],
        break_at=break_at,
        max_deviation=float(np.abs(residuals).max()),
        scatter=descriptions["power law"].scatter,
        effective_bins=effective,
    )


def _exponents_of_halves(x: np.ndarray, y: np.ndarray) -> list[float]:
    width = (x.size + 1) // 2
    starts = range(x.size - width + 1)
    fits = [least_squares([x[start : start + width]], y[start : start + width], 2) for start in starts]
    return [-float(fit.coefficients[1]) for fit in fits]


def _curvature(parabola: Description, effective: float) -> tuple[float, float]:
    """Second derivative and its standard error, the latter for so many independent bins."""
    bins, parameters = parabola.design.shape
    freedom = effective - parameters
    inverse = np.linalg.inv(parabola.design.T @ parabola.design)
    variance = parabola.scatter**2 * inverse[2, 2] * bins / freedom
    return 2.0 * float(parabola.coefficients[2]), 2.0 * float(np.sqrt(variance))
