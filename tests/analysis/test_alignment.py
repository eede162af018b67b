"""Eigenvalues of V C Vᵀ: Horn's inequality, aligned and isotropic cases, and plain linear algebra as the slow twin."""

import numpy as np
import pytest

from jax_bioadv.analysis.alignment import Alignment, exponents_of, layer_alignment, principal_directions
from jax_bioadv.analysis.spectra import FitImpossible, covariance_spectrum

GENERATOR = np.random.default_rng(0)
INPUTS, HIDDEN = 60, 40
N = np.arange(1.0, INPUTS + 1)
ROTATION = np.linalg.qr(GENERATOR.normal(size=(INPUTS, INPUTS)))[0]
OTHER = np.linalg.qr(GENERATOR.normal(size=(HIDDEN, HIDDEN)))[0]
COVARIANCE = ROTATION.T @ np.diag(N**-1.5) @ ROTATION
PRINCIPAL = principal_directions(COVARIANCE)
LAYER = OTHER @ (N[:HIDDEN, None] ** -0.6 * ROTATION[:HIDDEN])  # σ² ∝ n^-1.2, along the principal directions


def test_principal_directions_diagonalise_the_covariance_largest_first():
    np.testing.assert_allclose(PRINCIPAL.variances, N**-1.5)
    np.testing.assert_allclose(PRINCIPAL.directions @ COVARIANCE @ PRINCIPAL.directions.T, np.diag(N**-1.5), atol=1e-12)


@pytest.mark.parametrize("rows", [GENERATOR.normal(size=(HIDDEN, INPUTS)), LAYER, np.abs(LAYER)])
def test_spectra_are_those_of_plain_linear_algebra(rows):
    found = layer_alignment(rows, PRINCIPAL)
    np.testing.assert_allclose(found.images, covariance_spectrum(rows @ COVARIANCE @ rows.T), rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(found.layer, covariance_spectrum(rows @ rows.T), rtol=1e-8, atol=1e-14)
    vectors = np.linalg.svd(rows)[2][:HIDDEN]
    np.testing.assert_allclose(found.along, np.diag(vectors @ COVARIANCE @ vectors.T), rtol=1e-8)
    order = np.linalg.eigh(rows @ COVARIANCE @ rows.T)[1][:, ::-1]
    np.testing.assert_allclose(found.gain, np.diag(order.T @ rows @ rows.T @ order), rtol=1e-6)
    # Their products with σ² are a diagonal of V C Vᵀ in another basis: the same trace.
    assert found.layer @ found.along == pytest.approx(found.images.sum())


@pytest.mark.parametrize("seed", range(5))
def test_leading_products_obey_horns_inequality_and_bend_away_from_it_without_alignment(seed):
    rows = np.random.default_rng(seed).normal(size=(HIDDEN, INPUTS)) @ np.diag(N**-0.5)
    found = layer_alignment(rows, PRINCIPAL)
    for spectrum in (found.images, found.unaligned):
        excess = np.cumsum(np.log(spectrum) - np.log(found.layer * found.inputs))
        assert np.all(excess < 1e-9)
        assert excess[-1] < -1


def test_aligned_eigenvalues_multiply_and_exponents_add():
    found = layer_alignment(LAYER, PRINCIPAL)
    np.testing.assert_allclose(found.images, found.layer * found.inputs, rtol=1e-9)
    np.testing.assert_allclose(found.along, found.inputs, rtol=1e-9)
    np.testing.assert_allclose(found.nearby, 1)
    exponents = exponents_of(found, 3, 30)
    assert exponents.images == pytest.approx(2.7)
    assert exponents.layer + exponents.inputs == pytest.approx(2.7)
    assert exponents.missing == pytest.approx(0, abs=1e-9)
    assert exponents.gain == pytest.approx(1.2)
    assert exponents.window == (3, 30)
    assert exponents.unaligned < 2.5


def test_what_is_missing_from_the_sum_is_the_exponent_of_the_ratio():
    found = layer_alignment(GENERATOR.normal(size=(HIDDEN, INPUTS)), PRINCIPAL)
    ratio = np.log(found.images / (found.layer * found.inputs))[4:30]
    slope = -np.polyfit(np.log(N[4:30]), ratio, 1)[0]
    assert exponents_of(found, 5, 30).missing == pytest.approx(slope)
    assert abs(slope) > 0.1


def test_images_without_structure_add_nothing():
    white = principal_directions(np.eye(INPUTS))
    found = layer_alignment(LAYER, white)
    np.testing.assert_allclose(found.images, found.layer)
    np.testing.assert_allclose(found.unaligned, found.layer)


def test_a_rotation_of_pixels_changes_nothing_and_chance_is_what_random_directions_have():
    rows = GENERATOR.normal(size=(HIDDEN, INPUTS))
    found = layer_alignment(rows, PRINCIPAL)
    turned = layer_alignment(rows @ ROTATION, principal_directions(ROTATION.T @ COVARIANCE @ ROTATION))
    for name in Alignment._fields:
        np.testing.assert_allclose(getattr(turned, name), getattr(found, name), rtol=1e-6)
    # A share of k of 60 random directions has a standard deviation below √(2 k) / 60, averaged over 40 ranks.
    assert found.nearby.mean() == pytest.approx(found.by_chance.mean(), rel=0.3)


def test_rows_that_repeat_count_up_to_their_rank():
    pairs = np.concatenate([LAYER[:10], -LAYER[:10], np.zeros((3, INPUTS))])
    found = layer_alignment(pairs, PRINCIPAL)
    assert {len(one) for one in found} == {10}
    np.testing.assert_allclose(found.layer, 2 * layer_alignment(LAYER[:10], PRINCIPAL).layer)
    with pytest.raises(FitImpossible):
        exponents_of(found, 9, 30)


@pytest.mark.parametrize(
    ("rows", "within", "message"),
    [
        (np.ones((3, 5)), 1.5, "principal directions of 60"),
        (np.zeros((3, INPUTS)), 1.5, "not all zero"),
        (np.full((3, INPUTS), np.nan), 1.5, "finite"),
        (LAYER, 0.9, "within"),
    ],
)
def test_what_makes_no_sense_is_refused(rows, within, message):
    with pytest.raises(ValueError, match=message):
        layer_alignment(rows, PRINCIPAL, within=within)


def test_what_is_no_covariance_has_no_principal_directions():
    with pytest.raises(ValueError, match="finite and symmetric"):
        principal_directions(np.triu(np.ones((3, 3))))
