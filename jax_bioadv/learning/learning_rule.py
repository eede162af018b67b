"""What a learning rule is: ``init`` makes a state, ``step`` takes it through one minibatch.

Both are pure functions in which all that stays the same from batch to batch is bound: hyper-parameters, the structure
of a network, an optimizer. :func:`jax_bioadv.learning.krotov_hopfield.learning_rule` and
:func:`jax_bioadv.learning.supervised.learning_rule` make such pairs, for data that come in whatever order::

    state, step = rule.init(key, first), jax.jit(rule.step)
    for number, batch in enumerate(stream):
        state, info = step(state, batch, jax.random.fold_in(key, number))

A rule of one's own is ``LearningRule(init, step)``; its epochs are :func:`over_batches`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import lax
from jaxtyping import Array, Int, Key

from jax_bioadv.sharding import over_data


class LearningRule(NamedTuple):
    """``init(key, data) -> state`` and ``step(state, batch, key) -> (state, info)``.

    The state is all that learning goes on from: a pytree of arrays, whose structure, shapes and types a step keeps.
    ``batch`` is a pytree of arrays with a row for each sample, ``key`` decides all that is random in a step, and
    ``info`` is a NamedTuple of what the step looked like.
    """

    init: Callable[[Key[Array, ""], Any], Any]
    step: Callable[[Any, Any, Key[Array, ""]], tuple[Any, Any]]


def batches_in(samples: int, batch_size: int) -> int:
    """How many whole minibatches there are; ValueError unless there is one."""
    if not 1 <= batch_size <= samples:
        raise ValueError(f"batch_size must lie between 1 and the number of images, {samples}, got {batch_size}")
    return samples // batch_size


def over_batches(
    step: Callable[..., tuple[Any, Any]],
    state: Any,
    data: Any,
    order: Int[Array, " samples"],
    batch_size: int,
    *of_each: Any,
) -> tuple[Any, Any]:
    """The steps of one epoch: a scan over minibatches, of which an incomplete last one is left out.

    Args:
        step: ``step(state, batch, *of_each) -> (state, info)``.
        state: to start from.
        data: a pytree of arrays with a row for each sample.
        order: the samples' indices, in the order in which they are met.
        batch_size: samples in a step.
        *of_each: what else a step is given, with a leading axis over the batches: keys, say.

    Returns:
        The state after the last step, and the steps' infos with a leading axis over the batches.

    Raises:
        ValueError: there are fewer samples than a batch has.
    """
    batches = batches_in(len(order), batch_size)

    def of_batch(state: Any, batch: tuple[Any, ...]) -> tuple[Any, Any]:
        indices = over_data(batch[0])
        return step(state, jax.tree.map(lambda rows: rows[indices], data), *batch[1:])

    return lax.scan(of_batch, state, (order[: batches * batch_size].reshape(batches, batch_size), *of_each))
