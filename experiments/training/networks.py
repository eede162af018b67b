"""Networks trained by backpropagation: plain, regularized, on adversarial images, or stopped at a given accuracy."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.engine.populations import one_device
from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.networks import measured_accuracy, network_outcome, purpose_key, untrained_network
from experiments.settings.groups import (
    BackpropSettings,
    JacobianSettings,
    L2Settings,
    SpectralSettings,
)
from experiments.settings.shaping import ShapingSettings
from experiments.training.matching import matched_epoch
from experiments.training.trainer import ORDER, Start, Trainable, Training, begin, histories, loss_settled
from jax_bioadv.learning import regularizers, supervised
from jax_bioadv.learning.spectral_shape import spectral_shape
from jax_bioadv.models import Network

AdversaryOf = Callable[[Mapping[str, Any]], supervised.Adversary]


def network_optimizer(given: Mapping[str, Any], samples: int) -> optax.GradientTransformation:
    """Adam with the published steps of its rate, or the spectral regularizer's own decay."""
    backprop: BackpropSettings = given["backprop"]
    spectral: SpectralSettings | None = given.get("spectral")
    steps = samples // backprop.batch_size
    if spectral is not None:
        return supervised.decaying_adam(spectral.learning_rate, spectral.constant_epochs, spectral.decay_epochs, steps)
    return supervised.stepwise_adam(backprop.learning_rates, backprop.boundaries, steps)


def network_regularizer(given: Mapping[str, Any], constant: jax.Array) -> regularizers.Regularizer:
    """The sum of what is given; the constant is the scale of an anchored spectral target, or the wanted spectra."""
    l2: L2Settings | None = given.get("l2")
    jacobian: JacobianSettings | None = given.get("jacobian")
    spectral: SpectralSettings | None = given.get("spectral")
    parts = []
    if l2 is not None:
        parts.append(regularizers.weight_decay(l2.weight))
    if jacobian is not None:
        parts.append(regularizers.jacobian(jacobian.weight, jacobian.target))
    if isinstance(spectral, ShapingSettings):
        parts += [
            spectral_shape(
                constant[place],
                spectral.weight,
                noise=of == "noise",
                first=spectral.first,
                warm_start=spectral.warm_start,
            )
            for place, of in enumerate(spectral.on)
        ]
    elif spectral is not None:
        target = constant if spectral.anchored else None
        parts.append(
            regularizers.spectral(spectral.weight, spectral.exponent, spectral.first, target, spectral.warm_start)
        )
    return parts[0] if len(parts) == 1 else regularizers.combine(*parts)


def _start(images: Images, given: Mapping[str, Any], member: Any, data: regularizers.TrainingData) -> Start:
    spectral: SpectralSettings | None = given.get("spectral")
    network = untrained_network(
        images, given["hidden"], given["seed"], power=given.get("power", 1.0), batch_norm=spectral is not None
    )
    constant = jnp.ones(())
    if isinstance(spectral, ShapingSettings):
        constant = jnp.asarray(member["wanted"])
    elif spectral is not None and data.covariance is not None:
        eigenvalues, _ = regularizers.hidden_spectrum(network, data.covariance)
        constant = eigenvalues[spectral.first - 1]
    optimizer, regularizer = network_optimizer(given, len(data.images)), network_regularizer(given, constant)
    graphdef, state = supervised.init(purpose_key(given["seed"], ORDER), network, optimizer, regularizer, data)
    return Start(state, constant, graphdef)


def _epoch(
    adversary_of: AdversaryOf | None,
    given: Mapping[str, Any],
    state: supervised.TrainingState,
    start: Start,
    member: Any,
    data: regularizers.TrainingData,
    renewals: jax.Array,
) -> tuple[supervised.TrainingState, supervised.EpochInfo]:
    epoch = supervised.make_epoch(
        start.graphdef,
        network_optimizer(given, len(data.images)),
        network_regularizer(given, start.constant),
        batch_size=given["backprop"].batch_size,
        adversary=None if adversary_of is None else adversary_of(given),
    )
    return epoch(state, data, renewals)


def _renewals(spectral: SpectralSettings, batch_size: int, samples: int, epoch: int) -> np.ndarray:
    """Before which batches of an epoch the spectral regularizer renews its eigenvectors."""
    return supervised.renewal_batches(
        spectral.refresh_every, epoch, samples // batch_size, spectral.constant_epochs, spectral.decay_epochs
    )


