"""What some measures add to the prediction of a number, for networks that the fit has not seen.

A correlation says what goes together in the networks at hand. Here a linear model is fitted to all networks but those
of one group (the seeds of one setting are near copies), predicts these, and is compared with one of fewer measures::

    gain = held_out_gain(log_distance, accuracy[:, None], exponents, settings)
    print(gain.share, gain.interval)
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

# Squared errors of less than this share of the target's squares are rounding.
_ROUNDING = 1e-24


class HeldOutGain(NamedTuple):
    """How much less the squared error of predictions is with more measures: a share of that without them.

    1: all of it is gone; 0: nothing is gained; negative: predictions are worse. ``interval``: at 95 %, a bootstrap over
    groups. ``base_share``: by how much the fewer measures beat the mean of the other groups, likewise.
    """

    share: float
    interval: tuple[float, float]
    base_share: float
    groups: int


def held_out_gain(
    target: Float[np.ndarray, " networks"],
    base: Float[np.ndarray, "networks few"],
    more: Float[np.ndarray, "networks further"],
    groups: Sequence[Hashable],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> HeldOutGain:
    """Predict a number of each network from ``base``, and from ``base`` and ``more``, both fitted to other groups.

    Args:
        target: what is predicted.
        base: measures that both models have, a column each; a constant is added.
        more: those of one of them alone.
        groups: the setting of each network; all of one group are left out of the fit at once.
        resamples: of the groups, for the interval.
        seed: decides the draws.

    Returns:
        The gain.

    Raises:
        ValueError: lengths that differ, numbers that are not finite, fewer groups than four more than the columns, no
            resamples, or a target that is constant, or that ``base`` predicts up to rounding.
    """
    target = np.asarray(target, np.float64)
    fewer = np.column_stack([np.ones(len(target)), np.asarray(base, np.float64).reshape(len(target), -1)])
    all_of_them = np.column_stack([fewer, np.asarray(more, np.float64).reshape(len(target), -1)])
    if len(groups) != len(target):
        raise ValueError(f"there are {len(target)} networks and {len(groups)} groups")
    if not (np.isfinite(target).all() and np.isfinite(all_of_them).all()):
        raise ValueError("measures must be finite")
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    names = list(dict.fromkeys(groups))
    if len(names) < all_of_them.shape[1] + 4:
        raise ValueError(
            f"{len(names)} groups are too few for {all_of_them.shape[1]} coefficients; four more are needed"
        )
    group = np.array([names.index(one) for one in groups])
    errors = [_squared_errors(target, columns, group) for columns in (fewer[:, :1], fewer, all_of_them)]
    mean, without, whole = (np.bincount(group, one) for one in errors)
    if without.sum() <= _ROUNDING * (target**2).sum():
        raise ValueError(
            "base predicts the target up to rounding, so that nothing is left to gain; take a target that varies, or "
            "fewer measures as base"
        )
    drawn = np.random.default_rng(seed).integers(len(names), size=(resamples, len(names)))
    shares = 1 - whole[drawn].sum(axis=1) / without[drawn].sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    return HeldOutGain(
        float(1 - whole.sum() / without.sum()),
        (float(low), float(high)),
        float(1 - without.sum() / mean.sum()),
        len(names),
    )


def _squared_errors(target: np.ndarray, columns: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Of each network, by a fit to all groups but its own."""
    found = np.empty(len(target))
    for one in range(group.max() + 1):
        left_out = group == one
        coefficients, *_ = np.linalg.lstsq(columns[~left_out], target[~left_out], rcond=None)
        found[left_out] = (target[left_out] - columns[left_out] @ coefficients) ** 2
    return found
