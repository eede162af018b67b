"""Greedy training of stages: against the same steps on maps that are kept, and what goes into a stage."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.convolutional import ConvolutionalNetwork, Pool, StageSettings
from jax_bioadv.learning import soft_hebb
from jax_bioadv.learning.on_patches import on_patches
from jax_bioadv.learning.soft_hebb import SoftHebb
from jax_bioadv.learning.stacks import (
    features,
    sampled_patches,
    stage_epoch,
    train_stage,
    with_filters,
    with_statistics,
)
from jax_bioadv.learning.whitening import Whitening

STAGES = (StageSettings(4, 3, 1, pool=Pool("max", 2, 2)), StageSettings(3, 2, bias=True))
NETWORK = ConvolutionalNetwork((6, 6, 2), STAGES, 2, rngs=nnx.Rngs(0))
IMAGES = np.random.default_rng(0).uniform(size=(20, 72)).astype(np.float32)
KEY = jax.random.key(1)
RULE = partial(soft_hebb.learning_rule, SoftHebb(radius=3.0), hidden=3)


@pytest.fixture(scope="module")
def ready():
    return with_statistics(with_statistics(NETWORK, 0, IMAGES, image_block=7), 1, IMAGES, image_block=7)


@pytest.mark.parametrize("index", [0, 1])
def test_a_stage_is_given_maps_of_mean_0_and_variance_1(ready, index):
    maps = np.asarray(jax.jit(ready.stage_inputs, static_argnums=1)(IMAGES, index), np.float64)
    np.testing.assert_allclose(maps.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(maps.var(axis=(0, 1, 2)), 1, rtol=2e-3)  # less by batch norm's ε of 1e-5 or so
    assert (NETWORK.stages[index].norm.mean[...] == 0).all()  # a copy


def test_a_stage_without_batch_norm_is_left_as_it_is():
    network = ConvolutionalNetwork((6, 6, 2), [StageSettings(3, 2, batch_norm=False)], 2, rngs=nnx.Rngs(0))
    assert with_statistics(network, 0, IMAGES).stages[0].norm is None


@pytest.mark.parametrize("positions", [None, 2])
def test_an_epoch_streams_the_steps_that_kept_maps_would_give(ready, positions):
    state = soft_hebb.init(KEY, SoftHebb(radius=3.0), hidden=3, inputs=16)
    found, info = stage_epoch(
        RULE, nnx.split(ready), state, jnp.asarray(IMAGES), KEY, 0.1, index=1, batch_size=6, positions=positions
    )
    maps = jax.jit(ready.stage_inputs, static_argnums=1)(IMAGES, 1)
    step = jax.jit(on_patches(RULE(0.1), ready.stages[1].convolution.patches, positions).step)
    order_key, step_key = jax.random.split(KEY)
    order, keys, changes = jax.random.permutation(order_key, 20), jax.random.split(step_key, 3), []
    for number in range(3):
        before = state.synapses
        state, _ = step(state, maps[order[6 * number : 6 * number + 6]], keys[number])
        changes.append(np.abs(state.synapses - before).max())
    np.testing.assert_allclose(found.synapses, state.synapses, rtol=0, atol=1e-5)  # convolutions of another batch
    assert info.largest_change == pytest.approx(np.mean(changes), rel=1e-4)


def test_a_stage_is_trained_for_as_many_epochs_as_it_has_rates(ready):
    done = []
    state, history = train_stage(
        ready, 1, RULE, IMAGES, KEY, [0.1, 0.0], batch_size=6, positions=2, progress=done.append
    )
    assert done == [1, 1]
    np.testing.assert_array_equal(history["largest_change"] > 0, [True, False])
    again, _ = train_stage(ready, 1, RULE, IMAGES, KEY, [0.1], batch_size=6, positions=2)
    np.testing.assert_array_equal(state.synapses, again.synapses)
    whitened, _ = train_stage(
        ready, 1, RULE, IMAGES, KEY, [0.1], batch_size=6, positions=2, whitening=Whitening(np.zeros(16), 2 * np.eye(16))
    )
    assert np.abs(whitened.synapses - state.synapses).max() > 1e-3
    learnt = with_filters(ready, 1, state.synapses, bias=np.arange(3.0, dtype=np.float32))
    np.testing.assert_array_equal(learnt.stages[1].convolution.rows, state.synapses)
    np.testing.assert_array_equal(learnt.stages[1].convolution.bias[...], np.arange(3))
    assert (ready.stages[1].convolution.bias[...] == 0).all()  # a copy


def test_filters_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 18\)"):
        with_filters(NETWORK, 0, np.ones((4, 17), np.float32))
    with pytest.raises(ValueError, match="no bias"):
        with_filters(NETWORK, 0, np.ones((4, 18), np.float32), np.ones(4, np.float32))
    with pytest.raises(ValueError, match="stages 0 to 1"):
        with_filters(NETWORK, 2, np.ones((4, 18), np.float32))


@pytest.mark.parametrize("count", [15, 180])  # of stage 1's 20 × 2 × 2, and of stage 0's 20 × 6 × 6
def test_sampled_patches_are_different_ones_that_the_filters_see(ready, count):
    index = int(count < 20)
    taken = sampled_patches(ready, index, IMAGES, KEY, count)
    there_are = np.asarray(jax.jit(ready.patches, static_argnums=1)(IMAGES, index)).reshape(-1, taken.shape[1])
    assert taken.shape[0] == count
    nearest = [int(np.argmin(np.abs(there_are - one).max(axis=1))) for one in taken]
    np.testing.assert_allclose(there_are[nearest], taken, rtol=0, atol=1e-5)
    assert len(set(nearest)) == count


def test_more_patches_than_there_are_are_refused():
    with pytest.raises(ValueError, match="20 × 2 × 2 patches"):
        sampled_patches(NETWORK, 1, IMAGES, KEY, 81)


def test_features_are_those_of_the_network_in_the_bits_that_are_asked_for(ready):
    found = features(ready, IMAGES, image_block=6, dtype=np.float16)
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, jax.jit(ready.features)(IMAGES), rtol=1e-3, atol=1e-5)