def _wanted(work: Work) -> np.ndarray:
    """The spectra that a member is to have, a row each: those of ``needs["layer"]``, or power laws."""
    shaping: ShapingSettings = work.task.given["spectral"]
    ranks = np.arange(1, shaping.last + 1)
    if not shaping.copied:
        return np.tile(ranks**-shaping.exponent, (len(shaping.on), 1)).astype(np.float32)
    found = work.needed["layer"].arrays
    rows = [found["layer" if of == "noise" else of][: shaping.last] for of in shaping.on]
    if len(rows[0]) < shaping.last:
        raise ValueError(f"{work.name}: the layer has {len(rows[0])} eigenvalues to copy, not {shaping.last}")
    return np.stack([row / row[0] for row in rows]).astype(np.float32)


def trained_outcome(images: Images, network: Network, history: Mapping[str, np.ndarray]) -> Outcome:
    values = {
        "test_accuracy": measured_accuracy(images, network),
        "converged": loss_settled(history["loss"]),
        "pruned_units": 0,
    }
    return network_outcome(network, values, histories(history))


def networks(adversary_of: AdversaryOf | None, works: Sequence[Work]) -> Trainable:
    """Networks by backpropagation, on their images or on what an adversary makes of them."""
    images, given = works[0].images, works[0].task.given
    backprop: BackpropSettings = given["backprop"]
    spectral: SpectralSettings | None = given.get("spectral")
    covariance = None if spectral is None else images.device_covariance
    # Without eigenvectors there is nothing to renew, but the program asks.
    paced = spectral or SpectralSettings()
    shape = (len(spectral.on), spectral.last) if isinstance(spectral, ShapingSettings) else ()
    return Trainable(
        start=partial(_start, images),
        epoch=partial(_epoch, adversary_of),
        epochs=given["adversarial"].epochs if "adversarial" in given else backprop.epochs,
        shared=regularizers.TrainingData(images.train, images.train_labels, covariance),
        shared_at=lambda index: (_renewals(paced, backprop.batch_size, len(images.train), index),),
        kept=lambda states: (states.parameters, states.statistics),
        outcome=lambda row, graphdef, kept, history: trained_outcome(images, nnx.merge(graphdef, *kept), history),
        members=lambda: {"wanted": np.stack([_wanted(work) for work in works])} if shape else {},
        member={"wanted": jax.ShapeDtypeStruct(shape, np.float32)} if shape else {},
    )


NETWORK = Training(
    partial(networks, None),
    (
        *("backprop.learning_rates", "l2.weight", "jacobian.weight"),
        *("spectral.learning_rate", "spectral.weight", "spectral.exponent"),
    ),
)

SHAPED = Training(partial(networks, None), NETWORK.vectorized, traced=("spectral.weight",))
"""Networks whose spectra are shaped: one program for all weights."""


def matched_network(work: Work, *, seed: int, hidden: int, backprop: BackpropSettings) -> Outcome:
    """Plain backpropagation up to the accuracy of ``needs["hybrid"]``, to the nearer of the epochs around it."""
    images, wanted = work.images, work.needed["hybrid"].values["test_accuracy"]
    # By the same program as ``bp``.
    plain = dataclasses.replace(work.task, run=NETWORK)
    begun = begin(networks(None, [work]), [work._replace(task=plain)], (), one_device())

    def trained() -> Iterator[tuple[Network, supervised.EpochInfo]]:
        state: Any = begun.start.state
        for number in count():
            state, info = begun.epoch(state, number)
            # With weights of its own: an epoch uses up the state that it is given.
            own = jax.tree.map(lambda leaf: jnp.copy(leaf[0]), (state.parameters, state.statistics))
            yield nnx.merge(begun.start.graphdef, *own), jax.tree.map(lambda value: np.asarray(value)[0], info)

    accuracy_of = partial(measured_accuracy, images)
    network, reached, history = matched_epoch(work.name, wanted, backprop.epochs, trained(), accuracy_of)
    outcome = trained_outcome(images, network, history)
    return Outcome({**outcome.values, **reached}, outcome.arrays)
