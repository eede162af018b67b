"""Supervised training with Optax: cross-entropy plus whatever a regularizer adds, one pure function per epoch.

The published settings (Holzhausen et al., arXiv 2405.00679) are :func:`stepwise_adam` and :func:`decaying_adam`; the
losses differ in the :class:`~jax_bioadv.learning.regularizers.Regularizer` alone. A model is any ``nnx.Module`` from
images to logits, trained in training mode, or one in two parts (:class:`Trainable`); a decoder on a frozen layer is
:class:`FrozenFeatures`, trained on the layer's activations, computed once::

    graphdef, state = init(key, model, optimizer, regularizer, data)
    epoch = make_epoch(graphdef, optimizer, regularizer, batch_size=1000)
    for index in range(epochs):
        state, info = epoch(state, data, renewal_batches(5, index, len(data.images) // 1000))
    model = trained_model(graphdef, state)

An epoch is a scan of steps (:func:`make_step`) over minibatches in a random order; data that come in an order of their
own are learnt from by steps alone, or by the pair :func:`learning_rule`.

One optimizer and one regularizer, made once and given for every seed, make one compilation for all of them. What a
regularizer has found out about the model (its aux) is renewed at an epoch's beginning, or before the batches that
``epoch(state, data, renewals)`` names: :func:`renewal_batches` follows the learning rate.

An ``adversary`` replaces every minibatch by images made against the model as it stands: adversarial training (Madry et
al., arXiv 1706.06083), with any attack of :mod:`jax_bioadv.attacks`.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax import lax
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.convolutions_in_loops import with_fast_convolutions
from jax_bioadv.learning.learning_rule import LearningRule, batches_in, over_batches
from jax_bioadv.learning.regularizers import Batch, Regularizer, TrainingData, combine
from jax_bioadv.learning.schedules import decaying_adam as decaying_adam
from jax_bioadv.learning.schedules import renewal_batches as renewal_batches
from jax_bioadv.learning.schedules import stepwise_adam as stepwise_adam
from jax_bioadv.learning.trainable import FrozenFeatures as FrozenFeatures
from jax_bioadv.learning.trainable import Trainable as Trainable
from jax_bioadv.learning.trainable import check_labels, check_trainable, in_training


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
    """What the loss is made of: in one batch, as a step tells, or in the mean over the batches of an epoch."""

    loss: Float[Array, ""]
    cross_entropy: Float[Array, ""]
    penalty: Float[Array, ""]
    accuracy: Float[Array, ""]


Adversary = Callable[[Any, Array, Array, Key[Array, ""]], Array]
"""``adversary(model, images, labels, key) -> images``: what a minibatch is replaced by."""


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
        data: what it refreshes from; their labels are checked.

    Returns:
        The structure, for :func:`make_epoch` and :func:`trained_model`, and the state at epoch 0.

    Raises:
        TypeError: the model neither can be called nor is :class:`Trainable`.
        ValueError: there is not an integer label for every image, or one that names no logit.
    """
    check_trainable(model)
    if data is not None:
        check_labels(data.images, data.labels, model)
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
def make_step(
    graphdef: nnx.GraphDef,
    optimizer: optax.GradientTransformation,
    regularizer: Regularizer | None = None,
    *,
    adversary: Adversary | None = None,
) -> Callable[[TrainingState, TrainingData, Key[Array, ""]], tuple[TrainingState, EpochInfo]]:
    """The function that trains on one minibatch.

    Args:
        graphdef: structure of the model, from :func:`init`.
        optimizer: the one given to :func:`init`.
        regularizer: what is added to the cross-entropy.
        adversary: makes of the batch the images to train on, from the model as it is.

    Returns:
        ``step(state, batch, key) -> (state, info)``, pure, to be jitted by its caller. ``key`` decides what is random
        in the penalty and the adversary; the state's own key and epoch stay, and so does its aux, which
        :func:`renewed` brings up to date. It raises ValueError when the state is without the aux that the regularizer
        needs.
    """
    regularizer = combine() if regularizer is None else regularizer

    def loss(
        parameters: nnx.State, statistics: nnx.State, images: Array, labels: Array, aux: Any, key: Array
    ) -> tuple[Array, tuple[nnx.State, EpochInfo]]:
        model = nnx.merge(graphdef, parameters, statistics, copy=True)
        preactivation, logits = in_training(model, images)
        cross_entropy = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        penalty = regularizer.penalty(model, Batch(images, labels, preactivation), aux, key)
        _, _, statistics = nnx.split(model, nnx.Param, ...)  # type: ignore[misc]
        accuracy = jnp.mean(jnp.argmax(logits, axis=1) == labels)
        total = cross_entropy + penalty
        return total, (statistics, EpochInfo(total, cross_entropy, penalty, accuracy))

    def step(state: TrainingState, batch: TrainingData, key: Key[Array, ""]) -> tuple[TrainingState, EpochInfo]:
        parameters, statistics, aux = state.parameters, state.statistics, state.aux
        images, labels = batch.images, batch.labels
        check_labels(images, labels)
        if not jax.tree.leaves(aux):
            aux = _fixed_aux(regularizer, nnx.merge(graphdef, parameters, statistics), batch)
        if adversary is not None:
            key, attack_key = jax.random.split(key)  # a fold of it could be what a regularizer splits off
            attacked = nnx.merge(graphdef, parameters, statistics)
            images = lax.stop_gradient(adversary(attacked, images, labels, attack_key))
        of_loss = with_fast_convolutions(jax.value_and_grad(loss, has_aux=True))
        (_, (statistics, info)), gradient = of_loss(parameters, statistics, images, labels, aux, key)
        updates, optimizer_state = optimizer.update(gradient, state.optimizer, parameters)
        parameters = optax.apply_updates(parameters, updates)
        return state._replace(parameters=parameters, statistics=statistics, optimizer=optimizer_state), info

    return step


