"""Learning rules by the step: what every rule keeps to, epochs as scans of steps, and slow twins of single steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax import lax

from jax_bioadv.learning import krotov_hopfield, soft_hebb, supervised
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.learning_rule import batches_in, over_batches
from jax_bioadv.learning.on_patches import on_patches
from jax_bioadv.learning.regularizers import Regularizer, TrainingData, weight_decay
from jax_bioadv.learning.soft_hebb import SoftHebb
from jax_bioadv.models import Network
from jax_bioadv.patches import extract

SAMPLES, INPUTS, HIDDEN, CLASSES, BATCH, RATE = 13, 6, 5, 3, 4, 0.1
GENERATOR = np.random.default_rng(0)
IMAGES = jnp.asarray(GENERATOR.random((SAMPLES, INPUTS), np.float32))
LABELS = jnp.asarray(np.arange(SAMPLES, dtype=np.int32) % CLASSES)
MAPS = jnp.asarray(GENERATOR.random((SAMPLES, 3, 4, 2), np.float32))
ROW_MEANS = Regularizer(
    refresh=lambda model, data: jnp.mean(data.images, axis=0),
    penalty=lambda model, batch, aux, key: jnp.sum(aux) * jnp.mean(batch.preactivation**2) * jax.random.uniform(key),
    renew=lambda aux, model, data: aux / 2,
)


def brighter(model, images, labels, key):
    return images * (1 + jax.random.uniform(key, images.shape))


def network(power=1.0):
    return Network(INPUTS, HIDDEN, CLASSES, power=power, rngs=nnx.Rngs(0))


RULES = {
    "krotov_hopfield": (krotov_hopfield.learning_rule(KrotovHopfield(), RATE, hidden=HIDDEN), IMAGES),
    "supervised": (supervised.learning_rule(network(), optax.adam(RATE)), TrainingData(IMAGES, LABELS)),
    "supervised_with_all": (
        supervised.learning_rule(network(), optax.adam(RATE), ROW_MEANS, adversary=brighter),
        TrainingData(IMAGES, LABELS),
    ),
    "soft_hebb": (soft_hebb.learning_rule(SoftHebb(), RATE, hidden=HIDDEN), IMAGES),
    "krotov_hopfield_on_patches": (
        on_patches(krotov_hopfield.learning_rule(KrotovHopfield(), RATE, hidden=HIDDEN), lambda maps: extract(maps, 2)),
        MAPS,
    ),
    "soft_hebb_on_some_patches": (
        on_patches(soft_hebb.learning_rule(SoftHebb(), RATE, hidden=HIDDEN), lambda maps: extract(maps, 2), 2),
        MAPS,
    ),
}


def raw(tree):
    """The leaves, keys by their data."""
    is_key = [jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) for leaf in jax.tree.leaves(tree)]
    return [jax.random.key_data(leaf) if key else leaf for leaf, key in zip(jax.tree.leaves(tree), is_key, strict=True)]


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for one, other in zip(raw(found), raw(expected), strict=True):
        np.testing.assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_two_pure_functions_and_a_state_of_one_shape(name):
    rule, data = RULES[name]
    state, batch = rule.init(jax.random.key(1), data), jax.tree.map(lambda rows: rows[:BATCH], data)
    step = jax.jit(rule.step)
    after, info = step(state, batch, jax.random.key(2))
    again, same_info = step(rule.init(jax.random.key(1), data), batch, jax.random.key(2))
    assert_same_bits((after, info), (again, same_info))
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert [leaf.dtype for leaf in jax.tree.leaves(after)] == [leaf.dtype for leaf in jax.tree.leaves(state)]
    assert any(not np.array_equal(one, other) for one, other in zip(raw(after), raw(state), strict=True))
    step(after, jax.tree.map(lambda rows: rows[BATCH : 2 * BATCH], data), jax.random.key(3))
    assert step._cache_size() == 1
    assert len(info._fields) > 0
    for field in {"epoch", "key"} & set(state._fields):  # the epoch's, which a step is not
        assert_same_bits(getattr(after, field), getattr(state, field))


@pytest.mark.parametrize("accumulation", ["scatter", "product"])
def test_an_epoch_of_the_rule_is_a_scan_of_its_steps(accumulation):
    rule, options = KrotovHopfield(), {"accumulation": accumulation}
    start = krotov_hopfield.init(jax.random.key(1), rule, IMAGES, hidden=HIDDEN)._replace(epoch=jnp.array(2))
    order = jax.random.permutation(jax.random.fold_in(start.key, 2), SAMPLES)[:12].reshape(3, BATCH)

    @jax.jit
    def scanned(state):
        return lax.scan(lambda s, rows: krotov_hopfield.step(rule, s, IMAGES[rows], RATE, **options), state, order)

    after, infos = scanned(start)
    found, info = krotov_hopfield.epoch(rule, start, IMAGES, RATE, batch_size=BATCH, **options)
    assert_same_bits(found, after._replace(epoch=jnp.array(3)))
    assert info.winning_share == pytest.approx(len(np.unique(infos.winners)) / HIDDEN)
    assert info.largest_change == pytest.approx(float(np.mean(infos.largest_change)), rel=1e-6)


@pytest.mark.parametrize("renewals", [[True, False, False], [False, True, True]])
def test_a_supervised_epoch_is_a_scan_of_its_steps(renewals):
    optimizer, data, due = optax.adam(RATE), TrainingData(IMAGES, LABELS), jnp.asarray(renewals)
    graphdef, start = supervised.init(jax.random.key(1), network(), optimizer, ROW_MEANS, data)
    step = supervised.make_step(graphdef, optimizer, ROW_MEANS, adversary=brighter)
    order_key, step_key = jax.random.split(jax.random.fold_in(start.key, start.epoch))
    order = supervised.random_order(order_key, SAMPLES)[:12].reshape(3, BATCH)

    @jax.jit
    def scanned(state):
        def of_batch(state, todo):
            rows, key, renew = todo
            newer = supervised.renewed(graphdef, ROW_MEANS, state, data)
            state = state._replace(aux=jnp.where(renew, newer.aux, state.aux))
            return step(state, TrainingData(IMAGES[rows], LABELS[rows]), key)

        return lax.scan(of_batch, state, (order, jax.random.split(step_key, 3), due))

    after, infos = scanned(start)
    epoch = supervised.make_epoch(graphdef, optimizer, ROW_MEANS, batch_size=BATCH, adversary=brighter)
    found, info = epoch(start, data, due)
    assert_same_bits(found, after._replace(epoch=jnp.array(1)))
    np.testing.assert_array_equal(found.aux, start.aux / 2 ** sum(renewals))
    np.testing.assert_allclose(info, [np.mean(each) for each in infos], rtol=1e-6)  # means of three numbers


def test_a_step_of_the_rule_is_that_of_the_paper():
    # p = 3, k = 2: each image moves its winner by x - hW, and the second by -Δ of that
    rule = KrotovHopfield(delta=0.3)
    state = krotov_hopfield.init(jax.random.key(1), rule, IMAGES, hidden=HIDDEN)
    synapses, summed, winners = np.asarray(state.synapses, np.float64), np.zeros((HIDDEN, INPUTS)), []
    for image in np.asarray(IMAGES, np.float64):
        overlaps = [np.sum(row * abs(row) * image) for row in synapses]
        first, second = np.argsort(overlaps)[:-3:-1]
        summed[first] += image - overlaps[first] * synapses[first]
        summed[second] -= 0.3 * (image - overlaps[second] * synapses[second])
        winners.append(first)
    after, info = jax.jit(krotov_hopfield.step)(rule, state, IMAGES, RATE)
    largest = np.abs(summed).max()
    # Sums of 13 terms of order 1, and products of 6: some 30 roundings of what is at most a few units large.
    np.testing.assert_allclose(after.synapses, synapses + RATE * summed / largest, rtol=0, atol=2e-6)
    assert info.largest_change == pytest.approx(largest, rel=1e-5)
    np.testing.assert_array_equal(info.winners, winners)


@pytest.mark.parametrize("power", [1.0, 2.5])
def test_a_supervised_step_goes_down_the_gradient_by_hand(power):
    decay, optimizer, model = 0.01, optax.sgd(RATE), network(power)
    rule, data = supervised.learning_rule(model, optimizer, weight_decay(decay)), TrainingData(IMAGES, LABELS)
    after, info = jax.jit(rule.step)(rule.init(jax.random.key(1), data), data, jax.random.key(2))
    images, kernel, readout, bias = (
        np.asarray(each, np.float64)
        for each in (IMAGES, model.encoder.kernel[...], model.decoder.kernel[...], model.decoder.bias[...])
    )
    rectified = np.maximum(images @ kernel, 0)
    exponentials = np.exp(rectified**power @ readout + bias)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    error = (probabilities - np.eye(CLASSES)[np.asarray(LABELS)]) / SAMPLES
    slopes = power * rectified ** (power - 1) * (rectified > 0)
    gradients = {
        ("encoder", "kernel"): (kernel, images.T @ (error @ readout.T * slopes)),
        ("decoder", "kernel"): (readout, (rectified**power).T @ error),
        ("decoder", "bias"): (bias, error.sum(axis=0)),
    }
    for (layer, name), (weights, gradient) in gradients.items():
        expected = weights - RATE * (gradient + 2 * decay * weights)
        np.testing.assert_allclose(after.parameters[layer][name][...], expected, rtol=0, atol=1e-6)
    penalty = decay * sum(np.sum(weights**2) for weights, _ in gradients.values())
    cross_entropy = -np.log(probabilities[np.arange(SAMPLES), LABELS]).mean()
    accuracy = np.mean(probabilities.argmax(axis=1) == LABELS)
    np.testing.assert_allclose(info, [cross_entropy + penalty, cross_entropy, penalty, accuracy], rtol=1e-5)


def test_a_step_without_the_aux_that_its_penalty_needs_is_refused():
    optimizer, data = optax.sgd(RATE), TrainingData(IMAGES, LABELS)
    graphdef, state = supervised.init(jax.random.key(0), network(), optimizer)
    step = supervised.make_step(graphdef, optimizer, ROW_MEANS)
    with pytest.raises(ValueError, match=r"supervised\.init"):
        step(state, data, jax.random.key(0))


def test_batches_follow_the_order_and_an_incomplete_one_is_left_out():
    def step(seen, batch, factor):
        return seen + 1, {name: factor * rows for name, rows in batch.items()}

    order = jnp.array([5, 3, 0, 6, 1, 4, 2])
    data = {"here": jnp.arange(7), "there": 10 * jnp.arange(7)}
    seen, batches = over_batches(step, jnp.array(0), data, order, 3, jnp.array([1, -1]))
    assert seen == batches_in(7, 3) == 2
    np.testing.assert_array_equal(batches["here"], [[5, 3, 0], [-6, -1, -4]])
    np.testing.assert_array_equal(batches["there"], 10 * batches["here"])
