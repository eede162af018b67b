"""Any learning rule as the rule of a convolution: its samples are patches, at every position or at some of each map.

A rule that learns rows of weights from rows of numbers (:mod:`jax_bioadv.learning.learning_rule`) shares them between
positions when its minibatch is made of all patches of a batch of maps, and its rows are then the filters of a
convolution. What it learns from is exactly what :class:`jax_bioadv.convolutional.Convolution` shows its filters,
mirrored edges and patch norm included::

    rule = on_patches(soft_hebb.learning_rule(SoftHebb(), 0.08, hidden=96), stage.convolution.patches)
    state = rule.init(key, maps)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jax_bioadv.learning.learning_rule import LearningRule

Patches = Callable[[Float[Array, "batch height width channels"]], Float[Array, "batch rows columns inputs"]]


def sampled_rows(
    patches: Float[Array, "batch rows columns inputs"], key: Key[Array, ""], positions: int | None
) -> Float[Array, "samples inputs"]:
    """Patches as rows: all, or of each map some at different positions.

    Args:
        patches: of each position.
        key: decides which.
        positions: how many of each map; None for all, in their order.

    Raises:
        ValueError: fewer positions than one, or more than there are.
    """
    batch, rows, columns, inputs = patches.shape
    flat = patches.reshape(batch, rows * columns, inputs)
    if positions is not None:
        if not 1 <= positions <= rows * columns:
            raise ValueError(f"positions must lie between 1 and the {rows * columns} that there are, got {positions}")
        order = jnp.argsort(jax.random.bits(key, (batch, rows * columns), jnp.uint32), axis=1)[:, :positions]
        flat = jnp.take_along_axis(flat, order[:, :, None], axis=1)
    return flat.reshape(-1, inputs)


def on_patches(rule: LearningRule, patches: Patches, positions: int | None = None) -> LearningRule:
    """The rule of maps (batch, height, width, channels) that learns from their patches.

    Args:
        rule: of rows (samples, inputs).
        patches: what filters see of maps, such as the method of a :class:`~jax_bioadv.convolutional.Convolution`.
        positions: how many patches of each map a step learns from; None for all.
    """

    def begin(key: Key[Array, ""], maps: Float[Array, "batch height width channels"]) -> Any:
        position_key, key = jax.random.split(key)
        return rule.init(key, sampled_rows(patches(maps), position_key, positions))

    def take(state: Any, maps: Float[Array, "batch height width channels"], key: Key[Array, ""]) -> tuple[Any, Any]:
        position_key, key = jax.random.split(key)
        return rule.step(state, sampled_rows(patches(maps), position_key, positions), key)

    return LearningRule(begin, take)
