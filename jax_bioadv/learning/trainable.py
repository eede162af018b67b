"""What supervised training can train: a module from images to logits, or one whose way there is in two parts."""

from typing import Any, Protocol, runtime_checkable

from flax import nnx
from jaxtyping import Array, Float


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
