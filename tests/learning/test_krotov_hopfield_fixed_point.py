"""The fixed point of the rule: an exact layer, a layer trained to it, and a loop over images as the slow twin."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.data import unit_norm
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield, epoch, init, linear_decay
from jax_bioadv.learning.krotov_hopfield_fixed_point import explained, fixed_point
from jax_bioadv.learning.krotov_hopfield_increment import effective_weights, increment

GENERATOR = np.random.default_rng(0)
CENTRES = GENERATOR.random((4, 12), np.float32)
IMAGES = unit_norm(
    np.abs(np.repeat(CENTRES, 50, axis=0) + 0.1 * GENERATOR.normal(size=(200, 12)).astype(np.float32)), 3.0
)
SYNAPSES = GENERATOR.random((6, 12), np.float32)


@pytest.mark.parametrize("rule", [KrotovHopfield(), KrotovHopfield(p=2.0, k=3, delta=0.1, radius=0.5)])
def test_it_is_where_the_increments_of_all_images_sum_up_to_nothing(rule):
    found = fixed_point(rule, SYNAPSES, IMAGES, image_block=70)
    of_each = jax.jit(jax.vmap(lambda image: increment(rule, jnp.asarray(SYNAPSES), image)))
    total = np.sum(of_each(IMAGES), axis=0)
    overlaps = IMAGES @ np.asarray(effective_weights(jnp.asarray(SYNAPSES), rule.p)).T
    ranks = np.argsort(-overlaps, axis=1)
    np.testing.assert_array_equal(found.won, np.bincount(ranks[:, 0], minlength=6))
    np.testing.assert_array_equal(found.pushed, np.bincount(ranks[:, rule.k - 1], minlength=6))
    assert found.exists.sum() > 2
    for row in np.flatnonzero(found.exists):
        won, pushed = overlaps[ranks[:, 0] == row, row], overlaps[ranks[:, rule.k - 1] == row, row]
        # What is added to the row beyond its decay is what it would be drawn to.
        drawn = total[row] + (won.sum() - rule.delta * pushed.sum()) * SYNAPSES[row]
        np.testing.assert_allclose(np.sum(np.abs(found.rows[row]) ** rule.p), rule.radius**rule.p)
        cosine = drawn @ found.rows[row] / np.linalg.norm(drawn) / np.linalg.norm(found.rows[row])
        assert cosine == pytest.approx(1, abs=1e-6)


def test_without_a_push_both_predictions_are_one():
    found = fixed_point(KrotovHopfield(delta=0.0), SYNAPSES, IMAGES)
    np.testing.assert_allclose(found.rows, found.means_of_won)


def test_p_may_be_an_array():
    found, other = (fixed_point(KrotovHopfield(p=p), SYNAPSES, IMAGES) for p in (3.0, jnp.asarray(3.0)))
    np.testing.assert_array_equal(found.rows, other.rows)


def test_a_row_that_never_wins_has_no_fixed_point():
    rows = np.concatenate([SYNAPSES, 1e-3 * SYNAPSES[:1]])
    found = fixed_point(KrotovHopfield(), rows, IMAGES)
    assert not found.exists[-1]
    assert found.won[-1] == 0
    assert not found.rows[-1].any()


def test_training_leads_there():
    rule, images = KrotovHopfield(), jnp.asarray(IMAGES)
    state = init(jax.random.key(0), rule, images, hidden=4, start="samples")
    before = explained(state.synapses, (found := fixed_point(rule, state.synapses, images)).rows, found.exists)
    for index in range(60):
        state, _ = epoch(rule, state, images, linear_decay(0.02, index, 60), batch_size=200)
    found = fixed_point(rule, state.synapses, images)
    # Without batches to differ there is nothing left but the last steps, of at most 0.02 / 60.
    assert explained(state.synapses, found.rows, found.exists) > 0.99 > before


def test_the_mean_row_explains_nothing_and_the_rows_themselves_all():
    every = np.ones(6, bool)
    assert explained(SYNAPSES, SYNAPSES, every) == 1
    assert explained(SYNAPSES, np.tile(SYNAPSES.mean(axis=0), (6, 1)), every) == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="at least two"):
        explained(SYNAPSES, SYNAPSES, np.arange(6) == 0)


def test_what_cannot_work_is_refused():
    with pytest.raises(ValueError, match="rank k = 7"):
        fixed_point(KrotovHopfield(k=7), SYNAPSES, IMAGES)
    with pytest.raises(ValueError, match="image_block"):
        fixed_point(KrotovHopfield(), SYNAPSES, IMAGES, image_block=0)
