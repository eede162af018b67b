"""Schedules: the published steps and decay of Adam's rate, and renewals that follow it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.learning import schedules


def rates(optimizer, steps):
    """Sizes of the updates for a constant gradient, which are Adam's learning rates."""
    gradient = jnp.ones(())

    def step(state, _):
        update, state = optimizer.update(gradient, state)
        return state, -update

    return np.asarray(jax.lax.scan(step, optimizer.init(gradient), length=steps)[1])


def test_backpropagation_has_the_published_steps_of_its_rate():
    steps_per_epoch, published = 3, [1e-3, 5e-4, 2e-4, 1e-4, 1e-5]
    found = rates(schedules.stepwise_adam(published, [31, 91, 121, 161], steps_per_epoch), 170 * steps_per_epoch)
    expected = np.repeat(published, np.array([31, 60, 30, 40, 9]) * steps_per_epoch)
    # Adam corrects its moments for their start: a few roundings each, of 1 - 0.999^t, which at t = 1 has lost 3 digits.
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_spectral_regularization_has_the_published_decay_of_its_rate():
    steps_per_epoch = 2
    found = rates(schedules.decaying_adam(1e-3, 90, 30.0, steps_per_epoch), 200 * steps_per_epoch)
    epochs = np.repeat(np.arange(200), steps_per_epoch)
    np.testing.assert_allclose(found, 1e-3 * np.exp(-np.maximum(epochs - 90, 0) / 30), rtol=1e-4)  # as above
    assert found[90 * steps_per_epoch] == pytest.approx(1e-3, rel=1e-4)
    assert found[120 * steps_per_epoch] == pytest.approx(1e-3 / np.e, rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1e-3], [3], 5), "boundaries"),
        (([1e-3, 1e-4], [], 5), "boundaries"),
        (([1e-3, 0.0], [3], 5), "positive"),
        (([float("nan")], [], 5), "positive"),
        (([1e-3, 1e-4, 1e-5], [4, 3], 5), "increase"),
        (([1e-3, 1e-4, 1e-5], [4, 4], 5), "increase"),
        (([1e-3, 1e-4], [4], 0), "minibatch"),
    ],
)
def test_steps_that_do_not_fit_together_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        schedules.stepwise_adam(*arguments)


@pytest.mark.parametrize("arguments", [(0.0, 9, 3.0, 5), (1e-3, -1, 3.0, 5), (1e-3, 9, 0.0, 5), (1e-3, 9, 3.0, 0)])
def test_decays_that_make_no_sense_are_refused(arguments):
    with pytest.raises(ValueError, match=r"positive|minibatch"):
        schedules.decaying_adam(*arguments)


@pytest.mark.parametrize("every", [0, -2])
def test_renewals_need_a_batch_in_between(every):
    with pytest.raises(ValueError, match="once a batch at most"):
        schedules.renewal_batches(every, 0, 10)


def test_renewals_follow_the_accumulated_learning_rate():
    batches, every, constant, decay = 50, 5, 90, 30.0
    due = np.concatenate([schedules.renewal_batches(every, e, batches, constant, decay) for e in range(400)])
    pace = np.exp(-np.maximum(np.repeat(np.arange(400), batches) - constant, 0) / decay)
    between = np.add.reduceat(pace, np.flatnonzero(due))[:-1]
    # A renewal comes with the first batch after as much learning rate as of five full batches, give or take one.
    assert between.min() > every - 1
    assert between.max() < every + 1
    assert np.all(np.flatnonzero(due)[: 90 * 10 - 1] == np.arange(1, 90 * 10) * every)
    # 90 epochs of ten, and then as many as in 30 epochs at the full rate, almost all of them in the first 300.
    assert abs(due.sum() - 1200) < 10
    assert due[300 * batches :].sum() < 2
