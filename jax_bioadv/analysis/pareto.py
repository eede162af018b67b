"""Which of many networks no other beats in two things at once, and how far one lies from that front.

Both things are such that more is better: accuracy, and the logarithm of a critical distance. The front at an accuracy
is the largest distance among the networks that are at least that accurate. The largest of many noisy numbers is too
large, and so is that front; the network that is best by some seeds, looked at with another one, is not the best for
sure, and makes one that is too low. What lies above the first, or below the second, does so without any luck::

    found = distance_from_front(accuracy, log_distance, accuracy_of_the_rule, log_distance_of_the_rule)
    found.above_highest, found.above_chosen
"""

import math
from typing import NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float

PerNetwork = Float[np.ndarray, " networks"]
Interval = tuple[float, float] | None


class Gap(NamedTuple):
    """How far a network lies above (positive) or below a front; None where nothing is as accurate.

    ``above_highest``: above the largest of the other networks' means, a front that is too high. ``above_chosen``: above
    those that are best by the other seeds, seed by seed, a front that is too low. Each with its 95 % interval, which is
    None of one seed.
    """

    above_highest: float | None
    highest_interval: Interval
    above_chosen: float | None
    chosen_interval: Interval


def on_front(accuracy: PerNetwork, robustness: PerNetwork) -> Bool[np.ndarray, " networks"]:
    """Whether no other network is better in one of the two and no worse in the other; ValueError for a NaN."""
    _check_numbers(accuracy, robustness)
    no_worse = (accuracy >= accuracy[:, None]) & (robustness >= robustness[:, None])
    better = (accuracy > accuracy[:, None]) | (robustness > robustness[:, None])
    return np.asarray(~(no_worse & better).any(axis=1))


def front_at(accuracy: PerNetwork, robustness: PerNetwork, at: float) -> int | None:
    """Which network of that accuracy at least is the most robust; None where there is none, ValueError for a NaN."""
    _check_numbers(accuracy, robustness, at)
    there = np.flatnonzero(accuracy >= at)
    return int(there[np.argmax(robustness[there])]) if there.size else None


def _check_numbers(*measures: PerNetwork | float) -> None:
    if any(np.isnan(each).any() for each in measures):
        raise ValueError("accuracy or robustness is NaN, which is on neither side of a front; leave such networks out")


def distance_from_front(
    accuracy: np.ndarray,
    robustness: np.ndarray,
    own_accuracy: np.ndarray,
    own_robustness: np.ndarray,
    image_error: float = 0.0,
) -> Gap:
    """How far one network lies above the front of others, at its accuracy.

    Args:
        accuracy: of the networks that make the front, (networks, seeds).
        robustness: theirs.
        own_accuracy: of the network in question, (seeds,).
        own_robustness: its own.
        image_error: standard error of a difference in robustness that comes from the images, which all seeds share.

    Returns:
        The gap in robustness. The scatter of seeds is taken to be that of all networks together.

    Raises:
        ValueError: shapes that do not fit, or a number that is not finite.
    """
    seeds = len(own_accuracy)
    if accuracy.shape != robustness.shape or accuracy.shape[1:] != (seeds,) or own_robustness.shape != (seeds,):
        raise ValueError(
            f"numbers by seed must go together, got {accuracy.shape}, {robustness.shape}, {own_accuracy.shape} and "
            f"{own_robustness.shape}"
        )
    if not all(np.isfinite(one).all() for one in (accuracy, robustness, own_accuracy, own_robustness)):
        raise ValueError("accuracy and robustness must be finite")
    best = front_at(accuracy.mean(axis=1), robustness.mean(axis=1), float(own_accuracy.mean()))
    if best is None:
        return Gap(None, None, None, None)
    highest = float(own_robustness.mean() - robustness[best].mean())
    if seeds < 2:
        return Gap(highest, None, None, None)
    gaps = []
    for seed in range(seeds):
        others = np.arange(seeds) != seed
        means = (one[..., others].mean(axis=-1) for one in (accuracy, robustness, own_accuracy))
        chosen = front_at(*means)
        if chosen is not None:
            gaps.append(own_robustness[seed] - robustness[chosen, seed])
    freedom = len(robustness) * (seeds - 1)
    variance = float(robustness.var(axis=1, ddof=1).mean())
    arm = float(scipy.stats.t.ppf(0.975, freedom)) * math.hypot(math.sqrt(2 * variance / seeds), image_error)
    low = float(np.mean(gaps)) if len(gaps) == seeds else None
    return Gap(highest, (highest - arm, highest + arm), low, None if low is None else (low - arm, low + arm))
