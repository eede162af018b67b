"""Square Attack: random search by scores, without any gradient (Andriushchenko et al., arXiv 1912.00049).

Every query changes one square of the perturbation and keeps the change if the margin ``logit of the label − largest
other logit`` falls. The squares shrink by the published schedule, stretched or squeezed to the number of queries. In
L-infinity the search starts from vertical stripes of ±epsilon and a square is ±epsilon, one sign per channel. In L2 it
starts from a grid of bumps; a step adds a bump in one window, takes the length from it and from a second window, which
is emptied, and always spends all of epsilon. What no gradient shows, masked or vanished, it may find all the same::

    square(queries=300)(key, logits_function(model), images, labels, 8 / 255)

Flattened images are read row by row: height, then width, then channels, as ``images.reshape(height, width, channels)``
does. All randomness comes from an image's key and is the same at every epsilon.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from jax_bioadv.attacks.attack import Attack, LogitsFunction, checked_bounds, clip_to, lead_over_label, succeeded
from jax_bioadv.attacks.batch import checked_image_shape

# Shares of the budget after which the share of pixels in a square halves: the published 10, 50, … of 10 000 queries.
_HALVED_AFTER = np.array([10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000]) / 10_000
# A bump of two signs needs three rows.
_LEAST_L2_SIDE = 3


@register_static
@dataclasses.dataclass(frozen=True)
class _Settings:
    norm: float
    queries: int
    image_shape: tuple[int, int, int]
    p_init: float
    bounds: tuple[float, float] | None
    restarts: int


class _Found(NamedTuple):
    """The best images of a search so far, their margins, and whether they succeeded."""

    images: Float[Array, "batch channels height width"]
    margin: Float[Array, " batch"]
    success: Bool[Array, " batch"]


def square(
    norm: float | int = math.inf,
    queries: int = 300,
    image_shape: tuple[int, int, int] = (32, 32, 3),
    p_init: float | int = 0.8,
    bounds: tuple[float, float] | None = (0.0, 1.0),
    restarts: int = 1,
) -> Attack:
    """The Square Attack; epsilon is the radius of the L-infinity or L2 ball, and no gradient is ever asked for.

    Args:
        norm: 2 or infinity.
        queries: evaluations of the classifier for each image and restart, the start among them.
        image_shape: (height, width, channels) of the flattened images. More than 4 channels of at most 4 rows are
            refused, for they are channels that come first.
        p_init: share of the pixels in the first square; 0.8 as in AutoAttack (arXiv 2003.01690) suits small budgets.
        bounds: range that the perturbed images are clipped to, None for no clipping.
        restarts: number of searches, of which an image keeps the best: the first success, else the smallest margin.

    Returns:
        The attack. An image stops changing as soon as it succeeds. Its random numbers take some 30 bytes of memory per
        image, query and restart.

    Raises:
        ValueError: for a setting out of range, and when attacking for images that are not of this shape.
    """
    if norm not in (2, math.inf):
        raise ValueError(f"norm must be 2 or infinity, for which the attack is defined; got {norm}")
    if queries < 1 or restarts < 1:
        raise ValueError(f"queries and restarts must be at least 1, got {queries} and {restarts}")
    if not 0 < p_init <= 1:
        raise ValueError(f"p_init is a share of the pixels, above 0 and at most 1; got {p_init}")
    shape = checked_image_shape(image_shape)
    settings = _Settings(float(norm), int(queries), shape, float(p_init), checked_bounds(bounds), int(restarts))
    return Attack(Partial(_prepare, settings), Partial(_perturb, settings), bounds=settings.bounds)


def square_sides(
    queries: int, p_init: float | int, height: int, width: int, norm: float | int = math.inf
) -> Int[np.ndarray, " steps"]:
    """Side of the square at each query after the start, by the published schedule.

    Args:
        queries: the whole budget, the start included.
        p_init: share of the pixels in the first square.
        height: of the image.
        width: of the image.
        norm: infinity, or 2, where sides are odd and at least 3.

    Returns:
        Pixels, at most the smaller of height and width.
    """
    spent = np.arange(queries - 1) / queries
    share = p_init / 2.0 ** np.searchsorted(_HALVED_AFTER, spent)
    sides = np.round(np.sqrt(share * height * width)).astype(int)
    if norm == 2:
        sides = np.maximum(sides, _LEAST_L2_SIDE)
        sides += sides % 2 == 0
    return np.clip(sides, 1, min(height, width))


def _prepare(
    settings: _Settings,
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
) -> Key[Array, " batch"]:
    if math.prod(settings.image_shape) != images.shape[1]:
        raise ValueError(
            f"images of {images.shape[1]} values cannot be of shape {settings.image_shape}; "
            "set image_shape=(height, width, channels)"
        )
    return keys


def _perturb(
    settings: _Settings,
    search_keys: Key[Array, " batch"],
    keys: Key[Array, " batch"],
    logits_function: LogitsFunction,
    images: Float[Array, "batch inputs"],
    labels: Integer[Array, " batch"],
    epsilon: Float[Array, ""],
) -> tuple[Float[Array, "batch inputs"], Bool[Array, " batch"]]:
    # Channels first, so that sums over pixels run along rows of memory.
    clean = jnp.moveaxis(images.reshape(-1, *settings.image_shape), 3, 1)
    height, width, _ = settings.image_shape
    sides = square_sides(settings.queries, settings.p_init, height, width, settings.norm)
    distinct, kinds = np.unique(sides, return_inverse=True)
    bumps = jnp.asarray(_bumps(distinct.tolist() or [1]), images.dtype) if settings.norm == 2 else None

    def flat(candidates: Array) -> Array:
        return jnp.moveaxis(candidates, 1, 3).reshape(images.shape)

    def tried(candidates: Array) -> _Found:
        logits = logits_function(flat(candidates))
        return _Found(candidates, _margin(logits, labels), succeeded(logits, labels))

    def query(found: _Found, step: tuple[Array, Array, Array]) -> tuple[_Found, None]:
        draws, side, kind = step
        if bumps is None:
            candidates = _recoloured(settings, clean, found.images, draws, side, epsilon)
        else:
            candidates = _moved(settings, clean, found.images, draws, side, bumps[kind], epsilon)
        return _better(found, tried(candidates)), None

    def restart(best: _Found, draws: tuple[Array, Array]) -> tuple[_Found, None]:
        start_draws, step_draws = draws
        begin = _stripes if settings.norm == math.inf else _grid_of_bumps
        start = tried(begin(settings, clean, start_draws, epsilon))
        found, _ = lax.scan(query, start, (step_draws, jnp.asarray(sides), jnp.asarray(kinds)))
        return _better(best, found), None

    never = jnp.zeros(labels.shape, bool)
    untried = _Found(clean, jnp.full(labels.shape, jnp.inf, images.dtype), never)
    best, _ = lax.scan(restart, untried, _draws(settings, search_keys, images.dtype))
    return flat(best.images), never


def _margin(logits: Float[Array, "batch classes"], labels: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """Logit of the label less the largest other; infinity, the worst, where a logit is not finite."""
    return jnp.where(jnp.all(jnp.isfinite(logits), axis=1), -lead_over_label(logits, labels), jnp.inf)


def _better(best: _Found, new: _Found) -> _Found:
    """Image by image the new one if it succeeds first, or is closer to success while neither does."""
    improved = ~best.success & (new.success | (new.margin < best.margin))
    return jax.tree.map(lambda a, b: jnp.where(improved.reshape(-1, *[1] * (a.ndim - 1)), b, a), best, new)


def _draws(
    settings: _Settings, keys: Key[Array, " batch"], dtype: jnp.dtype
) -> tuple[Float[Array, "restarts batch start"], Float[Array, "restarts steps batch draws"]]:
    """All uniform numbers at once, which compiles much faster than generators inside the loops.

    Each step has a corner and a sign per channel, in L2 also a second corner and a coin.
    """
    _, width, channels = settings.image_shape
    rows, columns, _ = _tiles(settings)
    start, step = width * channels, 2 + channels
    if settings.norm == 2:
        start, step = rows * columns * (channels + 1), 5 + channels
    steps = settings.queries - 1
    shape = (settings.restarts, start + steps * step)
    draws = jax.vmap(lambda key: jax.random.uniform(key, shape, dtype), out_axes=1)(keys)
    return draws[..., :start], draws[..., start:].reshape(*draws.shape[:2], steps, step).swapaxes(1, 2)


def _signs(uniform: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    return jnp.where(uniform < 0.5, -1, 1).astype(uniform.dtype)


def _window(
    settings: _Settings, corner: Float[Array, "batch 2"], side: Int[Array, ""]
) -> tuple[Int[Array, "batch height"], Int[Array, "batch width"], Bool[Array, "batch 1 height width"]]:
    """Rows and columns counted from a random place's corner, and where they are inside a square."""
    height, width, _ = settings.image_shape
    top, left = (jnp.floor(corner[:, i] * (size - side + 1)).astype(int) for i, size in enumerate((height, width)))
    rows, columns = jnp.arange(height) - top[:, None], jnp.arange(width) - left[:, None]
    row_inside, column_inside = ((each >= 0) & (each < side) for each in (rows, columns))
    return rows, columns, (row_inside[:, :, None] & column_inside[:, None, :])[:, None]


