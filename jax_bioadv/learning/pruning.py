"""Pruning of rows that stayed noise: Krotov–Hopfield units that never won.

Holzhausen et al. (arXiv 2405.00679) see two components in the log-variances of the rows of W: rows that took the shape
of images have a low variance, rows that never won keep the high variance of their start N(0, σ²). The rows above a cut
between the two are set to zero; the paper's first cut is a variance of 0.0015.

:func:`mixture_cut` places the cut by a Gaussian mixture in log-variance. Deviations from the paper, which decides by a
χ² likelihood-ratio test that is not valid for mixture components:

1. BIC chooses the number of components. They describe the density and nothing more: a skewed mode takes several.
2. A cut lies at an antimode (a local minimum between two maxima) of the fitted density.
3. The antimode must be real. The rows themselves, not the fit, must refute that the density rises or falls across it:
   in the manner of Dümbgen & Walther (Ann. Stat. 2008, doi 10.1214/07-AOS521), spacings of the order statistics are
   compared on both sides of the valley, corrected for the choice among all triples of rows. Whatever the shape of a
   single mode, skewed or heavy-tailed, the probability that anything is cut is at most ``significance``.
4. A handful of rows is too few for a test that looks everywhere. Beyond the variance that a row of norm R can have
   (:func:`largest_variance`), where rows have not converged, there is a test that looks there alone: three rows that
   lie close together, far above all others, are enough. One or two rows, and a tail that thins out, are kept.

With more than two modes it matters which of them are images. Given the variance of a noise-shaped row whose norm has
converged (:func:`noise_shaped_variance`; 0.0035 at D = 3072, p = 3, R = 1), modes clearly below it are images and the
cut lies above the highest of those: rows that won sometimes and remained noise are pruned with those that never won.
Without it, or where no mode lies below it (the norms have not converged), the cut is the highest antimode, which prunes
least: an unpruned noise row costs little, a pruned image row costs what it had learnt.
"""

import warnings
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Bool, Float, Float64

from jax_bioadv.extras import extra

PUBLISHED_VARIANCE = 0.0015
# Log-variances closer together than this differ by the rounding of float32 weights.
_CONSTANT_SPREAD = 1e-6
_FEWEST_ROWS_PER_COMPONENT = 5
# A converged norm is within 1 % of R and a sampled variance within a few times sqrt(2/D) of its expectation, while
# image-shaped rows have about a third of the variance of noise.
_CLEARLY_BELOW_NOISE = 0.8
_WATER_LEVELS = 16


class Mixture(NamedTuple):
    """Gaussian mixture of the log-variances, components in ascending order of their means."""

    weights: Float64[np.ndarray, " components"]
    means: Float64[np.ndarray, " components"]
    standard_deviations: Float64[np.ndarray, " components"]


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
    mixture, bic = _best_mixture(standardized, min(max_components, rows // _FEWEST_ROWS_PER_COMPONENT), seed)
    # Equal values are one: a test of spacings would take values that are rounded for as many modes.
    distinct = standardized[np.diff(ascending, prepend=-np.inf) > _CONSTANT_SPREAD]
    antimodes, modes = _modes(mixture, standardized, distinct, significance)
    fitted = Mixture(mixture.weights, mixture.means * spread + center, mixture.standard_deviations * spread)
    if antimodes.size == 0 and converged_variance is not None:
        beyond = _valley_beyond(distinct, (np.log(converged_variance) - center) / spread, significance / 2.0)
        if beyond is not None:
            keep = log_variances <= beyond * spread + center
            reason = f"{np.count_nonzero(~keep)} rows beyond the variance that a converged row can have"
            return Cut(float(np.exp(beyond * spread + center)), keep, fitted, bic, reason)
    if antimodes.size == 0:
        reason = (
            f"nothing pruned: the rows bear out one mode only (BIC describes it by {len(fitted.weights)} components)"
        )
        return Cut(None, keep_all, fitted, bic, reason)
    chosen, reason = _choose(modes * spread + center, noise_variance)
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


def _best_mixture(values: np.ndarray, max_components: int, seed: int) -> tuple[Mixture, dict[int, float]]:
    """The mixture with the lowest BIC; ``values`` have mean 0 and variance 1."""
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


def _valley_beyond(values: np.ndarray, bound: float, significance: float) -> float | None:
    """The middle of the lowest empty valley beyond a bound that the distinct, sorted values bear out; None without one.

    If the density fell beyond the valley's lower edge, the rows between this and the highest one would lie no further
    up than uniform ones: that all n of them keep to the upper share u has a chance of at most uⁿ. If it rose up to the
    valley's upper edge, the same holds of the rows below, downwards. The bound is given beforehand: all that is chosen
    is one of the gaps beyond it, for which the significance is divided by their number.
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


def _modes(
    mixture: Mixture, values: np.ndarray, distinct: np.ndarray, significance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Antimodes of the density that the sorted values bear out, and the modes that they separate, both ascending."""
    grid, density, minima = _antimodes(mixture, values)
    borne_out = {_confirmed(grid, density, low, distinct, significance) for low in minima}
    cuts = sorted(cut for cut in borne_out if cut is not None)
    pieces = np.split(np.arange(grid.size), cuts)
    modes = [grid[piece[np.argmax(density[piece])]] for piece in pieces]
    return grid[np.array(cuts, int)], np.array(modes)


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
    :func:`_valley_beyond`.
    """
    spacings = values.size - 1
    share = (values[flank] - values[0]) / (values[-1] - values[0])
    chance = scipy.special.betainc(flank, spacings - flank, share)
    return bool(chance <= significance / 2.0 * (spacings / rows) / (15.0 * rows))
