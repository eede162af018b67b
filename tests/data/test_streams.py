"""Streams meet every image once an epoch, in an order that the seed and the epoch decide, wherever they start."""

import os

import numpy as np
import pytest

from jax_bioadv.data import DataError
from jax_bioadv.data.stored import store
from jax_bioadv.data.streams import ArraySource, Stream


@pytest.fixture(scope="module")
def source():
    numbers = np.random.default_rng(0)
    return ArraySource(numbers.integers(0, 256, (23, 3, 2, 1), np.uint8), np.arange(23))


def met(stream, start=0, stop=None):
    return [batch.labels.tolist() for batch in stream.batches(start, stream.per_epoch if stop is None else stop)]


@pytest.mark.parametrize("window", [None, 4, 5, 100])
def test_an_epoch_has_every_image_at_most_once_with_its_label(source, window):
    stream = Stream(source, 5, seed=1, window=window)
    assert stream.per_epoch == 4
    for images, labels in stream.batches(0, 4):
        np.testing.assert_array_equal(images, source.images[labels])
    labels = np.concatenate(met(stream))
    assert len(set(labels)) == 20
    assert sorted(stream.order(0)) == list(range(23))
    assert labels.tolist() != np.concatenate(met(stream, 4, 8)).tolist(), "another epoch, another order"
    assert met(stream) != met(Stream(source, 5, seed=2, window=window))


def test_a_window_keeps_together_what_lies_together(source):
    order = Stream(source, 5, window=4).order(0)
    starts = [0, *(np.flatnonzero(np.diff(order // 4)) + 1)]
    assert len(starts) == 6, "every window is met in one piece"
    assert (np.diff(order[starts]) < 0).any(), "and they are mixed"


@pytest.mark.parametrize("start", [1, 3, 4, 6])
def test_it_goes_on_from_anywhere(source, start):
    stream = Stream(source, 5, seed=1)
    assert met(stream, start, 9) == met(stream, 0, 9)[start:]


def test_without_an_end_it_goes_on_through_the_epochs(source):
    stream = Stream(source, 5, seed=1)
    endless = stream.batches(2)
    assert [next(endless).labels.tolist() for _ in range(5)] == met(stream, 2, 7)


def test_processes_share_a_batch(source):
    whole = met(Stream(source, 6, seed=1))
    thirds = [met(Stream(source, 6, seed=1, process=one, processes=3)) for one in range(3)]
    assert [[*first, *second, *third] for first, second, third in zip(*thirds, strict=True)] == whole


def test_stored_images_stream_as_those_in_memory(source, tmp_path):
    stored = store(
        [(source.images.reshape(-1, 3, 2, 1), source.labels)], tmp_path / "x", [str(i) for i in range(23)], ""
    )
    for one, other in zip(Stream(source, 5).batches(0, 6), Stream(stored, 5).batches(0, 6), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


def test_an_error_in_the_background_comes_out(source, tmp_path):
    stored = store(
        [(source.images.reshape(-1, 3, 2, 1), source.labels)], tmp_path / "x", [str(i) for i in range(23)], ""
    )
    os.truncate(tmp_path / "x" / "images.u8", 0)
    with pytest.raises(DataError, match="ends before image"):
        list(Stream(stored, 5).batches(0, 4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_size": 0}, "between 1 and the number of images, 23, got 0"),
        ({"batch_size": 24}, "got 24"),
        ({"batch_size": 5, "processes": 2}, "2 processes cannot share batches of 5"),
        ({"batch_size": 4, "processes": 2, "process": 2}, "this is process 2"),
        ({"batch_size": 4, "window": 0}, "window must be at least 1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(source, options, said):
    with pytest.raises(ValueError, match=said):
        Stream(source, **options)


def test_a_source_of_something_else_is_refused():
    with pytest.raises(DataError, match="uint8 images"):
        ArraySource(np.zeros((3, 4)), np.zeros(3, int))
    with pytest.raises(DataError, match="integer label each"):
        ArraySource(np.zeros((2, 4), np.uint8), np.array([1.7, -0.2]))
