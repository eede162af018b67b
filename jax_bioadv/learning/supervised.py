"""Supervised training with Optax: cross-entropy plus whatever a regularizer adds, one pure function per epoch.

The published settings (Holzhausen et al., arXiv 2405.00679) are :func:`stepwise_adam` and :func:`decaying_adam`; the
losses differ in the :class:`~jax_bioadv.learning.regularizers.Regularizer` alone. A model is any ``nnx.Module`` with
``preactivation(images)`` and ``decode(preactivation, train)``; a decoder on a frozen layer is :class:`FrozenFeatures`,
trained on the layer's activations, computed once::

    graphdef, state = init(key, model, optimizer, regularizer, data)
    epoch = make_epoch(graphdef, optimizer, regularizer, batch_size=1000)
    for index in range(epochs):
        state, info = epoch(state, data, renewal_batches(5, index, len(data.images) // 1000))
    model = trained_model(graphdef, state)

One optimizer and one regularizer, made once and given for every seed, make one compilation for all of them. What a
regularizer has found out about the model (its aux) is renewed at an epoch's beginning, or before the batches that
``epoch(state, data, renewals)`` names: :func:`renewal_batches` follows the learning rate.

An ``adversary`` replaces every minibatch by images made against the model as it stands: adversarial training (Madry et
al., arXiv 1706.06083), with any attack of :mod:`jax_bioadv.attacks`.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Bool, Float, Int, Key

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
    aux: Any = None
    """What the regularizer knows of the model; see :class:`~jax_bioadv.learning.regularizers.Regularizer`."""


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


def renewal_batches(
    every: int, epoch: int, batches: int, constant_epochs: int | float = math.inf, decay_epochs: float = 1.0
) -> Bool[np.ndarray, " batches"]:
    """Before which batches of an epoch aux is renewed: as often as the learning rate has moved the model.

    Args:
        every: batches at the full learning rate between two renewals; as the rate decays, they lie further apart, so
            that about as much learning rate accumulates between any two.
        epoch: which one, from 0. The first batch of epoch 0 has what :func:`init` found.
        batches: minibatches in an epoch.
        constant_epochs: epochs at the full rate, as in :func:`decaying_adam`.
        decay_epochs: in which it then falls e-fold.

    Returns:
        True for each batch that a renewal precedes.

    Raises:
        ValueError: ``every`` is less than one batch.
    """
    if every < 1:
        raise ValueError(f"eigenvectors can be renewed once a batch at most, got one in {every} batches")
    epochs = np.arange(epoch + 1)
    pace = np.exp(-np.maximum(epochs - constant_epochs, 0) / decay_epochs)
    moved = np.concatenate([[0.0], np.cumsum(np.repeat(pace, batches))[:-1]])
    renewals = np.floor(moved / every + 1e-9)  # sums of whole batches are whole
    return np.diff(renewals, prepend=0.0)[-batches:] > 0


def init(
    key: Key[Array, ""],
    model: nnx.Module,
    optimizer: optax.GradientTransformation,
    regularizer: Regularizer | None = None,
    data: TrainingData | None = None,
) -> tuple[nnx.GraphDef, TrainingState]:
    """Take a model apart into its static structure and the state that training changes.

    Args:
        key: decides the order of the images and the randomness of penalties.
        model: the module to train; every ``nnx.Param`` in it is trained.
        optimizer: from Optax.
        regularizer: what is added to the cross-entropy; needed by those that refresh.
        data: what it refreshes from.

    Returns:
        The structure, for :func:`make_epoch` and :func:`trained_model`, and the state at epoch 0.
    """
    aux = None if regularizer is None else regularizer.refresh(model, data)  # type: ignore[arg-type]
    graphdef, parameters, statistics = nnx.split(nnx.clone(model), nnx.Param, ...)  # type: ignore[misc]
    return graphdef, TrainingState(parameters, statistics, optimizer.init(parameters), jnp.array(0), key, aux)


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
    adversary: Adversary | None = None,
) -> Callable[..., tuple[TrainingState, EpochInfo]]:
    """The jitted function that trains for one epoch; an incomplete last batch is left out.

    The same arguments give the same function, so that all seeds share its compilations. Optimizers, regularizers and
    adversaries are the same where they are the same objects: make each once.

    Args:
        graphdef: structure of the model, from :func:`init`; equal for all models of one shape.
        optimizer: the one given to :func:`init`.
        regularizer: what is added to the cross-entropy.
        batch_size: images per step.
        adversary: makes of every batch the images to train on, from the model as it is then (adversarial training).

    Returns:
        ``epoch(state, data, renewals=None) -> (state, info)``, pure and deterministic: the order of the images and all
        randomness come from the state's key and epoch. ``renewals`` (batches,) says before which batches the
        regularizer renews its aux, by default the first. It raises ValueError when the data are fewer than a batch, or
        when the state is without the aux that the regularizer needs.
    """
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
    def epoch(
        state: TrainingState, data: TrainingData, renewals: ArrayLike | None = None
    ) -> tuple[TrainingState, EpochInfo]:
        samples = len(data.images)
        if not 1 <= batch_size <= samples:
            raise ValueError(f"batch_size must lie between 1 and the number of images, {samples}, got {batch_size}")
        batches = samples // batch_size
        order_key, penalty_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
        order = random_order(order_key, samples)[: batches * batch_size]

        renewing = bool(jax.tree.leaves(state.aux))
        fixed_aux = None if renewing else _fixed_aux(regularizer, nnx.merge(graphdef, *state[:2]), data)
        renewals = jnp.arange(batches) == 0 if renewals is None else jnp.asarray(renewals)
        if renewals.shape != (batches,):
            raise ValueError(f"renewals must say of each of the {batches} batches, got shape {renewals.shape}")

        def step(carry: Any, batch: tuple[Array, Array, Array]) -> tuple[Any, EpochInfo]:
            parameters, statistics, optimizer_state, aux = carry
            indices, key, renew = over_data(batch[0]), *batch[1:]
            images, labels = data.images[indices], data.labels[indices]
            if renewing:
                model = nnx.merge(graphdef, parameters, statistics)
                aux = lax.cond(renew, lambda: regularizer.renewed(aux, model, data), lambda: aux)
            if adversary is not None:
                key, attack_key = jax.random.split(key)  # a fold of it could be what a regularizer splits off
                attacked = nnx.merge(graphdef, parameters, statistics)
                images = lax.stop_gradient(adversary(attacked, images, labels, attack_key))
            (_, (statistics, info)), gradient = jax.value_and_grad(loss, has_aux=True)(
                parameters, statistics, images, labels, aux if renewing else fixed_aux, key
            )
            updates, optimizer_state = optimizer.update(gradient, optimizer_state, parameters)
            return (optax.apply_updates(parameters, updates), statistics, optimizer_state, aux), info

        todo = (order.reshape(batches, batch_size), jax.random.split(penalty_key, batches), renewals)
        trained, infos = lax.scan(step, (state.parameters, state.statistics, state.optimizer, state.aux), todo)
        parameters, statistics, optimizer_state, aux = trained
        state = TrainingState(parameters, statistics, optimizer_state, state.epoch + 1, state.key, aux)
        return state, jax.tree.map(jnp.mean, infos)

    return epoch


def _fixed_aux(regularizer: Regularizer, model: Any, data: TrainingData) -> Any:
    """The aux, without a single array, of a regularizer that never refreshes."""
    aux = regularizer.refresh(model, data)
    if jax.tree.leaves(aux):
        raise ValueError("this regularizer refreshes: give it, and the data, to supervised.init as well")
    return aux
