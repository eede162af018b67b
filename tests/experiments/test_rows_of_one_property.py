"""Each row keeps the property that it is named after, and loses what it should."""

import numpy as np
import pytest

from experiments.models import KNOWN, MODELS, ROWS
from experiments.settings.presets import PRESETS
from experiments.training import rows_of_one_property as rows
from jax_bioadv.analysis.frequency import radial_spectrum

SHAPE = (12, 16, 3)
GENERATOR = np.random.default_rng(0)
# Smooth images, in which blurring and sharpening both leave something.
IMAGES = np.cumsum(np.cumsum(GENERATOR.random((40, *SHAPE)), axis=1), axis=2).reshape(40, -1).astype(np.float32) + 9


def generator():
    return np.random.default_rng(1)


def amplitudes(images):
    return np.abs(np.fft.fft2(images.reshape(-1, *SHAPE), axes=(1, 2)))


def test_images_without_mean_have_both_signs_and_differ_by_a_constant():
    found = rows.without_mean(IMAGES)
    np.testing.assert_allclose(found.mean(axis=1), 0, atol=1e-4)
    np.testing.assert_allclose(np.ptp(IMAGES - found, axis=1), 0, atol=1e-4)


def test_scrambled_phases_keep_amplitudes_mean_and_colours_alone():
    found = rows.phase_scrambled(IMAGES, SHAPE, generator())
    np.testing.assert_allclose(amplitudes(found), amplitudes(IMAGES), rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(found.mean(axis=1), IMAGES.mean(axis=1), rtol=1e-5)
    of_channels = [np.einsum("nhwc,nhwd->ncd", *(one.reshape(-1, *SHAPE),) * 2) for one in (found, IMAGES)]
    np.testing.assert_allclose(*of_channels, rtol=1e-4)
    assert np.corrcoef(rows.without_mean(found).ravel(), rows.without_mean(IMAGES).ravel())[0, 1] < 0.9


def test_gaussian_rows_have_the_covariance_that_they_are_given():
    directions = np.linalg.qr(GENERATOR.normal(size=(5, 5)))[0]
    variances = np.array([5.0, 3.0, 1.0, 0.5, 0.0])
    found = rows.gaussian_rows(100_000, variances, directions, generator())
    # An entry's standard error is at most 5 √(2 / 100 000).
    np.testing.assert_allclose(np.cov(found.T), directions.T * variances @ directions, atol=0.1)


def test_noise_of_a_radial_spectrum_has_it_on_average():
    wanted = radial_spectrum(IMAGES, SHAPE).mean(axis=0)
    found = radial_spectrum(rows.rows_of_radial_spectrum(4000, wanted, SHAPE, generator()), SHAPE).mean(axis=0)
    # A ring of one frequency, in three channels, scatters by √(2/3) of itself, over √4000: twice that is 2.6 %.
    np.testing.assert_allclose(found, wanted, rtol=0.04)
    with pytest.raises(ValueError, match="rings are not"):
        rows.rows_of_radial_spectrum(3, wanted[:-1], SHAPE, generator())


def test_coarse_and_fine_structure_add_up_and_lie_on_either_side_of_the_cut():
    low, high = rows.low_passed(IMAGES, SHAPE, 3), rows.high_passed(IMAGES, SHAPE, 3)
    np.testing.assert_allclose(low + high, IMAGES, rtol=1e-5)
    whole = radial_spectrum(IMAGES, SHAPE)
    np.testing.assert_allclose(radial_spectrum(low, SHAPE)[:, 4:], 0, atol=1e-3)
    np.testing.assert_allclose(radial_spectrum(low, SHAPE)[:, :4], whole[:, :4], rtol=1e-3)
    np.testing.assert_allclose(radial_spectrum(high, SHAPE)[:, 4:], whole[:, 4:], rtol=1e-2)
    with pytest.raises(ValueError, match="at least 0"):
        rows.low_passed(IMAGES, SHAPE, -1)


def test_shuffled_pixels_are_the_same_values_elsewhere():
    found = rows.shuffled_pixels(IMAGES, generator())
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(IMAGES, axis=1))
    assert not np.array_equal(found[0], IMAGES[0])


@pytest.mark.parametrize("make", [rows.phase_scrambled, lambda images, shape, _: rows.low_passed(images, shape, 3)])
def test_a_shape_that_does_not_fit_is_refused(make):
    with pytest.raises(ValueError, match="are no images"):
        make(IMAGES, (12, 16, 1), generator())


@pytest.fixture(scope="module")
def plan(plan_of):
    return plan_of(PRESETS["smoke"])


@pytest.fixture(scope="module")
def start(plan):
    return plan.first_layer(MODELS["kh_start"], 0).compute({}, None).arrays["synapses"]


@pytest.mark.parametrize("name", ROWS)
def test_every_layer_responds_as_strongly_as_images_as_rows_and_is_scaled_as_one(name, plan, start):
    kernel = plan.first_layer(KNOWN[name], 0).compute({}, None).arrays["kernel"]
    images = np.asarray(plan.images.train)
    strongest = (images @ kernel).max(axis=1).mean()
    assert strongest == pytest.approx((images @ (start * np.abs(start)).T).max(axis=1).mean(), rel=1e-4)
    # Rows of one L_3 norm, whose W|W| have one L_1.5 norm.
    norms = (np.abs(kernel) ** 1.5).sum(axis=0)
    np.testing.assert_allclose(norms, norms[0], rtol=1e-3)
    again = plan.first_layer(KNOWN[name], 0).compute({}, None).arrays["kernel"]
    np.testing.assert_array_equal(again, kernel)


def test_no_reproduction_has_them_unless_it_names_them(plan):
    assert not set(ROWS) & set(MODELS)
    assert not set(ROWS) & set(plan.models)
