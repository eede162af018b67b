"""The attacks of many members as one program; every outcome is that of the task run alone.

Each member is attacked on its own images, those that it classifies correctly; the search for their critical
perturbations goes on for all members at once.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.engine.tasks import Outcome, progress
from experiments.measuring.attacks import AttackPlan, attack_plan, search_outcome
from experiments.settings.groups import AttackSettings
from experiments.study import Study, purpose_key
from experiments.training.together import Devices, Finished
from experiments.training.trainable import Job, Needed
from jax_bioadv import population
from jax_bioadv.analysis.attack_input import Attempt, ImageBlock
from jax_bioadv.analysis.critical import (
    CriticalSearch,
    attack_each,
    bracketing_search,
    prepare_each,
    search_evaluations,
)
from jax_bioadv.analysis.robustness import correctly_classified
from jax_bioadv.attacks.attack import attack_keys
from jax_bioadv.models import logits_function

# The fields of a search that have a number for each image.
PER_IMAGE = ("critical_epsilon", "l2", "linf", "not_monotone", "gradient_vanished")


class _Target(NamedTuple):
    """A member's classifier and the test images to attack."""

    logits: Partial
    chosen: np.ndarray


def attacks_that_fit(name: str, job: Job, devices: Devices) -> int:
    """How many members like this one may be attacked at a time; compiles their program, and runs nothing.

    Raises:
        ValueError: not one member fits into the memory budget.
    """
    study = job.study
    plan = attack_plan(study.settings.attacks, name)
    images = min(plan.images, len(study.test_images))
    untrained = _Target(logits_function(study.untrained_network(job.kind)), np.zeros(1, np.int32))
    one = jax.tree.map(itemgetter(0), _members([0], [untrained], images, study))
    prepare, attack = _member_functions(plan, name)
    one |= {
        "prepared": jax.eval_shape(prepare, one),
        "epsilons": jax.ShapeDtypeStruct((images,), jnp.float32),
        "tried": jax.ShapeDtypeStruct((images,), jnp.int32),
    }
    needs = population.memory_of_one(population.over_members(attack, devices.mesh, devices.together), devices.mesh, one)
    return population.members_that_fit(needs, devices.budget, devices.mesh, devices.together)


def attack_together(name: str, jobs: Sequence[Job], needed: Needed, devices: Devices) -> Iterator[Finished]:
    """Outcomes of one attack on models of one shape; all of them fit into the memory.

    Args:
        name: of the attack, one that is searched.
        jobs: attacking tasks with the same settings of the attack, on models that differ in their weights alone.
        needed: the outcomes that a task builds on.
        devices: where to run.
    """
    study = jobs[0].study
    plan = attack_plan(study.settings.attacks, name)
    prepare, attack = _programs(study.settings.attacks, name, devices)
    started = time.perf_counter()
    targets = [_target(job, needed, plan) for job in jobs]
    outcomes = [Outcome({"n_attacked": 0}) for _ in jobs]
    attacked = [place for place, target in enumerate(targets) if len(target.chosen)]
    if attacked:
        bar = f"{name} on {jobs[0].kind} × {len(attacked)}"
        seeds, correct = [jobs[place].seed for place in attacked], [targets[place] for place in attacked]
        members = _members(seeds, correct, max(len(target.chosen) for target in correct), study)
        with progress(bar, search_evaluations(len(plan.epsilons)), "ε") as advance:
            found = _search(prepare, attack, members, len(attacked), plan.epsilons, devices, advance)
        for member, (place, target) in enumerate(zip(attacked, correct, strict=True)):
            mine = {field: getattr(found, field)[member, : len(target.chosen)] for field in PER_IMAGE}
            outcomes[place] = search_outcome(target.chosen, found._replace(**mine))
    seconds = (time.perf_counter() - started) / len(jobs)
    yield from (Finished(job, outcome, seconds) for job, outcome in zip(jobs, outcomes, strict=True))


def _target(job: Job, needed: Needed, plan: AttackPlan) -> _Target:
    logits = logits_function(job.study.trained_network(job.kind, needed(job.task)["model"]))
    return _Target(logits, correctly_classified(logits, job.study.test_images, job.study.test_labels, plan.images))


def _members(seeds: Sequence[int], targets: Sequence[_Target], images: int, study: Study) -> dict[str, Any]:
    """Arrays with a row for each member; images are repeated until every member has equally many."""
    chosen = np.stack([np.resize(target.chosen, images) for target in targets])
    return {
        "logits": jax.tree.map(lambda *leaves: np.stack(leaves), *(target.logits for target in targets)),
        "seed": np.array(seeds, np.int32),
        "chosen": chosen.astype(np.int32),
        "images": np.asarray(study.test_images)[chosen],
        "labels": np.asarray(study.test_labels)[chosen],
    }


@lru_cache(maxsize=8)
def _programs(settings: AttackSettings, name: str, devices: Devices) -> tuple[Any, Any]:
    """The member functions over a population: the same for all of a group, so that they are compiled once."""
    functions = _member_functions(attack_plan(settings, name), name)
    prepare, attack = (population.over_members(one, devices.mesh, devices.together) for one in functions)
    return prepare, attack


def _member_functions(plan: AttackPlan, name: str) -> tuple[Callable[[Any], Any], Callable[[Any], Attempt]]:
    """What the attack prepares for a member's images, and the attack at an ε for each of them."""

    def block(member: Any) -> ImageBlock:
        keys = attack_keys(purpose_key(member["seed"], name), member["chosen"])
        return ImageBlock(member["images"], member["labels"], keys)

    def prepare(member: Any) -> Any:
        return prepare_each(plan.attack, member["logits"], block(member))

    def attack(member: Any) -> Attempt:
        ready, epsilons, tried = member["prepared"], member["epsilons"], member["tried"]
        return attack_each(plan.attack, member["logits"], block(member), ready, epsilons, tried)

    return prepare, attack


def _search(
    prepare: Any,
    attack: Any,
    members: Any,
    count: int,
    epsilons: np.ndarray,
    devices: Devices,
    advance: Callable[[int], object],
) -> CriticalSearch:
    """One search over the images of all members, with its fields of shape (members, images)."""
    shape = members["chosen"].shape
    placed = population.distribute(members, devices.mesh)
    placed["prepared"] = prepare(placed)

    def attack_at(tried: np.ndarray) -> Attempt:
        rows = {"epsilons": epsilons[tried].astype(np.float32).reshape(shape), "tried": tried.reshape(shape)}
        made = attack({**placed, **population.distribute(rows, devices.mesh)})
        return jax.tree.map(np.ravel, population.collect(made, count))

    found = bracketing_search(attack_at, epsilons, shape[0] * shape[1], progress=advance)
    return found._replace(**{field: getattr(found, field).reshape(shape) for field in PER_IMAGE})
