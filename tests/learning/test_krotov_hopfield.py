"""The Krotov–Hopfield rule: its fast forms against the paper's equation, its fixed point, its epochs, its verdict."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jax_bioadv.data import unit_norm
from jax_bioadv.learning import krotov_hopfield
from jax_bioadv.learning.krotov_hopfield import (
    KrotovHopfield,
    State,
    convergence,
    effective_weights,
    epoch,
    increment,
    init,
    learning_activation,
    linear_decay,
    minibatch_increment,
    minibatch_step,
    row_norms,
    sequential_step,
)

EPSILON = float(np.finfo(np.float32).eps)
# Small programs that run once or twice: optimizing them would cost more than running them.
COMPILE_FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
fast_jit = partial(jax.jit, compiler_options=COMPILE_FAST)

compiled_step = fast_jit(minibatch_step)
compiled_increment = fast_jit(increment, static_argnames="sequential")


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
    summed, fast = every_form(rule, jnp.float32(synapses), jnp.float32(images))
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
    found = compiled_increment(rule, jnp.float32(synapses), jnp.float32(images[0]), sequential=True)
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
    activation = learning_activation(scores, KrotovHopfield(k=k, delta=0.5), sequential=sequential)
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


@pytest.fixture(scope="module")
def clusters():
    """Unit-norm images around four centres with separate pixels lit, and the centres' unit vectors."""
    generator = np.random.default_rng(0)
    centres = np.kron(np.eye(4), np.ones(6)) + 0.05
    images = centres[np.arange(400) % 4] * generator.uniform(0.7, 1.3, (400, 24))
    return jnp.asarray(unit_norm(images)), centres / np.linalg.norm(centres, axis=1, keepdims=True)


def test_the_sequential_rule_brings_the_norms_of_winners_to_the_radius(clusters):
    images, _ = clusters
    rule = KrotovHopfield(delta=0.0, radius=1.2)  # pushed rows have no stable norm
    start = init(jax.random.key(0), rule, images, hidden=4, scale=0.5).synapses
    order = np.random.default_rng(1).integers(0, 400, 4000)
    offsets = []
    for rate in (0.01, 0.005):
        before = sequential_step(rule, start, images[order[:2000]], rate)
        after = sequential_step(rule, before, images[order[2000:]], rate)
        winners = np.any(after != before, axis=1)
        assert winners.any()
        offsets.append(float(jnp.abs(row_norms(after, rule.p) - rule.radius)[winners].max()))
        assert np.abs(row_norms(start, rule.p) - rule.radius)[winners].min() > 0.1
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


# --- starts ---


def test_a_start_from_samples_takes_different_images():
    images = jax.random.uniform(jax.random.key(0), (12, 6))
    key = jax.random.key(1)
    rows = np.asarray(init(key, KrotovHopfield(), images, hidden=12, start="samples").synapses)
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(images, axis=0))  # all of them, once
    assert not np.array_equal(rows, images)
    few = init(key, KrotovHopfield(), images, hidden=4, start="samples").synapses
    assert len({tuple(row) for row in np.asarray(few)}) == 4
    assert {tuple(row) for row in np.asarray(few)} < {tuple(row) for row in rows}


def test_a_normal_start_has_the_wanted_deviation_and_a_key_decides():
    images = jnp.ones((3, 500))
    starts = [init(jax.random.key(seed), KrotovHopfield(), images, hidden=4, scale=0.3) for seed in (0, 0, 1)]
    weights = np.asarray(starts[0].synapses, np.float64)
    # Five standard errors of the mean and of the standard deviation of a normal.
    assert abs(weights.mean()) < 5 * 0.3 / np.sqrt(weights.size)
    assert abs(weights.std() / 0.3 - 1) < 5 / np.sqrt(2 * weights.size)
    np.testing.assert_array_equal(starts[0].synapses, starts[1].synapses)
    assert not np.array_equal(starts[0].synapses, starts[2].synapses)
    assert starts[0].epoch == 0


