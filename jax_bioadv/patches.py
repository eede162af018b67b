"""Patches of images and of maps: cut out, normalised, and the rows that look at them as kernels of a convolution.

Maps are (batch, height, width, channels), and a patch is flattened as images are, row-major. A row of weights for
patches is thus a filter of a convolution, :func:`to_kernel`, and any rule that learns from rows of numbers learns a
convolution from patches (:mod:`jax_bioadv.learning.on_patches`). :func:`window_norms` gives for every position what
:func:`normalised` divides by there, without cutting the patches out.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

# Shares of the squares about 0: those about the mean are rounding below the first, and lose digits as a difference of
# sums below the second.
_FLAT, _FAINT = 1e-12, 1e-3


class PatchNorm(NamedTuple):
    """Division of each patch by its own norm ``(Σ|x|^p + offset)^(1/p)``.

    Winner-take-all rules need patches of one length; Coates, Ng & Lee (AISTATS 2011) centre them too, and add an offset
    that keeps faint patches from being blown up. The Krotov–Hopfield rule needs centred ones: many others are flat, and
    flat and dark is the attractor that its convergence test refuses.
    """

    order: float = 2.0
    """p, at least 1 and finite."""
    centred: bool = False
    """Whether the patch's own mean is subtracted first; for order 2 alone."""
    offset: float = 0.0

    def check(self) -> None:
        """Raise ValueError for values outside their range."""
        if not 1.0 <= self.order < float("inf") or not 0.0 <= self.offset < float("inf"):
            raise ValueError(
                f"a patch norm needs finite order >= 1 and offset >= 0, got {self.order} and {self.offset}"
            )
        if self.centred and self.order != 2.0:
            raise ValueError(f"centred patches are divided by their norm of order 2, not {self.order}")


def extract(
    maps: Float[Array, "batch height width channels"], size: int, stride: int = 1
) -> Float[Array, "batch rows columns inputs"]:
    """All patches of ``size`` × ``size`` that lie within the maps, each flattened (row, column, channel).

    Args:
        maps: padded already, where they shall be.
        size: side of a patch.
        stride: between neighbouring patches.

    Raises:
        ValueError: the maps are smaller than a patch.
    """
    batch, height, width, channels = maps.shape
    if not 1 <= size <= min(height, width) or stride < 1:
        raise ValueError(f"no patches of side {size} and stride {stride} in maps of {height} × {width}")
    rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
    shifted = [
        maps[:, i : i + (rows - 1) * stride + 1 : stride, j : j + (columns - 1) * stride + 1 : stride]
        for i in range(size)
        for j in range(size)
    ]
    return jnp.stack(shifted, axis=3).reshape(batch, rows, columns, size * size * channels)


def normalised(patches: Float[Array, "*shape inputs"], norm: PatchNorm | None) -> Float[Array, "*shape inputs"]:
    """Patches, each divided by its own norm; one without any stays 0. None leaves them as they are."""
    if norm is None:
        return patches
    squares = jnp.sum(_powered(patches, norm), axis=-1, keepdims=True)
    if norm.centred:
        patches = patches - jnp.mean(patches, axis=-1, keepdims=True)
        squares = _unless_flat(jnp.sum(jnp.square(patches), axis=-1, keepdims=True), squares)
    return patches / _root(squares, norm)


def window_norms(
    maps: Float[Array, "batch height width channels"], size: int, stride: int, norm: PatchNorm
) -> Float[Array, "batch rows columns 1"]:
    """What :func:`normalised` divides the patch at each position by."""

    def over_windows(values: Array) -> Array:
        window, strides = (1, size, size, 1), (1, stride, stride, 1)
        return lax.reduce_window(jnp.sum(values, axis=3, keepdims=True), 0.0, lax.add, window, strides, "VALID")

    if not norm.centred:
        return _root(over_windows(_powered(maps, norm)), norm)
    total = over_windows(jnp.square(maps))
    about_mean = total - over_windows(maps) ** 2 / (size * size * maps.shape[3])
    lost = _unless_flat(_squares_about_mean(maps, size, stride), total) - about_mean  # of the value, not of its slope
    return _root(about_mean + lax.stop_gradient(jnp.where(about_mean > _FAINT * total, 0.0, lost)), norm)


def _squares_about_mean(maps: Array, size: int, stride: int) -> Array:
    """For every window: over channels first, then columns and rows, so that no large numbers cancel."""
    mean, count = jnp.mean(maps, axis=3, keepdims=True), maps.shape[3]
    squares = jnp.sum(jnp.square(maps - mean), axis=3, keepdims=True)
    for axis in (2, 1):
        last = maps.shape[axis] - size + 1
        means, parts = (
            jnp.stack([lax.slice_in_dim(each, start, start + last, stride, axis) for start in range(size)])
            for each in (mean, squares)
        )
        mean = jnp.mean(means, axis=0)
        squares = jnp.sum(parts + count * jnp.square(means - mean), axis=0)
        count *= size
    return squares


def _unless_flat(about_mean: Array, squares: Array) -> Array:
    """Squares about the mean; 0 where they are what rounding leaves of those about 0."""
    return jnp.where(about_mean > _FLAT * squares, about_mean, 0.0)


def _powered(values: Array, norm: PatchNorm) -> Array:
    return jnp.square(values) if norm.order == 2.0 else jnp.abs(values) ** norm.order


def _root(total: Array, norm: PatchNorm) -> Array:
    total = total + norm.offset
    return jnp.where(total > 0, total, 1.0) ** (1 / norm.order)


def to_kernel(rows: Float[Array, "filters inputs"], size: int) -> Float[Array, "size size channels filters"]:
    """Rows that look at flattened patches as the kernel (height, width, in, out) of a convolution."""
    return rows.T.reshape(size, size, -1, len(rows))


def to_rows(kernel: Float[Array, "size size channels filters"]) -> Float[Array, "filters inputs"]:
    """The inverse of :func:`to_kernel`."""
    return kernel.reshape(-1, kernel.shape[3]).T
