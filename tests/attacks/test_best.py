"""Keeping the best: what succeeds before all else, then the highest score, whatever the order of the finds."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest

from jax_bioadv.attacks.best import Best, better_of, is_better, least_if_nan, nothing_yet

CLEAN = jnp.zeros((1, 2))


def find(number, success, score):
    return Best(jnp.full((1, 2), float(number)), jnp.array([success]), jnp.array([score], jnp.float32))


def last_of(finds, **options):
    best = nothing_yet(CLEAN)
    for number, (success, score) in enumerate(finds, start=1):
        best = better_of(best, find(number, success, score), **options)
    return best


FINDS = [(False, 3.0), (True, -2.0), (False, 9.0), (True, 1.0)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5])
def test_the_best_is_the_success_of_highest_score_in_whatever_order(order):
    best = last_of([FINDS[index] for index in order])
    assert best.success
    assert best.score == 1
    np.testing.assert_array_equal(best.images, [[order.index(3) + 1] * 2])


def test_without_success_the_highest_score_counts_and_the_first_of_equals():
    best = last_of([(False, 1.0), (False, 4.0), (False, 4.0), (False, 2.0)])
    assert not best.success
    np.testing.assert_array_equal(best.images, [[2, 2]])


def test_an_image_may_be_done_at_its_first_success():
    np.testing.assert_array_equal(last_of(FINDS, first_success=True).images, [[2, 2]])
    np.testing.assert_array_equal(last_of([(False, 3.0), (False, 9.0)], first_success=True).images, [[2, 2]])


@pytest.mark.parametrize("score", [np.nan, -np.inf])
def test_no_score_is_no_better_than_the_image_as_it_is_unless_it_succeeds(score):
    assert least_if_nan(jnp.array([score])) == -jnp.inf
    np.testing.assert_array_equal(last_of([(False, score)]).images, CLEAN)
    np.testing.assert_array_equal(last_of([(True, score)]).images, [[1, 1]])
    assert not is_better(find(1, False, 0.0), find(2, False, score))


def test_each_image_keeps_its_own_and_pixels_may_have_any_shape():
    shape = (3, 2, 1, 2)
    best = Best(jnp.zeros(shape), jnp.array([False, True, False]), jnp.array([0.0, 0.0, 2.0]))
    other = Best(jnp.ones(shape), jnp.array([True, False, False]), jnp.array([-1.0, 5.0, 3.0]))
    found = better_of(best, other)
    np.testing.assert_array_equal(found.images[:, 0, 0, 0], [1, 0, 1])
    np.testing.assert_array_equal(found.success, [True, True, False])
    np.testing.assert_array_equal(found.score, [-1, 0, 3])
