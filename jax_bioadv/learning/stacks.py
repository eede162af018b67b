"""Convolutional networks trained greedily: each stage on the frozen ones before it, then a linear readout.

No stage's maps are kept for all images: an epoch runs each minibatch through the stages below (:func:`stage_epoch`).
A stage is trained by any learning rule, and filters that no rule has made (:mod:`jax_bioadv.learning.patch_filters`)
come from the same patches::

    network = ConvolutionalNetwork((32, 32, 3), published_stages(1), classes=10, dropout=0.5, rngs=nnx.Rngs(0))
    rule = partial(soft_hebb.learning_rule, SoftHebb(), hidden=96)       # of a learning rate; made once
    network = with_statistics(network, 0, images)
    state, _ = train_stage(network, 0, rule, images, key, rates=[0.08])
    network = with_filters(network, 0, state.synapses)

and so on with stage 1; :mod:`jax_bioadv.learning.readouts` then trains the readout on :func:`features`.

Deviation from Journé et al. (ICLR 2023), whose batch norms use the statistics of each minibatch while a stage learns,
and running means afterwards: here a stage has those of all images before it learns, and learns from what it will later
be given.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Key

from jax_bioadv.blocks import equal_blocks, over_blocks
from jax_bioadv.classifiers import as_pytree
from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.learning.learning_rule import LearningRule, batches_in, over_batches
from jax_bioadv.learning.on_patches import on_patches, sampled_rows
from jax_bioadv.learning.training import train
from jax_bioadv.learning.whitening import Whitening

Images = Float[Array | np.ndarray, "samples inputs"]
RuleOfRate = Callable[[Float[Array, ""] | float], LearningRule]
"""A rule of rows, given its learning rate; the same object every time, or its programs are compiled again."""

_POSITIONS = 10  # patches of one image in a sample of patches, where there are images enough
_FIRST_PATCHES = 10_000  # that a rule sees at its start


class StageInfo(NamedTuple):
    """What an epoch looked like, whatever the rule."""

    largest_change: Float[Array, ""]
    """By how much a step changes any number of the rule's state at most, in the mean over the steps."""


def _stage(network: ConvolutionalNetwork, index: int) -> Any:
    if not 0 <= index < len(network.stages):
        raise ValueError(f"the network has stages 0 to {len(network.stages) - 1}, and no stage {index}")
    return network.stages[index]


@partial(jax.jit, static_argnames="index")
def _moments(maps_of: Any, images: Array, index: int) -> tuple[Array, Array]:
    maps = maps_of(images, index)
    return jnp.mean(maps, axis=(1, 2)), jnp.mean(jnp.square(maps), axis=(1, 2))


def with_statistics(
    network: ConvolutionalNetwork, index: int, images: Images, *, image_block: int = 250
) -> ConvolutionalNetwork:
    """A copy whose stage normalises by mean and variance, channel by channel, of what all the images are there.

    Args:
        network: with the stages below as they stay.
        index: of the stage; one without batch norm is left as it is.
        images: the training images.
        image_block: most images at once.
    """
    network = nnx.clone(network)
    norm, maps_of = _stage(network, index).norm, as_pytree(network.maps)
    if norm is None:
        return network
    blocks = equal_blocks(len(images), image_block)
    first, second = over_blocks(lambda rows: _moments(maps_of, jnp.asarray(images[rows]), index), len(images), blocks)
    mean = np.mean(first, axis=0, dtype=np.float64)
    norm.mean[...] = jnp.asarray(mean, jnp.float32)
    norm.var[...] = jnp.asarray(np.maximum(np.mean(second, axis=0, dtype=np.float64) - mean**2, 0.0), jnp.float32)
    return network


