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

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from jax_bioadv.attacks.attack import Attack, LogitsFunction, checked_bounds, checked_counts, lead_over_label, succeeded
from jax_bioadv.attacks.batch import checked_image_shape
from jax_bioadv.attacks.best import Best, better_of, nothing_yet
from jax_bioadv.attacks.square_changes import bumps_of, grid_of_bumps, moved, recoloured, stripes, tiles

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
    queries, restarts = checked_counts(queries=queries, restarts=restarts)
    if not 0 < p_init <= 1:
        raise ValueError(f"p_init is a share of the pixels, above 0 and at most 1; got {p_init}")
    shape = checked_image_shape(image_shape)
    settings = _Settings(float(norm), queries, shape, float(p_init), checked_bounds(bounds), restarts)
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
    bumps = jnp.asarray(bumps_of(distinct.tolist() or [1]), images.dtype) if settings.norm == 2 else None

    def flat(candidates: Array) -> Array:
        return jnp.moveaxis(candidates, 1, 3).reshape(images.shape)

    def tried(candidates: Array) -> Best:
        logits = logits_function(flat(candidates))
        return Best(candidates, succeeded(logits, labels), _score(logits, labels))

    def query(found: Best, step: tuple[Array, Array, Array]) -> tuple[Best, None]:
        draws, side, kind = step
        if bumps is None:
            candidates = recoloured(settings.bounds, clean, found.images, draws, side, epsilon)
        else:
            candidates = moved(settings.bounds, clean, found.images, draws, side, bumps[kind], epsilon)
        return better_of(found, tried(candidates), first_success=True), None

    def restart(best: Best, draws: tuple[Array, Array]) -> tuple[Best, None]:
        start_draws, step_draws = draws
        begin = stripes if settings.norm == math.inf else grid_of_bumps
        start = tried(begin(settings.bounds, clean, start_draws, epsilon))
        found, _ = lax.scan(query, start, (step_draws, jnp.asarray(sides), jnp.asarray(kinds)))
        return better_of(best, found, first_success=True), None

    best, _ = lax.scan(restart, nothing_yet(clean), _draws(settings, search_keys, images.dtype))
    return flat(best.images), jnp.zeros(labels.shape, bool)


def _score(logits: Float[Array, "batch classes"], labels: Integer[Array, " batch"]) -> Float[Array, " batch"]:
    """The largest other logit less that of the label; minus infinity, the worst, where a logit is not finite."""
    return jnp.where(jnp.all(jnp.isfinite(logits), axis=1), lead_over_label(logits, labels), -jnp.inf)


def _draws(
    settings: _Settings, keys: Key[Array, " batch"], dtype: jnp.dtype
) -> tuple[Float[Array, "restarts batch start"], Float[Array, "restarts steps batch draws"]]:
    """All uniform numbers at once, which compiles much faster than generators inside the loops.

    Each step has a corner and a sign per channel, in L2 also a second corner and a coin.
    """
    height, width, channels = settings.image_shape
    rows, columns, _ = tiles(height, width)
    start, step = width * channels, 2 + channels
    if settings.norm == 2:
        start, step = rows * columns * (channels + 1), 5 + channels
    steps = settings.queries - 1
    shape = (settings.restarts, start + steps * step)
    draws = jax.vmap(lambda key: jax.random.uniform(key, shape, dtype), out_axes=1)(keys)
    return draws[..., :start], draws[..., start:].reshape(*draws.shape[:2], steps, step).swapaxes(1, 2)
