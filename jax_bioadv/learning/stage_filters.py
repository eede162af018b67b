"""What fills a stage with filters, all by one signature: local rules by their recipes, and the controls beside them.

A network is made greedily of any of them, stage by stage, and its readout alone sees labels::

    network = ConvolutionalNetwork((32, 32, 3), published_stages(1), classes=10, dropout=0.5, rngs=nnx.Rngs(0))
    network = fill(network, 0, by_soft_hebb, images, key)
    network, _ = train_readout(network, features(network, images), labels, key, optimizer, epochs=50)

Whitened patches, and the nearness to centroids of k-means, ask for stages with bias. What is more than a default is
given by ``partial(by_krotov_hopfield, epochs=20)``.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.learning import krotov_hopfield, pruning, soft_hebb
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.patch_filters import k_means_filters, principal_filters, sampled_filters
from jax_bioadv.learning.soft_hebb import SoftHebb
from jax_bioadv.learning.stacks import sampled_patches, train_stage, with_filters, with_statistics
from jax_bioadv.learning.whitening import Filters, zca

Images = Float[Array | np.ndarray, "samples inputs"]
FiltersOf = Callable[[ConvolutionalNetwork, int, Images, Key[Array, ""]], Filters]
"""``filters_of(network, index, images, key)``: filters for a stage whose batch norm, and the stages below, stay."""

PATCH_RULE = KrotovHopfield(p=2.0, delta=0.1)
"""For patches; images take p = 3 and Δ = 0.4."""

PATCHES = 100_000
"""How many are whitened and clustered, where the images have so many."""


def fill(
    network: ConvolutionalNetwork, index: int, filters_of: FiltersOf, images: Images, key: Key[Array, ""]
) -> ConvolutionalNetwork:
    """A copy whose stage normalises what the images are there, and has filters that were made of them.

    Args:
        network: with the stages below as they stay.
        index: of the stage.
        filters_of: makes the filters.
        images: the training images.
        key: decides all that is random in it.

    Raises:
        ValueError: what ``filters_of`` refuses, such as a stage without bias for filters that have one.
    """
    network = with_statistics(network, index, images)
    return with_filters(network, index, *filters_of(network, index, images, key))


def at_random(
    network: ConvolutionalNetwork, index: int, images: Images, key: Key[Array, ""], *, radius: float = 1.0
) -> Filters:
    """Filters from a normal distribution.

    Args:
        network: any.
        index: of the stage.
        images: not looked at.
        key: decides the filters.
        radius: their expected L2 norm. (Deviation from Journé et al., whose random filters keep the 25 of SoftHebb's
            start: at 1, where local rules leave theirs, the readout sees features of about the same size from both.)
    """
    rows = network.stages[index].convolution.rows
    return Filters(radius / rows.shape[1] ** 0.5 * jax.random.normal(key, rows.shape, rows.dtype))


def by_soft_hebb(
    network: ConvolutionalNetwork,
    index: int,
    images: Images,
    key: Key[Array, ""],
    *,
    rule: SoftHebb | None = None,
    rate: float | None = None,
    **options: Any,
) -> Filters:
    """Filters learnt by SoftHebb in one epoch, ten images a step, as published.

    Args:
        network: with the stages below, and the stage's own batch norm, as they stay.
        index: of the stage.
        images: the training images.
        key: decides the start and the order of the images.
        rule: by default the published one of this stage; ``SoftHebb(inverse_temperature=inf)`` is the hard
            winner-take-all.
        rate: by default the published one of this stage.
        **options: of :func:`~jax_bioadv.learning.stacks.train_stage`.
    """
    inverse_temperature, published = soft_hebb.PUBLISHED[min(index, len(soft_hebb.PUBLISHED) - 1)]
    rule_of = _soft_hebb(SoftHebb(inverse_temperature) if rule is None else rule, _count(network, index))
    state, _ = train_stage(network, index, rule_of, images, key, [published if rate is None else rate], **options)
    return Filters(state.synapses)


def by_krotov_hopfield(
    network: ConvolutionalNetwork,
    index: int,
    images: Images,
    key: Key[Array, ""],
    *,
    rule: KrotovHopfield = PATCH_RULE,
    epsilon: float | None = None,
    rate: float = 0.02,
    epochs: int = 4,
    batch_size: int = 50,
    positions: int = 20,
    start: krotov_hopfield.Start = "samples",
    cut: Callable[[Float[np.ndarray, "filters inputs"]], Bool[np.ndarray, " filters"]] | None = None,
    **options: Any,
) -> Filters:
    """Effective weights learnt by the Krotov–Hopfield rule from sampled patches.

    Args:
        network: with the stages below, and the stage's own batch norm, as they stay; its patches need a norm, centred.
        index: of the stage.
        images: the training images.
        key: decides the start, the order of the images and the positions.
        rule: hyper-parameters.
        epsilon: of a whitening of the patches; None for none.
        rate: of the first epoch, from where it falls linearly.
        epochs: how many.
        batch_size: images in a step.
        positions: how many patches of each map a step learns from, or all that there are.
        start: of the rows, some of the patches or noise, see :func:`krotov_hopfield.init`.
        cut: which rows are kept, of learnt synapses; others become 0.
        **options: of :func:`~jax_bioadv.learning.stacks.train_stage`.

    Raises:
        ValueError: patches are to be whitened, and the stage has no bias.
    """
    patch_key, key = jax.random.split(key)
    whitening = None
    if epsilon is not None:
        _check_bias(network, index)
        whitening = zca(_patches(network, index, images, patch_key), epsilon)
    rates = [krotov_hopfield.linear_decay(rate, epoch, epochs) for epoch in range(epochs)]
    positions = min(positions, _positions(network, index, images))
    how: dict[str, Any] = {"batch_size": batch_size, "positions": positions, "whitening": whitening, **options}
    rule_of = _krotov_hopfield(rule, _count(network, index), start)
    synapses = train_stage(network, index, rule_of, images, key, rates, **how)[0].synapses
    if cut is not None:
        synapses = pruning.prune(synapses, cut(np.asarray(synapses)))
    rows = krotov_hopfield.effective_weights(synapses, rule.p)
    return Filters(rows) if whitening is None else whitening.filters(rows)


def by_k_means(
    network: ConvolutionalNetwork,
    index: int,
    images: Images,
    key: Key[Array, ""],
    *,
    epsilon: float | None = None,
    passes: int = 20,
) -> Filters:
    """Nearness to centroids of sampled patches, with a bias.

    Args:
        network: with the stages below, and the stage's own batch norm, as they stay.
        index: of the stage.
        images: the training images.
        key: decides the patches and the first centroids.
        epsilon: of a whitening of the patches; None for none.
        passes: over the patches, at most.

    Raises:
        ValueError: the stage has no bias, or sees fewer patches than it has filters.
    """
    _check_bias(network, index)
    patch_key, key = jax.random.split(key)
    patches = _patches(network, index, images, patch_key)
    whitening = None if epsilon is None else zca(patches, epsilon)
    return k_means_filters(_seed(key), patches, _count(network, index), whitening=whitening, passes=passes)


def of_patches(network: ConvolutionalNetwork, index: int, images: Images, key: Key[Array, ""]) -> Filters:
    """Sampled patches themselves, of norm 1."""
    patch_key, key = jax.random.split(key)
    return sampled_filters(_seed(key), _patches(network, index, images, patch_key), _count(network, index))


def of_principal_directions(
    network: ConvolutionalNetwork, index: int, images: Images, key: Key[Array, ""], *, whiten: bool = False
) -> Filters:
    """The leading principal directions of sampled patches with both signs; with ``whiten`` all respond as strongly."""
    return principal_filters(_patches(network, index, images, key), _count(network, index), whiten=whiten)


def _check_bias(network: ConvolutionalNetwork, index: int) -> None:
    """Before long work, what :func:`with_filters` would refuse after it."""
    if network.stages[index].convolution.bias is None:
        raise ValueError(f"these filters have a bias, and stage {index} has none: use StageSettings(bias=True)")


def _count(network: ConvolutionalNetwork, index: int) -> int:
    return len(network.stages[index].convolution.rows)


def _patches(
    network: ConvolutionalNetwork, index: int, images: Images, key: Array
) -> Float[np.ndarray, "count weights"]:
    count = min(PATCHES, len(images) * _positions(network, index, images))
    return sampled_patches(network, index, images, key, count)


def _positions(network: ConvolutionalNetwork, index: int, images: Images) -> int:
    of_one = jax.eval_shape(lambda image: network.patches(image, index), jnp.asarray(images[:1]))
    return int(of_one.shape[1] * of_one.shape[2])


def _seed(key: Array) -> int:
    return int(jax.random.bits(key, dtype=jnp.uint32) >> 1)


@lru_cache
def _soft_hebb(rule: SoftHebb, hidden: int) -> Any:
    """The same object for the same rule, so that all seeds share its programs."""
    return partial(soft_hebb.learning_rule, rule, hidden=hidden)


@lru_cache
def _krotov_hopfield(rule: KrotovHopfield, hidden: int, start: krotov_hopfield.Start) -> Any:
    return partial(krotov_hopfield.learning_rule, rule, hidden=hidden, start=start)
