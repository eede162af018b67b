"""Networks whose penalties are mixed: weights are arguments of the program, and one program does for all epochs."""

import dataclasses
from collections.abc import Sequence

from experiments.engine.tasks import Work
from experiments.training.networks import networks
from experiments.training.trainer import Trainable, Training

PENALTIES = ("l2.weight", "jacobian.weight")
SPECTRAL = (*PENALTIES, "spectral.weight", "spectral.exponent")


def _mixed(works: Sequence[Work]) -> Trainable:
    """As many epochs as there are leave an epoch as it is."""
    backprop = works[0].task.given["backprop"]
    return dataclasses.replace(networks(None, works), blind={"backprop": dataclasses.replace(backprop, epochs=1)})


MIX = Training(_mixed, PENALTIES, traced=PENALTIES)
MIX_SPECTRAL = Training(_mixed, SPECTRAL, traced=SPECTRAL)
