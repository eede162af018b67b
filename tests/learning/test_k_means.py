"""Minibatch k-means step by step, against scikit-learn's and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.cluster import MiniBatchKMeans

from jax_bioadv.data import load, unit_norm
from jax_bioadv.data.streams import ArraySource, Stream
from jax_bioadv.learning import k_means
from jax_bioadv.learning.fixed_layers import rows_of_norm
from jax_bioadv.learning.streaming import images_to_start_from, k_means_chunk

step = jax.jit(k_means.step)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def test_it_moves_centroids_as_scikit_learn_does(digits):
    images = unit_norm(digits.train_images)
    theirs = MiniBatchKMeans(12, init=images[:12], n_init=1, batch_size=100, reassignment_ratio=0)
    ours = k_means.init(jnp.asarray(images[:12]))
    for first in range(0, 1400, 100):
        batch = images[first : first + 100]
        theirs.partial_fit(batch)
        ours, _ = step(ours, jnp.asarray(batch))
    np.testing.assert_allclose(ours.centroids, theirs.cluster_centers_, atol=2e-5)
    np.testing.assert_array_equal(ours.counts, theirs._counts)


def test_a_centroid_is_the_mean_of_what_came_to_it_and_stays_where_nothing_comes():
    start = k_means.init(jnp.asarray([[0.0, 0.0], [10.0, 10.0]]))
    state, info = step(start, jnp.asarray([[1.0, 0.0], [0.0, 3.0]]))
    np.testing.assert_allclose(state.centroids, [[0.5, 1.5], [10.0, 10.0]])
    np.testing.assert_array_equal(state.counts, [2, 0])
    assert info.inertia == pytest.approx((1 + 9) / 2)
    state, _ = step(state, jnp.asarray([[2.0, 0.0]]))
    np.testing.assert_allclose(state.centroids[0], [1.0, 1.0])


def test_bytes_do_not_overflow():
    start, batch = np.array([[200, 200, 200], [0, 0, 0]], np.uint8), np.full((300, 3), 201, np.uint8)
    state, info = step(k_means.init(jnp.asarray(start)), jnp.asarray(batch))
    assert info.inertia == 3
    np.testing.assert_array_equal(state.counts, [300, 0])
    np.testing.assert_allclose(state.centroids, [[201] * 3, [0] * 3])


def test_from_a_stream_it_is_the_same_as_from_the_same_batches_in_memory(digits):
    stream = Stream(ArraySource(digits.train_images, digits.train_labels), 150, seed=3)
    start = k_means.init(images_to_start_from(jax.random.key(0), stream.source, 8))
    chunk = k_means_chunk(stream, batches=5)
    state = start
    for index in range(4):
        state, info = chunk(state, index)
    expected = start
    for number in range(20):
        batch = jnp.asarray(unit_norm(digits.train_images[stream.order(number // 10)[number % 10 * 150 :][:150]]))
        expected, _ = step(expected, batch)
    np.testing.assert_allclose(state.centroids, expected.centroids, atol=1e-6)
    assert np.isfinite(info.inertia)


def test_rows_have_the_norm_that_is_asked_for_and_zero_stays_zero():
    rows = rows_of_norm(np.array([[3.0, 4.0], [0.0, 0.0]]), 2.0, 2.0)
    np.testing.assert_allclose(rows, [[1.2, 1.6], [0, 0]])


@pytest.mark.parametrize(("p", "radius"), [(np.inf, 1.0), (0.5, 1.0), (2.0, np.inf), (2.0, 0.0)])
def test_norms_that_rows_cannot_have_are_refused(p, radius):
    with pytest.raises(ValueError, match="p must be at least 1, radius positive, and both finite"):
        rows_of_norm(np.ones((2, 2)), p, radius)
