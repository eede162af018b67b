"""The one way in which everything is trained: a population, be it of one, as one program, with checkpoints.

A kind of training says what starts a member, what an epoch does and what its outcome is (:class:`Trainable`); here are
the loop, the memory that a member needs, and the programs, compiled once for all chunks and seeds of a shape.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import numpy as np

from experiments.engine.populations import (
    Devices,
    Finished,
    alone,
    begin_chunk,
    called,
    drop_chunk,
    frozen,
    numbers_of,
    program_over,
    without,
)
from experiments.engine.tasks import Outcome, Task, Work, progress
from experiments.settings.paths import with_settings
from jax_bioadv import population
from jax_bioadv.learning.training import watch_finite
from jax_bioadv.sharding import POPULATION
from jax_bioadv.storage import Checkpoints

# The purpose of the key that orders the images.
ORDER = "order of the images"
# Training counts as converged when its loss changed by less than this share between the last two quarters of it.
LOSS_TOLERANCE = 0.01


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Start:
    """A training at epoch 0; a pytree but for the structure of its model."""

    state: Any
    constant: jax.Array
    """What else it needs: a layer the weight beyond which it has exploded, a decoder the activations of the frozen
    layer, a network the anchor of a spectral target."""
    graphdef: Any = field(default=None, metadata={"static": True})

    def without_state(self) -> "Start":
        return Start(None, self.constant, self.graphdef)


@dataclass(frozen=True)
class Trainable:
    """One kind of training of some members; what is traced is pure.

    Attributes:
        start: ``start(given, member, shared) -> Start``, of a member's seed and of what stands in ``members``.
        epoch: ``epoch(given, state, start, member, shared, *shared_at) -> (state, info)``; the start is without its
            state, ``member`` also holds what ``at_epoch`` gives.
        epochs: how many there are.
        shared: what all members share, such as the images.
        kept: what of the last states is brought to the host.
        outcome: from the member's place, the structure of its model, what was kept of it and its history.
        members: further arrays with a row for each member, and the shapes of one such row.
        at_epoch: numbers of an epoch, by member.
        shared_at: further arguments of an epoch, that all members share.
        watches: from the starts' constants, what looks at each member's epochs; all numbers must be finite by default.
        blind: settings that the epochs do not depend on, with the value that they are given.
    """

    start: Callable[..., Start]
    epoch: Callable[..., Any]
    epochs: int
    shared: Any
    kept: Callable[[Any], Any]
    outcome: Callable[[int, Any, Any, Mapping[str, np.ndarray]], Outcome]
    members: Callable[[], Mapping[str, Any]] = dict
    member: Mapping[str, jax.ShapeDtypeStruct] = field(default_factory=dict)
    at_epoch: Callable[[int], Mapping[str, Any]] = lambda index: {}
    shared_at: Callable[[int], tuple[Any, ...]] = lambda index: ()
    watches: Callable[[jax.Array], Sequence[population.Watch]] | None = None
    blind: Mapping[str, Any] = field(default_factory=dict)


class Programs(NamedTuple):
    """The compiled start and epoch of a population."""

    start: Callable[..., Any]
    epoch: Callable[..., Any]


@dataclass(frozen=True)
class Training:
    """A kind of training, as what runs its tasks; see :class:`experiments.engine.populations.Population`.

    Attributes:
        of: makes the kind for some members, of one program.
        vectorized: the given numbers, by dotted path, that may differ between them.
        traced: those that are arguments of every program, so that a member of any population rounds alike.
        aside: the given settings that no program depends on.
    """

    of: Callable[[Sequence[Work]], Trainable]
    vectorized: tuple[str, ...]
    traced: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    def __call__(self, work: Work, **given: Any) -> Outcome:
        return alone(self, work)

    def shape_of(self, task: Task) -> None:
        """All that shapes a training is given."""

    def members_that_fit(self, work: Work, varied: Sequence[str], devices: Devices) -> int:
        """How many members like this one may train at a time; compiles their program, and runs nothing."""
        trainable, mesh, varied = self.of([work]), devices.mesh, self._arguments(varied)
        rows = jax.tree.map(_shape_of_row, numbers_of([work], varied))
        one = {**rows, **trainable.member}
        shared = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), trainable.shared)
        programs = _programs(trainable, work, varied, devices)

        def rows_of_all(row: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
            """A row for each device: fewer cannot be shared out."""
            return jax.ShapeDtypeStruct((mesh.shape[POPULATION], *row.shape), row.dtype)

        starts = jax.tree.map(_shape_of_row, jax.eval_shape(programs.start, jax.tree.map(rows_of_all, one), shared))
        now = {**one, **jax.tree.map(_shape_of_row, trainable.at_epoch(0))}
        starting = population.memory_of_one(programs.start, mesh, one, shared)
        running = now, starts.without_state()
        further = trainable.shared_at(0)
        training_it = population.memory_of_one(programs.epoch, mesh, running, shared, *further, state=starts.state)
        together = devices.together
        return min(
            population.members_that_fit(needs, devices.budget, mesh, together) for needs in (starting, training_it)
        )

    def together(self, works: Sequence[Work], varied: Sequence[str], devices: Devices) -> Iterator[Finished]:
        """Train members that only seeds and varied numbers tell apart; all of them fit into the memory."""
        started, checkpoints = time.perf_counter(), begin_chunk(works, devices)
        outcomes = _train(self.of(works), works, self._arguments(varied), devices, checkpoints)
        seconds = (time.perf_counter() - started) / len(works)
        yield from (Finished(work, outcome, seconds) for work, outcome in zip(works, outcomes, strict=True))
        drop_chunk(works, devices)

    def _arguments(self, varied: Sequence[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*varied, *self.traced)))


def _shape_of_row(rows: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(rows.shape[1:], rows.dtype)


@dataclass(frozen=True)
class _Program:
    """One of a kind's functions with all that shapes it: of equal ones the first is compiled, for all there may be."""

    kind: Training
    given: tuple[tuple[str, Any], ...]
    """Without the seed and the numbers that members differ in."""
    images: tuple[int, int]
    precision: str
    devices: Devices
    trainable: Trainable = field(compare=False)

    def of(self, member: Any) -> dict[str, Any]:
        """The settings of one member, of which the seed and the varied numbers are traced."""
        return {**with_settings(dict(self.given), member["numbers"]), "seed": member["seed"]}


