"""The door that every classifier and batch of images comes in by, before anything long begins.

Classifiers become pytrees that give today's answer (:func:`jax_bioadv.models.as_pytree`), values are checked, and all
is brought to one type: the widest of float32, the images' and the logits'. Images of half precision are therefore
attacked in float32, which holds them exactly, and 64 bits need ``jax_enable_x64``. Batches are filled up to one of few
sizes (:mod:`jax_bioadv.blocks`), because every size is a program of its own.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Integer

from jax_bioadv.blocks import filled_up
from jax_bioadv.models import as_pytree
from jax_bioadv.tracing import is_traced

# An image of more channels and hardly a row is one whose channels come first.
_MOST_CHANNELS = 4


class Batch(NamedTuple):
    """A classifier and what it classifies: on the host, unless a caller's ``jit`` traces it."""

    logits_function: Partial
    images: Float[np.ndarray | Array, "batch inputs"]
    labels: Integer[np.ndarray | Array, " batch"]

    def filled_up(self) -> "Batch":
        """With as many images as programs are made for, by starting over; as it is where it is traced or empty."""
        count = len(self.labels)
        size = filled_up(count)
        if count in (0, size) or is_traced(self.images, self.labels):
            return self
        rows = np.arange(size) % count
        return self._replace(images=self.images[rows], labels=self.labels[rows])


def checked_batch(
    logits_function: Callable[[Array], Array],
    images: ArrayLike,
    labels: ArrayLike,
    bounds: tuple[ArrayLike, ArrayLike] | None = None,
    *,
    may_be_empty_or_broken: bool = False,
) -> Batch:
    """Checks what is to be classified and brings it to one type.

    Args:
        logits_function: the classifier, a module or a function.
        images: (batch, inputs), floating.
        labels: (batch,), integers that name a logit.
        bounds: range that the images must lie in, None if there is none.
        may_be_empty_or_broken: whether it is no fault if there is no image, if values are not finite, or if there is
            one class alone.

    Returns:
        The batch, its labels as int32. Values that a caller's ``jit`` traces are not known and not checked.

    Raises:
        ValueError: for input that does not fit the description above, with what to do about it.
    """
    pixels, classes = _on_host(images), _on_host(labels)
    check_batch(pixels, classes)
    function = as_pytree(logits_function)
    dtype = jnp.promote_types(jax.dtypes.canonicalize_dtype(pixels.dtype), jnp.float32)
    logits = _logits(function, pixels.shape[1], dtype)
    if logits.ndim != 2:
        raise ValueError(f"the classifier must give logits of shape (batch, classes), it gives {logits.shape} for one")
    if logits.shape[1] < 2 and not may_be_empty_or_broken:
        raise ValueError(
            f"there must be at least 2 classes, the logits have {logits.shape[1]}; give one logit for each of two "
            "classes"
        )
    dtype = jnp.promote_types(dtype, logits.dtype)
    with np.errstate(over="ignore"):
        pixels = pixels.astype(dtype)
    if not is_traced(classes):
        _check_labels(classes, logits.shape[1])
    if not is_traced(pixels) and not may_be_empty_or_broken:
        _check_images(pixels, bounds)
    return Batch(_of_dtype(function, logits.dtype, dtype), pixels, classes.astype(np.int32))


def check_batch(images: Array | np.ndarray, labels: Array | np.ndarray) -> None:
    """Raises ValueError unless images are floating (batch, inputs) and labels are integers (batch,)."""
    if images.ndim != 2 or not jnp.issubdtype(images.dtype, jnp.floating):
        raise ValueError(
            f"images must be floating and flattened to (batch, inputs), got {images.dtype} of shape {images.shape}"
        )
    if labels.shape != images.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"labels must be integers of shape {images.shape[:1]}, got {labels.dtype} of shape {labels.shape}"
        )


def check_same_classes(
    source: Partial, target: Callable[[Array], Array], images: Float[Array, "batch inputs"]
) -> Partial:
    """A source of perturbations whose logits are of the images' type.

    Raises:
        ValueError: if it has other classes than the model that its perturbations are for.
    """
    ours, theirs = (_logits(each, images.shape[1], images.dtype) for each in (source, target))
    if ours.shape != theirs.shape:
        raise ValueError(f"the source's logits are of shape {ours.shape}, the attacked model's of {theirs.shape}")
    return _of_dtype(source, ours.dtype, images.dtype)


def checked_image_indices(image_indices: ArrayLike | None, images: int) -> Integer[np.ndarray, " images"]:
    """An integer per image, by default its position; ValueError for anything else, or for more than 32 bits."""
    indices = np.arange(images) if image_indices is None else np.asarray(image_indices)
    if indices.shape != (images,) or not np.issubdtype(indices.dtype, np.integer):
        raise ValueError(f"image_indices must have one integer per image, got {indices.dtype} of shape {indices.shape}")
    # Keys are made of 32 bits: of more, two images would share their randomness.
    low, high = (int(indices.min()), int(indices.max())) if images else (0, 0)
    if low < -(2**31) or high >= 2**32 or high - low >= 2**32:
        raise ValueError(f"image_indices must be integers of 32 bits, got {low} … {high}; give positions in the set")
    return indices


def checked_image_shape(image_shape: Sequence[int]) -> tuple[int, int, int]:
    """(height, width, channels) of flattened images; ValueError for anything else, such as channels that come first."""
    if len(image_shape) != 3 or min(image_shape) < 1 or any(int(side) != side for side in image_shape):
        raise ValueError(
            f"image_shape must be (height, width, channels), each an integer of at least 1; got {image_shape}"
        )
    height, width, channels = map(int, image_shape)
    if channels > _MOST_CHANNELS and height <= _MOST_CHANNELS:
        raise ValueError(
            f"image_shape {image_shape} has its channels first; images are flattened from (height, width, channels): "
            f"give image_shape={(width, channels, height)} and the pixels in that order"
        )
    return height, width, channels


def _on_host(values: ArrayLike) -> Any:
    return values if is_traced(values) else np.asarray(values)


def _check_images(images: np.ndarray, bounds: tuple[ArrayLike, ArrayLike] | None) -> None:
    if len(images) == 0:
        raise ValueError("there is no image to attack; did the model classify none correctly?")
    if not np.isfinite(images).all():
        raise ValueError("images hold values that are not finite; clean them before the attack")
    if bounds is None or is_traced(*bounds):
        return
    if images.min() < bounds[0] or images.max() > bounds[1]:
        raise ValueError(
            f"images span [{images.min()}, {images.max()}] but the attack clips to {bounds}: clipping alone "
            "would change them; rescale the images or give the attack other bounds"
        )


def _check_labels(labels: np.ndarray, classes: int) -> None:
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"labels must be in 0 … {classes - 1}, got {labels.min()} … {labels.max()}")


def _logits(function: Callable[[Array], Array], inputs: int, dtype: jnp.dtype) -> jax.ShapeDtypeStruct:
    """Shape and type of the logits of one image; asked once of functions that share compilations."""
    return jax.eval_shape(_call, function, jax.ShapeDtypeStruct((1, inputs), dtype))


@jax.jit
def _call(function: Callable[[Array], Array], images: Array) -> Array:
    return function(images)


def _of_dtype(function: Partial, given: jnp.dtype, wanted: jnp.dtype) -> Partial:
    return function if given == wanted else Partial(_in_type_of_images, function)


def _in_type_of_images(function: Partial, images: Array) -> Array:
    return function(images).astype(images.dtype)
