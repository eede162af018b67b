"""Learning from a stream: any rule's steps, batch after batch, of images that do not fit into memory.

uint8 images go to the device and are divided by their norm there. A training is that of
:func:`jax_bioadv.learning.training.train`, whose epochs are chunks of so many batches here, so that it also goes on
bitwise from a checkpoint in the middle of an epoch of the stream::

    state = krotov_hopfield_state(key, rule, stream.source, hidden=2000)
    chunk = krotov_hopfield_chunk(rule, stream, 0.02, batches=100, chunks=12_800)
    state, history = train(chunk, state, 12_800, checkpoints=Checkpoints(folder))

Networks are trained by the steps of :func:`jax_bioadv.learning.supervised.make_step`::

    chunk = make_chunk(make_step(graphdef, optimizer), stream, batches=100, key=key)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Key, UInt8

from jax_bioadv.data.preprocessing import divided_by_norm
from jax_bioadv.data.streams import Source, Stream
from jax_bioadv.learning import k_means, krotov_hopfield
from jax_bioadv.learning.krotov_hopfield_increment import KrotovHopfield
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.tracing import is_traced

Chunk = Callable[[Any, int], tuple[Any, Any]]
"""``chunk(state, index) -> (state, info)``, as :func:`jax_bioadv.learning.training.train` wants its epochs."""


def unit_norm_on_device(
    images: UInt8[Array | np.ndarray, "batch inputs"], p: float = 3.0
) -> Float[Array, "batch inputs"]:
    """:func:`jax_bioadv.data.unit_norm` of a batch, in float32 on the device."""
    return divided_by_norm(jnp.asarray(images).astype(jnp.float32), p)


def _means(state: Any, infos: Any) -> Any:
    return jax.tree.map(jnp.mean, infos)


def make_chunk(
    step: Callable[..., tuple[Any, Any]],
    stream: Stream,
    *,
    batches: int,
    key: Key[Array, ""],
    p: float = 3.0,
    summary: Callable[[Any, Any], Any] = _means,
    of_chunk: Callable[[int], tuple[ArrayLike, ...]] = lambda index: (),
) -> Chunk:
    """The function that learns from the next batches of a stream.

    Args:
        step: ``step(state, batch, key, *of_chunk) -> (state, info)``, with :class:`TrainingData` of unit-norm images.
        stream: of uint8 images.
        batches: in a chunk.
        key: decides, with a batch's number, what is random in a step.
        p: order of the images' norm.
        summary: ``summary(state, infos)`` makes of the steps' infos, with a leading axis over them, scalars.
        of_chunk: what else a step is given, by the chunk's index: a learning rate, say.

    Raises:
        ValueError: a chunk of no batches.
    """
    if batches < 1:
        raise ValueError(f"a chunk needs at least one batch, got {batches}")

    @jax.jit
    def take(state: Any, images: Array, labels: Array, number: Array, *given: Any) -> tuple[Any, Any]:
        batch = TrainingData(unit_norm_on_device(images, p), labels)
        return step(state, batch, jax.random.fold_in(key, number), *given)

    def chunk(state: Any, index: int) -> tuple[Any, Any]:
        first, infos = index * batches, list[Any]()
        stop = first + (1 if is_traced(*jax.tree.leaves(state)) else batches)  # one is enough for the shapes
        for number, batch in enumerate(stream.batches(first, stop), first):
            state, info = take(state, batch.images, batch.labels, number, *of_chunk(index))
            infos.append(info)
            jax.block_until_ready(infos[-2:][0])  # one step ahead, or batches would pile up on the device
        return state, summary(state, jax.tree.map(lambda *each: jnp.stack(each), *infos))

    return chunk


def images_to_start_from(
    key: Key[Array, ""], source: Source, hidden: int, p: float = 3.0
) -> Float[Array, "hidden inputs"]:
    """Different images, unit-norm, of which the source is asked for alone.

    Raises:
        ValueError: there are fewer images than rows.
    """
    chosen = krotov_hopfield.samples_to_start_from(key, len(source), hidden)
    return unit_norm_on_device(source.read(jax.device_get(chosen)), p)


def krotov_hopfield_state(
    key: Key[Array, ""], rule: KrotovHopfield, source: Source, *, hidden: int, p: float = 3.0
) -> krotov_hopfield.State:
    """The state of :func:`krotov_hopfield.init` with the start "samples", of which the source is asked for alone.

    Raises:
        ValueError: a hyper-parameter outside its range, or fewer images than rows.
    """
    images = images_to_start_from(key, source, hidden, p)
    started = krotov_hopfield.init(key, rule, images, hidden=hidden, start="samples")
    return started._replace(synapses=krotov_hopfield.rows_of_samples(rule, images))


def krotov_hopfield_chunk(
    rule: KrotovHopfield, stream: Stream, learning_rate: float, *, batches: int, chunks: int, p: float = 3.0
) -> Chunk:
    """Krotov–Hopfield learning from a stream, at a rate that falls towards 0 from chunk to chunk.

    Args:
        rule: hyper-parameters.
        stream: of uint8 images.
        learning_rate: of the first chunk, as in :func:`krotov_hopfield.step`.
        batches: in a chunk.
        chunks: in the whole training.
        p: order of the images' norm.
    """

    def step(state: Any, batch: TrainingData, key: Array, rate: Array) -> tuple[Any, Any]:
        return krotov_hopfield.step(rule, state, batch.images, rate)

    def summary(state: Any, infos: Any) -> krotov_hopfield.EpochInfo:
        return jax.jit(krotov_hopfield.epoch_info)(rule, state.synapses, infos)

    def rate(index: int) -> tuple[float]:
        return (krotov_hopfield.linear_decay(learning_rate, index, chunks),)

    key = jax.random.key(0)  # of nothing: a step of the rule is not random
    return make_chunk(step, stream, batches=batches, key=key, p=p, summary=summary, of_chunk=rate)


def k_means_chunk(stream: Stream, *, batches: int, p: float = 3.0) -> Chunk:
    """Minibatch k-means from a stream; its state is that of :func:`jax_bioadv.learning.k_means.init`.

    Args:
        stream: of uint8 images.
        batches: in a chunk.
        p: order of the images' norm.
    """

    def step(state: Any, batch: TrainingData, key: Array) -> tuple[Any, Any]:
        return k_means.step(state, batch.images)

    return make_chunk(step, stream, batches=batches, key=jax.random.key(0), p=p)  # no step is random
