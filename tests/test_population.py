"""Populations on one device: each member is the same function alone, whatever stands beside it; memory and training."""

import functools
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from population_cases import (
    EPOCHS,
    REGULARIZERS,
    assert_close,
    assert_equal,
    labelled,
    layer_epoch,
    layer_start,
    layers,
    member_of,
    networks,
    train_layer,
    train_network,
)

from jax_bioadv import population
from jax_bioadv.learning.training import Diagnosis, DivergenceError, train, watch_finite
from jax_bioadv.population import Memory, members_that_fit
from jax_bioadv.sharding import make_mesh

# A few float32 roundings, by the largest element: other forms of the same sums and powers.
ROUNDING = 1e-5
COUNT = 4


@functools.cache
def program(train, together):
    """One for all tests: it is compiled once for each set of shapes."""
    return population.over_members(train, make_mesh(), together)


def run(train, members, together=1):
    return population.collect(program(train, together)(members, labelled()), len(members["seed"]))


by_itself = functools.cache(jax.jit)


def alone(train, members, place):
    """One member by itself, its hyper-parameters as arguments of the program."""
    return jax.tree.map(np.asarray, by_itself(train)(jax.tree.map(lambda rows: rows[place], members), labelled()))


def row(results, place):
    return jax.tree.map(lambda rows: rows[place], results)


# Each member is itself.


def test_a_layer_among_others_is_bitwise_the_layer_alone():
    members = layers(COUNT)
    found = run(train_layer, members)
    for place in range(COUNT):
        assert_equal(row(found, place), alone(train_layer, members, place))


@pytest.mark.parametrize("together", [2, 3, None])
def test_layers_that_run_together_are_those_that_run_one_by_one(together):
    """Also where their number is no multiple; vmapped products may be summed in another order."""
    assert_close(run(train_layer, layers(COUNT), together), run(train_layer, layers(COUNT)), ROUNDING)


def test_a_layer_among_others_is_bitwise_what_a_user_of_the_library_gets():
    """The rule with plain numbers, epoch by epoch: Δ, R and the learning rate are arguments there as well."""
    members = layers(COUNT)
    synapses = run(train_layer, members)[0].synapses
    for place in (0, COUNT - 1):
        member, data = member_of(members, place), labelled()
        state = layer_start(member, data)
        for _ in range(EPOCHS):
            state, _ = layer_epoch({**member, "state": state}, data)
        np.testing.assert_array_equal(synapses[place], state.synapses)


def test_layers_with_several_exponents_are_those_with_each_of_them():
    """A traced p is a general power, whereas 2 and 3 alone are products."""
    members = {**layers(COUNT), "p": np.array([2.0, 2.5, 3.0, 4.0], np.float32)}
    found = run(train_layer, members)
    for place in range(COUNT):
        fixed = {**member_of(members, place), "seed": members["seed"][place]}
        static = partial(lambda fixed, member, data: train_layer({**fixed, **member}, data), {"p": fixed.pop("p")})
        assert_close(row(found, place), jax.tree.map(np.asarray, jax.jit(static)(fixed, labelled())), ROUNDING)


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_a_network_among_others_is_the_network_alone(regularizer):
    """Up to rounding: the compiler fuses the statistics of batch normalization otherwise inside a loop over members."""
    members, training = networks(2), partial(train_network, regularizer)
    found = run(training, members)
    for place in range(2):
        assert_close(row(found, place), alone(training, members, place), ROUNDING)


def test_the_hyper_parameters_reach_their_members():
    """Else all of the above could hold of members that are all the same."""
    members = {**layers(COUNT), "seed": np.zeros(COUNT, np.int32)}
    same = {name: np.repeat(rows[:1], COUNT) for name, rows in members.items()}
    wanted = run(train_layer, same)[0].synapses
    assert (wanted == wanted[0]).all()
    for name in ("delta", "radius", "rate", "seed"):
        rows = layers(COUNT)[name]
        synapses = run(train_layer, {**same, name: rows})[0].synapses
        assert len({one.tobytes() for one in synapses}) == COUNT, name


@pytest.mark.parametrize("bad", [np.nan, 1e30])
@pytest.mark.parametrize("together", [1, None])
def test_a_member_that_diverges_harms_no_other(bad, together):
    members = layers(COUNT)
    broken = {**members, "rate": np.where(np.arange(COUNT) == 1, np.float32(bad), members["rate"])}
    found, wanted = run(train_layer, broken, together), run(train_layer, members, together)
    assert_equal(*(jax.tree.map(lambda rows: rows[[0, 2, 3]], each) for each in (found, wanted)))
    assert not np.isfinite(found[0].synapses[1]).all() or np.abs(found[0].synapses[1]).max() > 1e10


def test_a_population_is_traced_once():
    traced = []

    def double(member, shared):
        traced.append(member)
        return 2 * member + shared

    doubled = population.over_members(double, make_mesh(), 1)
    for factor in (1.0, 2.0, 3.0):
        found = doubled(jnp.full(3, factor), jnp.ones(()))
        assert found.tolist() == [2 * factor + 1] * 3
    assert len(traced) == 1


# Training and stopping.


def layer_population(members):
    mesh, data = make_mesh(), labelled()
    step = population.over_members(layer_epoch, mesh, 1)
    state = population.over_members(layer_start, mesh, 1)(members, data)
    return (lambda state, index: step({**members, "state": state}, data)), state, mesh


