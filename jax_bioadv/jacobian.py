"""Jacobian norms: how fast a representation changes with the image.

For one layer ``h = V x``, ``a = ReLU(h)^n`` the Frobenius norms are known in closed form,

    ‖∂h/∂x‖²_F = ‖V‖²_F,    ‖∂a/∂x‖²_F = Σ_μ (n·ReLU(h_μ)^(n-1))² ‖V_μ‖²,

so neither needs automatic differentiation, let alone random projections. For every other function there are the full
Jacobian (:func:`jacobian_norms`) and the unbiased estimate by random projections of Hoffman et al., arXiv 1908.02729:
:func:`projected_jacobian_norms_squared` to be differentiated, :func:`estimated_jacobian_norms_squared` with its error.
Of a tap, the function is ``on_one_image(tap)``. Kernels have the layout of ``models.Network``: ``encoder.kernel`` is V
transposed. For n = 1 and h exactly 0 the closed form takes the derivative as 0, where automatic differentiation of
``jnp.maximum`` takes one half.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, PRNGKeyArray

from jax_bioadv.blocks import equal_blocks, over_blocks
from jax_bioadv.models import as_pytree, rectified_power_slope

ImageFunction = Callable[[Array], Array]
"""A function of one flattened image (inputs,) to an array of any shape, whose entries are the outputs."""

Mode = Literal["forward", "reverse"]

DIRECTION_BLOCK = 64


def _call_on_one(batch_function: Callable[[Array], Array], image: Array) -> Array:
    return batch_function(image[None])[0]


def on_one_image(batch_function: Callable[[Array], Array]) -> Partial:
    """A function of a batch, such as a model or a method of one, as a function of one flattened image.

    It is a pytree of the weights of now, so that jitted code is traced once for many models.
    """
    return Partial(_call_on_one, as_pytree(batch_function))


def _check_dense(kernel: Array) -> None:
    if kernel.ndim != 2:
        raise ValueError(
            f"closed forms hold for the kernel of a dense layer, (inputs, hidden), not for shape {kernel.shape}; use "
            "jacobian_norms or projected_jacobian_norms_squared"
        )


def slope_norms_squared(
    preactivation: Float[Array, "*batch hidden"],
    power: float | Float[Array, ""],
    squared_row_norms: Float[Array, " hidden"],
) -> Float[Array, "*batch"]:
    """``Σ_μ (n·ReLU(h_μ)^(n-1))² ‖V_μ‖²``, from the pre-activation.

    Args:
        preactivation: h.
        power: n, at least 1.
        squared_row_norms: ‖V_μ‖², of every hidden unit's weights; squared, since the norm of a pruned row, which is
            zero, has no derivative.

    Returns:
        Squared Frobenius norms of ∂a/∂x.
    """
    # As an array, so that a norm is the same bits whether n is a number or the argument of a program for any n.
    slopes = rectified_power_slope(preactivation, jnp.asarray(power, preactivation.dtype))
    return jnp.sum(jnp.square(slopes) * squared_row_norms, axis=-1)


def activation_jacobian_norms_squared(
    kernel: Float[Array, "inputs hidden"], power: float | Float[Array, ""], images: Float[Array, "batch inputs"]
) -> Float[Array, " batch"]:
    """Squared Frobenius norm of ∂a/∂x for every image, in closed form; pure and differentiable in the kernel.

    Args:
        kernel: V transposed.
        power: the exponent n of ReLU(h)^n, at least 1.
        images: flattened images.

    Returns:
        One squared norm for every image.

    Raises:
        ValueError: if the kernel is not that of a dense layer.
    """
    _check_dense(kernel)
    preactivation = jnp.matmul(images, kernel, precision="highest")
    return slope_norms_squared(preactivation, power, jnp.sum(jnp.square(kernel), axis=0))


@jax.jit
def _activation_norms(kernel: Array, power: Array, images: Array) -> Array:
    return jnp.sqrt(activation_jacobian_norms_squared(kernel, power, images))


def activation_jacobian_norms(
    kernel: Float[Array, "inputs hidden"],
    power: float,
    images: Float[Array | np.ndarray, "batch inputs"],
    image_block: int = 4096,
) -> Float[np.ndarray, " batch"]:
    """Frobenius norm of ∂a/∂x for every image, in closed form, block by block.

    Args:
        kernel: V transposed.
        power: the exponent n of ReLU(h)^n, at least 1.
        images: flattened images; an array on the host goes to the device one block at a time.
        image_block: images per block.

    Returns:
        One norm for every image, on the host.

    Raises:
        ValueError: if ``power`` is below 1, ``image_block`` is not positive or the kernel is not a dense layer's.
    """
    _check_dense(kernel)
    if not power >= 1.0:
        raise ValueError(f"power must be at least 1 for a finite derivative at 0, got {power}")
    exponent, count, blocks = jnp.asarray(power, kernel.dtype), len(images), equal_blocks(len(images), image_block)
    if count == 0:
        return np.zeros(0, kernel.dtype)
    return over_blocks(lambda rows: _activation_norms(kernel, exponent, jnp.asarray(images[rows])), count, blocks)


def preactivation_jacobian_norm(kernel: Float[Array, "inputs hidden"]) -> Float[Array, ""]:
    """Frobenius norm of ∂h/∂x, which is ‖V‖_F for every image; ValueError if V is not that of a dense layer."""
    _check_dense(kernel)
    return jnp.linalg.norm(kernel)


@jax.jit(static_argnames=("mode", "image_block", "direction_block"))
def full_jacobian_norms(
    function: Partial, images: Array, mode: Mode | None, image_block: int, direction_block: int = DIRECTION_BLOCK
) -> Array:
    """As :func:`jacobian_norms`, of a pytree, which calls one after another share a compilation of."""
    output = jax.eval_shape(function, jax.ShapeDtypeStruct(images.shape[1:], images.dtype))
    forward = images.shape[1] < output.size if mode is None else mode == "forward"
    side = jax.ShapeDtypeStruct(images.shape[1:], images.dtype) if forward else output

    def norm(image: Array) -> Array:
        along = jax.linearize(function, image)[1] if forward else jax.vjp(function, image)[1]

        def square(index: Array) -> Array:
            direction = jax.nn.one_hot(index, side.size, dtype=side.dtype).reshape(side.shape)
            (derivative,) = jax.tree.leaves(along(direction))
            return jnp.sum(jnp.square(derivative))

        return jnp.sqrt(jnp.sum(jax.lax.map(square, jnp.arange(side.size), batch_size=direction_block)))

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(norm, images, batch_size=image_block)


def jacobian_norms(
    function: ImageFunction,
    images: Float[Array, "batch inputs"],
    mode: Mode | None = None,
    image_block: int = 16,
    direction_block: int = DIRECTION_BLOCK,
) -> Float[Array, " batch"]:
    """Frobenius norm of the whole Jacobian of any function, by automatic differentiation.

    Args:
        function: of one flattened image to an array of any shape, a vector or a map. A ``Partial`` over weights is
            traced once for all weights of a shape; see :func:`on_one_image`.
        images: flattened images.
        mode: ``forward`` costs one pass per input, ``reverse`` one per output; None takes whichever are fewer.
        image_block: images at a time.
        direction_block: passes at a time for each of them; the memory is that of so many passes in all.

    Returns:
        One norm for every image, of products at full precision.

    Raises:
        ValueError: for another mode.
    """
    if mode not in (None, "forward", "reverse"):
        raise ValueError(f"mode must be 'forward', 'reverse' or None, got {mode!r}")
    return full_jacobian_norms(as_pytree(function), images, mode, image_block, direction_block)


def _squares_along(function: ImageFunction, image: Array, directions: Array) -> Array:
    """``‖v_jᵀ J‖²`` at one image, for directions v_j (projections, outputs) of what is flattened."""
    output, pull_back = jax.vjp(function, image)
    (gradients,) = jax.vmap(pull_back)(directions.reshape(-1, *output.shape))
    return jnp.sum(jnp.square(gradients), axis=-1)


def jacobian_norms_squared_along(
    function: ImageFunction,
    images: Float[Array, "batch inputs"],
    directions: Float[Array, "batch projections outputs"],
) -> Float[Array, " batch"]:
    """``outputs × mean_j ‖v_jᵀ J‖²`` for given unit directions v_j in output space.

    It is ‖J‖²_F exactly for any complete orthonormal set of directions.

    Args:
        function: of one flattened image to an array of any shape.
        images: flattened images.
        directions: unit vectors, a set for every image, in the space of the flattened output.

    Returns:
        One value for every image, differentiable in whatever ``function`` closes over.
    """

    def along(image: Array, vectors: Array) -> Array:
        return directions.shape[-1] * jnp.mean(_squares_along(function, image, vectors))

    return jax.vmap(along)(images, directions)


def _random_directions(key: PRNGKeyArray, function: ImageFunction, images: Array, projections: int) -> Array:
    """Unit vectors (batch, projections, outputs), uniformly distributed."""
    output = jax.eval_shape(function, jax.ShapeDtypeStruct(images.shape[1:], images.dtype))
    directions = jax.random.normal(key, (images.shape[0], projections, output.size), output.dtype)
    return directions / jnp.linalg.norm(directions, axis=-1, keepdims=True)


def projected_jacobian_norms_squared(
    key: PRNGKeyArray, function: ImageFunction, images: Float[Array, "batch inputs"], projections: int
) -> Float[Array, " batch"]:
    """Unbiased estimate of ‖J‖²_F by random projections (Hoffman et al., arXiv 1908.02729, Algorithm 1).

    Every projection is a random unit vector of its own, for every image. The code published with arXiv 2405.00679
    scales only its first projection so, which with three of them estimates a third of the squared norm.

    Args:
        key: random key.
        function: of one flattened image to an array of any shape.
        images: flattened images.
        projections: random directions per image, at least 1.

    Returns:
        One estimate for every image, differentiable in whatever ``function`` closes over.

    Raises:
        ValueError: if ``projections`` is not positive.
    """
    if projections < 1:
        raise ValueError(f"projections must be at least 1, got {projections}")
    directions = _random_directions(key, function, images, projections)
    return jacobian_norms_squared_along(function, images, directions)


class SquaredNorms(NamedTuple):
    """Estimates of ‖J‖²_F, one for every image, each with its standard error."""

    squared_norm: Float[Array, " batch"]
    stderr: Float[Array, " batch"]
    """From the spread of the projections; itself known to a share of 1/√(2·(projections - 1)), or worse."""


@jax.jit(static_argnames=("projections", "image_block"))
def _estimated(keys: Array, function: Partial, images: Array, projections: int, image_block: int) -> SquaredNorms:
    def estimate(of: tuple[Array, Array]) -> SquaredNorms:
        key, image = of
        directions = _random_directions(key, function, image[None], projections)[0]
        squares = directions.shape[-1] * _squares_along(function, image, directions)
        return SquaredNorms(jnp.mean(squares), jnp.std(squares, ddof=1) / jnp.sqrt(projections))

    with jax.default_matmul_precision("highest"):
        return jax.lax.map(estimate, (keys, images), batch_size=image_block)


def estimated_jacobian_norms_squared(
    key: PRNGKeyArray,
    function: ImageFunction,
    images: Float[Array, "batch inputs"],
    projections: int = 32,
    image_block: int = 16,
) -> SquaredNorms:
    """As :func:`projected_jacobian_norms_squared`, block by block and with the standard error: a measurement.

    It costs ``projections`` backward passes where :func:`jacobian_norms` costs one for every input or output. The
    square is unbiased; its root is not, and too small by about an eighth of its relative variance.

    Args:
        key: random key; an image's directions depend on it and on the image's place.
        function: of one flattened image to an array of any shape, as :func:`on_one_image` makes of a tap.
        images: flattened images.
        projections: random directions per image, at least 2.
        image_block: images at a time.

    Returns:
        Estimates and their errors.

    Raises:
        ValueError: if there are fewer than 2 projections, which tell no error.
    """
    if projections < 2:
        raise ValueError(f"projections must be at least 2 for a standard error, got {projections}")
    return _estimated(jax.random.split(key, len(images)), as_pytree(function), images, projections, image_block)