@pytest.mark.parametrize(
    ("options", "hidden", "message"),
    [
        ({"p": 1.9}, 5, "p must"),
        ({"p": float("nan")}, 5, "p must"),
        ({"p": float("inf")}, 5, "p must"),
        ({"k": 1}, 5, "k must"),
        ({"k": 6}, 5, "hidden units"),
        ({"delta": -0.1}, 5, "delta"),
        ({"delta": float("nan")}, 5, "delta"),
        ({"radius": 0.0}, 5, "radius"),
        ({"radius": float("inf")}, 5, "radius"),
    ],
)
def test_rules_that_make_no_sense_are_refused(options, hidden, message):
    with pytest.raises(ValueError, match=message):
        init(jax.random.key(0), KrotovHopfield(**options), jnp.ones((9, 4)), hidden=hidden)


def test_starts_that_make_no_sense_are_refused():
    key, images = jax.random.key(0), jnp.ones((9, 4))
    with pytest.raises(ValueError, match="10 rows cannot start from 9 different images"):
        init(key, KrotovHopfield(), images, hidden=10, start="samples")
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="scale"):
            init(key, KrotovHopfield(), images, hidden=5, scale=scale)


# --- epochs ---

BATCH = 40


def train_on(images, rule, state, epochs, rate=0.02):
    for index in range(epochs):
        state, info = epoch(rule, state, images, linear_decay(rate, index, epochs), batch_size=BATCH)
    return state, info


def test_training_converges_on_the_clusters(clusters):
    images, centres = clusters
    rule = KrotovHopfield()
    start = init(jax.random.key(0), rule, images, hidden=4)

    def similarity(state):
        """Cosine of every centre and the row that is most like it."""
        rows = np.asarray(state.synapses)
        return (centres @ (rows / np.linalg.norm(rows, axis=1, keepdims=True)).T).max(axis=1)

    trained, info = train_on(images, rule, start, 60)
    assert not convergence(rule, start.synapses).accepted
    assert convergence(rule, trained.synapses).accepted
    assert info.converged_share == info.winning_share == 1
    # A row is its centre's less Δ times what it was second to: at most Δ = 0.4 of another centre, in a unit of 1.
    assert similarity(trained).min() > 1 / np.sqrt(1 + 0.4**2) > 0.9 > similarity(start).max()
    assert trained.epoch == 60


def test_the_same_state_gives_the_same_bits_and_every_epoch_its_own_order(clusters):
    images, _ = clusters
    rule = KrotovHopfield()
    start = init(jax.random.key(0), rule, images, hidden=4)
    first, again = (epoch(rule, start, images, 0.02, batch_size=BATCH)[0] for _ in range(2))
    np.testing.assert_array_equal(first.synapses, again.synapses)
    for other in (start._replace(epoch=start.epoch + 1), start._replace(key=jax.random.key(99))):
        assert not np.array_equal(epoch(rule, other, images, 0.02, batch_size=BATCH)[0].synapses, first.synapses)


def test_an_epoch_is_traced_once_and_leaves_an_incomplete_last_batch_out(monkeypatch):
    traces = []

    def counted(*arguments, **options):
        traces.append(None)
        return minibatch_step(*arguments, **options)

    monkeypatch.setattr(krotov_hopfield, "minibatch_step", counted)
    images = jax.random.uniform(jax.random.key(0), (12, 6))
    start = init(jax.random.key(1), KrotovHopfield(), images, hidden=4)

    def left_out(rule, start, rate):
        """Those images whose change leaves the result as it is: of 12, two batches of 5 have room for 10."""
        usual = np.asarray(epoch(rule, start, images, rate, batch_size=5)[0].synapses)
        changed = [epoch(rule, start, images.at[image].multiply(0.5), rate, batch_size=5)[0] for image in range(12)]
        return {image for image in range(12) if np.array_equal(changed[image].synapses, usual)}

    first = left_out(KrotovHopfield(), start, 0.02)
    after_first = len(traces)
    second = left_out(KrotovHopfield(delta=0.1, radius=2.0), start._replace(epoch=start.epoch + 1), 0.01)
    assert len(first) == len(second) == 2
    assert first != second
    assert len(traces) == after_first > 0


@pytest.mark.parametrize("batch_size", [0, -1, 401])
def test_batches_that_the_images_cannot_fill_are_refused(clusters, batch_size):
    images, _ = clusters
    start = init(jax.random.key(0), KrotovHopfield(), images, hidden=4)
    with pytest.raises(ValueError, match="batch_size must lie between 1 and the number of images, 400"):
        epoch(KrotovHopfield(), start, images, 0.02, batch_size=batch_size)


