"""The host's loop: whatever happens between two epochs, the training ends in the same bits; divergence is named."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.learning import krotov_hopfield, supervised
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.learning.training import Diagnosis, DivergenceError, train
from jax_bioadv.models import Network

IMAGES = jnp.asarray(np.random.default_rng(0).random((30, 6), np.float32))
EPOCHS = 7


def krotov_hopfield_training():
    rule = KrotovHopfield()

    def epoch(state, index):
        rate = krotov_hopfield.linear_decay(0.02, index, EPOCHS)
        return krotov_hopfield.epoch(rule, state, IMAGES, rate, batch_size=10)

    return epoch, krotov_hopfield.init(jax.random.key(1), rule, IMAGES, hidden=5)


def supervised_training():
    optimizer = supervised.decaying_adam(1e-2, 2, 3.0, steps_per_epoch=3)
    network = Network(6, 4, 2, batch_norm=True, rngs=nnx.Rngs(0))
    graphdef, start = supervised.init(jax.random.key(1), network, optimizer)
    run = supervised.make_epoch(graphdef, optimizer, batch_size=10)
    data = TrainingData(IMAGES, jnp.arange(30) % 2)
    return lambda state, index: run(state, data), start


@pytest.fixture(scope="module", params=[krotov_hopfield_training, supervised_training])
def training(request):
    """``epoch(state, index)``, the start, and how an undisturbed training ends."""
    epoch, start = request.param()
    return epoch, start, train(epoch, start, EPOCHS)


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for left, right in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        if jax.dtypes.issubdtype(left.dtype, jax.dtypes.prng_key):
            left, right = jax.random.key_data(left), jax.random.key_data(right)
        np.testing.assert_array_equal(left, right, strict=True)


class Interruption(Exception):
    pass


def interrupt_after(epochs):
    done = []

    def progress(more):
        done.extend([None] * more)
        if len(done) >= epochs:
            raise Interruption

    return progress


def test_the_loop_is_the_epochs_one_after_another(training):
    epoch, state, (found, history) = training
    infos = []
    for index in range(EPOCHS):
        state, info = epoch(state, index)
        infos.append(info)
    assert_same_bits(found, state)
    assert list(history) == list(infos[0]._fields)
    for name, values in history.items():
        np.testing.assert_array_equal(values, [float(getattr(info, name)) for info in infos])


@pytest.mark.parametrize("check_every", [1, 3, EPOCHS, 100])
def test_looks_and_checkpoints_in_between_change_no_bit(training, open_checkpoints, check_every):
    epoch, start, undisturbed = training
    counted = []
    checkpoints = open_checkpoints()
    found = train(
        epoch,
        start,
        EPOCHS,
        checkpoints=checkpoints,
        checkpoint_seconds=0.0,
        check_every=check_every,
        progress=counted.append,
    )
    assert_same_bits(found, undisturbed)
    assert sum(counted) == EPOCHS
    assert (checkpoints.restore_last((start, {name: np.zeros(EPOCHS) for name in found[1]})) is None) == (
        check_every >= EPOCHS
    )


@pytest.mark.parametrize(
    ("check_every", "interrupted_after", "resumed_from"), [(1, 1, 0), (1, 4, 3), (2, 5, 4), (3, 7, 6)]
)
def test_an_interrupted_training_goes_on_to_the_same_bits(
    training, open_checkpoints, check_every, interrupted_after, resumed_from
):
    epoch, start, undisturbed = training
    options = {"checkpoint_seconds": 0.0, "check_every": check_every}
    with pytest.raises(Interruption):
        train(
            epoch, start, EPOCHS, checkpoints=open_checkpoints(), progress=interrupt_after(interrupted_after), **options
        )
    indices, counted = [], []

    def watched(state, index):
        if not isinstance(jax.tree.leaves(state)[0], jax.core.Tracer):
            indices.append(index)
        return epoch(state, index)

    found = train(watched, start, EPOCHS, checkpoints=open_checkpoints(), progress=counted.append, **options)
    assert_same_bits(found, undisturbed)
    assert indices == list(range(resumed_from, EPOCHS))
    assert sum(counted) == EPOCHS


def test_a_checkpoint_of_another_length_of_training_is_not_gone_on_with(training, open_checkpoints):
    # The schedule of the rates would be another one.
    epoch, start, undisturbed = training
    with pytest.raises(Interruption):
        train(
            epoch,
            start,
            EPOCHS + 3,
            checkpoints=open_checkpoints(),
            checkpoint_seconds=0.0,
            check_every=1,
            progress=interrupt_after(5),
        )
    assert_same_bits(train(epoch, start, EPOCHS, checkpoints=open_checkpoints()), undisturbed)


class Info(NamedTuple):
    loss: jax.Array
    norm: jax.Array


def diverging_at(bad, value=jnp.nan):
    def epoch(state, index):
        state = jnp.where(jnp.array(index) == bad, value, state + 1)
        return state, Info(jnp.float32(1), state)

    return epoch


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf, -jnp.inf])
@pytest.mark.parametrize("bad", [0, 3, 9])
@pytest.mark.parametrize("check_every", [1, 4, 100])
def test_divergence_is_found_at_its_first_epoch_with_a_hint(bad, check_every, value):
    with pytest.raises(DivergenceError, match=rf"epoch {bad}: norm is -?(nan|inf)\. Lower the learning rate") as caught:
        train(diverging_at(bad, value), jnp.float32(0), 10, check_every=check_every)
    assert caught.value.epoch == bad


def test_the_watch_serves_a_population_and_says_who_diverged():
    def epoch(state, index):
        state = state.at[2].set(jnp.where(jnp.array(index) == 3, jnp.nan, 0.0))
        return state, Info(jnp.zeros(4), state)

    with pytest.raises(DivergenceError, match=r"epoch 3: norm is nan in member 2, one of 1\. Lower"):
        train(epoch, jnp.zeros(4), 10)


def test_a_watch_may_know_better():
    def watch(info):
        return Diagnosis("the norm is 4", "Be content with 3.") if info.norm >= 4 else None

    with pytest.raises(DivergenceError, match=r"epoch 3: the norm is 4\. Be content with 3\.") as caught:
        train(diverging_at(99), jnp.float32(0), 10, watch=watch)
    assert caught.value.epoch == 3


def test_nothing_diverged_is_ever_saved(open_checkpoints):
    for _ in range(2):
        with pytest.raises(DivergenceError) as caught:
            train(
                diverging_at(5),
                jnp.float32(0),
                10,
                check_every=2,
                checkpoints=open_checkpoints(),
                checkpoint_seconds=0.0,
            )
        assert caught.value.epoch == 5
    step, (state, _) = open_checkpoints().restore_last((jnp.float32(0), {name: np.zeros(10) for name in Info._fields}))
    assert (step, state) == (4, 4.0)


@pytest.mark.parametrize("options", [{"epochs": 0}, {"epochs": -1}, {"epochs": 5, "check_every": 0}])
def test_trainings_without_epochs_are_refused(options):
    with pytest.raises(ValueError, match="at least one epoch"):
        train(diverging_at(99), jnp.float32(0), **options)
