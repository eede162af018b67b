"""Supervised training on scikit-learn's digits: it learns, the same bits every time."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from supervised_cases import BATCH, DIGITS, HIDDEN, TRAIN, Training, assert_same_bits, network, training_data

from jax_bioadv.attacks import pgd
from jax_bioadv.learning import supervised
from jax_bioadv.learning.regularizers import Regularizer, TrainingData, combine, no_refresh
from jax_bioadv.models import logits_function


@pytest.fixture(scope="module")
def digits():
    return TRAIN


@pytest.fixture(scope="module")
def unseen():
    return training_data(DIGITS.test_images, DIGITS.test_labels)


@pytest.fixture(scope="module")
def training():
    return Training()


def test_digits_are_learnt(training, digits, unseen):
    state, infos = training.run(training.start(), digits, 15)
    assert infos[-1].cross_entropy < 0.5 * infos[0].cross_entropy
    assert infos[-1].accuracy > max(0.8, infos[0].accuracy)
    logits = logits_function(supervised.trained_model(training.graphdef, state))(unseen.images)
    assert jnp.mean(jnp.argmax(logits, axis=1) == unseen.labels) > 0.8
    for info in infos:
        assert info.penalty == 0
        assert info.loss == info.cross_entropy


def test_the_same_seed_gives_the_same_bits_and_every_epoch_its_own_order(training, digits):
    first, _ = training.run(training.start(), digits, 2)
    again, _ = training.run(training.start(), digits, 2)
    assert_same_bits(first, again)
    assert first.epoch == 2
    other, _ = training.run(training.start(order=1), digits, 2)
    start = training.start()
    later, _ = training.run(start._replace(epoch=start.epoch + 1), digits, 1)
    sooner, _ = training.run(start, digits, 1)
    for left, right in ((first, other), (sooner, later)):
        assert not np.array_equal(left.parameters["encoder"]["kernel"][...], right.parameters["encoder"]["kernel"][...])


def test_an_order_is_a_permutation_that_favours_no_place():
    orders = jax.vmap(supervised.random_order, in_axes=(0, None))(jax.random.split(jax.random.key(0), 3000), 5)
    assert (np.sort(orders, axis=1) == np.arange(5)).all()
    counts = np.stack([np.bincount(column, minlength=5) for column in orders.T])
    # Each of the 25 is binomial, 3000 draws of 1/5: within four and a half standard deviations of 22.
    assert np.abs(counts - 600).max() < 4.5 * 22


def test_an_incomplete_last_batch_is_left_out(training, digits):
    # An image has an influence on the result if and only if it is in a batch: 12 images make two of 5.
    epoch = supervised.make_epoch(training.graphdef, training.optimizer, batch_size=5)
    few = TrainingData(digits.images[:12], digits.labels[:12])

    def loss(images):
        return float(epoch(training.start(), few._replace(images=images))[1].loss)

    usual = loss(few.images)
    assert sum(loss(few.images.at[image].multiply(0.5)) != usual for image in range(12)) == 10


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(40, -1), r"0 … 9, got -1 … -1; number the classes from 0"),
        (np.arange(40) % 11, r"0 … 9, got 0 … 10; .*a logit for each"),
        (np.zeros(20, int), r"40 images need as many integer labels, got int32 of shape \(20,\)"),
        (np.zeros(40), "integer labels, got float32"),
    ],
)
def test_labels_that_do_not_fit_are_refused_before_training(training, digits, labels, message):
    data = TrainingData(digits.images[:40], jnp.asarray(labels))
    with pytest.raises(ValueError, match=message):
        supervised.init(jax.random.key(0), network(), training.optimizer, data=data)
    if "integer labels" in message:
        with pytest.raises(ValueError, match=message):
            supervised.make_epoch(training.graphdef, training.optimizer, batch_size=20)(training.start(), data)


def test_no_regularizer_is_the_sum_of_none(training, digits):
    epoch = supervised.make_epoch(training.graphdef, training.optimizer, combine(), batch_size=BATCH)
    programs = [str(each.trace(training.start(), digits).jaxpr) for each in (epoch, training.epoch)]
    assert programs[0] == programs[1]


def test_all_seeds_of_a_model_share_one_compiled_epoch(training):
    graphdef, _ = supervised.init(jax.random.key(1), network(1), training.optimizer)
    assert supervised.make_epoch(graphdef, training.optimizer, batch_size=BATCH) is training.epoch
    assert supervised.make_epoch(graphdef, training.optimizer, batch_size=BATCH - 1) is not training.epoch


def test_an_adversary_replaces_every_minibatch_and_knows_the_model_and_the_labels(training, digits):
    def lighter(model, images, labels, key):
        assert model(images).shape == (BATCH, 10)
        return images * jnp.where(labels == 3, 0.5, 1.0)[:, None]

    epoch = supervised.make_epoch(training.graphdef, training.optimizer, batch_size=BATCH, adversary=lighter)
    found, _ = epoch(training.start(), digits)
    ready = digits._replace(images=digits.images * jnp.where(digits.labels == 3, 0.5, 1.0)[:, None])
    expected, _ = training.epoch(training.start(), ready)
    # Two programs may sum in another order, and Adam's first steps divide small gradients by their own size.
    difference = found.parameters["encoder"]["kernel"][...] - expected.parameters["encoder"]["kernel"][...]
    assert np.quantile(np.abs(difference), 0.99) < 1e-4


def test_the_adversary_has_a_key_that_no_regularizer_has(training, digits):
    number = 3
    seen = {"adversary": [], "penalty": []}

    def told(name, key):
        jax.debug.callback(lambda data: seen[name].append(tuple(data.tolist())), jax.random.key_data(key))

    def adversary(model, images, labels, key):
        told("adversary", key)
        return images

    def penalty(model, batch, aux, key):
        told("penalty", key)
        return jnp.zeros(())

    regularizer = combine(*[Regularizer(no_refresh, penalty)] * number)
    epoch = supervised.make_epoch(
        training.graphdef, training.optimizer, regularizer, batch_size=BATCH, adversary=adversary
    )
    jax.block_until_ready(epoch(training.start(), digits))
    jax.effects_barrier()
    drawn = seen["adversary"] + seen["penalty"]
    assert len(set(drawn)) == len(drawn) == (1 + number) * len(seen["adversary"]) > 0


def test_adversarial_training_makes_robust_where_plain_training_does_not(digits, unseen):
    attack, epsilon, optimizer = pgd(steps=5, step_size=0.02), 0.05, optax.adam(1e-2)
    graphdef, start = supervised.init(jax.random.key(0), network(), optimizer)

    def adversary(model, images, labels, key):
        return attack(key, model, images, labels, epsilon).images

    accuracy = {}
    for name, chosen in (("plain", None), ("adversarial", adversary)):
        epoch, state = supervised.make_epoch(graphdef, optimizer, batch_size=BATCH, adversary=chosen), start
        for _ in range(20):
            state, _ = epoch(state, digits)
        logits = logits_function(supervised.trained_model(graphdef, state))
        attacked = jax.jit(attack.__call__)(jax.random.key(1), logits, unseen.images, unseen.labels, epsilon)
        accuracy[name] = 1 - float(attacked.success.mean())
    assert accuracy["adversarial"] > accuracy["plain"] + 0.1


def test_seeds_in_one_program_are_the_seeds_one_by_one(training, digits):
    seeds = 3
    states = [training.start(seed, order=seed) for seed in range(seeds)]
    together = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
    together, infos = jax.vmap(training.epoch, in_axes=(0, None))(together, digits)
    for seed in range(seeds):
        alone, info = training.epoch(states[seed], digits)
        mine = jax.tree.map(lambda leaf, seed=seed: leaf[seed], together)
        # Adam's first steps divide a gradient by its own size, so the rounding of a gradient near 0 can turn a step of
        # 1e-2 around; 15 steps, most of them smaller. One per cent of the rate bounds what is common.
        found, expected = mine.parameters["encoder"]["kernel"][...], alone.parameters["encoder"]["kernel"][...]
        assert np.quantile(np.abs(found - expected), 0.99) < 1e-4
        np.testing.assert_allclose(infos.loss[seed], info.loss, rtol=1e-4)
        np.testing.assert_array_equal(jax.random.key_data(mine.key), jax.random.key_data(alone.key))


def test_an_epoch_is_traced_once_renews_when_asked_and_reports_what_it_should(digits):
    traces = []

    def penalty(model, batch, aux, key):
        traces.append(None)
        return jax.random.normal(key) * jnp.mean(batch.images[:, 20])

    counting = Regularizer(
        refresh=lambda model, data: jnp.array(0), penalty=penalty, renew=lambda aux, model, data: aux + 1
    )
    optimizer = optax.sgd(0.0)
    graphdef, state = supervised.init(jax.random.key(0), network(), optimizer, counting, digits)
    epoch = supervised.make_epoch(graphdef, optimizer, counting, batch_size=BATCH)
    infos = []
    for every in (2, 4):  # of 15 batches
        renewals = supervised.renewal_batches(every, 1, 15)
        after, info = epoch(state, digits, jnp.asarray(renewals))
        assert after.aux == renewals.sum() == {2: 7, 4: 4}[every]
        infos.append(info)
        first = len(traces)
        epoch(after, digits, jnp.asarray(renewals))
        assert len(traces) == first > 0
    assert epoch(state, digits)[0].aux == 1
    with pytest.raises(ValueError, match="of each of the 15 batches"):
        epoch(state, digits, jnp.ones(14, bool))
    assert_same_bits(infos[0], infos[1])
    assert_same_bits(after.parameters, state.parameters)
    # At a rate of 0 the means over the batches are the means over the 1500 images, whatever their order.
    logits = np.asarray(network()(digits.images), np.float64)
    entropies = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(logits)), digits.labels]
    np.testing.assert_allclose(info.cross_entropy, entropies.mean(), rtol=1e-5)  # float32 sums of 1500 numbers
    np.testing.assert_allclose(info.accuracy, np.mean(logits.argmax(axis=1) == digits.labels), rtol=1e-5)
    np.testing.assert_allclose(info.loss, info.cross_entropy + info.penalty, rtol=1e-6)


def test_batch_norm_keeps_nine_tenths_of_its_statistics_and_evaluation_uses_nothing_else(digits):
    optimizer = optax.sgd(0.0)
    model = network(batch_norm=True)
    model.norm.mean[...] = jnp.arange(HIDDEN, dtype=jnp.float32)
    model.norm.var[...] = 1 + jnp.arange(HIDDEN, dtype=jnp.float32)
    graphdef, state = supervised.init(jax.random.key(0), model, optimizer)
    state, _ = supervised.make_epoch(graphdef, optimizer, batch_size=1500)(state, digits)
    activation = np.asarray(model.activation(digits.images), np.float64)
    # The variance is a difference of two numbers of order 1 in float32.
    np.testing.assert_allclose(
        state.statistics["norm"]["mean"][...], 0.9 * np.arange(HIDDEN) + 0.1 * activation.mean(axis=0), rtol=1e-5
    )
    np.testing.assert_allclose(
        state.statistics["norm"]["var"][...], 0.9 * (1 + np.arange(HIDDEN)) + 0.1 * activation.var(axis=0), rtol=1e-5
    )
    logits_of = jax.jit(logits_function(supervised.trained_model(graphdef, state)))
    neighbours = 100 * digits.images[1:50]
    alone, among_others = logits_of(digits.images[:1]), logits_of(jnp.concatenate([digits.images[:1], neighbours]))
    np.testing.assert_allclose(alone, among_others[:1], rtol=1e-5, atol=1e-5)  # other sums' order, no leaking


def test_a_state_and_its_models_do_not_share_what_can_be_assigned_to():
    optimizer, model = optax.adam(1e-3), network()
    graphdef, state = supervised.init(jax.random.key(0), model, optimizer)
    kernel = np.asarray(model.encoder.kernel[...])
    model.encoder.kernel[...] = jnp.zeros_like(kernel)
    supervised.trained_model(graphdef, state).encoder.kernel[...] = jnp.zeros_like(kernel)
    np.testing.assert_array_equal(supervised.trained_model(graphdef, state).encoder.kernel[...], kernel)


@pytest.mark.parametrize("batch_size", [0, -1, 1501])
def test_batches_that_the_data_cannot_fill_are_refused(training, digits, batch_size):
    epoch = supervised.make_epoch(training.graphdef, training.optimizer, batch_size=batch_size)
    with pytest.raises(ValueError, match="batch_size must lie between 1 and the number of images, 1500"):
        epoch(training.start(), digits)


def test_a_regularizer_that_refreshes_is_given_to_init_as_well(training, digits):
    refreshing = Regularizer(lambda model, data: jnp.zeros(3), lambda model, batch, aux, key: jnp.sum(aux))
    epoch = supervised.make_epoch(training.graphdef, training.optimizer, refreshing, batch_size=BATCH)
    with pytest.raises(ValueError, match=r"supervised\.init"):
        epoch(training.start(), digits)