def test_seeds_and_rules_in_one_program_are_those_one_by_one(clusters):
    images, _ = clusters
    deltas, radii = [0.0, 0.2, 0.4], [1.0, 0.5, 2.0]
    starts = jax.vmap(lambda key: init(key, KrotovHopfield(), images, hidden=4))(jax.random.split(jax.random.key(0), 3))

    def member_epoch(delta, radius, state):
        return epoch(KrotovHopfield(delta=delta, radius=radius), state, images, 0.02, batch_size=BATCH)

    together, infos = jax.vmap(member_epoch)(jnp.array(deltas), jnp.array(radii), starts)
    for member in range(3):
        state = jax.tree.map(lambda leaf, member=member: leaf[member], starts)
        rule = KrotovHopfield(delta=deltas[member], radius=radii[member])
        alone, info = epoch(rule, state, images, 0.02, batch_size=BATCH)
        # Ten steps of 0.02, each the quotient of two sums over 40 images that may be rounded in another order.
        np.testing.assert_allclose(together.synapses[member], alone.synapses, rtol=0, atol=10 * 0.02 * 100 * EPSILON)
        np.testing.assert_allclose([field[member] for field in infos], info, rtol=1e-4)


def test_what_an_epoch_tells_is_true_of_its_synapses(clusters):
    images, _ = clusters
    rule = KrotovHopfield()
    # A rate of 0 keeps the rows, of which the second points away from all images and never wins.
    synapses = jnp.stack([images[0] * 2, -images[1], images[2] * 1.005, images[3] * 1.5])
    _, info = epoch(rule, State(synapses, jnp.array(0), jax.random.key(0)), images, 0.0, batch_size=BATCH)
    assert info.converged_share == 0.5  # rows 1 and 2, of norms 1 and 1.005
    assert info.winning_share in (0.5, 0.75)  # rows 0 and 3 win their own clusters, row 2 its own if it is one
    np.testing.assert_allclose(info.median_norm, (1.005 + 1.5) / 2, rtol=1e-6)
    assert info.largest_weight == jnp.abs(synapses).max()


def test_the_learning_rate_falls_on_a_line_towards_zero():
    rates = [linear_decay(0.02, index, 1000) for index in range(1000)]
    assert rates[0] == 0.02
    np.testing.assert_allclose(np.diff(rates), -0.02 / 1000, rtol=1e-10)  # float64 differences of 0.02
    assert rates[-1] == pytest.approx(0.02 / 1000)


# --- verdict ---


def test_fewer_than_a_tenth_of_the_rows_may_be_elsewhere():
    # A tenth of 50 is 5, though 5 · (1/50) in float32 is a little less than 0.1.
    rule, hidden, tenth = KrotovHopfield(radius=2.0), 50, 5
    for offset, outside in ((0.009, False), (0.011, True), (-0.009, False), (-0.011, True)):
        for count in (tenth - 1, tenth):
            synapses = np.zeros((hidden, 4), np.float32)
            synapses[:, 1] = 2.0
            synapses[:count, 1] += offset
            verdict = convergence(rule, jnp.asarray(synapses))
            assert verdict.accepted == (not outside or count < tenth)
            assert int((~verdict.norm_converged).sum()) == outside * count


def test_one_row_at_the_wrong_attractor_is_enough_to_refuse_a_layer():
    rule, inputs = KrotovHopfield(), 3072
    generator = np.random.default_rng(0)
    synapses = generator.uniform(size=(20, inputs))
    synapses[7] = -1 + generator.normal(0.0, 0.1, inputs)
    synapses /= ((np.abs(synapses) ** 3).sum(axis=1) ** (1 / 3))[:, None]
    verdict = convergence(rule, jnp.asarray(synapses, jnp.float32))
    assert verdict.norm_converged.all()
    np.testing.assert_array_equal(np.flatnonzero(verdict.wrong_attractor), [7])
    assert not verdict.accepted
    assert not (synapses.mean(axis=1) < -rule.radius / 2).any()  # the published criterion sees nothing
    assert convergence(rule, jnp.asarray(np.abs(synapses), jnp.float32)).accepted