def with_filters(
    network: ConvolutionalNetwork,
    index: int,
    rows: Float[Array | np.ndarray, "filters inputs"],
    bias: Float[Array | np.ndarray, " filters"] | None = None,
) -> ConvolutionalNetwork:
    """A copy whose stage has these filters.

    Args:
        network: any.
        index: of the stage.
        rows: a filter each, of flattened patches (row, column, channel).
        bias: of each filter, for a stage that has one.

    Raises:
        ValueError: their number or length is not that of the stage's filters, or there is a bias too many.
    """
    network = nnx.clone(network)
    convolution = _stage(network, index).convolution
    if rows.shape != convolution.rows.shape:
        raise ValueError(f"stage {index} has filters of shape {convolution.rows.shape}, got {rows.shape}")
    if bias is not None:
        if convolution.bias is None:
            raise ValueError(f"the filters of stage {index} have no bias; make it with StageSettings(bias=True)")
        convolution.bias[...] = jnp.asarray(bias)
    convolution.rows = jnp.asarray(rows)
    return network


@partial(jax.jit, static_argnames=("index", "positions"))
def _some_patches(patches_of: Any, images: Array, key: Array, index: int, positions: int) -> Array:
    return sampled_rows(patches_of(images, index), key, positions).reshape(len(images), -1)


