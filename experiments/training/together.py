"""Training tasks of many members as one program; every outcome is that of the task run alone.

Members of a group share everything that shapes a program (hidden units, k, epochs, batch size …) and differ in seeds
and in the numbers of ``VECTORIZED``.
"""

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.engine.sources import digest_of
from experiments.engine.tasks import Outcome, progress
from experiments.settings.grid import setting, with_settings
from experiments.settings.reproduction import Settings
from experiments.training.trainable import Job, Needed, Trainable, trainable_of
from jax_bioadv import population
from jax_bioadv.learning.training import watch_finite
from jax_bioadv.processes import broadcast, is_first
from jax_bioadv.storage import Checkpoints, StorageError, read_json, write_json

logger = logging.getLogger("experiments")

# Beside a chunk's checkpoints.
CHUNK = "members.json"


class Finished(NamedTuple):
    """A job's outcome, and its share of the seconds that its chunk took."""

    job: Job
    outcome: Outcome
    seconds: float


class Programs(NamedTuple):
    """The compiled start and epoch of a population: the same for all chunks, whose members tell them apart."""

    start: Callable[..., Any]
    epoch: Callable[..., Any]


@dataclass(frozen=True)
class Devices:
    """Where populations run: the mesh, how many members of a device are vmapped, and bytes on each device."""

    mesh: Mesh
    together: int | None
    budget: int


def members_that_fit(job: Job, varied: Sequence[str], devices: Devices) -> int:
    """How many members like this one may train at a time; compiles their program, and runs nothing.

    Raises:
        ValueError: not one member fits into the memory budget.
    """
    mesh, together = devices.mesh, devices.together
    trainable = trainable_of([job], lambda task: {})
    rows = jax.tree.map(lambda rows: jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype), _members([job], varied))
    one = {**rows, **trainable.member}
    shared = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), trainable.shared)
    at_epoch = {name: jax.ShapeDtypeStruct((), rows.dtype) for name, rows in trainable.at_epoch(0).items()}
    running = {**one, **at_epoch, "start": jax.eval_shape(trainable.start, one, shared)}
    programs = _programs(trainable, job, varied, devices)
    starting = population.memory_of_one(programs.start, mesh, one, shared)
    training_it = population.memory_of_one(programs.epoch, mesh, running, shared, *trainable.shared_at(0))
    # The state at epoch 0 stays until the end.
    first = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(running["start"].state))
    training_it = training_it._replace(resident=training_it.resident + first)
    return min(population.members_that_fit(needs, devices.budget, mesh, together) for needs in (starting, training_it))


def train_together(
    jobs: Sequence[Job],
    varied: Sequence[str],
    needed: Needed,
    devices: Devices,
    directory: Path,
) -> Iterator[Finished]:
    """Outcomes of training tasks that only seeds and varied settings tell apart; all of them fit into the memory.

    Args:
        jobs: of one kind, with the same settings otherwise.
        varied: dotted paths, among those of VECTORIZED for the kind; the numbers of every job are traced.
        needed: the outcomes that a task builds on.
        devices: where to run.
        directory: for checkpoints, which go when all outcomes were taken.
    """
    started, folder = time.perf_counter(), begin_chunk(directory, jobs)
    checkpoints = Checkpoints(folder, shared=True)
    outcomes = _train_chunk(trainable_of(jobs, needed), jobs, _members(jobs, varied), devices, checkpoints)
    seconds = (time.perf_counter() - started) / len(jobs)
    yield from (Finished(job, outcome, seconds) for job, outcome in zip(jobs, outcomes, strict=True))
    drop_chunk(directory, jobs)


@dataclass(frozen=True)
class _Recipe:
    """What all members of a program share: of equal recipes the first is compiled, for all chunks there may be."""

    kind: str
    settings: Settings
    """Without the numbers that its members differ in."""
    data: tuple[int, int]
    trainable: Trainable = field(compare=False)


def _programs(trainable: Trainable, job: Job, varied: Iterable[str], devices: Devices) -> Programs:
    shared = with_settings(job.study.settings, dict.fromkeys(varied))
    recipe = _Recipe(job.kind, shared, (job.study.inputs, job.study.dataset.classes), trainable)
    return _compiled(recipe, devices.mesh, devices.together)


@lru_cache(maxsize=16)
def _compiled(recipe: _Recipe, mesh: Mesh, together: int | None) -> Programs:
    both = recipe.trainable.start, recipe.trainable.epoch
    return Programs(*(population.over_members(each, mesh, together) for each in both))


def _members(jobs: Sequence[Job], varied: Sequence[str]) -> dict[str, Any]:
    numbers = {path: _numbers([setting(job.study.settings, path) for job in jobs]) for path in varied}
    return {"seed": np.array([job.seed for job in jobs], np.int32), "numbers": numbers}


def _numbers(values: Sequence[Any]) -> Any:
    """One number, or a tuple of them, for each member as float32 arrays."""
    if isinstance(values[0], tuple):
        return tuple(np.array(column, np.float32) for column in zip(*values, strict=True))
    return np.array(values, np.float32)


def _train_chunk(
    trainable: Trainable,
    jobs: Sequence[Job],
    members: Any,
    devices: Devices,
    checkpoints: Checkpoints,
) -> list[Outcome]:
    mesh, programs = devices.mesh, _programs(trainable, jobs[0], members["numbers"], devices)
    placed = population.distribute({**members, **trainable.members()}, mesh)
    shared = population.replicate(trainable.shared, mesh)
    start = programs.start(placed, shared)

    def epoch(state: Any, index: int) -> Any:
        now = population.distribute(trainable.at_epoch(index), mesh)
        further = population.replicate(trainable.shared_at(index), mesh)
        return programs.epoch({**placed, **now, "start": dataclasses.replace(start, state=state)}, shared, *further)

    watches = trainable.watches(start.constant) if trainable.watches else [watch_finite] * len(jobs)
    name = f"{jobs[0].kind} × {len(jobs)}"
    with progress(f"train {name}", trainable.epochs, "epoch") as advance:
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


def begin_chunk(directory: Path, jobs: Sequence[Job]) -> Path:
    """The folder of a chunk's checkpoints, where the chunk is written down: which members, in which order."""
    members = [job.task.fingerprint for job in jobs]
    folder = _folder(directory, jobs)
    if is_first():
        write_json(folder / CHUNK, members)
    return folder


def drop_chunk(directory: Path, jobs: Sequence[Job]) -> None:
    """Forget a chunk: it is done, or its members go on in others."""
    if is_first():
        shutil.rmtree(_folder(directory, jobs), ignore_errors=True)


def _folder(directory: Path, jobs: Sequence[Job]) -> Path:
    members = [job.task.fingerprint for job in jobs]
    return directory / "checkpoints" / f"{jobs[0].kind}-{digest_of(members)[:16]}"


def begun_chunks(directory: Path) -> list[list[str]]:
    """The fingerprints of every chunk that left a checkpoint; it goes on with them, however much now fits."""
    found = []
    for path in sorted((directory / "checkpoints").glob(f"*/{CHUNK}")) if is_first() else ():
        if not any(path.parent.glob("*.npz")):
            continue  # it may have been too large for the memory before its first checkpoint
        try:
            found.append([str(member) for member in read_json(path)])
        except (StorageError, TypeError) as error:
            logger.warning("the checkpoints in %s cannot be used: %s", path.parent, error)
    return broadcast(found)
