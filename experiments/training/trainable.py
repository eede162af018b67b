"""Each kind of training as pure functions of one member, ready to be mapped over a population.

A layer, a decoder on a frozen layer, a network by backpropagation: what starts it, what an epoch does, what its task's
outcome is. Members of one program share whatever shapes it; the numbers of ``VECTORIZED`` may differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from experiments.engine.tasks import Outcome, Task
from experiments.settings.grid import with_settings
from experiments.settings.reproduction import Settings
from experiments.study import Study
from experiments.training import training
from jax_bioadv import population
from jax_bioadv.learning import pruning, supervised
from jax_bioadv.learning.regularizers import TrainingData

Needed = Callable[[Task], Mapping[str, Outcome]]

_BACKPROP = ("backprop.learning_rates",)
# Settings that may differ between the members of one program, for a layer and for each model.
VECTORIZED: dict[str, tuple[str, ...]] = {
    "layer": ("layer.learning_rate", "layer.p", "layer.delta", "layer.radius", "layer.scale"),
    "kh": ("decoder.learning_rate",),
    "kh_start": ("decoder.learning_rate",),
    "bp": _BACKPROP,
    "l2": (*_BACKPROP, "l2.weight"),
    "jacobian": (*_BACKPROP, "jacobian.weight"),
    "spectral": ("spectral.learning_rate", "spectral.weight", "spectral.exponent"),
}


# Those that a training alone is given as arguments too, so that both round alike.
ALWAYS_TRACED = ("layer.delta", "layer.radius")
# Groups of settings, besides the hidden units and the norm, that a training reads from.
_READS = {
    "layer": ("layer",),
    "kh": ("decoder",),
    "kh_start": ("decoder",),
    "bp": ("backprop",),
    "l2": ("backprop", "l2"),
    "jacobian": ("backprop", "jacobian"),
    "spectral": ("backprop", "spectral"),
}


def program_shape(kind: str, point: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """What of a point of a grid the members of one program must share."""
    reads = ("hidden", "norm", *_READS[kind])
    return tuple((path, point[path]) for path in point if path.split(".")[0] in reads and path not in VECTORIZED[kind])


class Job(NamedTuple):
    """A training task of one member."""

    task: Task
    study: Study
    seed: int
    kind: str
    """"layer", or the name of a model."""


@dataclass(frozen=True)
class Trainable:
    """One kind of training as functions of a member: a dict of its seed, its numbers and whatever it starts from."""

    start: Callable[[Any, Any], training.Start]
    epoch: Callable[..., Any]
    """``epoch({member, "start", at_epoch}, shared, *shared_at) -> (state, info)``."""
    epochs: int
    shared: Any
    kept: Callable[[Any], Any]
    """What of the last states is brought to the host."""
    outcome: Callable[[int, Any, Any, Mapping[str, np.ndarray]], Outcome]
    """From the member's place, the structure of its model, what was kept of it and its history."""
    members: Callable[[], Mapping[str, Any]] = dict
    """Further arrays with a row for each job."""
    member: Mapping[str, jax.ShapeDtypeStruct] = field(default_factory=dict)
    """The shapes of one such row."""
    at_epoch: Callable[[int], Mapping[str, Any]] = lambda index: {}
    shared_at: Callable[[int], tuple[Any, ...]] = lambda index: ()
    """Further arguments of an epoch that all members share."""
    watches: Callable[[jax.Array], Sequence[population.Watch]] | None = None
    """From the starts' constants; by default all numbers must be finite."""


def trainable_of(jobs: Sequence[Job], needed: Needed) -> Trainable:
    if jobs[0].kind == "layer":
        return _layers(jobs)
    return _hybrids(jobs, needed) if "layer" in jobs[0].task.needs else _networks(jobs)


def _layers(jobs: Sequence[Job]) -> Trainable:
    study, settings = jobs[0].study, jobs[0].study.settings

    def of(member: Any) -> Any:
        return with_settings(settings, member["numbers"]).layer

    return Trainable(
        start=lambda member, images: training.layer_start(of(member), settings.hidden, member["seed"], images),
        epoch=lambda member, images: training.layer_epoch(
            of(member), settings.precision, member["start"].state, member["rate"], images
        ),
        epochs=settings.layer.epochs,
        shared=study.train_images,
        kept=lambda states: states.synapses,
        outcome=lambda row, graphdef, synapses, history: training.layer_outcome(
            jobs[row].study.settings.layer, synapses, history
        ),
        at_epoch=lambda index: {
            "rate": np.array([training.layer_rate(job.study.settings.layer, index) for job in jobs], np.float32)
        },
        watches=lambda limits: [
            partial(training.watch_layer, float(limit)) for limit in population.collect(limits, len(jobs))
        ],
    )


def _trained(states: supervised.TrainingState) -> Any:
    return states.parameters, states.statistics


def _hybrids(jobs: Sequence[Job], needed: Needed) -> Trainable:
    study, settings = jobs[0].study, jobs[0].study.settings

    @cache
    def layers() -> list[Outcome]:
        return [needed(job.task)["layer"] for job in jobs]

    @cache
    def cuts() -> list[pruning.Cut]:
        return [
            training.decide_cut(job.study, layer.arrays["synapses"], job.study.settings.layer)
            for job, layer in zip(jobs, layers(), strict=True)
        ]

    @cache
    def kernels() -> list[jax.Array]:
        return [
            training.layer_kernel(job.study, layer.arrays["synapses"], cut.keep)
            for job, layer, cut in zip(jobs, layers(), cuts(), strict=True)
        ]

    def of(member: Any) -> Any:
        return with_settings(settings, member["numbers"]).decoder

    def outcome(row: int, graphdef: Any, kept: Any, history: Mapping[str, np.ndarray]) -> Outcome:
        network = training.hybrid_network(study, settings.decoder.power, jobs[row].seed, kernels()[row])
        network.decoder = nnx.merge(graphdef, *kept).decoder
        return training.hybrid_outcome(study, network, layers()[row], cuts()[row], history)

    return Trainable(
        start=lambda member, shared: training.hybrid_start(
            study, of(member), member["seed"], member["kernel"], shared.images
        ),
        epoch=lambda member, shared: training.hybrid_epoch(
            of(member), member["start"].graphdef, member["start"].state, member["start"].constant, shared.labels
        ),
        epochs=settings.decoder.epochs,
        shared=TrainingData(study.train_images, study.train_labels),
        kept=_trained,
        outcome=outcome,
        members=lambda: {"kernel": np.stack(kernels())},
        member={"kernel": jax.ShapeDtypeStruct((study.inputs, settings.hidden), jnp.float32)},
    )


def _networks(jobs: Sequence[Job]) -> Trainable:
    study, settings, model = jobs[0].study, jobs[0].study.settings, jobs[0].kind

    def of(member: Any) -> Settings:
        return with_settings(settings, member["numbers"])

    return Trainable(
        start=lambda member, data: training.backprop_start(study, of(member), model, member["seed"], data),
        epoch=lambda member, data, renewals: training.backprop_epoch(
            of(member), model, member["start"].graphdef, member["start"].state, member["start"].constant, data, renewals
        ),
        epochs=settings.backprop.epochs,
        shared_at=lambda index: (training.backprop_renewals(settings, index, len(study.train_images)),),
        shared=training.backprop_data(study, model),
        kept=_trained,
        outcome=lambda row, graphdef, kept, history: training.backprop_outcome(
            study, nnx.merge(graphdef, *kept), history
        ),
    )
