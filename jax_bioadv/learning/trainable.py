"""What supervised training can train: a module from images to logits, or one whose way there is in two parts."""

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jax_bioadv.tracing import is_traced


@runtime_checkable
class Trainable(Protocol):
    """An ``nnx.Module`` whose way from images to logits is in two parts, for penalties in between.

    Of any other, penalties look at taps (:mod:`jax_bioadv.learning.tap_regularizers`), at the cost of a second pass.
    """

    def preactivation(self, images: Array, /) -> Array:
        """Images (batch, inputs) to what a penalty may look at, such as a hidden pre-activation (batch, hidden)."""

    def decode(self, preactivation: Array, train: bool, /) -> Array:
        """The rest of the way, to logits (batch, classes); with ``train`` statistics are those of the batch."""


class FrozenFeatures(nnx.Module):
    """A decoder by itself: its inputs are the activations of a layer that does not learn."""

    def __init__(self, decoder: nnx.Linear):
        self.decoder = decoder

    def preactivation(self, features: Float[Array, "batch hidden"]) -> Float[Array, "batch hidden"]:
        """The features, unchanged."""
        return features

    def decode(self, features: Float[Array, "batch hidden"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits."""
        return self.decoder(features)


def check_trainable(model: nnx.Module) -> None:
    """Raise TypeError for a module that neither can be called nor is :class:`Trainable`."""
    if not (callable(model) or isinstance(model, Trainable)):
        raise TypeError(
            f"a {type(model).__name__} is not trainable: it needs __call__(images), or preactivation(images) and "
            "decode(preactivation, train)"
        )


def in_training(model: Any, images: Float[Array, "batch inputs"]) -> tuple[Array | None, Array]:
    """Pre-activation, of a model that is :class:`Trainable`, and logits; the model's statistics become the batch's."""
    if isinstance(model, Trainable):
        preactivation = model.preactivation(images)
        return preactivation, model.decode(preactivation, True)
    model.train()
    return None, model(images)


def check_labels(images: Array, labels: Array, model: nnx.Module | None = None) -> None:
    """Raise ValueError unless there is an integer for every image that, where it is known, names a logit of a model."""
    if labels.shape != images.shape[:1] or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"{len(images)} images need as many integer labels, got {labels.dtype} of shape {labels.shape}; give the "
            "number of each image's class"
        )
    if model is None or is_traced(labels) or not len(labels):
        return
    one = jax.ShapeDtypeStruct((1, *images.shape[1:]), images.dtype)
    classes = jax.eval_shape(lambda image: in_training(nnx.clone(model), image)[1], one).shape[1]
    lowest, highest = int(jnp.min(labels)), int(jnp.max(labels))
    if lowest < 0 or highest >= classes:
        raise ValueError(
            f"labels must lie in 0 … {classes - 1}, got {lowest} … {highest}; number the classes from 0, or give the "
            "model a logit for each"
        )
