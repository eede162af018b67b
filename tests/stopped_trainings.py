"""Trainings that are stopped where a test wants them to be, and go on."""

import numpy as np
import pytest

from experiments.engine.ledger import Ledger


def goes_on_bitwise(task, module, stops_at, folder, monkeypatch):
    """Hold a task that was stopped before an epoch, or chunk, and went on from there against one that was not.

    Args:
        task: of a plan.
        module: where the task's training looks up ``train``.
        stops_at: index of the epoch.
        folder: an empty one.
        monkeypatch: as pytest gives it.
    """
    train = module.train
    expected = Ledger(folder / "whole").complete(task)
    with monkeypatch.context() as patch:
        patch.setattr(module, "train", _checkpointed(train, [], stops_at))
        with pytest.raises(KeyboardInterrupt):
            Ledger(folder / "stopped").complete(task)
        seen = []
        patch.setattr(module, "train", _checkpointed(train, seen))
        found = Ledger(folder / "stopped").complete(task)
    assert seen[:2] == [0, stops_at], "but for a look at their shapes, the first epochs were not learned again"
    assert found.arrays.keys() == expected.arrays.keys()
    for key, values in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[key], values)


def _checkpointed(train, seen, stops_at=None):
    """A training that keeps a checkpoint of every epoch, and may be stopped before one."""

    def trained(epoch, state, epochs, **options):
        def watched(state, index):
            if index == stops_at:
                raise KeyboardInterrupt
            seen.append(index)
            return epoch(state, index)

        return train(watched, state, epochs, **{**options, "checkpoint_seconds": 0.0})

    return trained
