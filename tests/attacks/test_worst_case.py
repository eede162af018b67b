"""The worst case is the union of its parts, whatever they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jax_bioadv.attacks import any_success, fgsm, gaussian, pgd, square, worst_case
from jax_bioadv.attacks.attack import Attack, log_odds_against

EPSILON = 0.1
PARTS = [gaussian(bounds=(0.0, 1.0)), pgd(steps=4, random_start=True), square(queries=3, image_shape=(2, 2, 3))]
run = jax.jit(lambda attack, *arguments: attack(*arguments))


def _shifted_by(direction, bounds=(0.0, 1.0)):
    """An attack that moves every image along a direction of its own."""

    def perturb(direction, prepared, keys, logits_function, images, labels, epsilon):
        return images + epsilon * direction, jnp.zeros(labels.shape, bool)

    return Attack(lambda *arguments: None, Partial(perturb, direction), bounds=bounds)


@pytest.fixture
def alone(network, images, labels, key):
    return [run(part, key, network, images, labels, EPSILON) for part in PARTS]


def test_it_succeeds_where_one_of_its_parts_does_at_the_same_key(alone, network, images, labels, key):
    together = run(worst_case(PARTS), key, network, images, labels, EPSILON)
    successes = [part.success for part in alone]
    np.testing.assert_array_equal(together.success, any_success(successes))
    assert max(success.sum() for success in successes) < together.success.sum() < len(images)
    for index in np.flatnonzero(together.success):
        first = next(part for part in alone if part.success[index])
        np.testing.assert_array_equal(together.images[index], first.images[index])
    losses = np.array([log_odds_against(network(part.images), labels) for part in alone])
    for index in np.flatnonzero(~np.asarray(together.success)):
        np.testing.assert_array_equal(together.images[index], alone[losses[:, index].argmax()].images[index])


def test_order_decides_between_parts_that_succeed(key):
    """Two classes by the sign of a number; both steps cross zero."""
    far, near = _shifted_by(jnp.array([-3.0])), _shifted_by(jnp.array([-2.0]))
    logits = Partial(lambda x: jnp.concatenate([x, -x], axis=1))
    arguments = (key, logits, jnp.ones((2, 1)), jnp.zeros(2, int), 1.0)
    for parts, expected in (([far, near], -2.0), ([near, far], -1.0)):
        result = run(worst_case(parts), *arguments)
        assert result.success.all()
        np.testing.assert_array_equal(result.images, [[expected]] * 2)


def test_a_vanished_gradient_of_any_part_is_told(dead_network, images, key):
    labels = jnp.argmax(dead_network(images), axis=1)
    blind = run(worst_case([gaussian(bounds=(0.0, 1.0)), fgsm()]), key, dead_network, images, labels, EPSILON)
    assert blind.gradient_vanished.all()
    noise = run(worst_case([gaussian()]), key, dead_network, images, labels, EPSILON)
    assert not noise.gradient_vanished.any()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "at least one"),
        ([fgsm(), fgsm(targeted=True)], "targeted"),
        ([fgsm(), gaussian()], "bounds"),
        ([fgsm(bounds=(0.0, 2.0)), fgsm()], "bounds"),
    ],
)
def test_attacks_that_cannot_be_combined_are_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        worst_case(parts)


@pytest.mark.parametrize(
    "successes", [[], [np.array([True]), np.array([True, False])], [np.array([1, 0])], [np.array([0.5])]]
)
def test_successes_of_different_kinds_are_refused(successes):
    with pytest.raises(ValueError, match="booleans of one shape"):
        any_success(successes)
