"""Attacks over many strengths: each image's critical perturbation, by search or on the whole grid of ε."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial

from experiments.attacks import SweptAttack
from experiments.engine.populations import Devices, Finished, alone, called, program_over
from experiments.engine.tasks import Outcome, Task, Work, progress
from experiments.images import Images
from experiments.networks import purpose_key, trained_logits, untrained_network
from experiments.settings.measurements import AttackSettings
from jax_bioadv import population
from jax_bioadv.analysis import critical, robustness
from jax_bioadv.analysis.attack_input import Attempt, ImageBlock
from jax_bioadv.attacks.attack import attack_keys
from jax_bioadv.models import logits_function

# The fields of a search that have a number for each image.
PER_IMAGE = ("critical_epsilon", "l2", "linf", "not_monotone", "gradient_vanished")
# Images that are attacked at a time.
BLOCK = 2048


class Target(NamedTuple):
    """A classifier and the test images to attack, those that it classifies correctly."""

    logits: Partial
    chosen: np.ndarray


def target_of(work: Work, limit: int) -> Target:
    images, logits = work.images, trained_logits(work.images, work.needed["model"])
    return Target(logits, robustness.correctly_classified(logits, images.test, images.test_labels, limit))


@dataclass(frozen=True)
class GridAttack:
    """Every ε on every image, as published; the run of one task."""

    attack: SweptAttack

    def __call__(self, work: Work, *, seed: int, attacks: AttackSettings) -> Outcome:
        images, epsilons = work.images, self.attack.epsilons(attacks)
        logits, chosen = target_of(work, getattr(attacks, self.attack.images))
        if not len(chosen):
            return Outcome({"n_attacked": 0})
        with progress(work.name, len(epsilons), "ε") as advance:
            sweep = robustness.epsilon_sweep(
                self.attack.attack(attacks),
                purpose_key(seed, self.attack.name),
                logits,
                images.test[chosen],
                images.test_labels[chosen],
                epsilons,
                image_indices=chosen,
                progress=advance,
            )
        arrays = {
            "images": chosen,
            "epsilons": sweep.epsilons,
            "success": sweep.success,
            "relative_accuracy": robustness.relative_accuracy(sweep),
            "critical_l2": robustness.critical_perturbations(sweep, "l2"),
            "critical_linf": robustness.critical_perturbations(sweep, "linf"),
            "gradient_vanished": sweep.gradient_vanished,
        }
        not_monotone = int((sweep.success[:-1] & ~sweep.success[1:]).any(axis=0).sum())
        return Outcome({"n_attacked": len(chosen), "not_monotone": not_monotone}, arrays)


@dataclass(frozen=True)
class SearchedAttack:
    """A search for critical perturbations, of one model or of many at once.

    See :class:`experiments.engine.populations.Population`. Each member is attacked on its own images; the search goes
    on for all members together.
    """

    attack: SweptAttack
    vectorized: tuple[str, ...] = ()
    aside: tuple[str, ...] = ()

    def __call__(self, work: Work, **given: Any) -> Outcome:
        return alone(self, work)

    def shape_of(self, task: Task) -> tuple[int, float]:
        """Hidden units and power of the network, which shape its program."""
        given = task.needs["model"].given
        return given["hidden"], given["decoder"].power if "decoder" in given else given.get("power", 1.0)

    def members_that_fit(self, work: Work, varied: Sequence[str], devices: Devices) -> int:
        """How many members like this one may be attacked at a time; compiles their program, and runs nothing."""
        images, settings, (hidden, power) = work.images, work.task.given["attacks"], self.shape_of(work.task)
        shapes = jax.eval_shape(lambda: logits_function(untrained_network(images, hidden, 0, power=power)))
        untrained = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
        limit = min(getattr(settings, self.attack.images), len(images.test))
        one = jax.tree.map(itemgetter(0), _members([0], [Target(untrained, np.zeros(1, np.int32))], limit, images))
        prepare, attack = _member_functions(self.attack, settings)
        count = len(one["chosen"])
        one |= {
            "prepared": jax.eval_shape(prepare, one),
            "epsilons": jax.ShapeDtypeStruct((count,), jnp.float32),
            "tried": jax.ShapeDtypeStruct((count,), jnp.int32),
        }
        program = program_over(attack, devices)
        needs = population.memory_of_one(program, devices.mesh, one)
        return population.members_that_fit(needs, devices.budget, devices.mesh, devices.together)

    def together(self, works: Sequence[Work], varied: Sequence[str], devices: Devices) -> Iterator[Finished]:
        """Outcomes of attacks on models of one shape."""
        started, images = time.perf_counter(), works[0].images
        settings: AttackSettings = works[0].task.given["attacks"]
        targets = [target_of(work, getattr(settings, self.attack.images)) for work in works]
        outcomes = [Outcome({"n_attacked": 0}) for _ in works]
        attacked = [place for place, target in enumerate(targets) if len(target.chosen)]
        if attacked:
            seeds = [works[place].task.given["seed"] for place in attacked]
            correct = [targets[place] for place in attacked]
            members = _members(seeds, correct, max(len(target.chosen) for target in correct), images)
            programs, epsilons = _programs(self.attack, settings, devices), self.attack.epsilons(settings)
            with progress(called(works), critical.search_evaluations(len(epsilons)), "ε") as advance:
                found = _search(programs, members, len(attacked), epsilons, devices, advance)
            for member, (place, target) in enumerate(zip(attacked, correct, strict=True)):
                mine = {field: getattr(found, field)[member, : len(target.chosen)] for field in PER_IMAGE}
                outcomes[place] = searched_outcome(target.chosen, found._replace(**mine))
        seconds = (time.perf_counter() - started) / len(works)
        yield from (Finished(work, outcome, seconds) for work, outcome in zip(works, outcomes, strict=True))


def searched_outcome(chosen: np.ndarray, found: critical.CriticalSearch) -> Outcome:
    """The accuracy curve is the distribution of the critical ε."""
    arrays = {
        "images": chosen,
        "epsilons": found.epsilons,
        "relative_accuracy": critical.relative_accuracy_at(found, found.epsilons),
        "critical_l2": found.l2,
        "critical_linf": found.linf,
        "not_monotone": found.not_monotone,
        "gradient_vanished": found.gradient_vanished,
    }
    return Outcome({"n_attacked": len(chosen), "not_monotone": int(found.not_monotone.sum())}, arrays)


def _members(seeds: Sequence[int], targets: Sequence[Target], count: int, images: Images) -> dict[str, Any]:
    """Arrays with a row for each member; images are repeated until every member has equally many, in equal blocks."""
    blocks = -(-count // BLOCK)
    count = blocks * -(-count // blocks)
    chosen = np.stack([np.resize(target.chosen, count) for target in targets])
    return {
        "logits": jax.tree.map(lambda *leaves: np.stack(leaves), *(target.logits for target in targets)),
        "seed": np.array(seeds, np.int32),
        "chosen": chosen.astype(np.int32),
        "images": np.asarray(images.test)[chosen],
        "labels": np.asarray(images.test_labels)[chosen],
    }


@lru_cache(maxsize=8)
def _programs(attack: SweptAttack, settings: AttackSettings, devices: Devices) -> tuple[Any, Any]:
    """The member functions over a population: the same for all of a group, so that they are compiled once."""
    functions = _member_functions(attack, settings)
    prepare, at_epsilon = (program_over(one, devices) for one in functions)
    return prepare, at_epsilon


def _member_functions(
    chosen: SweptAttack, settings: AttackSettings
) -> tuple[Callable[[Any], Any], Callable[[Any], Attempt]]:
    """What the attack prepares for a member's images, and the attack at an ε for each of them."""
    made = chosen.attack(settings).as_pytree()

    def block(member: Any) -> ImageBlock:
        keys = attack_keys(purpose_key(member["seed"], chosen.name), member["chosen"])
        return ImageBlock(member["images"], member["labels"], keys)

    def prepare(member: Any) -> Any:
        return critical.prepare_each(made, member["logits"], block(member))

    def attack(member: Any) -> Attempt:
        ready, epsilons, tried = member["prepared"], member["epsilons"], member["tried"]
        return critical.attack_each(made, member["logits"], block(member), ready, epsilons, tried)

    return partial(_by_blocks, prepare), partial(_by_blocks, attack)


