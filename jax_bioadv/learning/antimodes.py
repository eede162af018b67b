"""Valleys between the modes of a sample: where a Gaussian mixture has them, and whether the values bear them out.

In the manner of Dümbgen & Walther (Ann. Stat. 2008, doi 10.1214/07-AOS521), spacings of the order statistics are
compared on both sides of a valley, corrected for the choice among all triples of values: a single mode of whatever
shape, skewed or heavy-tailed, is split with a probability of at most the significance.
"""

import warnings
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Float64

from jax_bioadv.extras import extra

_WATER_LEVELS = 16


class Mixture(NamedTuple):
    """Gaussian mixture of a sample, components in ascending order of their means."""

    weights: Float64[np.ndarray, " components"]
    means: Float64[np.ndarray, " components"]
    standard_deviations: Float64[np.ndarray, " components"]


def best_mixture(values: np.ndarray, max_components: int, seed: int) -> tuple[Mixture, dict[int, float]]:
    """The mixture with the lowest BIC.

    Args:
        values: the sample, of mean 0 and variance 1.
        max_components: most that are tried.
        seed: of the fits.

    Returns:
        The mixture, and the BIC of every number of components.
    """
    with extra("analysis"):
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture
    column = values[:, None]
    fits = {}
    with warnings.catch_warnings():
        # Unconverged or coinciding components only make that number of components less likely to be chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for components in range(1, max_components + 1):
            fits[components] = GaussianMixture(
                components, n_init=5, max_iter=300, init_params="k-means++", random_state=seed
            ).fit(column)
    bic = {components: float(fit.bic(column)) for components, fit in fits.items()}
    best = fits[min(bic, key=lambda components: bic[components])]
    order = np.argsort(best.means_[:, 0])
    deviations = np.sqrt(best.covariances_[order, 0, 0])
    return Mixture(best.weights_[order], best.means_[order, 0], deviations), bic


def borne_out_modes(
    mixture: Mixture, values: np.ndarray, distinct: np.ndarray, significance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Antimodes of the mixture's density that the values bear out, and the modes that they separate.

    Args:
        mixture: from :func:`best_mixture`.
        values: the sorted sample.
        distinct: its values without repetitions, which a test of spacings would take for modes.
        significance: bound on the probability of splitting a single mode.

    Returns:
        Both ascending, one mode more than antimodes.
    """
    grid, density, minima = _antimodes(mixture, values)
    borne_out = {_confirmed(grid, density, low, distinct, significance) for low in minima}
    cuts = sorted(cut for cut in borne_out if cut is not None)
    pieces = np.split(np.arange(grid.size), cuts)
    modes = [grid[piece[np.argmax(density[piece])]] for piece in pieces]
    return grid[np.array(cuts, int)], np.array(modes)


def valley_beyond(values: np.ndarray, bound: float, significance: float) -> float | None:
    """The middle of the lowest empty valley beyond a bound that the distinct, sorted values bear out; None without one.

    If the density fell beyond the valley's lower edge, the rows between this and the highest one would lie no further
    up than uniform ones: that all n of them keep to the upper share u has a chance of at most uⁿ. If it rose up to the
    valley's upper edge, the same holds of the rows below, downwards. The bound is given beforehand: all that is chosen
    is one of the gaps beyond it, for which the significance is divided by their number.

    Args:
        values: distinct and sorted.
        bound: beyond which a valley is looked for.
        significance: bound on the probability of finding one in a sample that has none.
    """
    first, rows = int(np.searchsorted(values, bound, side="right")), values.size
    gaps = range(max(first, 1), rows - 2)
    if 2 * first <= rows:
        return None
    for gap in gaps:
        low, high = max(values[gap - 1], bound), values[gap]
        above = ((values[-1] - high) / (values[-1] - low)) ** (rows - 1 - gap)
        below = ((values[gap - 1] - values[0]) / (high - values[0])) ** (gap - 1)
        if max(above, below) <= significance / len(gaps):
            return float(low + high) / 2.0
    return None


def _log_density(mixture: Mixture, points: np.ndarray) -> np.ndarray:
    distance = (points[:, None] - mixture.means) / mixture.standard_deviations
    heights = mixture.weights / (np.sqrt(2.0 * np.pi) * mixture.standard_deviations)
    return scipy.special.logsumexp(-0.5 * distance**2, axis=1, b=heights)


def _antimodes(mixture: Mixture, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """A grid over the sorted values, the fitted density's logarithm on it, and the indices of its local minima."""
    deviations = np.linspace(-6.0, 6.0, 241)[:, None] * mixture.standard_deviations
    grid = np.unique(np.concatenate([(mixture.means + deviations).ravel(), np.linspace(values[0], values[-1], 1001)]))
    grid = grid[(grid >= values[0]) & (grid <= values[-1])]
    density = _log_density(mixture, grid)
    falls_then_rises = (density[1:-1] < density[:-2]) & (density[1:-1] <= density[2:])
    return grid, density, (np.flatnonzero(falls_then_rises) + 1).tolist()


def _confirmed(grid: np.ndarray, density: np.ndarray, low: int, values: np.ndarray, significance: float) -> int | None:
    """Index of the bottom of the valley around a local minimum, if the values refute that there is no valley.

    Water rises from the local minimum to the lower of the summits on its two sides. At every level the valley is what
    is under water and its flanks are the land next to it; a small bump in the valley drowns early.
    """
    brim = min(density[:low].max(), density[low + 1 :].max())
    for level in np.linspace(density[low], brim, _WATER_LEVELS + 2)[1:-1]:
        land, water = np.flatnonzero(density > level), np.flatnonzero(density <= level)
        shores = land[land < low][-1], land[land > low][0]
        flank_ends = (
            np.max(water[water < shores[0]], initial=0),
            np.min(water[water > shores[1]], initial=grid.size - 1),
        )
        start, right = np.searchsorted(values, grid[[flank_ends[0], shores[1]]]).tolist()
        left, end = (np.searchsorted(values, grid[[shores[0], flank_ends[1]]], side="right") - 1).tolist()
        if start < left < right < end:
            rising_refuted = _density_falls(values[start : right + 1], left - start, values.size, significance)
            falling_refuted = _density_falls(-values[left : end + 1][::-1], end - right, values.size, significance)
            if rising_refuted and falling_refuted:
                return int(shores[0] + np.argmin(density[shores[0] : shores[1] + 1]))
    return None


def _density_falls(values: np.ndarray, flank: int, rows: int, significance: float) -> bool:
    """Whether the sorted values refute that their density rises, being too crowded up to ``values[flank]``.

    If it rose, the share of the values' span that lies before ``values[flank]`` would be stochastically larger than the
    ``flank``-th of as many sorted uniform numbers as there are values between the first and the last: a beta variable.
    The correction for the choice of the three values is for the worst case, uniform rows: there the probability that
    any triple of n rows, k spacings wide, has a chance below t·k/n was found to be 5·n·t to 6·n·t by simulation, for n
    from 30 to 240. Here it is taken as 15·n·t, for each of the two directions, which leaves half of the significance to
    :func:`valley_beyond`.
    """
    spacings = values.size - 1
    share = (values[flank] - values[0]) / (values[-1] - values[0])
    chance = scipy.special.betainc(flank, spacings - flank, share)
    return bool(chance <= significance / 2.0 * (spacings / rows) / (15.0 * rows))
