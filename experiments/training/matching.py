"""Backpropagation that stops at a wanted accuracy: what a comparison at equal accuracy needs."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from experiments.engine.tasks import progress
from jax_bioadv.learning.supervised import EpochInfo


def matched_epoch(
    name: str,
    wanted: float,
    epochs: int,
    trained: Iterator[tuple[Any, EpochInfo]],
    accuracy_of: Callable[[Any], float],
) -> tuple[Any, dict[str, Any], dict[str, np.ndarray]]:
    """The network after the epoch that comes nearest to an accuracy, of the first that reaches it and the one before.

    It takes a few epochs where backpropagation is the better learner, and so goes without checkpoints.

    Args:
        name: of the task.
        wanted: the accuracy.
        epochs: at most.
        trained: the network after each further epoch, and the epoch's info.
        accuracy_of: of a network.

    Returns:
        The network; "converged", whether the accuracy was reached, and "epochs"; and their infos by name.
    """
    infos: list[EpochInfo] = []
    found: tuple[float, Any] = (-float("inf"), None)
    with progress(f"train {name}", epochs, "epoch") as advance:
        while found[0] < wanted and len(infos) < epochs:
            before, (network, info) = found, next(trained)
            found = accuracy_of(network), network
            infos.append(info)
            advance(1)
    accuracy, network = min(before, found, key=lambda one: abs(one[0] - wanted))
    used = infos[: len(infos) - (accuracy == before[0])]
    history = {name: np.array([getattr(info, name) for info in used]) for name in EpochInfo._fields}
    return network, {"converged": found[0] >= wanted, "epochs": len(used)}, history
