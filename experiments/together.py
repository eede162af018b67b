"""Training tasks of many members as one program; every outcome is that of the task run alone.

Members of a group share everything that shapes a program (hidden units, k, epochs, batch size …) and differ in seeds
and in the numbers of ``VECTORIZED``. Groups larger than the memory budget are trained in chunks.
"""

import contextlib
import dataclasses
import hashlib
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from experiments import training
from experiments.grid import setting, with_settings
from experiments.settings import Settings
from experiments.study import Study
from experiments.tasks import Outcome, Task, progress
from jax_bioadv import population
from jax_bioadv.learning import pruning, supervised
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.learning.training import watch_finite
from jax_bioadv.storage import Checkpoints

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


class Finished(NamedTuple):
    """A job's outcome, and its share of the seconds that its chunk took."""

    job: Job
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Devices:
    """Where populations run: the mesh, how many members of a device are vmapped, and bytes on each device."""

    mesh: Mesh
    together: int | None
    budget: int


@dataclass(frozen=True)
class Trainable:
    """One kind of training as functions of a member: a dict of its seed, its numbers and whatever it starts from."""

    start: Callable[[Any, Any], training.Start]
    epoch: Callable[[Any, Any], Any]
    """``epoch({member, "start", at_epoch}, shared) -> (state, info)``."""
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
    watches: Callable[[jax.Array], Sequence[population.Watch]] | None = None
    """From the starts' constants; by default all numbers must be finite."""


def members_that_fit(job: Job, varied: Sequence[str], devices: Devices) -> int:
    """How many members like this one may train at a time; compiles their program, and runs nothing.

    Raises:
        ValueError: not one member fits into the memory budget.
    """
    trainable = _trainable([job], lambda task: {})
    rows = jax.tree.map(lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype), _members([job], varied))
    one = {**rows, **trainable.member}
    shared = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), trainable.shared)
    at_epoch = {name: jax.ShapeDtypeStruct((), rows.dtype) for name, rows in trainable.at_epoch(0).items()}
    running = {**one, **at_epoch, "start": jax.eval_shape(trainable.start, one, shared)}
    program = population.over_members(trainable.epoch, devices.mesh, devices.together)
    needs = population.memory_of_one(program, devices.mesh, running, shared)
    return population.members_that_fit(needs, devices.budget, devices.mesh, devices.together)


def train_together(
    jobs: Sequence[Job],
    varied: Sequence[str],
    needed: Needed,
    devices: Devices,
    directory: Path,
    at_a_time: int,
) -> Iterator[Finished]:
    """Outcomes of training tasks that only seeds and varied settings tell apart, chunk by chunk.

    Args:
        jobs: of one kind, with the same settings otherwise.
        varied: dotted paths, among those of VECTORIZED for the kind; the numbers of every job are traced.
        needed: the outcomes that a task builds on.
        devices: where to run.
        directory: for checkpoints.
        at_a_time: members in one program, from :func:`members_that_fit`.
    """
    for chunk in (jobs[first : first + at_a_time] for first in range(0, len(jobs), at_a_time)):
        started = time.perf_counter()
        outcomes = _train_chunk(_trainable(chunk, needed), chunk, _members(chunk, varied), devices, directory)
        seconds = (time.perf_counter() - started) / len(chunk)
        yield from (Finished(job, outcome, seconds) for job, outcome in zip(chunk, outcomes, strict=True))


def _members(jobs: Sequence[Job], varied: Sequence[str]) -> dict[str, Any]:
    numbers = {path: _numbers([setting(job.study.settings, path) for job in jobs]) for path in varied}
    return {"seed": np.array([job.seed for job in jobs], np.int32), "numbers": numbers}


def _numbers(values: Sequence[Any]) -> Any:
    """One number, or a tuple of them, for each member as float32 arrays."""
    if isinstance(values[0], tuple):
        return tuple(np.array(column, np.float32) for column in zip(*values, strict=True))
    return np.array(values, np.float32)


def _train_chunk(
    trainable: Trainable, jobs: Sequence[Job], members: Any, devices: Devices, directory: Path
) -> list[Outcome]:
    mesh, together = devices.mesh, devices.together
    begin = population.over_members(trainable.start, mesh, together)
    step = population.over_members(trainable.epoch, mesh, together)
    placed = population.distribute({**members, **trainable.members()}, mesh)
    shared = population.replicate(trainable.shared, mesh)
    start = begin(placed, shared)

    def epoch(state: Any, index: int) -> Any:
        now = population.distribute(trainable.at_epoch(index), mesh)
        return step({**placed, **now, "start": dataclasses.replace(start, state=state)}, shared)

    watches = trainable.watches(start.constant) if trainable.watches else [watch_finite] * len(jobs)
    name = f"{jobs[0].kind} × {len(jobs)}"
    with progress(f"train {name}", trainable.epochs, "epoch") as advance, _checkpoints(jobs, directory) as checkpoints:
        trained = population.train_population(
            epoch, start.state, trainable.epochs, mesh, watches=watches, checkpoints=checkpoints, progress=advance
        )
    kept = population.collect(trainable.kept(trained.states), len(jobs))
    outcomes = []
    for row, job in enumerate(jobs):
        diverged = trained.diverged[row]
        if diverged is not None:
            outcomes.append(Outcome({"diverged": f"{job.task.name}: {diverged}"}))
            continue
        history = {field: values[row] for field, values in trained.history.items()}
        outcomes.append(trainable.outcome(row, start.graphdef, jax.tree.map(itemgetter(row), kept), history))
    return outcomes


@contextlib.contextmanager
def _checkpoints(jobs: Sequence[Job], directory: Path) -> Any:
    """Checkpoints of a chunk, which go when it is done; none where several hosts would have to write them."""
    if jax.process_count() > 1:
        yield None
        return
    digest = hashlib.sha256("".join(job.task.fingerprint for job in jobs).encode()).hexdigest()
    folder = directory / "checkpoints" / f"{jobs[0].kind}-{digest[:16]}"
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        yield checkpoints
    shutil.rmtree(folder, ignore_errors=True)


def _trainable(jobs: Sequence[Job], needed: Needed) -> Trainable:
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
            training.decide_cut(study, layer.arrays["synapses"], job.study.settings.layer)
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
        epoch=lambda member, data: training.backprop_epoch(
            of(member), model, member["start"].graphdef, member["start"].state, member["start"].constant, data
        ),
        epochs=settings.backprop.epochs,
        shared=training.backprop_data(study, model),
        kept=_trained,
        outcome=lambda row, graphdef, kept, history: training.backprop_outcome(
            study, nnx.merge(graphdef, *kept), history
        ),
    )
