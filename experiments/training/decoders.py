"""Decoders on frozen first layers, whose activations are computed once."""

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.engine.tasks import Outcome, Work
from experiments.images import Images
from experiments.networks import classified_correctly, network_outcome, purpose_key, untrained_network
from experiments.settings.groups import DecoderSettings
from experiments.training.layers import cut_outcome, decide_cut, layer_kernel
from experiments.training.trainer import ORDER, Start, Trainable, Training, histories, loss_settled
from jax_bioadv.learning import pruning, regularizers, supervised
from jax_bioadv.models import Network


def hybrid_network(images: Images, power: float, seed: int | jax.Array, kernel: jax.Array) -> Network:
    """A network with this first layer and an untrained decoder."""
    network = untrained_network(images, kernel.shape[1], seed, power=power)
    network.encoder.kernel[...] = kernel
    return network


def decoder_optimizer(decoder: DecoderSettings, samples: int) -> optax.GradientTransformation:
    """Adam, for so many images."""
    return supervised.stepwise_adam([decoder.learning_rate], [], samples // decoder.batch_size)


def _start(images: Images, given: Mapping[str, Any], member: Any, shared: regularizers.TrainingData) -> Start:
    decoder: DecoderSettings = given["decoder"]
    network = hybrid_network(images, decoder.power, given["seed"], member["kernel"])
    frozen, optimizer = supervised.FrozenFeatures(network.decoder), decoder_optimizer(decoder, len(shared.images))
    graphdef, state = supervised.init(purpose_key(given["seed"], ORDER), frozen, optimizer)
    return Start(state, network.activation(shared.images), graphdef)


def _epoch(
    given: Mapping[str, Any],
    state: supervised.TrainingState,
    start: Start,
    member: Any,
    shared: regularizers.TrainingData,
) -> tuple[supervised.TrainingState, supervised.EpochInfo]:
    decoder: DecoderSettings = given["decoder"]
    optimizer = decoder_optimizer(decoder, len(start.constant))
    epoch = supervised.make_epoch(start.graphdef, optimizer, batch_size=decoder.batch_size)
    return epoch(state, regularizers.TrainingData(start.constant, shared.labels))


def frozen_layer(work: Work) -> tuple[jax.Array, pruning.Cut]:
    """The kernel of the layer below, pruned where it has learned."""
    layer, given = work.needed["layer"], work.task.given
    if "kernel" in layer.arrays:
        kernel = jnp.asarray(layer.arrays["kernel"])
        return kernel, pruning.Cut(
            None, np.ones(kernel.shape[1], bool), None, {}, "a layer that never learned is not pruned"
        )
    synapses = layer.arrays["synapses"]
    cut = decide_cut(synapses, given["pruning"], given["p"], given["radius"])
    return layer_kernel(synapses, cut.keep, given["p"]), cut


def decoder_outcome(work: Work, network: Network, cut: pruning.Cut, history: Mapping[str, np.ndarray]) -> Outcome:
    decided, right = cut_outcome(cut), classified_correctly(work.images, network)
    values = {
        "test_accuracy": float(right.mean()),
        "converged": work.needed["layer"].values["converged"],
        "decoder_converged": loss_settled(history["loss"]),
        **decided.values,
    }
    return network_outcome(network, values, {**histories(history), **decided.arrays, "right": right})


def _decoders(works: Sequence[Work]) -> Trainable:
    images, decoder = works[0].images, works[0].task.given["decoder"]
    layers = [frozen_layer(work) for work in works] if works[0].needed else []

    def outcome(row: int, graphdef: nnx.GraphDef, kept: Any, history: Mapping[str, np.ndarray]) -> Outcome:
        work, (kernel, cut) = works[row], layers[row]
        network = hybrid_network(images, decoder.power, work.task.given["seed"], kernel)
        network.decoder = nnx.merge(graphdef, *kept).decoder
        return decoder_outcome(work, network, cut, history)

    return Trainable(
        start=partial(_start, images),
        epoch=_epoch,
        epochs=decoder.epochs,
        shared=regularizers.TrainingData(images.train, images.train_labels),
        kept=lambda states: (states.parameters, states.statistics),
        outcome=outcome,
        members=lambda: {"kernel": np.stack([kernel for kernel, _ in layers])},
        member={"kernel": jax.ShapeDtypeStruct((images.inputs, works[0].task.given["hidden"]), jnp.float32)},
        # Features are given, so that the power shapes no epoch: all decoders of a size are one program.
        blind={"decoder": dataclasses.replace(decoder, power=1.0)},
    )


DECODER = Training(_decoders, ("decoder.learning_rate",), aside=("p", "radius", "pruning"))
