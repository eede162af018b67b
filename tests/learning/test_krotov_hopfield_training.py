"""Training a Krotov–Hopfield layer: where it starts, its epochs, and the verdict on its rows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.learning import krotov_hopfield
from jax_bioadv.learning.krotov_hopfield import (
    KrotovHopfield,
    State,
    convergence,
    epoch,
    init,
    linear_decay,
    minibatch_step,
    row_norms,
)

EPSILON = float(np.finfo(np.float32).eps)

# --- starts ---


def test_a_start_from_samples_takes_different_images():
    images = jax.random.uniform(jax.random.key(0), (12, 6))
    images /= row_norms(images, 3.0)[:, None]
    key = jax.random.key(1)
    rows = np.asarray(init(key, KrotovHopfield(), images, hidden=12, start="samples").synapses)
    np.testing.assert_allclose(np.sort(rows, axis=0), np.sort(images, axis=0), rtol=1e-6)  # all of them, once
    assert not np.array_equal(rows, images)
    few = init(key, KrotovHopfield(), images, hidden=4, start="samples").synapses
    assert len({tuple(row) for row in np.asarray(few)}) == 4
    assert {tuple(row) for row in np.asarray(few)} < {tuple(row) for row in rows}


@pytest.mark.parametrize("p", [2.0, 3.0, 3.5])
@pytest.mark.parametrize("radius", [0.5, 1.0, 20.0])
def test_a_start_from_samples_has_the_norm_of_converged_rows(p, radius):
    images = jax.random.uniform(jax.random.key(0), (12, 6)).at[3].set(0.0)
    rule = KrotovHopfield(p=p, radius=radius)
    rows = init(jax.random.key(1), rule, images, hidden=12, start="samples").synapses
    norms = np.sort(row_norms(rows, p))
    np.testing.assert_allclose(norms, [0.0, *[radius] * 11], rtol=1e-5)  # an empty image stays one


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


@pytest.mark.parametrize("radius", [1e-3, 1.0, 200.0])
def test_fewer_than_a_tenth_of_the_rows_may_be_elsewhere_by_a_share_of_the_radius(radius):
    # A tenth of 50 is 5, though 5 · (1/50) in float32 is a little less than 0.1.
    rule, hidden, tenth = KrotovHopfield(radius=radius), 50, 5
    for offset, outside in ((0.009, False), (0.011, True), (-0.009, False), (-0.011, True)):
        for count in (tenth - 1, tenth):
            synapses = np.zeros((hidden, 4), np.float32)
            synapses[:, 1] = radius
            synapses[:count, 1] *= 1 + offset
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