def test_who_diverges_is_told_with_the_epoch_and_the_words_of_a_training_alone():
    members = layers(3)
    members["rate"][1] = np.nan
    epoch, state, mesh = layer_population(members)
    trained = population.train_population(epoch, state, EPOCHS, mesh, watches=[watch_finite] * 3)
    assert [one is None for one in trained.diverged] == [True, False, True]
    member, data = member_of(members, 1), labelled()
    with pytest.raises(DivergenceError) as error:
        train(lambda state, _: layer_epoch({**member, "state": state}, data), layer_start(member, data), EPOCHS)
    assert (str(trained.diverged[1]), trained.diverged[1].epoch) == (str(error.value), error.value.epoch)
    synapses, infos = run(train_layer, members)
    np.testing.assert_array_equal(trained.states.synapses, synapses.synapses)
    for name, rows in trained.history.items():
        np.testing.assert_array_equal(rows, getattr(infos, name), err_msg=name)


class Size(NamedTuple):
    size: jax.Array


def test_the_first_bad_epoch_counts():
    """A watch of each member's own, over several looks."""

    def grow(state, index):
        return state + 1, Size(state)

    def watch(limit, info):
        return Diagnosis(f"{info.size} is too large", "Shrink it.") if info.size > limit else None

    watches = [partial(watch, limit) for limit in (2.0, 100.0, 5.0)]
    trained = population.train_population(grow, jnp.zeros(3), 8, make_mesh(), watches=watches, check_every=3)
    assert [one and one.epoch for one in trained.diverged] == [3, None, 6]


def test_an_interrupted_population_goes_on_from_its_checkpoint_to_the_same_bits(open_checkpoints):
    epochs, members = 6, layers(3)
    epoch, state, mesh = layer_population(members)
    whole = population.train_population(epoch, state, epochs, mesh, watches=[watch_finite] * 3)
    pace = {"checkpoint_seconds": 0.0, "check_every": 2, "watches": [watch_finite] * 3}
    done = 0

    def stop(more):
        nonlocal done
        done += more
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        population.train_population(epoch, state, epochs, mesh, checkpoints=open_checkpoints(), progress=stop, **pace)
    steps = []
    resumed = population.train_population(
        epoch, state, epochs, mesh, checkpoints=open_checkpoints(), progress=steps.append, **pace
    )
    assert steps == [4, 1, 1]
    np.testing.assert_array_equal(resumed.states.synapses, whole.states.synapses)
    assert_equal(resumed.history, whole.history)


# Memory.


def needs_of(hidden, shared=(1000,)):
    def step(member, data):
        product = jnp.sort(member["weights"] @ member["weights"].T)
        return {"weights": member["weights"] + product[0, 0] + data[0]}

    mesh, member = make_mesh(), {"weights": jax.ShapeDtypeStruct((hidden, 50), jnp.float32)}
    program = population.over_members(step, mesh, 1)
    return population.memory_of_one(program, mesh, member, jax.ShapeDtypeStruct(shared, jnp.float32))


@pytest.mark.parametrize("hidden", [10, 100, 400])
def test_a_member_needs_at_least_its_own_arrays_twice(hidden):
    """What it is given and what it becomes; and the product that is between them."""
    needs = needs_of(hidden)
    assert needs.resident >= 2 * hidden * 50 * 4
    assert needs.scratch >= hidden * hidden * 4
    assert needs.shared == 4000


def test_it_needs_more_with_more_hidden_units_and_the_same_whatever_is_shared():
    few, many = needs_of(10), needs_of(300)
    assert many.resident > few.resident
    assert many.scratch > few.scratch
    assert needs_of(10, shared=(10**7,)) == few._replace(shared=4 * 10**7)


def test_shared_arrays_that_a_program_leaves_unused_do_not_make_a_member_smaller():
    """The compiler drops such arguments, and does not count them."""
    mesh = make_mesh()
    program = population.over_members(lambda member, unused: member + 1, mesh, 1)
    needs = population.memory_of_one(program, mesh, np.zeros(100, np.float32), np.zeros(10**6, np.float32))
    assert needs.resident >= 800
    assert needs.shared == 4 * 10**6


BYTES = st.integers(1, 10**6)


@given(BYTES, st.integers(0, 10**6), st.integers(0, 10**6), st.integers(1, 10**9), st.sampled_from([1, 2, 7, None]))
def test_as_many_members_as_fit_and_not_one_more(resident, scratch, shared, budget, together):
    def taken(count):
        running = count if together is None else together
        return shared + count * resident + running * scratch

    needs, mesh = Memory(resident, scratch, shared), make_mesh()
    if taken(1) > budget:
        with pytest.raises(ValueError, match="raise the budget, or lower the hidden units"):
            members_that_fit(needs, budget, mesh, together)
        return
    count = members_that_fit(needs, budget, mesh, together)
    assert taken(count) <= budget < taken(count + 1)


def test_some_memory_is_free():
    free = population.free_memory(make_mesh())
    assert isinstance(free, int)
    assert free > 2**20


def test_cpu_devices_share_what_the_process_may_take(monkeypatch):
    monkeypatch.setattr(population, "free_host_memory", lambda: 1000)
    assert population.free_memory(make_mesh()) == 1000 // jax.device_count()
