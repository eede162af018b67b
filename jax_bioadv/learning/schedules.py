"""When the learning rate falls, as published (Holzhausen et al., arXiv 2405.00679), and when aux is renewed with it."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Bool

from jax_bioadv.learning.regularizers import Scalar
from jax_bioadv.tracing import is_traced


def _check_steps(steps_per_epoch: int) -> None:
    if steps_per_epoch < 1:
        raise ValueError(f"an epoch needs at least one minibatch, got {steps_per_epoch}; is the batch too large?")


def stepwise_adam(
    rates: Sequence[Scalar], boundaries: Sequence[int], steps_per_epoch: int
) -> optax.GradientTransformation:
    """Adam whose learning rate is ``rates[i]`` until epoch ``boundaries[i]``, then the next one.

    Args:
        rates: learning rates, one more than boundaries.
        boundaries: epochs at which the rate changes, increasing.
        steps_per_epoch: minibatches in an epoch.

    Raises:
        ValueError: the two do not fit together, a rate is not positive, or an epoch has no steps.
    """
    if len(rates) != len(boundaries) + 1:
        raise ValueError(f"{len(rates)} learning rates need {len(rates) - 1} boundaries, got {len(boundaries)}")
    if not is_traced(*rates) and not all(rate > 0 for rate in rates):
        raise ValueError(f"learning rates must be positive, got {tuple(rates)}")
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries must increase, got {tuple(boundaries)}")
    _check_steps(steps_per_epoch)
    schedules = [optax.constant_schedule(rate) for rate in rates]
    return optax.adam(optax.join_schedules(schedules, [boundary * steps_per_epoch for boundary in boundaries]))


def decaying_adam(
    rate: Scalar, constant_epochs: int, decay_epochs: float, steps_per_epoch: int
) -> optax.GradientTransformation:
    """Adam at a constant rate for some epochs, then decaying e-fold every ``decay_epochs``, stepwise by epoch."""
    if not (is_traced(rate) or rate > 0) or constant_epochs < 0 or not decay_epochs > 0:
        raise ValueError(
            f"rate and decay_epochs must be positive, got {rate} and {decay_epochs}; constant_epochs {constant_epochs}"
        )
    _check_steps(steps_per_epoch)

    def schedule(step: Any) -> Any:
        epoch = step // steps_per_epoch
        return rate * jnp.exp(-jnp.maximum(epoch - constant_epochs, 0) / decay_epochs)

    return optax.adam(schedule)


def renewal_batches(
    every: int, epoch: int, batches: int, constant_epochs: int | float = math.inf, decay_epochs: float = 1.0
) -> Bool[np.ndarray, " batches"]:
    """Before which batches of an epoch aux is renewed: as often as the learning rate has moved the model.

    Args:
        every: batches at the full learning rate between two renewals; as the rate decays, they lie further apart, so
            that about as much learning rate accumulates between any two.
        epoch: which one, from 0. The first batch of epoch 0 has what :func:`jax_bioadv.learning.supervised.init` found.
        batches: minibatches in an epoch.
        constant_epochs: epochs at the full rate, as in :func:`decaying_adam`.
        decay_epochs: in which it then falls e-fold.

    Returns:
        True for each batch that a renewal precedes.

    Raises:
        ValueError: ``every`` is less than one batch.
    """
    if every < 1:
        raise ValueError(f"eigenvectors can be renewed once a batch at most, got one in {every} batches")
    epochs = np.arange(epoch + 1)
    pace = np.exp(-np.maximum(epochs - constant_epochs, 0) / decay_epochs)
    moved = np.concatenate([[0.0], np.cumsum(np.repeat(pace, batches))[:-1]])
    renewals = np.floor(moved / every + 1e-9)  # sums of whole batches are whole
    return np.diff(renewals, prepend=0.0)[-batches:] > 0
