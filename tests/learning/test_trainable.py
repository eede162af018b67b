"""What can be trained: a network in two parts, a decoder by itself, any module from images to logits."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import small_convolutional
from flax import nnx
from supervised_cases import BATCH, HIDDEN, TRAIN, Training, assert_same_bits, network

from jax_bioadv.learning import supervised
from jax_bioadv.learning.regularizers import TrainingData


def test_a_decoder_on_frozen_features_trains_the_decoder_alone():
    model = network(power=4.5)
    features = TrainingData(model.activation(TRAIN.images), TRAIN.labels)
    optimizer = optax.adam(1e-2)
    graphdef, state = supervised.init(jax.random.key(0), supervised.FrozenFeatures(model.decoder), optimizer)
    assert sorted(leaf.shape for leaf in jax.tree.leaves(state.parameters)) == [(10,), (HIDDEN, 10)]
    epoch = supervised.make_epoch(graphdef, optimizer, batch_size=BATCH)
    state, first = epoch(state, features)
    for _ in range(3):
        state, info = epoch(state, features)
    assert info.cross_entropy < first.cross_entropy
    before = np.asarray(network(power=4.5).encoder.kernel[...])
    model.decoder = supervised.trained_model(graphdef, state).decoder
    np.testing.assert_array_equal(model.encoder.kernel[...], before)
    # The whole network and the decoder on its features are the same function; sums of 16 numbers of order 1.
    np.testing.assert_allclose(
        model(TRAIN.images), supervised.trained_model(graphdef, state).decode(features.images), rtol=1e-4, atol=1e-5
    )


def whole(seed=0):
    """The network as a module that tells nothing of its parts."""
    rngs = nnx.Rngs(seed)
    parts = network(seed)
    module = nnx.Sequential(
        nnx.Linear(64, HIDDEN, use_bias=False, rngs=rngs), nnx.relu, nnx.Linear(HIDDEN, 10, rngs=rngs)
    )
    module.layers[0].kernel, module.layers[2] = parts.encoder.kernel, parts.decoder
    return module


def test_a_module_from_images_to_logits_trains_as_one_in_two_parts():
    training = Training()
    optimizer = training.optimizer
    graphdef, state = supervised.init(jax.random.key(0), whole(), optimizer)
    state, info = supervised.make_epoch(graphdef, optimizer, batch_size=BATCH)(state, TRAIN)
    expected, expected_info = training.epoch(training.start(), TRAIN)
    # Both take the same 15 steps; another order of adding may move a step of Adam by a rounding.
    np.testing.assert_allclose(info, expected_info, rtol=1e-4)
    model = supervised.trained_model(training.graphdef, expected)
    np.testing.assert_allclose(
        supervised.trained_model(graphdef, state).layers[0].kernel[...], model.encoder.kernel[...], atol=1e-4
    )


def test_batch_norm_and_dropout_of_any_module_are_in_training_mode():
    images = jax.random.uniform(jax.random.key(0), (40, small_convolutional.SIDE**2))
    data = TrainingData(images, (images.sum(axis=1) > images.sum(axis=1).mean()).astype(jnp.int32))
    model, optimizer = small_convolutional.Convolutional(), optax.adam(3e-3)
    model.eval()
    graphdef, start = supervised.init(jax.random.key(0), model, optimizer)
    epoch = supervised.make_epoch(graphdef, optimizer, batch_size=20)
    state, first = epoch(start, data)
    assert_same_bits(epoch(start, data), (state, first))
    for _ in range(20):
        state, info = epoch(state, data)
    assert info.cross_entropy < 0.8 * first.cross_entropy
    before, after = (supervised.trained_model(graphdef, each) for each in (start, state))
    assert not np.array_equal(before.stages[0].norm.mean[...], after.stages[0].norm.mean[...])
    assert int(after.stages[0].dropout.rngs.count[...]) == 42  # once a step
    np.testing.assert_array_equal(after(images), after(images))  # and in the mode that it was given in


def test_a_module_that_gives_no_logits_is_refused():
    with pytest.raises(TypeError, match=r"a List is not trainable: it needs __call__\(images\), or preactivation"):
        supervised.init(jax.random.key(0), nnx.List([]), optax.adam(1e-3))
