"""What an attack at many epsilons works on: checked input, with the images in blocks, and what is kept of each attempt.

Shared by the sweep over a grid (:mod:`jax_bioadv.analysis.robustness`) and the search for the smallest successful
epsilon (:mod:`jax_bioadv.analysis.critical`), which so attack an image at an epsilon in the same way.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Integer, Key

from jax_bioadv.attacks.attack import Adversarial, Attack, AttackKeys, LogitsFunction, attack_keys
from jax_bioadv.attacks.batch import checked_batch, checked_image_indices
from jax_bioadv.blocks import equal_blocks


class ImageBlock(NamedTuple):
    """Images attacked together, on the device."""

    images: Float[Array, "images inputs"]
    labels: Integer[Array, " images"]
    keys: AttackKeys


class AttackInput(NamedTuple):
    """Input that makes sense, with the attack and the classifier as pytrees that jitted functions take.

    ``rows`` says which images a block holds. All blocks have one length, of which there are few, so that few
    compilations serve; the last may start over with the first images.
    """

    attack: Attack
    logits_function: Partial
    epsilons: Float[np.ndarray, " epsilons"]
    blocks: list[ImageBlock]
    rows: list[Int[np.ndarray, " block"]]
    images: int


class Attempt(NamedTuple):
    """What is kept of an attack, by image: success, lengths of the perturbation, whether a gradient vanished."""

    success: Bool[Array, "*shape"]
    l2: Float[Array, "*shape"]
    linf: Float[Array, "*shape"]
    vanished: Bool[Array, "*shape"]


def attempt(adversarial: Adversarial, images: Float[Array, "batch inputs"]) -> Attempt:
    """What is kept of an attack on these images."""
    difference = adversarial.images - images
    l2, linf = jnp.linalg.norm(difference, axis=1), jnp.max(jnp.abs(difference), axis=1)
    return Attempt(adversarial.success, l2, linf, adversarial.gradient_vanished)


def checked_input(
    attack: Attack,
    key: Key[Array, ""],
    logits_function: LogitsFunction,
    images: ArrayLike,
    labels: ArrayLike,
    epsilons: ArrayLike | Sequence[float],
    image_indices: ArrayLike | None,
    image_block: int,
) -> AttackInput:
    """Checks input and cuts it into blocks.

    Args:
        attack: from :mod:`jax_bioadv.attacks`.
        key: seed of the attack's randomness.
        logits_function: the classifier, a model or a function; see :func:`jax_bioadv.models.as_pytree`.
        images: (images, inputs), floating, finite, within the attack's bounds.
        labels: (images,), integers that name a logit.
        epsilons: increasing positive numbers.
        image_indices: (images,), an integer per image that decides its randomness; None for its position.
        image_block: most images in one block.

    Returns:
        The input.

    Raises:
        ValueError: for input that does not fit the description above.
    """
    epsilons = np.asarray(epsilons, np.float64)
    _check_epsilons(epsilons)
    function, images, labels = checked_batch(logits_function, images, labels, attack.bounds)
    if epsilons[-1] > jnp.finfo(images.dtype).max:
        raise ValueError(f"epsilons must be finite as {images.dtype} too, got {epsilons[-1]}")
    identities = checked_image_indices(image_indices, len(images))
    rows = equal_blocks(len(images), image_block)
    blocks = [
        ImageBlock(jnp.asarray(images[block]), jnp.asarray(labels[block]), _keys(key, jnp.asarray(identities[block])))
        for block in rows
    ]
    return AttackInput(attack.as_pytree(), function, epsilons, blocks, rows, len(images))


@jax.jit
def _keys(key: Key[Array, ""], identities: Integer[Array, " images"]) -> AttackKeys:
    return attack_keys(key, identities)


def _check_epsilons(epsilons: np.ndarray) -> None:
    if epsilons.ndim != 1 or len(epsilons) == 0:
        raise ValueError(f"epsilons must be a list of numbers, got an array of shape {epsilons.shape}")
    if not (np.isfinite(epsilons).all() and epsilons[0] > 0 and (np.diff(epsilons) > 0).all()):
        raise ValueError("epsilons must be finite, positive and increasing; see epsilon_grid")
