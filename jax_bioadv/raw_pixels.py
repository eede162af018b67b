"""Attacks on raw pixels: the division by each image's norm becomes the first layer of the attacked classifier.

The models see images divided by their own L_p norm (Holzhausen et al., arXiv 2405.00679), and epsilons of that space
compare to nobody else's. With the division inside, images are pixels in [0, 1] and epsilon is the usual one::

    attack(key, raw_pixel_logits(logits_function(model)), raw_pixels(dataset.test_images), labels, 8 / 255)

The division takes away brightness: logits do not change when an image is scaled, so their gradient is orthogonal to it.
"""

import dataclasses

import numpy as np
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Float, Shaped

from jax_bioadv.attacks.attack import LogitsFunction
from jax_bioadv.attacks.lp_ball import check_norm
from jax_bioadv.data.preprocessing import divided_by_norm
from jax_bioadv.models import as_pytree


@register_static
@dataclasses.dataclass(frozen=True)
class _Settings:
    norm: float


def raw_pixel_logits(logits_function: LogitsFunction, norm: float | int = 3.0) -> Partial:
    """A classifier of unit-norm images as one of raw pixels.

    Args:
        logits_function: the classifier of images of unit L_p norm, a model or a function; see
            :func:`jax_bioadv.models.as_pytree`. A model is taken with its weights of now.
        norm: its p ≥ 1.

    Returns:
        Raw images (batch, inputs) to logits; a pytree whenever the classifier is one, so that models of one shape share
        compilations. An image that is all zero stays so and has a finite gradient.

    Raises:
        ValueError: for a norm below 1.
    """
    return Partial(_divided_logits, _Settings(check_norm(norm)), as_pytree(logits_function))


def raw_pixels(images: Shaped[np.ndarray, "count ..."]) -> Float[np.ndarray, "count inputs"]:
    """Flattened images with pixels in [0, 1], float32.

    Args:
        images: bytes of shape (count, …).

    Returns:
        One row per image.

    Raises:
        ValueError: for other types, whose largest value is not known to be 255.
    """
    if images.dtype != np.uint8 or images.ndim < 2:
        raise ValueError(f"images must be uint8 of shape (count, …), got {images.dtype} of shape {images.shape}")
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(255)


def _divided_logits(
    settings: _Settings, logits_function: LogitsFunction, images: Float[Array, "batch inputs"]
) -> Float[Array, "batch classes"]:
    return logits_function(divided_by_norm(images, settings.norm))
