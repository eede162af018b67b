"""Populations on a mesh of eight devices give what they give on one; pytest on this file, started by test_sharding.

It needs ``XLA_FLAGS=--xla_force_host_platform_device_count=8``, which must stand before JAX starts.
"""

import functools
import re
from functools import partial

import jax
import numpy as np
import pytest
from jax import export
from population_cases import (
    EPOCHS,
    assert_close,
    assert_equal,
    labelled,
    layer_epoch,
    layer_start,
    layers,
    networks,
    train_layer,
    train_network,
)

from jax_bioadv import population
from jax_bioadv.learning.training import watch_finite
from jax_bioadv.sharding import make_mesh, over_data

# Sums over a minibatch are taken in another order when several devices share it: a few float32 roundings.
ROUNDING = 1e-5
MEMBERS = 5
MESHES = {"8x1": 1, "4x2": 2, "1x8": 8}
CASES = {"layer": (train_layer, layers), "spectral": (partial(train_network, "spectral"), networks)}


def one_device():
    return make_mesh(devices=jax.devices()[:1])


@functools.cache
def alone(case):
    return trained(case, one_device())


def trained(case, mesh, **numbers):
    train, members_of = CASES[case]
    members = population.distribute({**members_of(MEMBERS), **numbers}, mesh)
    results = population.over_members(train, mesh, 1)(members, population.replicate(labelled(), mesh))
    return population.collect(results, MEMBERS)


def test_there_are_eight_devices():
    assert len(jax.devices()) == 8
    for name, data in MESHES.items():
        mesh = make_mesh(data)
        assert "x".join(map(str, mesh.devices.shape)) == name
        assert sorted(device.id for device in mesh.devices.flat) == list(range(8))


@pytest.mark.parametrize("data", [3, 16, 0])
def test_groups_that_do_not_divide_the_devices_are_refused(data):
    with pytest.raises(ValueError, match="8 devices"):
        make_mesh(data)


@pytest.mark.parametrize(
    ("case", "mesh"),
    [("layer", "8x1"), ("layer", "4x2"), ("layer", "1x8"), ("spectral", "4x2")],
)
def test_what_is_found_does_not_depend_on_the_devices(case, mesh):
    """Neither for members that are no multiple of the devices, nor for minibatches of 9 that 2 or 8 devices share."""
    found, wanted = trained(case, make_mesh(MESHES[mesh])), alone(case)
    if MESHES[mesh] == 1:
        assert_equal(found, wanted)
    else:
        assert_close(found, wanted, ROUNDING)


def test_the_last_member_fills_up_and_is_dropped_again():
    mesh = make_mesh(2)
    placed = population.distribute(np.arange(5), mesh)
    assert np.asarray(placed).tolist() == [0, 1, 2, 3, 4, 4, 4, 4]
    assert population.collect(placed, 5).tolist() == [0, 1, 2, 3, 4]
    assert {shard.data.shape for shard in placed.addressable_shards} == {(2,)}
    whole = population.replicate(np.arange(5), mesh)
    assert {shard.data.shape for shard in whole.addressable_shards} == {(5,)}


@functools.cache
def program(data):
    mesh = make_mesh(data)
    arguments = population.distribute(layers(8), mesh), population.replicate(labelled(), mesh)
    return population.over_members(train_layer, mesh, 1), arguments


def test_members_on_different_devices_never_talk_and_those_that_share_a_minibatch_do():
    talk = re.compile("all-reduce|all-gather|collective-permute|all-to-all|reduce-scatter")
    compiled = {}
    for data in (1, 2):
        train, arguments = program(data)
        compiled[data] = train.lower(*arguments).compile().as_text()
    assert not talk.search(compiled[1])
    assert talk.search(compiled[2])


def test_a_member_that_diverges_harms_none_on_any_device():
    broken = np.where(np.arange(5) == 2, np.float32(np.nan), layers(5)["rate"])
    found, wanted = trained("layer", make_mesh(), rate=broken), alone("layer")
    others = [0, 1, 3, 4]
    assert_equal(*(jax.tree.map(lambda rows: rows[others], each) for each in (found, wanted)))
    assert np.isnan(found[0].synapses[2]).any()


def test_a_population_is_trained_and_watched_without_the_members_that_fill_up():
    members = layers(5)
    members["rate"][[1, 4]] = np.nan  # the last one fills the other three devices
    mesh = make_mesh()
    placed, data = population.distribute(members, mesh), population.replicate(labelled(), mesh)
    state = population.over_members(layer_start, mesh, 1)(placed, data)
    run = population.over_members(layer_epoch, mesh, 1)
    trained = population.train_population(
        lambda state, index: run({**placed, "state": state}, data), state, EPOCHS, mesh, watches=[watch_finite] * 5
    )
    assert [one is not None for one in trained.diverged] == [False, True, False, False, True]
    assert {rows.shape for rows in trained.history.values()} == {(5, EPOCHS)}


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("data", [1, 2])
def test_the_program_of_a_mesh_lowers_for_accelerators(platform, data):
    train, arguments = program(data)
    exported = export.export(train, platforms=[platform])(*jax.tree.map(export_shape, arguments))
    assert exported.nr_devices == 8
    assert not re.search(r"[<x]f64[>,]|callback", exported.mlir_module())


def export_shape(leaf):
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)


def test_a_minibatch_is_split_over_the_data_axis_alone():
    with jax.set_mesh(make_mesh(2)):
        batch = jax.jit(over_data)(np.arange(8))
    assert {shard.data.shape for shard in batch.addressable_shards} == {(4,)}
