"""A spectrum of two power laws that meet: both exponents, the place of the break, and intervals.

Such is the spectrum of mouse V1 (Pospisil & Pillow, PNAS 2025), of which a single law fits the mean alone::

    found = fit_broken_power_law(covariance_spectrum(covariance(features)))
    found.first_alpha, found.break_at, found.second_alpha
"""

import functools
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float64

from jax_bioadv.analysis.binned_spectrum import BREAKS, Description, binned, effective_bins, least_squares
from jax_bioadv.analysis.spectra import logarithms_in_window

MOUSE_V1 = {"first_alpha": (0.52, 0.44, 0.63), "break_at": (15.0, 10.0, 24.0), "second_alpha": (1.20, 1.12, 1.28)}
"""Median, lowest and highest of seven recordings of mouse V1 (Pospisil & Pillow, PNAS 2025)."""


class BrokenPowerLaw(NamedTuple):
    """Two power laws that meet at ``break_at``, with an interval of each number.

    ``delta_bic``: BIC of a single power law less that of the two, positive where the break is earned. An interval of
    the break that reaches both ends of ``breaks_tried`` says that it is nowhere in particular.
    """

    first_alpha: float
    first_interval: tuple[float, float]
    break_at: float
    break_interval: tuple[float, float]
    second_alpha: float
    second_interval: tuple[float, float]
    delta_bic: float
    breaks_tried: tuple[float, float]
    window: tuple[int, int]


def broken_law(
    n: Float64[np.ndarray, " ranks"], first_alpha: float, break_at: float, second_alpha: float
) -> Float64[np.ndarray, " ranks"]:
    """``λ_n / λ_1`` of two power laws that meet.

    Args:
        n: ranks, from 1.
        first_alpha: exponent up to the break.
        break_at: rank where they meet, at least 1.
        second_alpha: exponent behind it.
    """
    before = np.minimum(n, float(break_at)) ** -first_alpha
    return np.asarray(before * np.maximum(n / break_at, 1.0) ** -second_alpha)


def fit_broken_power_law(
    variances: Float64[np.ndarray, " units"],
    first: int = 1,
    last: int = 500,
    floor: float = 1e-7,
    *,
    confidence: float = 0.95,
) -> BrokenPowerLaw:
    """Two exponents and the break between them, by least squares over bins of equal width in log n.

    An interval is a profile: all values for which the others can be chosen such that the sum of squares stays below
    the limit of an F-test, for as many independent observations as the bins are worth, which scatter as all of them
    or as the leading half do, whichever is more.

    Args:
        variances: eigenvalues, or held-out variances; they need not fall.
        first: first n of the window, counted from 1; a break before it cannot be seen.
        last: last n of the window, included.
        floor: as in :func:`jax_bioadv.analysis.spectra.fit_variances`.
        confidence: of the intervals.

    Returns:
        The exponents before and after the break, the n of the break, their intervals.

    Raises:
        FitImpossible: as in ``fit_variances``, and if the window holds too few eigenvalues for two exponents.
        ValueError: if the arguments make no sense, or variances are not finite or negative.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    log_n, logarithms = logarithms_in_window(variances, first, last, floor)
    x, y, _ = binned(log_n, logarithms)

    @functools.cache  # each break that is tried is asked for again by the intervals
    def at(place: float) -> Description:
        return least_squares([x, np.maximum(x - place, 0.0)], y, 4)

    def missed(place: float) -> float:
        return float(np.sum(at(place).residuals ** 2))

    places = np.linspace(x[2], x[-3], 4 * BREAKS)
    nearest = int(np.argmin([missed(place) for place in places]))
    around = places[max(nearest - 1, 0)], places[min(nearest + 1, places.size - 1)]
    best = float(scipy.optimize.minimize_scalar(missed, bounds=around, method="bounded", options={"xatol": 1e-6}).x)
    effective = min(effective_bins(log_n, logarithms), float(x.size))
    freedom = effective - 4
    squares = at(best).residuals ** 2
    # The leading bins hold one eigenvalue each, the last ones dozens, whose mean scatters less.
    scatter = max(float(squares.mean()), float(squares[: x.size // 2].mean()))
    limit = float(squares.sum()) + scipy.stats.f.ppf(confidence, 1, freedom) * scatter * x.size / freedom
    inside = [best, *(float(place) for place in places if missed(place) < limit)]

    def exponent(chosen: list[float]) -> tuple[float, tuple[float, float]]:
        """Of the sum of the slopes that are chosen."""
        direction, ends = np.array([0.0, *chosen]), []
        for place in inside:
            found = at(place)
            room = max(limit - float(np.sum(found.residuals**2)), 0.0)
            arm = np.sqrt(room * (direction @ np.linalg.inv(found.design.T @ found.design) @ direction))
            ends += [-float(direction @ found.coefficients) + sign * float(arm) for sign in (-1, 1)]
        return -float(direction @ at(best).coefficients), (min(ends), max(ends))

    single, broken = least_squares([x], y, 2).bic(effective), at(best).bic(effective)
    return BrokenPowerLaw(
        *exponent([1.0, 0.0]),
        float(np.exp(best)),
        (float(np.exp(min(inside))), float(np.exp(max(inside)))),
        *exponent([1.0, 1.0]),
        single - broken,
        (float(np.exp(places[0])), float(np.exp(places[-1]))),
        (first, first + log_n.size - 1),
    )
