"""The host's side of a training: epochs one after another, with progress, checkpoints and a watch for divergence.

Every epoch is the same compiled function, so a training ends in the same bits whatever happens between two epochs:
a checkpoint, an interruption and a resumption included. It serves every rule whose ``epoch(state, index)`` gives
``(state, info)``, with ``info`` a NamedTuple of scalars, or of arrays with an entry per member of a population.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_bioadv.storage import Checkpoints


class DivergenceError(ArithmeticError):
    """A training left the range of useful numbers.

    Attributes:
        epoch: the first bad epoch, counted from 0.
    """

    def __init__(self, epoch: int, what: str, hint: str):
        super().__init__(f"training diverged in epoch {epoch}: {what}. {hint}")
        self.epoch = epoch


class Diagnosis(NamedTuple):
    """What a watch finds wrong with an epoch, and what to do about it."""

    what: str
    hint: str


def watch_finite(info: Any) -> Diagnosis | None:
    """The watch that suits every training: all numbers of an epoch's info must be finite, of every member's too."""
    for name, value in info._asdict().items():
        values = np.atleast_1d(value)
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            where = "" if np.ndim(value) == 0 else f" in member {bad[0]}, one of {bad.size}"
            hint = "Lower the learning rate, or check that the images are unit-norm."
            return Diagnosis(f"{name} is {values[bad[0]]}{where}", hint)
    return None


def train(
    epoch: Callable[[Any, int], tuple[Any, Any]],
    state: Any,
    epochs: int,
    *,
    watch: Callable[[Any], Diagnosis | None] = watch_finite,
    checkpoints: Checkpoints | None = None,
    checkpoint_seconds: float = 60.0,
    check_every: int = 10,
    progress: Callable[[int], object] = lambda epochs: None,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Run a training to its end, from its last checkpoint if there is one.

    Args:
        epoch: ``epoch(state, index) -> (state, info)``.
        state: the state at epoch 0, a pytree of arrays and typed keys.
        epochs: how many epochs the whole training has.
        watch: looks at every epoch's info, as NumPy numbers, and returns a diagnosis when it has diverged.
        checkpoints: where to save to and resume from; without it an interruption starts again.
        checkpoint_seconds: time between two checkpoints.
        check_every: epochs between two looks of the watch, which make the device wait for the host.
        progress: called with the number of epochs just done (also, once, with those of a resumed checkpoint).

    Returns:
        The last state, and every field of ``info`` as an array over the epochs.

    Raises:
        DivergenceError: with the first bad epoch; earlier checkpoints stay.
        ValueError: no epochs to run, or none between two looks.
    """
    if epochs < 1:
        raise ValueError(f"a training needs at least one epoch, got {epochs}")
    if check_every < 1:
        raise ValueError(f"check_every must be at least one epoch, got {check_every}")
    history: dict[str, np.ndarray] = {}
    done = 0
    if checkpoints is not None:
        info = jax.eval_shape(lambda s: epoch(s, 0)[1], state)
        blank = {name: np.zeros((epochs, *field.shape)) for name, field in info._asdict().items()}
        restored = checkpoints.restore_last((state, blank))
        if restored is not None:
            done, (state, saved) = restored
            history = {name: np.asarray(values)[:done] for name, values in saved.items()}
            progress(done)
    saved_at = time.monotonic()
    while done < epochs:
        infos = []
        for index in range(done, min(done + check_every, epochs)):
            state, info = epoch(state, index)
            infos.append(info)
            jax.block_until_ready(infos[-2:][0])  # one epoch may run ahead of the progress bar
            progress(1)
        infos = jax.device_get(infos)
        for offset, info in enumerate(infos):
            diagnosis = watch(info)
            if diagnosis is not None:
                raise DivergenceError(done + offset, *diagnosis)
        columns = {name: np.array([getattr(info, name) for info in infos], np.float64) for name in infos[0]._fields}
        history = {
            name: np.concatenate([history[name], column]) if history else column for name, column in columns.items()
        }
        done += len(infos)
        due = time.monotonic() - saved_at >= checkpoint_seconds
        if checkpoints is not None and done < epochs and checkpoints.agree(due):
            padded = {name: np.concatenate([values, blank[name][done:]]) for name, values in history.items()}
            checkpoints.save(done, (state, padded))
            saved_at = time.monotonic()
    return state, history
