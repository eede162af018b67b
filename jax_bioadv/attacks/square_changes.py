"""What the Square Attack tries (Andriushchenko et al., arXiv 1912.00049): its starts, and its changes of one square.

In L-infinity a start of vertical stripes, and squares at ±epsilon; in L2 a start of a grid of bumps, and bumps that are
paid for by what they cover and by a second window, which is emptied. Images are (batch, channels, height, width), so
that sums over pixels run along rows of memory; all randomness comes from uniform draws in [0, 1).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jax_bioadv.attacks.attack import clip_to
from jax_bioadv.attacks.lp_ball import unit_length

Bounds = tuple[float, float] | None
"""The range that images are clipped to, None for no clipping."""


def _signs(uniform: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(uniform < 0.5, -1, 1).astype(uniform.dtype)


def _window(
    size: tuple[int, ...], corner: Float[Array, "batch 2"], side: Int[Array, ""]
) -> tuple[Int[Array, "batch height"], Int[Array, "batch width"], Bool[Array, "batch 1 height width"]]:
    """Rows and columns counted from a random place's corner, and where they are inside a square."""
    height, width = size
    top, left = (jnp.floor(corner[:, i] * (length - side + 1)).astype(int) for i, length in enumerate(size))
    rows, columns = jnp.arange(height) - top[:, None], jnp.arange(width) - left[:, None]
    row_inside, column_inside = ((each >= 0) & (each < side) for each in (rows, columns))
    return rows, columns, (row_inside[:, :, None] & column_inside[:, None, :])[:, None]


def stripes(
    bounds: Bounds,
    clean: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """Every column and channel moved by ±epsilon."""
    _, channels, _, width = clean.shape
    return clip_to(bounds, clean + epsilon * _signs(draws).reshape(-1, channels, 1, width))


def recoloured(
    bounds: Bounds,
    clean: Float[Array, "batch channels height width"],
    best: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    side: Int[Array, ""],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """One square per image at ±epsilon, with one sign per channel; the opposite signs if those are there already.

    The published code draws signs again until something changes: the same with one channel, nearly so with three.
    """
    _, _, inside = _window(clean.shape[2:], draws[:, :2], side)
    signs = _signs(draws[:, 2:])[:, :, None, None]
    same = (clip_to(bounds, clean + epsilon * signs) == best) | ~inside
    signs = jnp.where(jnp.all(same, axis=(1, 2, 3), keepdims=True), -signs, signs)
    return jnp.where(inside, clip_to(bounds, clean + epsilon * signs), best)


def _bump(side: int) -> Float[np.ndarray, "side side"]:
    """Two bumps of opposite sign, one above the other, of unit L2 length together."""
    upper = side // 2
    bump = np.zeros((side, side))
    for rows, sign in ((slice(0, upper), 1), (slice(upper, side), -1)):
        half = _pyramid(rows.stop - rows.start, side)
        bump[rows] = sign * half / max(np.linalg.norm(half), 1e-12)
    return bump / np.linalg.norm(bump)


def _pyramid(height: int, width: int) -> Float[np.ndarray, "height width"]:
    """Squares around the middle, of side 2k + 1 and height 1/(k + 1)², one upon the other."""
    far = np.maximum.outer(abs(np.arange(height) - height // 2), abs(np.arange(width) - width // 2))
    steps = 1 / (np.arange(max(height // 2, width // 2) + 1) + 1.0) ** 2
    return np.cumsum(steps[::-1])[::-1][far]


def bumps_of(sides: list[int]) -> Float[np.ndarray, "kinds 2 largest largest"]:
    """A bump and its transpose for each side, with zeros below and to the right."""
    largest = max(sides)
    bumps = [np.pad(_bump(side), (0, largest - side)) for side in sides]
    return np.array([(bump, bump.T) for bump in bumps])


def tiles(height: int, width: int) -> tuple[int, int, int]:
    """Rows and columns of the grid of bumps, and the side of each: a fifth of the image."""
    side = max(min(height, width) // 5, 1)
    return height // side, width // side, side


def grid_of_bumps(
    bounds: Bounds,
    clean: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """Bumps side by side, each with its own direction and, per channel, sign."""
    _, channels, height, width = clean.shape
    rows, columns, side = tiles(height, width)
    draws = draws.reshape(-1, channels + 1, rows, 1, columns, 1)
    bump = jnp.asarray(_bump(side), clean.dtype)[:, None, :]
    turned = jnp.where(draws[:, :1] < 0.5, bump, bump.T)
    grid = (turned * _signs(draws[:, 1:])).reshape(-1, channels, rows * side, columns * side)
    spare = [(free // 2, free - free // 2) for free in (height - rows * side, width - columns * side)]
    return _at_length(bounds, clean, jnp.pad(grid, ((0, 0), (0, 0), *spare)), epsilon)


def _at_length(
    bounds: Bounds,
    clean: Float[Array, "batch channels height width"],
    perturbation: Float[Array, "batch channels height width"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """The images perturbed by epsilon in this direction, then clipped."""
    return clip_to(bounds, clean + epsilon * unit_length(perturbation, (1, 2, 3)))


def moved(
    bounds: Bounds,
    clean: Float[Array, "batch channels height width"],
    best: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    side: Int[Array, ""],
    bump: Float[Array, "2 largest largest"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """A bump added in one window, paid for by this window, by a second one that is emptied, and by what is spare."""
    perturbation, pixels = best - clean, (2, 3)
    rows, columns, inside = _window(clean.shape[2:], draws[:, :2], side)
    _, _, emptied = _window(clean.shape[2:], draws[:, -3:-1], side)
    turned = (draws[:, -1] < 0.5).astype(int)[:, None, None]
    last = bump.shape[-1] - 1
    placed = bump[turned, jnp.clip(rows, 0, last)[:, :, None], jnp.clip(columns, 0, last)[:, None, :]]
    signs = _signs(draws[:, 2:-3])[:, :, None, None]
    added = inside * (placed[:, None] * signs + unit_length(inside * perturbation, pixels))
    free = jnp.sum(perturbation**2 * (inside | emptied), axis=pixels, keepdims=True)
    spare = jnp.maximum(epsilon**2 - jnp.sum(perturbation**2, axis=(1, 2, 3), keepdims=True), 0) / clean.shape[1]
    added = unit_length(added, pixels) * jnp.sqrt(free + spare)
    return _at_length(bounds, clean, jnp.where(inside, added, jnp.where(emptied, 0, perturbation)), epsilon)
