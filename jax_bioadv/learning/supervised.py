"""Supervised training with Optax: cross-entropy plus whatever a regularizer adds, one pure function per epoch.

The published settings (Holzhausen et al., arXiv 2405.00679) are :func:`stepwise_adam` and :func:`decaying_adam`; the
losses differ in the :class:`~jax_bioadv.learning.regularizers.Regularizer` alone. A model is any ``nnx.Module`` with
``preactivation(images)`` and ``decode(preactivation, train)``; a decoder on a frozen layer is :class:`FrozenFeatures`,
trained on the layer's activations, computed once::

    graphdef, state = init(key, model, optimizer)
    epoch = make_epoch(graphdef, optimizer, regularizer, batch_size=1000)
    for _ in range(epochs):
        state, info = epoch(state, data)
    model = trained_model(graphdef, state)

One optimizer and one regularizer, made once and given for every seed, make one compilation for all of them.

An ``adversary`` replaces every minibatch by images made against the model as it stands: adversarial training (Madry et
al., arXiv 1706.06083), with any attack of :mod:`jax_bioadv.attacks`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.learning.regularizers import Batch, Regularizer, Scalar, TrainingData, combine
from jax_bioadv.sharding import over_data
from jax_bioadv.tracing import is_traced


class TrainingState(NamedTuple):
    """Where training stands: enough to go on bitwise as if it had never stopped."""

    parameters: nnx.State
    statistics: nnx.State
    optimizer: optax.OptState
    epoch: Int[Array, ""]
    key: Key[Array, ""]


class EpochInfo(NamedTuple):
    """Means over the batches of one epoch."""

    loss: Float[Array, ""]
    cross_entropy: Float[Array, ""]
    penalty: Float[Array, ""]
    accuracy: Float[Array, ""]


Adversary = Callable[[Any, Array, Array, Key[Array, ""]], Array]
"""``adversary(model, images, labels, key) -> images``: what a minibatch is replaced by."""


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


def _check_steps(steps_per_epoch: int) -> None:
    if steps_per_epoch < 1:
        raise ValueError(f"an epoch needs at least one minibatch, got {steps_per_epoch}; is the batch too large?")


def stepwise_adam(
    rates: Sequence[Scalar], boundaries: Sequence[int], steps_per_epoch: int
) -> optax.GradientTransformation:
    """Adam whose learning rate is ``rates[i]`` until epoch ``boundaries[i]``, then the next one.

    Args:
        rates: learning rates, one more than boundaries.
        boundaries: epochs at which the rate changes, increasing.
        steps_per_epoch: minibatches in an epoch.

    Raises:
        ValueError: the two do not fit together, a rate is not positive, or an epoch has no steps.
    """
    if len(rates) != len(boundaries) + 1:
        raise ValueError(f"{len(rates)} learning rates need {len(rates) - 1} boundaries, got {len(boundaries)}")
    if not is_traced(*rates) and not all(rate > 0 for rate in rates):
        raise ValueError(f"learning rates must be positive, got {tuple(rates)}")
    if list(boundaries) != sorted(set(boundaries)):
        raise ValueError(f"boundaries must increase, got {tuple(boundaries)}")
    _check_steps(steps_per_epoch)
    schedules = [optax.constant_schedule(rate) for rate in rates]
    return optax.adam(optax.join_schedules(schedules, [boundary * steps_per_epoch for boundary in boundaries]))


def decaying_adam(
    rate: Scalar, constant_epochs: int, decay_epochs: float, steps_per_epoch: int
) -> optax.GradientTransformation:
    """Adam at a constant rate for some epochs, then decaying e-fold every ``decay_epochs``, stepwise by epoch."""
    if not (is_traced(rate) or rate > 0) or constant_epochs < 0 or not decay_epochs > 0:
        raise ValueError(
            f"rate and decay_epochs must be positive, got {rate} and {decay_epochs}; constant_epochs {constant_epochs}"
        )
    _check_steps(steps_per_epoch)

    def schedule(step: Any) -> Any:
        epoch = step // steps_per_epoch
        return rate * jnp.exp(-jnp.maximum(epoch - constant_epochs, 0) / decay_epochs)

    return optax.adam(schedule)


def init(
    key: Key[Array, ""], model: nnx.Module, optimizer: optax.GradientTransformation
) -> tuple[nnx.GraphDef, TrainingState]:
    """Take a model apart into its static structure and the state that training changes.

    Args:
        key: decides the order of the images and the randomness of penalties.
        model: the module to train; every ``nnx.Param`` in it is trained.
        optimizer: from Optax.

    Returns:
        The structure, for :func:`make_epoch` and :func:`trained_model`, and the state at epoch 0.
    """
    graphdef, parameters, statistics = nnx.split(nnx.clone(model), nnx.Param, ...)  # type: ignore[misc]
    return graphdef, TrainingState(parameters, statistics, optimizer.init(parameters), jnp.array(0), key)


def trained_model(graphdef: nnx.GraphDef, state: TrainingState) -> Any:
    """The module again, with the state's weights."""
    return nnx.merge(graphdef, state.parameters, state.statistics, copy=True)


