"""SoftHebb: a step by hand, where rows come to rest, what winners and losers do, and what is refused."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.learning.soft_hebb import SoftHebb, State, increment, init, step

HIDDEN, INPUTS, RATE = 5, 6, 0.1
IMAGES = jnp.asarray(np.random.default_rng(0).normal(size=(9, INPUTS)).astype(np.float32))
START = init(jax.random.key(1), SoftHebb(radius=2.0), hidden=HIDDEN, inputs=INPUTS)
jitted = jax.jit(step, static_argnames=("rule",))


@pytest.mark.parametrize("rule", [SoftHebb(0.7), SoftHebb(0.7, losers=1.0, rate_power=0.2), SoftHebb(math.inf)])
def test_a_step_is_that_of_the_paper(rule):
    synapses, summed, winners = np.asarray(START.synapses, np.float64), np.zeros((HIDDEN, INPUTS)), []
    for image in np.asarray(IMAGES, np.float64):
        overlaps = synapses @ image
        winner = np.argmax(overlaps)
        if math.isinf(rule.inverse_temperature):
            activation = np.eye(HIDDEN)[winner]
        else:
            exponentials = np.exp(rule.inverse_temperature * overlaps)
            activation = exponentials / exponentials.sum()
            activation[np.arange(HIDDEN) != winner] *= rule.losers
        for unit in range(HIDDEN):
            summed[unit] += activation[unit] * (image - overlaps[unit] * synapses[unit])
        winners.append(winner)
    distances = abs(np.linalg.norm(synapses, axis=1, keepdims=True) - 1)
    expected = synapses + RATE * distances**rule.rate_power * summed / abs(summed).max()
    after, info = jitted(rule, START, IMAGES, RATE)
    # Sums of 9 terms of order 1, and products of 6, divided by their largest: some 20 roundings.
    np.testing.assert_allclose(after.synapses, expected, rtol=0, atol=2e-6)
    assert info.largest_change == pytest.approx(abs(summed).max(), rel=1e-5)
    np.testing.assert_array_equal(info.winners, winners)


def test_a_step_sums_the_increments_of_its_samples():
    rule = SoftHebb(0.7, rate_power=0.0)
    summed = sum(increment(rule, START.synapses, image) for image in IMAGES)
    after, info = jitted(rule, START, IMAGES, RATE)
    np.testing.assert_allclose((after.synapses - START.synapses) / RATE, summed / info.largest_change, atol=1e-5)


def test_units_are_alike():
    order = jnp.array([3, 0, 4, 1, 2])
    after, _ = jitted(SoftHebb(), START, IMAGES, RATE)
    permuted, _ = jitted(SoftHebb(), State(START.synapses[order]), IMAGES, RATE)
    np.testing.assert_allclose(permuted.synapses, after.synapses[order], rtol=1e-5, atol=1e-6)


def test_a_cold_softmax_is_a_hard_winner_take_all():
    cold, _ = jitted(SoftHebb(1e4), START, IMAGES, RATE)
    hard, _ = jitted(SoftHebb(math.inf), START, IMAGES, RATE)
    np.testing.assert_allclose(cold.synapses, hard.synapses, rtol=1e-5, atol=1e-6)


def test_a_row_of_norm_one_is_at_rest():
    rows = START.synapses / jnp.linalg.norm(START.synapses, axis=1, keepdims=True)
    after, _ = jitted(SoftHebb(), State(rows), IMAGES, RATE)
    np.testing.assert_allclose(after.synapses, rows, rtol=0, atol=1e-4)  # the square root of rounded norms less 1


def test_winners_come_to_norm_one_along_what_they_win(clusters):
    """Four units over four separate centres, started near them: each ends as its centre's unit vector."""
    images, centres = clusters
    state = State(3.0 * jnp.asarray(centres, jnp.float32)[:, ::1] + 0.1)
    for _ in range(300):
        state, _ = jitted(SoftHebb(10.0), state, images, 0.02)
    np.testing.assert_allclose(np.linalg.norm(state.synapses, axis=1), 1, atol=0.02)
    assert (np.sum(np.asarray(state.synapses) * centres, axis=1) > 0.97).all()


def test_rows_start_with_their_radius():
    start = init(jax.random.key(0), SoftHebb(), hidden=400, inputs=75)
    # The norm of 75 normal numbers spreads by 25/√150, its mean over 400 rows by a twentieth of that.
    assert np.linalg.norm(start.synapses, axis=1).mean() == pytest.approx(25, abs=0.5)


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        (SoftHebb(inverse_temperature=0.0), "inverse_temperature"),
        (SoftHebb(radius=math.inf), "radius"),
        (SoftHebb(rate_power=-1.0), "rate_power"),
    ],
)
def test_values_out_of_range_are_refused(rule, name):
    with pytest.raises(ValueError, match=name):
        init(jax.random.key(0), rule, hidden=2, inputs=3)
