"""Whether a spectrum is a power law, as a statement that can fail.

A regression of log λ on log n returns an exponent and an r² near 1 for almost any falling spectrum. Three alternatives
are held against the straight line: a parabola (log λ bends smoothly), two straight segments (the exponent changes at a
break) and an exponential (log λ linear in n). Two traps are avoided. *Points*: n from 11 to 500 puts half of the points
into the last third of the log axis, and neighbours deviate together, so a test over eigenvalues finds everything
significant. The spectrum is averaged in bins of equal width in log n, and the number of bins is further reduced to
an effective one by the autocorrelation of the residuals. *Relevance*: no real spectrum is exactly straight, so evidence
alone does not reject a power law; the exponent must also change across the window by a share that matters.

Typical use, also with variances of held-out responses as Stringer et al. take them::

    diagnosis = diagnose_power_law(covariance_spectrum(covariance(test_features)), 11, 500)
    variances = held_out_spectrum(covariance(training_features), covariance(test_features))
    diagnose_power_law(variances, 11, 500), fit_weighted_power_law(variances)
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jax_bioadv.analysis.spectra import FitImpossible, PowerLawFit, fit_variances, logarithms_in_window
from jax_bioadv.analysis.spectra import fit_weighted_power_law as fit_weighted_power_law
from jax_bioadv.analysis.spectra import held_out_spectrum as held_out_spectrum

BINS = 24
EVIDENCE = 6.0
"""Difference of BIC that counts as strong evidence (Kass & Raftery 1995, doi 10.1080/01621459.1995.10476572)."""

EXPONENT_TOLERANCE = 0.2
"""A power law's exponent may differ between parts of the window by this share of itself."""

SCATTER_TOLERANCE = 0.25
"""Root mean square deviation of log λ, over bins, that may be left around the best description of a spectrum."""

# Deviations below this, in log λ, are rounding; an exact law must not lose to what fits its rounding better.
_RESOLUTION = 1e-4
# Two segments and their break need this many.
_LEAST_BINS = 8
_BREAKS = 60
_BIN_COUNTS = (20, 24, 28, 32)
# A standard error of the curvature needs more than its three parameters.
_LEAST_EFFECTIVE = 5.0


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


class _Description(NamedTuple):
    """A least-squares description of the binned spectrum; ``parameters`` counts a break as one."""

    design: Float64[np.ndarray, "bins columns"]
    coefficients: Float64[np.ndarray, " columns"]
    residuals: Float64[np.ndarray, " bins"]
    parameters: int

    @property
    def scatter(self) -> float:
        """Root mean square residual."""
        return float(np.sqrt(np.mean(self.residuals**2)))

    def bic(self, observations: float) -> float:
        """Bayesian information criterion up to a constant, as if there were so many independent bins."""
        variance = self.scatter**2 + _RESOLUTION**2
        return float(observations * np.log(variance) + self.parameters * np.log(observations))


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
    x, y, n = _binned(log_n, logarithms)
    descriptions, break_at = _descriptions(x, y, n)
    effective = min(_effective_bins(log_n, logarithms), float(x.size))
    bic = {name: description.bic(effective) for name, description in descriptions.items()}
    gains = {name: bic["power law"] - value for name, value in bic.items()}
    alphas = _exponents_of_halves(x, y)
    alpha = abs(float(descriptions["power law"].coefficients[1]))
    spread = max(alphas) - min(alphas)
    if alpha <= _RESOLUTION < spread:
        raise FitImpossible(
            "no power law to test: the exponent over the whole window is 0, and over halves of it "
            f"{min(alphas):.3g} to {max(alphas):.3g}, which is no share of 0"
        )
    change = spread / alpha if alpha > _RESOLUTION else 0.0
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


def _binned(
    log_n: Float64[np.ndarray, " used"], logarithms: Float64[np.ndarray, " used"], bins: int = BINS
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
    """Means of log n, log λ and n over those of equal bins of log n that hold an eigenvalue."""
    edges = np.linspace(log_n[0], log_n[-1], bins + 1)
    place = np.searchsorted(edges[1:-1], log_n, side="right")
    counts = np.bincount(place, minlength=bins)
    held = counts > 0
    if np.count_nonzero(held) < _LEAST_BINS:
        raise FitImpossible(
            f"no power law to test: {log_n.size} usable eigenvalues in the window fill {np.count_nonzero(held)} bins "
            f"of log n, and alternatives need {_LEAST_BINS}"
        )
    means = [np.bincount(place, values, bins)[held] / counts[held] for values in (log_n, logarithms, np.exp(log_n))]
    return means[0], means[1], means[2]


def _least_squares(columns: list[np.ndarray], y: np.ndarray, parameters: int) -> _Description:
    design = np.stack([np.ones_like(y), *(column - column.mean() for column in columns)], axis=1)
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    return _Description(design, coefficients, y - design @ coefficients, parameters)


def _descriptions(x: np.ndarray, y: np.ndarray, n: np.ndarray) -> tuple[dict[str, _Description], float]:
    """The four descriptions, and the n of the best break."""
    breaks = np.linspace(x[3], x[-4], _BREAKS)
    broken = [_least_squares([x, np.maximum(x - place, 0.0)], y, 4) for place in breaks]
    best = int(np.argmin([description.scatter for description in broken]))
    descriptions = {
        "power law": _least_squares([x], y, 2),
        "curved": _least_squares([x, (x - x.mean()) ** 2], y, 3),
        "broken": broken[best],
        "exponential": _least_squares([n], y, 2),
    }
    return descriptions, float(np.exp(breaks[best]))


def _effective_bins(log_n: Float64[np.ndarray, " used"], logarithms: Float64[np.ndarray, " used"]) -> float:
    """How many independent bins the spectrum is worth, a mean over several widths since each estimate is rough."""
    estimates = []
    for bins in _BIN_COUNTS:
        descriptions, _ = _descriptions(*_binned(log_n, logarithms, bins))
        count = float(descriptions["power law"].residuals.size)
        best = min(descriptions.values(), key=lambda description: description.bic(count))
        correlation = 0.0
        if best.scatter > _RESOLUTION:
            neighbours = best.residuals[1:] @ best.residuals[:-1]
            correlation = max(0.0, float(neighbours / (best.residuals @ best.residuals)))
        estimates.append(count * (1.0 - correlation) / (1.0 + correlation))
    return max(float(np.mean(estimates)), _LEAST_EFFECTIVE)


def _exponents_of_halves(x: np.ndarray, y: np.ndarray) -> list[float]:
    width = (x.size + 1) // 2
    starts = range(x.size - width + 1)
    fits = [_least_squares([x[start : start + width]], y[start : start + width], 2) for start in starts]
    return [-float(fit.coefficients[1]) for fit in fits]


def _curvature(parabola: _Description, effective: float) -> tuple[float, float]:
    """Second derivative and its standard error, the latter for so many independent bins."""
    bins, parameters = parabola.design.shape
    freedom = effective - parameters
    inverse = np.linalg.inv(parabola.design.T @ parabola.design)
    variance = parabola.scatter**2 * inverse[2, 2] * bins / freedom
    return 2.0 * float(parabola.coefficients[2]), 2.0 * float(np.sqrt(variance))