def random_order(key: Key[Array, ""], count: int) -> Int[Array, " count"]:
    """A random permutation by one sort; ``jax.random.permutation`` takes two, half of a decoder's epoch on a CPU.

    Images that draw the same 32 bits keep their order: of 50 000 images, less than one pair.
    """
    return jnp.argsort(jax.random.bits(key, (count,), jnp.uint32))


@lru_cache(maxsize=32)
def make_epoch(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    regularizer: Regularizer | None = None,
    *,
    batch_size: int = 1000,
    refresh_every: int | None = None,
    adversary: Adversary | None = None,
) -> Callable[[TrainingState, TrainingData], tuple[TrainingState, EpochInfo]]:
    """The jitted function that trains for one epoch; an incomplete last batch is left out.

    The same arguments give the same function, so that all seeds share its compilations. Optimizers, regularizers and
    adversaries are the same where they are the same objects: make each once.

    Args:
        graphdef: structure of the model, from :func:`init`; equal for all models of one shape.
        optimizer: the one given to :func:`init`.
        regularizer: what is added to the cross-entropy.
        batch_size: images per step.
        refresh_every: batches between two calls of the regularizer's ``refresh``; None refreshes once, at the epoch's
            beginning.
        adversary: makes of every batch the images to train on, from the model as it is then (adversarial training).

    Returns:
        ``epoch(state, data) -> (state, info)``, pure and deterministic: the order of the images and all randomness
        come from the state's key and epoch. It raises ValueError when the data are fewer than a batch.
    """
    if refresh_every is not None and refresh_every < 1:
        raise ValueError(f"refresh_every must be at least one batch, got {refresh_every}")
    regularizer = combine() if regularizer is None else regularizer

    def loss(
        parameters: nnx.State, statistics: nnx.State, images: Array, labels: Array, aux: Any, key: Array
    ) -> tuple[Array, tuple[nnx.State, EpochInfo]]:
        model: Any = nnx.merge(graphdef, parameters, statistics, copy=True)
        preactivation = model.preactivation(images)
        logits = model.decode(preactivation, True)
        cross_entropy = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        penalty = regularizer.penalty(model, Batch(images, labels, preactivation), aux, key)
        _, _, statistics = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
        accuracy = jnp.mean(jnp.argmax(logits, axis=1) == labels)
        total = cross_entropy + penalty
        return total, (statistics, EpochInfo(total, cross_entropy, penalty, accuracy))

    @jax.jit
    def epoch(state: TrainingState, data: TrainingData) -> tuple[TrainingState, EpochInfo]:
        samples = len(data.images)
        if not 1 <= batch_size <= samples:
            raise ValueError(f"batch_size must lie between 1 and the number of images, {samples}, got {batch_size}")
        batches = samples // batch_size
        order_key, penalty_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
        order = random_order(order_key, samples)[: batches * batch_size]

        def step(aux: Any, carry: Any, batch: tuple[Array, Array]) -> tuple[Any, EpochInfo]:
            parameters, statistics, optimizer_state = carry
            indices, key = over_data(batch[0]), batch[1]
            images, labels = data.images[indices], data.labels[indices]
            if adversary is not None:
                key, attack_key = jax.random.split(key)  # a fold of it could be what a regularizer splits off
                attacked = nnx.merge(graphdef, parameters, statistics)
                images = lax.stop_gradient(adversary(attacked, images, labels, attack_key))
            (_, (statistics, info)), gradient = jax.value_and_grad(loss, has_aux=True)(
                parameters, statistics, images, labels, aux, key
            )
            updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
            return (optax.apply_updates(parameters, updates), statistics, optimizer_state), info

        def between_refreshes(carry: Any, batches: tuple[Array, Array]) -> tuple[Any, EpochInfo]:
            parameters, statistics, _ = carry
            aux = regularizer.refresh(nnx.merge(graphdef, parameters, statistics), data)
            return lax.scan(partial(step, aux), carry, batches)

        every = min(refresh_every or batches, batches)
        whole = batches // every
        todo = (order.reshape(batches, batch_size), jax.random.split(penalty_key, batches))
        groups = jax.tree.map(lambda each: each[: whole * every].reshape(whole, every, *each.shape[1:]), todo)
        rest = jax.tree.map(lambda each: each[whole * every :], todo)

        trained = (state.parameters, state.statistics, state.optimizer)
        trained, infos = lax.scan(between_refreshes, trained, groups)
        infos = jax.tree.map(jnp.ravel, infos)
        if whole * every < batches:
            trained, last = between_refreshes(trained, rest)
            infos = jax.tree.map(lambda *parts: jnp.concatenate(parts), infos, last)
        return TrainingState(*trained, state.epoch + 1, state.key), jax.tree.map(jnp.mean, infos)

    return epoch