def renewed(
    graphdef: nnx.GraphDef, regularizer: Regularizer, state: TrainingState, data: TrainingData
) -> TrainingState:
    """The state with the regularizer's aux of the model as it is now.

    Args:
        graphdef: structure of the model, from :func:`init`.
        regularizer: the one given to :func:`init`.
        state: whose aux is that of an earlier model.
        data: what the regularizer refreshes from.
    """
    model = nnx.merge(graphdef, state.parameters, state.statistics)
    return state._replace(aux=regularizer.renewed(state.aux, model, data))


def learning_rule(
    model: nnx.Module,
    optimizer: optax.GradientTransformation,
    regularizer: Regularizer | None = None,
    *,
    adversary: Adversary | None = None,
) -> LearningRule:
    """:func:`init` and :func:`make_step` as a pair, of :class:`TrainingData`, for whatever trains any learning rule.

    Args:
        model: the module to train, from its weights of now.
        optimizer: from Optax.
        regularizer: what is added to the cross-entropy; ``init`` refreshes it from the data that it is given.
        adversary: as in :func:`make_step`.
    """
    graphdef, _ = nnx.split(model)

    def begin(key: Key[Array, ""], data: TrainingData) -> TrainingState:
        return init(key, model, optimizer, regularizer, data)[1]

    return LearningRule(begin, make_step(graphdef, optimizer, regularizer, adversary=adversary))


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
        regularizer renews its aux, by default the first. It raises ValueError when the data are fewer than a batch,
        when there is not an integer label for every image, or when the state is without the aux that the regularizer
        needs.
    """
    regularizer = combine() if regularizer is None else regularizer
    step = make_step(graphdef, optimizer, regularizer, adversary=adversary)

    @jax.jit
    def epoch(
        state: TrainingState, data: TrainingData, renewals: ArrayLike | None = None
    ) -> tuple[TrainingState, EpochInfo]:
        batches = batches_in(len(data.images), batch_size)
        check_labels(data.images, data.labels)
        order_key, penalty_key = jax.random.split(jax.random.fold_in(state.key, state.epoch))
        order = random_order(order_key, len(data.images))
        renewing = bool(jax.tree.leaves(state.aux))
        if not renewing:
            _fixed_aux(regularizer, nnx.merge(graphdef, *state[:2]), data)
        renewals = jnp.arange(batches) == 0 if renewals is None else jnp.asarray(renewals)
        if renewals.shape != (batches,):
            raise ValueError(f"renewals must say of each of the {batches} batches, got shape {renewals.shape}")

        def of_batch(state: TrainingState, batch: TrainingData, key: Array, renew: Array) -> Any:
            if renewing:
                aux = lax.cond(renew, lambda: renewed(graphdef, regularizer, state, data).aux, lambda: state.aux)
                state = state._replace(aux=aux)
            return step(state, batch, key)

        samples, keys = TrainingData(data.images, data.labels), jax.random.split(penalty_key, batches)
        state, infos = over_batches(of_batch, state, samples, order, batch_size, keys, renewals)
        return state._replace(epoch=state.epoch + 1), jax.tree.map(jnp.mean, infos)

    return epoch


def _fixed_aux(regularizer: Regularizer, model: Any, data: TrainingData) -> Any:
    """The aux, without a single array, of a regularizer that never refreshes."""
    aux = regularizer.refresh(model, data)
    if jax.tree.leaves(aux):
        raise ValueError("this regularizer refreshes: give it, and the data, to supervised.init as well")
    return aux