def sampled_patches(
    network: ConvolutionalNetwork, index: int, images: Images, key: Key[Array, ""], count: int
) -> Float[np.ndarray, "count weights"]:
    """Patches that the filters of a stage see, of random images and positions.

    Args:
        network: with the stages below, and the stage's own batch norm, as they stay.
        index: of the stage.
        images: to take them from.
        key: decides which.
        count: how many; ten of an image, or more where there are not images enough.

    Raises:
        ValueError: there are not so many.
    """
    length = _stage(network, index).convolution.rows.shape[1]
    patches_of = as_pytree(network.patches)
    rows, columns = jax.eval_shape(lambda one: patches_of(one, index), jnp.asarray(images[:1])).shape[1:3]
    if not 1 <= count <= len(images) * rows * columns:
        raise ValueError(
            f"stage {index} sees {len(images)} × {rows} × {columns} patches in these images, got {count} to take"
        )
    positions = max(min(_POSITIONS, rows * columns), -(-count // len(images)))
    image_key, position_key = jax.random.split(key)
    chosen = np.asarray(jax.random.permutation(image_key, len(images)))[: -(-count // positions)]

    def of_block(block: np.ndarray) -> Array:
        block_key = jax.random.fold_in(position_key, block[0])
        return _some_patches(patches_of, jnp.asarray(images[chosen[block]]), block_key, index, positions)

    taken = over_blocks(of_block, len(chosen), equal_blocks(len(chosen), 100))
    return taken.reshape(-1, length)[:count]


@partial(jax.jit, static_argnames=("rule", "index", "batch_size", "positions"))
def stage_epoch(
    rule: RuleOfRate,
    parts: tuple[Any, Any],
    state: Any,
    images: Float[Array, "samples inputs"],
    key: Key[Array, ""],
    learning_rate: Float[Array, ""] | float,
    *,
    index: int,
    batch_size: int,
    positions: int | None = None,
    whitening: Whitening | None = None,
) -> tuple[Any, StageInfo]:
    """One pass over the images in a random order; an incomplete last batch is left out. Pure and deterministic.

    Args:
        rule: of rows, given its learning rate.
        parts: ``nnx.split`` of the network.
        state: of the rule.
        images: the training images.
        key: decides the order, the positions and what is random in a step.
        learning_rate: of this epoch.
        index: of the stage that learns.
        batch_size: images in a step.
        positions: how many patches of each map a step learns from; None for all.
        whitening: of the patches, before the rule sees them.

    Returns:
        The next state and what the epoch looked like.

    Raises:
        ValueError: there are fewer images than a batch has.
    """
    network = nnx.merge(*parts)
    patches = network.stages[index].convolution.patches
    seen = patches if whitening is None else lambda maps: whitening(patches(maps))
    step = on_patches(rule(learning_rate), seen, positions).step
    order_key, step_key = jax.random.split(key)
    batches = batches_in(len(images), batch_size)

    def of_batch(state: Any, batch: Array, key: Array) -> tuple[Any, Array]:
        after, _ = step(state, network.stage_inputs(batch, index), key)
        changes = [
            jnp.max(jnp.abs(one - other))
            for one, other in zip(jax.tree.leaves(after), jax.tree.leaves(state), strict=True)
            if jnp.issubdtype(one.dtype, jnp.floating)
        ]
        return after, jnp.max(jnp.stack(changes))

    order, keys = jax.random.permutation(order_key, len(images)), jax.random.split(step_key, batches)
    state, changes = over_batches(of_batch, state, images, order, batch_size, keys)
    return state, StageInfo(jnp.mean(changes))


def train_stage(
    network: ConvolutionalNetwork,
    index: int,
    rule: RuleOfRate,
    images: Images,
    key: Key[Array, ""],
    rates: Sequence[float],
    *,
    batch_size: int = 10,
    positions: int | None = None,
    whitening: Whitening | None = None,
    **options: Any,
) -> tuple[Any, dict[str, np.ndarray]]:
    """Train a rule on what the filters of a stage see; see :func:`with_statistics` for what must come before.

    Args:
        network: with the stages below as they stay; what filters the stage itself has does not matter.
        index: of the stage.
        rule: of rows, given its learning rate; with as many rows as the stage has filters.
        images: the training images.
        key: decides the start and all else that is random.
        rates: the learning rate in each epoch.
        batch_size: images in a step, 10 as published.
        positions: how many patches of each map a step learns from; None for all.
        whitening: of the patches, before the rule sees them; see :meth:`Whitening.filters` for what comes after.
        **options: of :func:`jax_bioadv.learning.training.train`: checkpoints, progress.

    Returns:
        The rule's state after the last epoch, whose rows :func:`with_filters` takes, and the epochs' infos.

    Raises:
        ValueError: there is no such stage, fewer images than a batch has, or fewer patches than filters.
        DivergenceError: weights left the range of useful numbers.
    """
    filters = len(_stage(network, index).convolution.rows)
    start_key, patch_key, epoch_key = jax.random.split(key, 3)
    count = max(min(_FIRST_PATCHES, len(images)), filters)  # rows may start from patches
    first = jnp.asarray(sampled_patches(network, index, images, patch_key, count))
    state = rule(rates[0]).init(start_key, first if whitening is None else whitening(first))
    parts, data = nnx.split(network), jnp.asarray(images)

    how = {"index": index, "batch_size": batch_size, "positions": positions, "whitening": whitening}

    def epoch(state: Any, number: int) -> tuple[Any, StageInfo]:
        return stage_epoch(rule, parts, state, data, jax.random.fold_in(epoch_key, number), rates[number], **how)

    return train(epoch, state, len(rates), **options)


def _aligned(shape: tuple[int, int], kind: np.dtype) -> np.ndarray:
    """An empty array that JAX on a CPU takes as it is, and need not copy: one that begins at a multiple of 64."""
    size = shape[0] * shape[1] * kind.itemsize
    room = np.empty(size + 64, np.uint8)
    start = -room.ctypes.data % 64
    return room[start : start + size].view(kind).reshape(shape)


_features = jax.jit(lambda features_of, images, kind: features_of(images).astype(kind), static_argnums=2)


def features(
    network: ConvolutionalNetwork, images: Images, *, image_block: int = 250, dtype: DTypeLike = np.float32
) -> Float[np.ndarray, "samples features"]:
    """What the readout sees of each image, on the host.

    Args:
        network: whose stages stay as they are.
        images: of which.
        image_block: most images at once.
        dtype: to keep them in; float16 is half of the memory, and of these features about all of the precision.

    Raises:
        ValueError: there are no images.
    """
    features_of, kind = as_pytree(network.features), np.dtype(dtype)
    seen: np.ndarray | None = None
    for rows in equal_blocks(len(images), image_block):  # not by over_blocks, which holds all of them twice
        block = np.asarray(_features(features_of, jnp.asarray(images[rows]), kind))
        if seen is None:
            seen = _aligned((len(images), block.shape[1]), kind)
        seen[rows] = block
    if seen is None:
        raise ValueError("there are no images to compute features of")
    return seen
