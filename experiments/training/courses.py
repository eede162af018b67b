"""Trainings that are looked at on their way: what the first layer's spectrum is made of, epoch by epoch.

The training itself is the one of the task of that name, by the same program. It is run again here, without checkpoints:
one that is stopped begins anew.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.engine.populations import one_device
from experiments.engine.tasks import Outcome, Work, progress
from experiments.measuring.alignment import added
from experiments.settings.measurements import SpectraSettings
from experiments.training.layers import LAYER
from experiments.training.networks import NETWORK
from experiments.training.trainer import Start, Training, begin
from jax_bioadv.analysis.alignment import layer_alignment
from jax_bioadv.learning.krotov_hopfield import effective_weights

# From the states of a population of one, its start and the settings to V.
Rows = Callable[[Any, Start, dict[str, Any]], jax.Array]


def _of_layer(states: Any, start: Start, given: dict[str, Any]) -> jax.Array:
    return effective_weights(states.synapses[0], given["layer"].p)


def _of_network(states: Any, start: Start, given: dict[str, Any]) -> jax.Array:
    """A copy: an epoch uses up the state that it is given."""
    kept = jax.tree.map(lambda leaf: jnp.copy(leaf[0]), (states.parameters, states.statistics))
    return nnx.merge(start.graphdef, *kept).encoder.kernel[...].T


@dataclasses.dataclass(frozen=True)
class Course:
    """The run of such a task: a kind of training, and how its rows are found."""

    training: Training
    rows: Rows

    def __call__(self, work: Work, *, looks: tuple[int, ...], spectra: SpectraSettings, **given: Any) -> Outcome:
        trained = work._replace(task=dataclasses.replace(work.task, run=self.training, given=given))
        kind = self.training.of([trained])
        begun = begin(kind, [trained], (), one_device())
        states, found = begun.start.state, dict[int, dict[str, Any]]()
        with progress(work.name, kind.epochs, "epoch") as advance:
            for epoch in range(kind.epochs + 1):
                if epoch in looks or epoch == kind.epochs:
                    rows = np.asarray(self.rows(states, begun.start, given))
                    found[epoch] = added(layer_alignment(rows, work.images.principal), spectra, len(rows))
                if epoch < kind.epochs:
                    states, _ = begun.epoch(states, epoch)
                    advance(1)
        return Outcome({"epochs": list(found), "exponents": list(found.values())})


LAYER_COURSE = Course(LAYER, _of_layer)
NETWORK_COURSE = Course(NETWORK, _of_network)
