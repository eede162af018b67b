"""Radial spectra: waves of known frequency, and Parseval."""

import numpy as np
import pytest

from jax_bioadv.analysis.frequency import radial_spectrum

SHAPE = (16, 16, 3)


@pytest.mark.parametrize(("vertical", "horizontal", "ring"), [(0, 0, 0), (3, 0, 3), (0, 5, 5), (3, 4, 5), (6, 8, 10)])
def test_a_wave_stands_in_the_ring_of_its_frequency(vertical, horizontal, ring):
    rows, columns = np.mgrid[:16, :16] / 16
    wave = np.cos(2 * np.pi * (vertical * rows + horizontal * columns))
    found = radial_spectrum(np.repeat(wave[..., None], 3, axis=2).reshape(1, -1), SHAPE)[0]
    assert found.argmax() == ring
    assert found[ring] == pytest.approx(found.sum())


def test_rings_add_up_to_the_squared_norm_whatever_the_shape():
    rows = np.random.default_rng(0).normal(size=(5, 12 * 20))
    for shape in ((12, 20, 1), (20, 12, 1), (4, 20, 3)):
        np.testing.assert_allclose(radial_spectrum(rows, shape).sum(axis=1), np.sum(rows**2, axis=1))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((16, 16), "height, width, channels"),
        ((16, 16, 1), "are no images"),
        ((3, 16, 16), "has its channels first"),
        ((0, 16, 16), "at least 1"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shape, message):
    with pytest.raises(ValueError, match=message):
        radial_spectrum(np.ones((2, 768)), shape)
