"""Intervals over seeds and images at once, and what stands for seeds of which some are infinite.

All seeds of an experiment are measured on the same test images. Their scatter says how far the next network may lie
from these, and nothing about other images: five networks agree closely about two hundred images. An interval that is
shown must cover both, so the two parts are added as their variances are (MOVER, Zou & Donner 2008,
doi 10.1002/sim.3095): Student's t over seeds, and each network's own interval over images, taken as if the images'
chance were the same for all networks. It errs towards too wide, by the part of it that differs between them::

    overall([0.22, 0.24, 0.21], [share_interval(share, 200) for share in (0.22, 0.24, 0.21)])

A critical perturbation beyond all strengths tried is infinite. **The one policy**: where any seed is infinite, the
median over seeds stands for them, infinity being the largest (of two middle ones the larger); the true mean is at least
as large as what was tried says, so this is a lower bound, with an interval that is open above, and is marked as one.
"""

import math
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import scipy
from jax import Array

Interval = Sequence[float | int | None]
"""Lower and upper end; None is infinity, as JSON has none."""


class Overall(NamedTuple):
    """What a quantity of several seeds comes to.

    ``centre``: the mean over seeds; their median where some are infinite. ``interval``: None where nothing is known of
    it, as for one seed without images. ``over``: what the interval covers: "seeds and images", "seeds", "images" or
    "nothing". ``seeds``: how many have a number. ``infinite``: how many of them are infinite.
    """

    centre: float
    interval: tuple[float, float] | None
    over: str
    seeds: int
    infinite: int


def overall(
    values: Sequence[Any] | np.ndarray | Array,
    image_intervals: Sequence[Interval | None] | None = None,
    *,
    confidence: float = 0.95,
) -> Overall | None:
    """The centre of a quantity over seeds, with an interval over seeds and images.

    Args:
        values: one number per seed; None or NaN where it is missing.
        image_intervals: each seed's 95 % interval over its images, in the same order; None where there are no images
            (an exponent of a spectrum) or where they were not kept.
        confidence: of the result; the images' part is scaled as a normal one.

    Returns:
        What it comes to, or None where no seed has a number.

    Raises:
        ValueError: confidence is not between 0 and 1, or there are other numbers of seeds and of intervals.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    known = np.flatnonzero(~np.isnan(numbers))
    if not known.size:
        return None
    if image_intervals is not None and len(image_intervals) != numbers.size:
        raise ValueError(f"each of {numbers.size} seeds needs an interval or None, got {len(image_intervals)}")
    numbers = numbers[known]
    ends = _ends(image_intervals, known)
    over = {(True, True): "seeds and images", (True, False): "seeds", (False, True): "images"}.get(
        (numbers.size > 1, ends is not None), "nothing"
    )
    infinite = int(np.isinf(numbers).sum())
    if infinite:
        centre = float(np.sort(numbers)[numbers.size // 2])
        lowest = min(float(numbers.min()), float(ends[:, 0].min()) if ends is not None else math.inf)
        interval = None if over == "nothing" else (lowest, math.inf)
        return Overall(centre, interval, over, numbers.size, infinite)
    centre = float(numbers.mean())
    if over == "nothing":
        return Overall(centre, None, over, numbers.size, infinite)
    seeds = _seed_arm(numbers, confidence)
    arms = np.zeros(2)
    if ends is not None:
        scale = _normal_quantile((1 + confidence) / 2) / _normal_quantile(0.975)
        arms = scale * np.maximum([(numbers - ends[:, 0]).mean(), (ends[:, 1] - numbers).mean()], 0.0)
    low, high = centre - math.hypot(seeds, arms[0]), centre + math.hypot(seeds, arms[1])
    if ends is not None and ends[:, 0].min() >= 0:
        low = max(low, 0.0)  # what is never negative on any images is not for any seed
    return Overall(centre, (low, high), over, numbers.size, infinite)


def share_interval(share: float, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact interval of a share of so many images (Clopper & Pearson): none of 200 is compatible with 1.8 %.

    Args:
        share: of the images, 0 to 1.
        images: how many there are.
        confidence: by which the interval holds the true share at least.

    Returns:
        Lower and upper end.

    Raises:
        ValueError: there is no image, or the share or confidence is out of range.
    """
    if images < 1 or not 0 <= share <= 1 or not 0 < confidence < 1:
        raise ValueError(f"a share of images lies between 0 and 1, got {share} of {images} at {confidence}")
    return _count_interval(round(share * images), images, confidence)


def change_interval(gained: int, lost: int, images: int, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a change in accuracy on the same images: the share gained less the share lost.

    Both shares' exact intervals, added as variances are (MOVER), so that where nothing changes on 200 images a change
    by 1.8 % either way stays possible.

    Args:
        gained: images that were wrong and are right.
        lost: images that were right and are wrong.
        images: how many there are in all.
        confidence: by which the interval holds the true change, about.

    Returns:
        Lower and upper end, between −1 and 1.

    Raises:
        ValueError: there is no image, more changed than there are, or confidence is out of range.
    """
    if images < 1 or min(gained, lost) < 0 or gained + lost > images:
        raise ValueError(f"of {images} images {gained} cannot be gained and {lost} lost")
    up, down = gained / images, lost / images
    (up_low, up_high), (down_low, down_high) = (share_interval(one, images, confidence) for one in (up, down))
    change = up - down
    return change - math.hypot(up - up_low, down_high - down), change + math.hypot(up_high - up, down - down_low)


# Curves ask for thousands of intervals, of few different counts; SciPy takes half a millisecond for each.
@lru_cache(maxsize=65536)
def _count_interval(count: int, images: int, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low = float(scipy.stats.beta.ppf(tail, count, images - count + 1)) if count else 0.0
    high = float(scipy.stats.beta.isf(tail, count + 1, images - count)) if count < images else 1.0
    return low, high


@cache
def _normal_quantile(share: float) -> float:
    return float(scipy.stats.norm.ppf(share))


@cache
def _student_quantile(share: float, freedom: int) -> float:
    return float(scipy.stats.t.ppf(share, freedom))


def _ends(intervals: Sequence[Interval | None] | None, known: np.ndarray) -> np.ndarray | None:
    """The intervals of the seeds that are there, (seeds, 2); None unless every one of them has one."""
    if intervals is None:
        return None
    chosen = [intervals[place] for place in known]
    if any(pair is None for pair in chosen):
        return None
    return np.array([[math.inf if end is None else end for end in pair or ()] for pair in chosen], dtype=np.float64)


def _seed_arm(numbers: np.ndarray, confidence: float) -> float:
    """Half of Student's interval of a mean over seeds; 0 for one seed, which has none."""
    if numbers.size < 2:
        return 0.0
    error = numbers.std(ddof=1) / math.sqrt(numbers.size)
    return float(_student_quantile((1 + confidence) / 2, numbers.size - 1) * error)
