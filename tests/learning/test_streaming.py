"""What a stream teaches is what an array teaches, in the same order; and a training goes on from anywhere."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jax_bioadv.data.streams import ArraySource, Stream
from jax_bioadv.learning import krotov_hopfield as kh
from jax_bioadv.learning import streaming, supervised
from jax_bioadv.learning.learning_rule import over_batches
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.learning.training import train
from jax_bioadv.models import Network
from jax_bioadv.storage import Checkpoints

RULE = kh.KrotovHopfield()
KEY = jax.random.key(3)
COUNT, BATCH, CHUNKS = 60, 10, 4


@pytest.fixture(scope="module")
def source():
    numbers = np.random.default_rng(0)
    return ArraySource(numbers.integers(0, 256, (COUNT, 4, 4, 1), np.uint8), numbers.integers(0, 3, COUNT))


@pytest.fixture(scope="module")
def stream(source):
    return Stream(source, BATCH, seed=5)


@pytest.fixture(scope="module")
def images(source):
    return streaming.unit_norm_on_device(source.images)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, jax.tree.map(np.asarray, one), jax.tree.map(np.asarray, other))


def test_the_start_is_that_of_an_array(source, images):
    started = streaming.krotov_hopfield_state(KEY, RULE, source, hidden=8)
    expected = kh.init(KEY, RULE, images, hidden=8, start="samples")
    same(started.synapses, expected.synapses)
    same(jax.random.key_data(started.key), jax.random.key_data(expected.key))


def test_more_rows_than_images_are_refused(source):
    with pytest.raises(ValueError, match="different images"):
        streaming.krotov_hopfield_state(KEY, RULE, source, hidden=COUNT + 1)


def test_krotov_hopfield_learns_what_it_learns_from_an_array(source, stream, images):
    """Three batches a chunk: two chunks are an epoch of six."""
    chunk = streaming.krotov_hopfield_chunk(RULE, stream, 0.02, batches=3, chunks=CHUNKS)
    begun = streaming.krotov_hopfield_state(KEY, RULE, source, hidden=8)
    state, history = train(chunk, begun, CHUNKS, check_every=1)
    expected = begun

    @jax.jit
    def from_memory(state, order, rate):
        return over_batches(lambda state, batch: kh.step(RULE, state, batch, rate), state, images, order, BATCH)

    for index in range(CHUNKS):
        order = stream.order(index // 2)[(index % 2) * 30 :][:30]
        expected, infos = from_memory(expected, order, kh.linear_decay(0.02, index, CHUNKS))
    np.testing.assert_allclose(state.synapses, expected.synapses, rtol=1e-5, atol=1e-7)
    told = jax.jit(kh.epoch_info)(RULE, expected.synapses, infos)
    np.testing.assert_allclose(history["median_norm"][-1], told.median_norm, rtol=1e-5)
    np.testing.assert_allclose(history["winning_share"][-1], told.winning_share)


@pytest.mark.parametrize("stopped_after", [1, 3])
def test_it_goes_on_bitwise_from_a_checkpoint_inside_an_epoch(source, stream, tmp_path, stopped_after):
    begun = streaming.krotov_hopfield_state(KEY, RULE, source, hidden=8)

    def learn(chunk, checkpoints=None):
        return train(chunk, begun, CHUNKS, check_every=1, checkpoints=checkpoints, checkpoint_seconds=0.0)

    chunk, asked_for = streaming.krotov_hopfield_chunk(RULE, stream, 0.02, batches=3, chunks=CHUNKS), []
    expected, history = learn(chunk)

    def stops_once(state, index):
        asked_for.append(index)
        if index == stopped_after and asked_for.count(index) == 1:
            raise KeyboardInterrupt
        return chunk(state, index)

    checkpoints = Checkpoints(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        learn(stops_once, checkpoints)
    state, told = learn(stops_once, checkpoints)
    every = list(range(CHUNKS))
    assert asked_for == [0, *every[: stopped_after + 1], 0, *every[stopped_after:]]  # 0 for shapes alone, too
    same(state.synapses, expected.synapses)
    same(told, history)


def test_a_network_learns_what_its_steps_learn(source, stream, images):
    model, optimizer = Network(16, 8, 3, rngs=nnx.Rngs(0)), optax.adam(1e-2)
    graphdef, begun = supervised.init(KEY, model, optimizer)
    step = supervised.make_step(graphdef, optimizer)
    state, history = train(streaming.make_chunk(step, stream, batches=6, key=KEY), begun, 2, check_every=1)
    expected, take = begun, jax.jit(step)
    for number in range(12):
        rows = stream.order(number // 6)[(number % 6) * BATCH :][:BATCH]
        batch = TrainingData(images[rows], jnp.asarray(source.labels[rows]))
        expected, _ = take(expected, batch, jax.random.fold_in(KEY, number))
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6),
        nnx.to_pure_dict(state.parameters),
        nnx.to_pure_dict(expected.parameters),
    )
    assert history["loss"].shape == (2,)
    assert history["loss"][1] < history["loss"][0]


def test_a_chunk_of_nothing_is_refused(stream):
    with pytest.raises(ValueError, match="at least one batch"):
        streaming.make_chunk(lambda *given: given, stream, batches=0, key=KEY)
