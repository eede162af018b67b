"""Trainings on a stream of images that do not fit into memory; they go on from their last chunk of batches."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Work, progress
from experiments.networks import purpose_key, untrained_network
from experiments.settings.groups import (
    BackpropSettings,
    DecoderSettings,
    KMeansSettings,
    LayerSettings,
    PruningSettings,
)
from experiments.settings.streams import StreamSettings
from experiments.streamed_images import StreamedImages
from experiments.training.decoders import decoder_optimizer, decoder_outcome, frozen_layer, hybrid_network
from experiments.training.layers import centroids_outcome, layer_outcome
from experiments.training.networks import network_optimizer, network_regularizer, trained_outcome
from experiments.training.trainer import ORDER
from jax_bioadv.classifiers import as_pytree
from jax_bioadv.data.streams import Stream
from jax_bioadv.learning import k_means, krotov_hopfield, streaming, supervised
from jax_bioadv.learning.fixed_layers import rows_of_norm
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.learning.training import train
from jax_bioadv.storage import Checkpoints

THREADS = 4
"""That read ahead."""


def _stream(work: Work, chosen: StreamSettings, batch_size: int, seed: int) -> Stream:
    assert isinstance(work.images, StreamedImages)
    return Stream(work.images.training, batch_size, seed=seed, window=chosen.window or None, threads=THREADS)


def _chunks(stream: Stream, epochs: int, chosen: StreamSettings) -> tuple[int, int]:
    """Batches in a chunk, and chunks in a training: as many as come nearest to its epochs."""
    batches = min(chosen.chunk, epochs * stream.per_epoch)
    return batches, max(1, round(epochs * stream.per_epoch / batches))


def _trained(work: Work, chunk: streaming.Chunk, state: Any, chunks: int) -> tuple[Any, dict[str, np.ndarray]]:
    folder = work.directory / "checkpoints" / work.task.fingerprint[:16]
    with progress(f"train {work.name}", chunks, "chunk") as advance:
        return train(chunk, state, chunks, check_every=1, checkpoints=Checkpoints(folder), progress=advance)


def _start(work: Work, layer: LayerSettings, hidden: int, seed: int) -> krotov_hopfield.State:
    assert isinstance(work.images, StreamedImages)
    key = purpose_key(seed, f"layer from {layer.start}")
    given = key, layer.rule, work.images.training
    return streaming.krotov_hopfield_state(*given, hidden=hidden, p=work.images.norm)


def layer(work: Work, *, layer: LayerSettings, hidden: int, seed: int, stream: StreamSettings) -> Outcome:
    """A Krotov–Hopfield layer that starts from images."""
    images = _stream(work, stream, layer.batch_size, seed)
    batches, chunks = _chunks(images, layer.epochs, stream)
    chunk = streaming.krotov_hopfield_chunk(
        layer.rule, images, layer.learning_rate, batches=batches, chunks=chunks, p=work.images.norm
    )
    state, history = _trained(work, chunk, _start(work, layer, hidden, seed), chunks)
    return layer_outcome(layer, np.asarray(state.synapses), history)


def images_as_rows(work: Work, *, seed: int, hidden: int, p: float, radius: float) -> Outcome:
    """The layer that such a one starts from."""
    untrained = LayerSettings(epochs=0, start="samples", p=p, radius=radius)
    return layer_outcome(untrained, np.asarray(_start(work, untrained, hidden, seed).synapses), {})


def centroids(
    work: Work, *, seed: int, hidden: int, p: float, radius: float, kmeans: KMeansSettings, stream: StreamSettings
) -> Outcome:
    """Centroids of k-means, which respond to images as Krotov–Hopfield rows do."""
    images = _stream(work, stream, min(kmeans.batch_size, len(work.images.dataset.train_images)), seed)
    batches, chunks = _chunks(images, kmeans.passes, stream)
    first = streaming.images_to_start_from(purpose_key(seed, "centroids"), images.source, hidden, work.images.norm)
    chunk = streaming.k_means_chunk(images, batches=batches, p=work.images.norm)
    state, _ = _trained(work, chunk, k_means.init(first), chunks)
    return centroids_outcome(rows_of_norm(np.asarray(state.centroids), p, radius), p)


def decoder(
    work: Work,
    *,
    hidden: int,
    seed: int,
    decoder: DecoderSettings,
    stream: StreamSettings,
    p: float = 0.0,
    radius: float = 0.0,
    pruning: PruningSettings | None = None,
) -> Outcome:
    """A decoder on a frozen layer, whose activations are computed batch by batch."""
    kernel, cut = frozen_layer(work)
    network = hybrid_network(work.images, decoder.power, seed, kernel)
    images = _stream(work, stream, decoder.batch_size, seed)
    optimizer = decoder_optimizer(decoder, len(images.source))
    frozen = supervised.FrozenFeatures(network.decoder)
    graphdef, state = supervised.init(purpose_key(seed, ORDER), frozen, optimizer)
    of_features = supervised.make_step(graphdef, optimizer)

    def step(state: Any, batch: TrainingData, key: jax.Array, activation: Callable[[jax.Array], jax.Array]) -> Any:
        return of_features(state, TrainingData(activation(batch.images), batch.labels), key)

    activation = as_pytree(network.activation)
    state, history = _learned(work, step, images, decoder.epochs, stream, seed, state, (activation,))
    network.decoder = supervised.trained_model(graphdef, state).decoder
    return decoder_outcome(work, network, cut, history)


def network(
    work: Work, *, hidden: int, seed: int, backprop: BackpropSettings, stream: StreamSettings, **penalties: Any
) -> Outcome:
    """A network trained as a whole by backpropagation."""
    given = {"backprop": backprop, **penalties}
    images = _stream(work, stream, backprop.batch_size, seed)
    optimizer = network_optimizer(given, len(images.source))
    regularizer = network_regularizer(given, jnp.ones(()))
    untrained, first = untrained_network(work.images, hidden, seed), images.batch(0)
    data = TrainingData(streaming.unit_norm_on_device(first.images, work.images.norm), jnp.asarray(first.labels))
    graphdef, state = supervised.init(purpose_key(seed, ORDER), untrained, optimizer, regularizer, data)
    step = supervised.make_step(graphdef, optimizer, regularizer)
    state, history = _learned(work, step, images, backprop.epochs, stream, seed, state)
    return trained_outcome(work.images, supervised.trained_model(graphdef, state), history)


def _learned(
    work: Work,
    step: Callable[..., Any],
    images: Stream,
    epochs: int,
    chosen: StreamSettings,
    seed: int,
    state: Any,
    given: tuple[Any, ...] = (),
) -> tuple[Any, dict[str, np.ndarray]]:
    batches, chunks = _chunks(images, epochs, chosen)
    key = purpose_key(seed, "steps of a stream")
    chunk = streaming.make_chunk(
        step, images, batches=batches, key=key, p=work.images.norm, of_chunk=lambda index: given
    )
    return _trained(work, chunk, state, chunks)
