"""Presets that take hours start: their plans hold together, and their programs lower at their true sizes.

Nothing is computed and nothing compiled: what a program is given are shapes, those of CIFAR-10.
"""

import dataclasses
import inspect
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.attacks import SWEPT_ATTACKS
from experiments.engine.estimate import Estimate
from experiments.engine.populations import Population, one_device, population_of, program_of
from experiments.engine.tasks import Work
from experiments.images import Images
from experiments.models import MODELS
from experiments.plan import STAGES, Plan
from experiments.settings.presets import PRESETS
from experiments.training.trainer import Training
from jax_bioadv import data, population

LARGE = ("quick", "paper")
TRAIN, TEST, SHAPE = 50_000, 10_000, (32, 32, 3)


def blank(count, shape=()):
    """So many times the same, in no memory."""
    return np.broadcast_to(np.uint8(1), (count, *shape))


@pytest.fixture(scope="module")
def cifar10():
    """The shapes of CIFAR-10; its training images are nothing but a shape."""
    train, test = (blank(TRAIN, SHAPE), blank(TRAIN)), (blank(TEST, SHAPE), blank(TEST))
    dataset = data.Dataset("cifar10", *train, *test, tuple(map(str, range(10))), "shapes")
    images, pixels = Images(dataset, 3.0), int(np.prod(SHAPE))
    known = {
        "train": jax.ShapeDtypeStruct((TRAIN, pixels), jnp.float32),
        "train_labels": jax.ShapeDtypeStruct((TRAIN,), jnp.int32),
        "test": np.broadcast_to(np.float32(0.02), (TEST, pixels)),
        "test_labels": np.broadcast_to(np.int32(0), (TEST,)),
        "device_covariance": jax.ShapeDtypeStruct((pixels, pixels), jnp.float32),
        "digests": [],
    }
    vars(images).update(known)
    return images


@pytest.fixture(scope="module")
def plans(cifar10):
    return {preset: Plan(PRESETS[preset], cifar10) for preset in LARGE}


@pytest.mark.parametrize("preset", LARGE)
def test_every_task_is_given_what_its_run_takes_and_the_run_can_be_estimated(plans, preset):
    plan = plans[preset]
    tasks = plan.all_tasks()
    assert {task.stage for task in tasks} == set(STAGES)
    assert {task.name for task in tasks} >= {f"{model}-0" for model in MODELS}
    for task in tasks:
        run = task.run.together if isinstance(task.run, Population) else task.run
        if run is task.run:
            inspect.signature(run).bind(Work(task, {}, Path()), **task.given)
    assert Estimate(plan.settings, plan.images, product_seconds=1e-6).seconds(tasks) > 60


def programs_of(plan):
    """The tasks of a plan that run as populations, one of each program."""
    found = {}
    for task in plan.all_tasks():
        kind = population_of(task)
        if kind is not None:
            found.setdefault(program_of(task, kind, ()), task)
    return list(found.values())


def lower(preset, plans, monkeypatch, wanted):
    """Lower the programs of the wanted tasks; the names of the tasks, and the shapes that came out."""
    lowered = {}

    def memory_of_one(program, mesh, member, *shared, state=None):
        given = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape), leaf.dtype),
            (member,) if state is None else (state, member),
        )
        lowered.setdefault(name, []).append(program.lower(*given, *shared).out_info)
        return population.Memory(0, 0, 0)

    monkeypatch.setattr(population, "memory_of_one", memory_of_one)
    devices = dataclasses.replace(one_device(), budget=1)
    for task in programs_of(plans[preset]):
        if isinstance(task.run, wanted):
            name = task.name
            task.run.members_that_fit(Work(task, {}, Path("unused")), (), devices)
    return lowered


@pytest.mark.parametrize("preset", LARGE)
def test_every_training_lowers_at_its_true_size(plans, preset, monkeypatch):
    lowered = lower(preset, plans, monkeypatch, Training)
    settings = PRESETS[preset]
    assert {"kh-0", "noise-start-whole-0"} & set(lowered), "decoders, one program where sizes are the same"
    assert set(lowered) >= {"layer-0", "bp-0", "l2-0", "jacobian-0", "spectral-0", "adversarial-0"}
    assert {len(programs) for programs in lowered.values()} == {2}, "the start and an epoch"
    hidden = {leaf.shape for leaf in jax.tree.leaves(lowered["layer-0"])}
    assert (1, settings.hidden, int(np.prod(SHAPE))) in hidden


@pytest.mark.parametrize("preset", LARGE)
def test_every_searched_attack_lowers_at_its_true_size(plans, preset, monkeypatch):
    attacks = tuple({type(task.run) for task in programs_of(plans[preset])} - {Training})
    lowered = lower(preset, plans, monkeypatch, attacks)
    assert {name.partition("-")[0] for name in lowered} == {
        name for name, attack in SWEPT_ATTACKS.items() if attack.searched
    }
    attacked = min(PRESETS[preset].attacks.images, TEST)
    for shapes in lowered.values():
        assert all(leaf.shape[1] >= attacked for leaf in jax.tree.leaves(shapes))
