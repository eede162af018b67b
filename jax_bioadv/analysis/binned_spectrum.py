"""A spectrum in bins of equal width in log n, its least-squares descriptions there, and how many bins are independent.

What :mod:`jax_bioadv.analysis.power_law` decides, and what :mod:`jax_bioadv.analysis.broken_power_law` fits, rests on
these.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from jax_bioadv.analysis.spectra import FitImpossible

BINS = 24
# Deviations below this, in log λ, are rounding; an exact law must not lose to what fits its rounding better.
RESOLUTION = 1e-4
# Two segments and their break need this many.
LEAST_BINS = 8
BREAKS = 60
_BIN_COUNTS = (20, 24, 28, 32)
# A standard error of the curvature needs more than its three parameters.
_LEAST_EFFECTIVE = 5.0


class Description(NamedTuple):
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
        variance = self.scatter**2 + RESOLUTION**2
        return float(observations * np.log(variance) + self.parameters * np.log(observations))


def binned(
    log_n: Float64[np.ndarray, " used"], logarithms: Float64[np.ndarray, " used"], bins: int = BINS
) -> tuple[Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"], Float64[np.ndarray, " bins"]]:
    """Means of log n, log λ and n over those of equal bins of log n that hold an eigenvalue."""
    edges = np.linspace(log_n[0], log_n[-1], bins + 1)
    place = np.searchsorted(edges[1:-1], log_n, side="right")
    counts = np.bincount(place, minlength=bins)
    held = counts > 0
    if np.count_nonzero(held) < LEAST_BINS:
        raise FitImpossible(
            f"no power law to test: {log_n.size} usable eigenvalues in the window fill {np.count_nonzero(held)} bins "
            f"of log n, and alternatives need {LEAST_BINS}"
        )
    means = [np.bincount(place, values, bins)[held] / counts[held] for values in (log_n, logarithms, np.exp(log_n))]
    return means[0], means[1], means[2]


def least_squares(columns: list[np.ndarray], y: np.ndarray, parameters: int) -> Description:
    """Describe y by a constant and these columns, each about its mean."""
    design = np.stack([np.ones_like(y), *(column - column.mean() for column in columns)], axis=1)
    coefficients = np.linalg.lstsq(design, y, rcond=None)[0]
    return Description(design, coefficients, y - design @ coefficients, parameters)


def descriptions_of(x: np.ndarray, y: np.ndarray, n: np.ndarray) -> tuple[dict[str, Description], float]:
    """The four descriptions, and the n of the best break."""
    breaks = np.linspace(x[3], x[-4], BREAKS)
    broken = [least_squares([x, np.maximum(x - place, 0.0)], y, 4) for place in breaks]
    best = int(np.argmin([description.scatter for description in broken]))
    descriptions = {
        "power law": least_squares([x], y, 2),
        "curved": least_squares([x, (x - x.mean()) ** 2], y, 3),
        "broken": broken[best],
        "exponential": least_squares([n], y, 2),
    }
    return descriptions, float(np.exp(breaks[best]))


def effective_bins(log_n: Float64[np.ndarray, " used"], logarithms: Float64[np.ndarray, " used"]) -> float:
    """How many independent bins the spectrum is worth, a mean over several widths since each estimate is rough."""
    estimates = []
    for bins in _BIN_COUNTS:
        descriptions, _ = descriptions_of(*binned(log_n, logarithms, bins))
        count = float(descriptions["power law"].residuals.size)
        best = min(descriptions.values(), key=lambda description: description.bic(count))
        correlation = 0.0
        if best.scatter > RESOLUTION:
            neighbours = best.residuals[1:] @ best.residuals[:-1]
            correlation = max(0.0, float(neighbours / (best.residuals @ best.residuals)))
        estimates.append(count * (1.0 - correlation) / (1.0 + correlation))
    return max(float(np.mean(estimates)), _LEAST_EFFECTIVE)