def _by_blocks(function: Callable[[Any], Any], member: Any) -> Any:
    """A function of a member, of so many of its images at a time."""
    count = len(member["chosen"])
    if count <= BLOCK:
        return function(member)
    whole = {name: member[name] for name in ("logits", "seed")}
    rows = {name: value for name, value in member.items() if name not in whole}
    cut = jax.tree.map(lambda row: row.reshape(-(-count // BLOCK), -1, *row.shape[1:]), rows)
    found = lax.map(lambda block: function({**whole, **block}), cut)
    return jax.tree.map(lambda each: each.reshape(count, *each.shape[2:]), found)


def _search(
    programs: tuple[Any, Any],
    members: Any,
    count: int,
    epsilons: np.ndarray,
    devices: Devices,
    advance: Callable[[int], object],
) -> critical.CriticalSearch:
    """One search over the images of all members, with its fields of shape (members, images)."""
    prepare, attack = programs
    shape = members["chosen"].shape
    placed = population.distribute(members, devices.mesh)
    placed["prepared"] = prepare(placed)

    def attack_at(tried: np.ndarray) -> Attempt:
        rows = {"epsilons": epsilons[tried].astype(np.float32).reshape(shape), "tried": tried.reshape(shape)}
        made = attack({**placed, **population.distribute(rows, devices.mesh)})
        return jax.tree.map(np.ravel, population.collect(made, count))

    found = critical.bracketing_search(attack_at, epsilons, shape[0] * shape[1], progress=advance)
    return found._replace(**{field: getattr(found, field).reshape(shape) for field in PER_IMAGE})