def _programs(trainable: Trainable, work: Work, varied: Sequence[str], devices: Devices) -> Programs:
    task, kind = work.task, work.task.run
    assert isinstance(kind, Training)
    given = without(task.given, varied, kind.aside)

    def program(given: Mapping[str, Any]) -> _Program:
        images = task.images.inputs, task.images.classes
        return _Program(kind, frozen(given), images, task.precision, devices, trainable)

    return Programs(_start(program(given)), _epoch(program({**given, **trainable.blind})))


@lru_cache(maxsize=32)
def _start(program: _Program) -> Callable[..., Any]:
    def start(member: Any, shared: Any) -> Start:
        return program.trainable.start(program.of(member), member, shared)

    return program_over(start, program.devices)


@lru_cache(maxsize=32)
def _epoch(program: _Program) -> Callable[..., Any]:
    def epoch(state: Any, running: Any, shared: Any, *further: Any) -> Any:
        member, start = running
        return program.trainable.epoch(program.of(member), state, start, member, shared, *further)

    return program_over(epoch, program.devices, takes_state=True)


def _train(
    trainable: Trainable, works: Sequence[Work], varied: Sequence[str], devices: Devices, checkpoints: Checkpoints
) -> list[Outcome]:
    begun = begin(trainable, works, varied, devices)
    watches = trainable.watches(begun.start.constant) if trainable.watches else [watch_finite] * len(works)
    with progress(f"train {called(works)}", trainable.epochs, "epoch") as advance:
        trained = population.train_population(
            begun.epoch,
            begun.start.state,
            trainable.epochs,
            devices.mesh,
            watches=watches,
            checkpoints=checkpoints,
            progress=advance,
        )
    kept = None if trained.states is None else population.collect(trainable.kept(trained.states), len(works))
    outcomes = []
    for row, work in enumerate(works):
        diverged = trained.diverged[row]
        if diverged is not None:
            outcomes.append(Outcome({"diverged": f"{work.name}: {diverged}"}))
            continue
        history = {field: values[row] for field, values in trained.history.items()}
        outcomes.append(trainable.outcome(row, begun.start.graphdef, jax.tree.map(itemgetter(row), kept), history))
    return outcomes


class Begun(NamedTuple):
    """A population at epoch 0, and its epochs: ``epoch(states, index) -> (states, infos)``, which use states up."""

    start: Start
    epoch: Callable[[Any, int], tuple[Any, Any]]


def begin(trainable: Trainable, works: Sequence[Work], varied: Sequence[str], devices: Devices) -> Begun:
    """Start a population."""
    mesh, programs = devices.mesh, _programs(trainable, works[0], varied, devices)
    members = {**numbers_of(works, varied), **trainable.members()}
    placed = population.distribute(members, mesh)
    shared = population.replicate(trainable.shared, mesh)
    if not devices.shared:  # out of any program, whose compiler would round otherwise
        only = trainable.start(works[0].task.given, jax.tree.map(itemgetter(0), members), shared)
        start = population.alone_on(mesh, only)
    else:
        start = programs.start(placed, shared)

    def epoch(states: Any, index: int) -> Any:
        now = population.distribute(trainable.at_epoch(index), mesh)
        further = population.replicate(trainable.shared_at(index), mesh)
        return programs.epoch(states, ({**placed, **now}, start.without_state()), shared, *further)

    return Begun(start, epoch)


def loss_settled(loss: np.ndarray) -> bool:
    """Whether the mean loss changed by less than 1 % from the third quarter of the epochs to the last."""
    quarter = len(loss) // 4
    if not quarter:
        return False
    before, after = loss[-2 * quarter : -quarter].mean(), loss[-quarter:].mean()
    return bool(abs(before - after) < LOSS_TOLERANCE * abs(before))


def histories(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The course of a training as arrays of an outcome."""
    return {f"history/{name}": values for name, values in history.items()}
