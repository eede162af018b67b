"""Patches: what is cut out, how it is normalised, and that rows on patches are kernels of a convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jax_bioadv import patches
from jax_bioadv.patches import PatchNorm, to_kernel, to_rows

# One program each: of single operations every slice would be compiled by itself.
extract = jax.jit(patches.extract, static_argnums=(1, 2))
normalised = jax.jit(patches.normalised, static_argnums=1)
window_norms = jax.jit(patches.window_norms, static_argnums=(1, 2, 3))
MAPS = jax.random.normal(jax.random.key(0), (2, 5, 6, 3)).at[0, :3, :3].set(0)  # one patch of all zeros
NORMS = [PatchNorm(), PatchNorm(3.0), PatchNorm(2.0, True), PatchNorm(2.0, True, 0.3), PatchNorm(1.0, False, 0.3)]


@pytest.mark.parametrize("stride", [1, 2])
def test_patches_lie_row_by_row_with_channels_last(stride):
    found = extract(MAPS, 3, stride)
    for i in range(found.shape[1]):
        for j in range(found.shape[2]):
            top, left = i * stride, j * stride
            expected = np.asarray(MAPS)[:, top : top + 3, left : left + 3].reshape(2, -1)
            np.testing.assert_array_equal(found[:, i, j], expected)
    assert found.shape[1:3] == ((5 - 3) // stride + 1, (6 - 3) // stride + 1)


def test_rows_are_kernels():
    rows = jax.random.normal(jax.random.key(1), (4, 27))
    kernel = to_kernel(rows, 3)
    np.testing.assert_array_equal(to_rows(kernel), rows)
    found = lax.conv_general_dilated(MAPS, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    # Sums of 27 products of order 1 in another order.
    np.testing.assert_allclose(found, extract(MAPS, 3) @ rows.T, rtol=0, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
def test_patches_are_divided_by_their_norm(norm):
    cut_out = np.asarray(extract(MAPS, 3), np.float64)
    if norm.centred:
        cut_out = cut_out - cut_out.mean(axis=-1, keepdims=True)
    expected = ((abs(cut_out) ** norm.order).sum(axis=-1, keepdims=True) + norm.offset) ** (1 / norm.order)
    faint = expected < 1e-12
    found = normalised(extract(MAPS, 3), norm)
    np.testing.assert_allclose(found, np.where(faint, 0, cut_out) / np.where(faint, 1, expected), rtol=0, atol=1e-6)
    windows = window_norms(MAPS, 3, 1, norm)
    # Centring by sums of squares loses digits to cancellation, 1e-6 of 27 squares of order 1.
    np.testing.assert_allclose(windows, np.where(faint, 1, expected), rtol=1e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_faint_patches_of_bright_maps_have_their_norm_and_flat_ones_none(stride):
    levels = np.full((1, 12, 14, 3), 251)
    levels[0, 8, 8, 0], levels[0, 9, 10] = 252, 250
    maps, norm = jnp.asarray(levels / 255, jnp.float32), PatchNorm(centred=True)
    exact = np.asarray(extract(maps, 5, stride), np.float64)
    exact = np.linalg.norm(exact - exact.mean(axis=-1, keepdims=True), axis=-1, keepdims=True)
    flat = exact < 1e-9
    assert set(flat.flat) == {False, True}
    np.testing.assert_array_equal(window_norms(maps, 5, stride, norm)[flat], 1)
    # One grey level is 2^16 times the distance of neighbouring numbers, whose errors add up over 75.
    np.testing.assert_allclose(window_norms(maps, 5, stride, norm)[~flat], exact[~flat], rtol=1e-3)
    # Norms grow as the contrast does.
    contrast = maps - jnp.float32(251 / 255)
    grown, slopes = jax.jvp(lambda maps: window_norms(maps, 5, stride, norm), (maps,), (contrast,))
    np.testing.assert_allclose(slopes[~flat], grown[~flat], rtol=1e-3)
    np.testing.assert_array_equal(slopes[flat], 0)
    lengths = jnp.linalg.norm(normalised(extract(maps, 5, stride), norm), axis=-1, keepdims=True)
    np.testing.assert_allclose(lengths, ~flat, atol=1e-3)


def test_a_patch_without_norm_stays_zero_and_has_a_gradient():
    found, slope = jax.jvp(lambda maps: normalised(extract(maps, 3), PatchNorm()), (MAPS,), (jnp.ones_like(MAPS),))
    np.testing.assert_array_equal(found[0, 0, 0], 0)
    assert np.isfinite(slope).all()


def test_what_is_no_patch_is_refused():
    with pytest.raises(ValueError, match="side 6"):
        extract(MAPS, 6)
    for norm in (PatchNorm(0.5), PatchNorm(np.inf), PatchNorm(np.nan), PatchNorm(offset=np.inf)):
        with pytest.raises(ValueError, match="order >= 1"):
            norm.check()
    with pytest.raises(ValueError, match="order 2"):
        PatchNorm(3.0, centred=True).check()