# --- L-infinity ---


def _stripes(
    settings: _Settings,
    clean: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """Every column and channel moved by ±epsilon."""
    _, channels, _, width = clean.shape
    return clip_to(settings.bounds, clean + epsilon * _signs(draws).reshape(-1, channels, 1, width))


def _recoloured(
    settings: _Settings,
    clean: Float[Array, "batch channels height width"],
    best: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    side: Int[Array, ""],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """One square per image at ±epsilon, with one sign per channel; the opposite signs if those are there already.

    The published code draws signs again until something changes: the same with one channel, nearly so with three.
    """
    _, _, inside = _window(settings, draws[:, :2], side)
    signs = _signs(draws[:, 2:])[:, :, None, None]
    same = (clip_to(settings.bounds, clean + epsilon * signs) == best) | ~inside
    signs = jnp.where(jnp.all(same, axis=(1, 2, 3), keepdims=True), -signs, signs)
    return jnp.where(inside, clip_to(settings.bounds, clean + epsilon * signs), best)


# --- L2 ---


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


def _bumps(sides: list[int]) -> Float[np.ndarray, "kinds 2 largest largest"]:
    """A bump and its transpose for each side, with zeros below and to the right."""
    largest = max(sides)
    bumps = [np.pad(_bump(side), (0, largest - side)) for side in sides]
    return np.array([(bump, bump.T) for bump in bumps])


def _tiles(settings: _Settings) -> tuple[int, int, int]:
    """Rows and columns of the grid of bumps, and the side of each: a fifth of the image."""
    height, width, _ = settings.image_shape
    side = max(min(height, width) // 5, 1)
    return height // side, width // side, side


def _grid_of_bumps(
    settings: _Settings,
    clean: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """Bumps side by side, each with its own direction and, per channel, sign."""
    _, channels, height, width = clean.shape
    rows, columns, side = _tiles(settings)
    draws = draws.reshape(-1, channels + 1, rows, 1, columns, 1)
    bump = jnp.asarray(_bump(side), clean.dtype)[:, None, :]
    turned = jnp.where(draws[:, :1] < 0.5, bump, bump.T)
    grid = (turned * _signs(draws[:, 1:])).reshape(-1, channels, rows * side, columns * side)
    spare = [(free // 2, free - free // 2) for free in (height - rows * side, width - columns * side)]
    return _at_length(settings, clean, jnp.pad(grid, ((0, 0), (0, 0), *spare)), epsilon)


def _at_length(
    settings: _Settings,
    clean: Float[Array, "batch channels height width"],
    perturbation: Float[Array, "batch channels height width"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """The images perturbed by epsilon in this direction, then clipped."""
    return clip_to(settings.bounds, clean + epsilon * _unit(perturbation, (1, 2, 3)))


def _unit(values: Float[Array, "*shape"], axes: tuple[int, ...]) -> Float[Array, "*shape"]:
    """Divided by the L2 length over some axes; zero stays zero."""
    length = jnp.sqrt(jnp.sum(values**2, axis=axes, keepdims=True))
    return values / jnp.where(length > 0, length, 1)


def _moved(
    settings: _Settings,
    clean: Float[Array, "batch channels height width"],
    best: Float[Array, "batch channels height width"],
    draws: Float[Array, "batch draws"],
    side: Int[Array, ""],
    bump: Float[Array, "2 largest largest"],
    epsilon: Float[Array, ""],
) -> Float[Array, "batch channels height width"]:
    """A bump added in one window, paid for by this window, by a second one that is emptied, and by what is spare."""
    perturbation, pixels = best - clean, (2, 3)
    rows, columns, inside = _window(settings, draws[:, :2], side)
    _, _, emptied = _window(settings, draws[:, -3:-1], side)
    turned = (draws[:, -1] < 0.5).astype(int)[:, None, None]
    last = bump.shape[-1] - 1
    placed = bump[turned, jnp.clip(rows, 0, last)[:, :, None], jnp.clip(columns, 0, last)[:, None, :]]
    signs = _signs(draws[:, 2:-3])[:, :, None, None]
    added = inside * (placed[:, None] * signs + _unit(inside * perturbation, pixels))
    free = jnp.sum(perturbation**2 * (inside | emptied), axis=pixels, keepdims=True)
    spare = jnp.maximum(epsilon**2 - jnp.sum(perturbation**2, axis=(1, 2, 3), keepdims=True), 0) / clean.shape[1]
    added = _unit(added, pixels) * jnp.sqrt(free + spare)
    return _at_length(settings, clean, jnp.where(inside, added, jnp.where(emptied, 0, perturbation)), epsilon)
