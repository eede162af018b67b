"""Similarity of layers: exact cases and invariances."""

import tracemalloc

import numpy as np
import pytest

from jax_bioadv.analysis.similarity import linear_cka, principal_angles

GENERATOR = np.random.default_rng(0)
RESPONSES = GENERATOR.normal(size=(300, 6)) * np.arange(1, 7)
ROTATION = np.linalg.qr(GENERATOR.normal(size=(6, 6)))[0]


def test_rotations_scale_and_shift_make_no_other_layer():
    assert linear_cka(RESPONSES, 3 * RESPONSES @ ROTATION + 2) == pytest.approx(1.0)


@pytest.mark.parametrize("units", [4, 500])
def test_it_is_the_alignment_of_the_two_kernels(units):
    other = np.random.default_rng(1).normal(size=(300, units)) + RESPONSES[:, :1]
    centring = np.eye(300) - 1 / 300
    kernels = [centring @ layer @ layer.T @ centring for layer in (RESPONSES, other)]
    expected = np.sum(kernels[0] * kernels[1]) / (np.linalg.norm(kernels[0]) * np.linalg.norm(kernels[1]))
    assert linear_cka(RESPONSES, other) == pytest.approx(expected)
    assert linear_cka(other, RESPONSES) == pytest.approx(expected)


def test_many_units_take_no_memory_for_their_squares():
    wide = GENERATOR.normal(size=(20, 3000))
    tracemalloc.start()
    linear_cka(wide, wide + 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * wide.nbytes


def test_unrelated_layers_are_the_less_alike_the_more_images_they_are_shown():
    def of_noise(images):
        return linear_cka(GENERATOR.normal(size=(images, 10)), GENERATOR.normal(size=(images, 10)))

    assert of_noise(20_000) < 0.002 < of_noise(50)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (RESPONSES, RESPONSES[:9], "same images"),
        (np.full((5, 2), 0.1), RESPONSES[:5], "same response"),  # whose mean is not quite 0.1
        (np.full((5, 2), np.nan), RESPONSES[:5], "not finite"),
    ],
)
def test_responses_that_cannot_be_compared_are_refused(first, second, message):
    with pytest.raises(ValueError, match=message):
        linear_cka(first, second)


def test_angles_are_those_that_the_rows_were_given():
    axes, angles = np.eye(6), np.array([0.2, 0.7, np.pi / 2])
    turned = np.cos(angles)[:, None] * axes[:3] + np.sin(angles)[:, None] * axes[3:]
    mixed = GENERATOR.normal(size=(5, 3)) @ turned  # more rows than directions: the same subspace
    np.testing.assert_allclose(principal_angles(axes[:3] @ ROTATION, mixed @ ROTATION), angles, atol=1e-7)


def test_leading_directions_are_those_of_the_largest_singular_values():
    rows = np.diag([3.0, 2.0, 1.0])
    other = np.diag([1.0, 2.0, 3.0])
    np.testing.assert_allclose(principal_angles(rows, other, leading=1), [np.pi / 2])
    np.testing.assert_allclose(principal_angles(rows, other, leading=2), [0, np.pi / 2], atol=1e-7)
    np.testing.assert_allclose(principal_angles(rows, other), 0, atol=1e-7)


@pytest.mark.parametrize(
    ("first", "second", "leading", "message"),
    [
        (np.eye(3), np.eye(4), None, "same inputs"),
        (np.zeros((2, 3)), np.eye(3), None, "all zero"),
        (np.ones((2, 3)), np.eye(3), 2, "has 1 directions, 2 cannot"),
        (np.eye(3), np.eye(3), 0, "0 cannot"),
    ],
)
def test_weights_that_cannot_be_compared_are_refused(first, second, leading, message):
    with pytest.raises(ValueError, match=message):
        principal_angles(first, second, leading)
