"""Tasks that are done for many members at once, as one program; by itself such a task is a population of one.

Members of a program share their images and whatever shapes it, and differ in their seeds and in the numbers that the
population names: :func:`program_of` tells which tasks go together.
"""

import contextlib
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh

from experiments.engine.sources import digest_of
from experiments.engine.tasks import Outcome, Task, Work
from experiments.settings.paths import setting, with_settings
from jax_bioadv import population
from jax_bioadv.processes import broadcast, is_first
from jax_bioadv.sharding import make_mesh
from jax_bioadv.storage import Checkpoints, StorageError, read_json, write_json

logger = logging.getLogger("experiments")

# Beside a chunk's checkpoints.
CHUNK = "members.json"


class Finished(NamedTuple):
    """A member's outcome, and its share of the seconds that its chunk took."""

    work: Work
    outcome: Outcome
    seconds: float


@dataclass(frozen=True)
class Devices:
    """Where populations run: the mesh, how many members of a device are vmapped, and bytes on each device."""

    mesh: Mesh
    together: int | None
    budget: int
    shared: bool = True
    """Whether all processes work on one population, rather than each on its own."""


@cache
def one_device() -> Devices:
    """For a population of one."""
    mesh = make_mesh(devices=jax.local_devices()[:1])
    return Devices(mesh, population.members_together(mesh), 0, shared=False)


def program_over(function: Callable[..., Any], devices: Devices, *, takes_state: bool = False) -> Any:
    """The jitted function of a population that a function of one member makes; of one alone, that function itself."""
    if not devices.shared:
        return population.over_one_member(function, takes_state=takes_state)
    return population.over_members(function, devices.mesh, devices.together, takes_state=takes_state)


@runtime_checkable
class Population(Protocol):
    """What runs such tasks; calling it is the run of one task."""

    @property
    def vectorized(self) -> tuple[str, ...]:
        """The given numbers, by dotted path, that may differ between members of one program."""

    @property
    def aside(self) -> tuple[str, ...]:
        """The given settings that no program depends on, so that they may differ too."""

    def shape_of(self, task: Task) -> Any:
        """What else the members of one program share; it can be hashed."""

    def members_that_fit(self, work: Work, varied: Sequence[str], devices: Devices) -> int:
        """How many members like this one may run at a time; compiles their program, and runs nothing.

        Raises:
            ValueError: not one member fits into the memory budget.
        """

    def together(self, works: Sequence[Work], varied: Sequence[str], devices: Devices) -> Iterator[Finished]:
        """Outcomes of tasks of one program, all of which fit into the memory; ``varied`` numbers are its arguments."""

    def __call__(self, work: Work, **given: Any) -> Outcome: ...


def alone(kind: Population, work: Work) -> Outcome:
    """The outcome of a population of one."""
    (finished,) = kind.together([work], (), one_device())
    return finished.outcome


def outcomes(task: Task, needed: Mapping[str, Outcome], directory: Path) -> Iterator[Outcome]:
    """A task's one outcome; asked for more, its checkpoints are forgotten, as :func:`alone` does."""
    kind = population_of(task)
    if kind is None:
        yield task.compute(needed, directory)
        shutil.rmtree(directory / "checkpoints" / task.fingerprint[:16], ignore_errors=True)
    else:
        for finished in kind.together([Work(task, needed, directory)], (), one_device()):
            yield finished.outcome


def population_of(task: Task) -> Population | None:
    """What does such tasks together, if anything does."""
    return task.run if isinstance(task.run, Population) else None


def program_of(task: Task, kind: Population, varied: Sequence[str]) -> tuple[Any, ...]:
    """What tasks share that run as one program; it can be hashed."""
    given = frozen(without(task.given, varied, kind.aside))
    return kind, kind.shape_of(task), id(task.images), task.precision, given


def without(given: Mapping[str, Any], varied: Sequence[str], aside: Sequence[str]) -> dict[str, Any]:
    """The given settings but for a seed, the numbers that members differ in, and what no program depends on."""
    fixed = with_settings(given, dict.fromkeys(varied))
    return {name: value for name, value in fixed.items() if name not in ("seed", *aside)}


def frozen(given: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(given.items(), key=lambda item: item[0]))


def numbers_of(works: Sequence[Work], varied: Sequence[str]) -> dict[str, Any]:
    """Seeds and varied numbers, each an array with a row for each member, or a tuple of such."""
    numbers = {path: _columns([setting(work.task.given, path) for work in works]) for path in varied}
    return {"seed": np.array([work.task.given["seed"] for work in works], np.int32), "numbers": numbers}


def _columns(values: Sequence[Any]) -> Any:
    if isinstance(values[0], tuple):
        return tuple(np.array(column, np.float32) for column in zip(*values, strict=True))
    return np.array(values, np.float32)


def called(works: Sequence[Work]) -> str:
    """A task by its name, several by what they have in common and their number."""
    return works[0].name if len(works) == 1 else f"{works[0].name.rpartition('-')[0]} × {len(works)}"


def begin_chunk(works: Sequence[Work], devices: Devices) -> Checkpoints:
    """A chunk's checkpoints, in a folder where the chunk is written down: which members, in which order."""
    folder = _folder(works)
    if is_first() or not devices.shared:
        for other in sorted(folder.parent.glob(f"{works[0].name}-{'[0-9a-f]' * 16}")) if len(works) == 1 else ():
            if other != folder:
                logger.info("%s: the checkpoints in %s are of other settings, code or packages", works[0].name, other)
        write_json(folder / CHUNK, [work.task.fingerprint for work in works])
    return Checkpoints(folder, shared=devices.shared)


def drop_chunk(works: Sequence[Work], devices: Devices) -> None:
    """Forget a chunk: it is done, or its members go on in others."""
    if is_first() or not devices.shared:
        shutil.rmtree(_folder(works), ignore_errors=True)


def drop_checkpoints(directory: Path, tasks: Sequence[Task]) -> None:
    """Forget the trainings of these tasks, which are done; those of others stay, for whoever goes back to them."""
    done = {task.fingerprint for task in tasks}
    alone = {fingerprint[:16] for fingerprint in done}
    for folder in (directory / "checkpoints").glob("*"):
        members = _members(folder)
        if folder.name[-16:] in alone or (members and done.issuperset(members)):
            shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # others are there, or none ever was
        (directory / "checkpoints").rmdir()


def _folder(works: Sequence[Work]) -> Path:
    members = [work.task.fingerprint for work in works]
    digest = members[0] if len(works) == 1 else digest_of(members)
    return works[0].directory / "checkpoints" / f"{called(works).replace(' × ', '-x')}-{digest[:16]}"


def begun_chunks(directory: Path) -> list[list[str]]:
    """The fingerprints of every chunk that left a checkpoint; it goes on with them, however much now fits."""
    folders = sorted((directory / "checkpoints").glob("*")) if is_first() else ()
    # Without a checkpoint it may have been too large for the memory.
    found = [_members(folder) for folder in folders if any(folder.glob("*.npz"))]
    return broadcast([members for members in found if members])


def _members(folder: Path) -> list[str]:
    """The fingerprints of the chunk whose checkpoints are in a folder; none where it does not tell them."""
    try:
        return [str(member) for member in read_json(folder / CHUNK)] if (folder / CHUNK).exists() else []
    except (StorageError, TypeError) as error:
        logger.warning("the checkpoints in %s cannot be used: %s", folder, error)
        return []
