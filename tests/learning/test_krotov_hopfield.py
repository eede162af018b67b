"""The Krotov–Hopfield rule: its fast forms against the paper's equation, its fixed point, its steps."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jax_bioadv.learning.krotov_hopfield import (
    KrotovHopfield,
    State,
    effective_weights,
    increment,
    init,
    minibatch_increment,
    minibatch_step,
    row_norms,
    sequential_step,
    step,
)
from jax_bioadv.learning.krotov_hopfield_increment import learning_activation

EPSILON = float(np.finfo(np.float32).eps)
# Small programs that run once or twice: optimizing them would cost more than running them.
COMPILE_FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
fast_jit = partial(jax.jit, compiler_options=COMPILE_FAST)

compiled_step = fast_jit(minibatch_step)
compiled_increment = fast_jit(increment, static_argnames="sequential")
compiled_activation = fast_jit(learning_activation, static_argnames="sequential")


def paper_increment(rule, synapses, image, sequential):
    """One sample's ΔW in float64, unit by unit, from the paper's equation."""
    overlaps, scores = [], []
    for row in synapses:
        overlap = sum(weight * abs(weight) ** (rule.p - 2) * pixel for weight, pixel in zip(row, image, strict=True))
        norm = sum(abs(weight) ** rule.p for weight in row) ** ((rule.p - 1) / rule.p)
        overlaps.append(overlap)
        scores.append(overlap / norm if sequential else overlap)
    ranked = sorted(range(len(synapses)), key=lambda unit: -scores[unit])
    change = np.zeros_like(synapses)
    for rank, unit in enumerate(ranked[: rule.k], start=1):
        if rank == 1:
            activation = 1.0
        elif rank == rule.k or sequential:
            activation = -rule.delta
        else:
            activation = 0.0
        change[unit] = activation * (rule.radius**rule.p * image - overlaps[unit] * synapses[unit])
    return change


def overlaps_and_sizes(rule, synapses, images):
    """Overlaps in float64, (batch, hidden), and the sums of the magnitudes of their terms."""
    weights = np.sign(synapses) * np.abs(synapses) ** (rule.p - 1)
    return images @ weights.T, np.abs(images) @ np.abs(weights).T


def rounding_bound(rule, synapses, images):
    """How far float32 may be from float64: every term of a sum rounds once, every addition at most once more.

    Elementwise, (number of additions + 30)·eps times the sum of magnitudes, as if every unit had the largest learning
    activation. The 30 are for powers, which round by a few units in the last place each.
    """
    _, sizes = overlaps_and_sizes(rule, synapses, images)
    terms = rule.radius**rule.p * images.sum(axis=0) + sizes.sum(axis=0)[:, None] * np.abs(synapses)
    return (synapses.shape[1] + len(images) + 30) * EPSILON * max(1.0, rule.delta) * terms


def ranks_are_clear(rule, synapses, images, sequential):
    """Whether no two of the first k + 1 ranks are so near that float32 could swap them: that would be no error."""
    scores, sizes = overlaps_and_sizes(rule, synapses, images)
    if sequential:
        norms = (np.abs(synapses) ** rule.p).sum(axis=1) ** ((rule.p - 1) / rule.p)
        scores, sizes = scores / norms, sizes / norms
    gaps = -np.diff(-np.sort(-scores, axis=1)[:, : rule.k + 1], axis=1)
    return gaps.min() > (synapses.shape[1] + 30) * EPSILON * sizes.max()


@st.composite
def layers(draw):
    """A rule, synapses and a batch; the arrays hold float32 numbers in float64, so that all sides see the same."""
    k = draw(st.integers(2, 5))
    rule = KrotovHopfield(
        p=draw(st.sampled_from([2.0, 2.5, 3.0, 4.0])),
        k=k,
        delta=draw(st.floats(0.0, 2.0, width=32)),
        radius=draw(st.floats(0.25, 4.0, width=32)),
    )
    hidden, inputs, batch = draw(st.integers(k, 20)), draw(st.integers(1, 30)), draw(st.integers(1, 40))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    synapses = generator.normal(size=(hidden, inputs)).astype(np.float32).astype(np.float64)
    images = generator.uniform(size=(batch, inputs)).astype(np.float32).astype(np.float64)
    return rule, synapses, images


@fast_jit
def every_form(rule, synapses, images):
    """The two fast accumulations and the sum of the readable definition, of one batch."""
    one_by_one = jax.vmap(lambda image: increment(rule, synapses, image))(images)
    fast = {how: minibatch_increment(rule, synapses, images, accumulation=how) for how in ("scatter", "product")}
    return jnp.sum(one_by_one, axis=0), fast


@settings(max_examples=7)
@given(layers())
def test_a_minibatch_moves_the_synapses_by_the_sum_over_its_samples(layer):
    rule, synapses, images = layer
    assume(ranks_are_clear(rule, synapses, images, sequential=False))
    summed, fast = every_form(rule, synapses.astype(np.float32), images.astype(np.float32))
    expected = sum(paper_increment(rule, synapses, image, sequential=False) for image in images)
    bound = rounding_bound(rule, synapses, images)
    winners = np.argmax(overlaps_and_sizes(rule, synapses, images)[0], axis=1)
    assert np.all(np.abs(summed - expected) <= bound)
    for change, found_winners in fast.values():
        assert np.all(np.abs(change - expected) <= bound)
        np.testing.assert_array_equal(found_winners, winners)


@settings(max_examples=7)
@given(layers())
def test_a_sample_of_the_sequential_rule_moves_the_synapses_as_the_paper_says(layer):
    rule, synapses, images = layer
    assume(ranks_are_clear(rule, synapses, images[:1], sequential=True))
    found = compiled_increment(rule, synapses.astype(np.float32), images[0].astype(np.float32), sequential=True)
    expected = paper_increment(rule, synapses, images[0], sequential=True)
    assert np.all(np.abs(found - expected) <= rounding_bound(rule, synapses, images[:1]))


@pytest.mark.parametrize(
    ("k", "sequential", "expected"),
    [
        (2, False, [0, 0, 1, -0.5, 0]),
        (2, True, [0, 0, 1, -0.5, 0]),
        (4, False, [0, -0.5, 1, 0, 0]),
        (4, True, [-0.5, -0.5, 1, -0.5, 0]),
    ],
)
def test_who_is_pushed_away_depends_on_the_form(k, sequential, expected):
    scores = jnp.array([0.2, -3.0, 7.0, 5.0, -4.0])
    activation = compiled_activation(scores, KrotovHopfield(k=k, delta=0.5), sequential=sequential)
    np.testing.assert_array_equal(activation, expected)


def test_the_sequential_rule_ranks_long_rows_no_higher_than_short_ones():
    # p = 3. Overlaps: 2²·½ = 2 and 2·0.6²·½ = 0.36. Divided by ‖W‖²: 2/4 = 0.5 and 0.36/0.432^(2/3) = 0.63.
    synapses, image = jnp.array([[2.0, 0.0], [0.6, 0.6]]), jnp.array([0.5, 0.5])
    moves = np.array([[0.5 - 2 * 2, 0.5], [0.5 - 0.36 * 0.6] * 2])
    rule = KrotovHopfield(delta=0.5)
    # Some ten roundings of numbers up to 4.
    np.testing.assert_allclose(
        compiled_increment(rule, synapses, image), [[1], [-0.5]] * moves, rtol=10 * EPSILON, atol=4 * EPSILON
    )
    np.testing.assert_allclose(
        compiled_increment(rule, synapses, image, sequential=True),
        [[-0.5], [1]] * moves,
        rtol=10 * EPSILON,
        atol=4 * EPSILON,
    )


def test_rows_and_batches_may_be_scaled_with_the_radius():
    # h is of degree p - 1 in W, so that W -> sW and R -> sR leave the winners alone and scale ΔW by s^p; s = 2 is exact
    generator = jax.random.key(0)
    synapses, images = jax.random.normal(generator, (6, 9)), jax.random.uniform(generator, (15, 9))
    sum_of_increments = fast_jit(minibatch_increment)
    change, winners = sum_of_increments(KrotovHopfield(radius=1.0), synapses, images)
    scaled, same_winners = sum_of_increments(KrotovHopfield(radius=2.0), 2 * synapses, images)
    np.testing.assert_array_equal(same_winners, winners)
    np.testing.assert_array_equal(scaled, 8 * change)


@pytest.mark.parametrize("p", [2.0, 2.5, 3.0, 4.0])
def test_the_norm_of_a_winner_flows_towards_the_radius(p):
    # d‖W_μ‖/dt = g_μ h_μ (R^p − ‖W_μ‖^p) / ‖W_μ‖^(p−1): 0 at R, and for a winner (g = 1, h > 0) towards it elsewhere
    rule = KrotovHopfield(p=p, delta=0.4, radius=1.5)
    directions = jnp.abs(jax.random.normal(jax.random.key(0), (4, 12)))
    image = jax.random.uniform(jax.random.key(1), (12,))
    flow = fast_jit(lambda w: jax.jvp(lambda w: row_norms(w, p), (w,), (increment(rule, w, image),))[1])
    for factor in (0.5, 1.0, 2.0):
        # The winner is row 0, which is much the longest, and row 1 is second; none of the others changes.
        wanted = factor * rule.radius * np.array([1.0, 0.4, 0.1, 0.1])
        synapses = directions * (wanted / row_norms(directions, p))[:, None]
        overlaps = np.asarray(effective_weights(synapses, p) @ image)
        scale = overlaps * rule.radius**p / wanted ** (p - 1)
        expected = np.array([1.0, -0.4, 0.0, 0.0]) * scale * (1 - (wanted / rule.radius) ** p)
        # What is left of two sums over 12 inputs that cancel at R, each term rounded some five times, powers included.
        np.testing.assert_allclose(flow(synapses), expected, rtol=0, atol=100 * EPSILON * scale.max())


def test_the_sequential_rule_brings_the_norms_of_winners_to_the_radius(clusters):
    images, _ = clusters
    rule = KrotovHopfield(delta=0.0, radius=1.2)  # pushed rows have no stable norm
    start = init(jax.random.key(0), rule, images, hidden=4, scale=0.5).synapses
    order = np.random.default_rng(1).integers(0, 400, 4000)
    offsets = []
    for rate in (0.01, 0.005):
        before = sequential_step(rule, start, images[order[:2000]], rate)
        after = sequential_step(rule, before, images[order[2000:]], rate)
        winners = np.any(np.asarray(after) != np.asarray(before), axis=1)
        assert winners.any()
        of_start, of_after = (np.linalg.norm(rows, rule.p, axis=1)[winners] for rows in (start, after))
        offsets.append(np.abs(of_after - rule.radius).max())
        assert np.abs(of_start - rule.radius).min() > 0.1
    # A step lr·ΔW has an effect of second order in lr on the norm, against a pull of first order: offset of order lr
    assert offsets[0] < 0.02
    assert offsets[1] == pytest.approx(offsets[0] / 2, rel=0.3)


# --- steps ---


def test_the_largest_change_of_a_weight_in_a_minibatch_is_the_learning_rate():
    synapses = jax.random.normal(jax.random.key(0), (6, 9))
    for rate, scale in ((0.02, 1.0), (0.5, 1e-3)):
        after, (largest, _) = compiled_step(
            KrotovHopfield(), synapses, scale * jax.random.uniform(jax.random.key(1), (15, 9)), rate
        )
        # The step itself is rounded a few times, and the new weight once.
        rounding = 4 * EPSILON * rate + EPSILON * float(jnp.abs(after).max())
        assert abs(float(jnp.abs(after - synapses).max()) - rate) < rounding
        assert largest > 0


def test_no_change_and_tiny_changes_are_not_blown_up():
    synapses = jax.random.normal(jax.random.key(0), (6, 9))
    after, (largest, _) = compiled_step(KrotovHopfield(), synapses, jnp.zeros((15, 9)), 0.02)
    np.testing.assert_array_equal(after, synapses)
    assert largest == 0
    small = 1e-6 * synapses  # so that the sum is visible in the weights
    images = jnp.full((15, 9), 1e-13)
    after, (largest, _) = compiled_step(KrotovHopfield(), small, images, 1e-3)
    assert 0 < largest < 1e-11
    moved = float(jnp.abs(after - small).max())
    # ΔW·lr / 1e-9, and the rounding of weights of about 1e-6
    assert moved == pytest.approx(1e-3 * float(largest) / 1e-9, abs=1e-12)


def test_an_accumulation_of_another_name_is_refused():
    with pytest.raises(ValueError, match="'scatter' or 'product', got 'sactter'"):
        minibatch_increment.__wrapped__(KrotovHopfield(), jnp.ones((4, 3)), jnp.ones((2, 3)), accumulation="sactter")


def test_a_pruned_row_wins_nothing_under_the_sequential_rule():
    synapses, image = jnp.array([[0.0, 0.0], [0.6, 0.6]]), jnp.array([0.5, 0.5])
    moved = compiled_increment(KrotovHopfield(delta=0.5), synapses, image, sequential=True)
    assert (moved[1] > 0).all()
    np.testing.assert_array_equal(moved[0], -0.5 * image)  # the only other row is the runner-up


def test_no_rank_is_pushed_that_there_is_not():
    rule, rows, images = KrotovHopfield(k=3), jnp.ones((2, 3)), jnp.ones((2, 3))
    state = State(rows, jnp.array(0), jax.random.key(0))
    for learn in (lambda: step(rule, state, images, 0.1), lambda: sequential_step(rule, rows, images, 0.1)):
        with pytest.raises(ValueError, match="k = 3 needs at least as many hidden units, got 2"):
            learn()
