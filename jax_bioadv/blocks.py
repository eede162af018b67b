"""Work in blocks of equal size: memory stays bounded, and few sizes serve all counts, each a compilation of its own."""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

# Ten sizes a decade (Renard's preferred numbers): at most 28 % of a batch of 8 or more is filling, 12 % on average.
BATCH_SIZES = sorted({int(size * 10**k) for size in (1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8) for k in range(9)})


def filled_up(count: int) -> int:
    """The size that a batch of so many samples is filled up to."""
    return next((size for size in BATCH_SIZES if size >= count), count)


def whole_blocks(count: int, length: int) -> list[Int[np.ndarray, " block"]]:
    """Indices in blocks of one length; the last is filled up by starting over.

    Args:
        count: how many samples there are.
        length: of each block.

    Raises:
        ValueError: for blocks of none.
    """
    if length < 1:
        raise ValueError(f"image_block must be at least 1, got {length}")
    return [np.arange(start, start + length) % count for start in range(0, count, length)]


def equal_blocks(count: int, largest: int) -> list[Int[np.ndarray, " block"]]:
    """Indices in as few blocks as possible, all of one length and that one of few; what is filled up starts over.

    Args:
        count: how many samples there are.
        largest: most samples in one block.

    Raises:
        ValueError: for blocks of none.
    """
    if count == 0 or largest < 1:
        return whole_blocks(count, largest)
    blocks = -(-count // largest)
    return whole_blocks(count, min(filled_up(-(-count // blocks)), largest))


def blocks_of_three_lengths(count: int, longest: int) -> list[Int[np.ndarray, " _"]]:
    """Indices in blocks of three lengths whatever the count, each a quarter of the one before.

    For counts that fall and fall, as those of images that withstand attacks: one length for each would be compiled for
    each, and one for all be filled up in the end. What is filled up starts over.

    Args:
        count: how many samples there are.
        longest: samples in the longest blocks.

    Raises:
        ValueError: for blocks of none.
    """
    if longest < 1:
        raise ValueError(f"image_block must be at least 1, got {longest}")
    lengths, blocks, start = [longest, -(-longest // 4), -(-longest // 16)], [], 0
    for length, shorter in itertools.pairwise([*lengths, 0]):
        while count - start > 3 * shorter:
            blocks.append(np.arange(start, start + length) % count)
            start += length
    return blocks


def over_blocks(
    function: Callable[[Int[np.ndarray, " block"]], Any], count: int, blocks: list[Int[np.ndarray, " _"]]
) -> Any:
    """What a function gives for each sample, block by block; the results of one are on the host before the next begins.

    Args:
        function: of a block's indices, to a pytree of arrays with a row for each.
        count: how many samples there are, at least one.
        blocks: from a function of this file.

    Returns:
        The pytree, its NumPy arrays with a row for each sample.
    """
    parts = [jax.tree.map(np.asarray, function(rows)) for rows in blocks]
    return jax.tree.map(lambda *part: np.concatenate(part)[:count], *parts)
