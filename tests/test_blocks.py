"""Blocks of equal size: few sizes for all counts, and the same answers as without them."""

import itertools

import numpy as np
import pytest

from jax_bioadv.blocks import BATCH_SIZES, blocks_of_three_lengths, equal_blocks, filled_up, over_blocks, whole_blocks

COUNTS = [(11, 4), (2040, 2048), (2100, 2048), (5, 5), (7, 1), (9, 8)]


def test_sizes_of_batches_are_few_and_hardly_larger():
    assert [filled_up(count) for count in (1, 7, 47, 48, 49, 50, 200, 1000)] == [1, 8, 50, 50, 50, 50, 200, 1000]
    assert max(larger / smaller for smaller, larger in itertools.pairwise(BATCH_SIZES[5:])) <= 4 / 3


@pytest.mark.parametrize(("count", "largest"), COUNTS)
def test_equal_blocks_are_as_few_as_possible_and_of_one_size_of_few(count, largest):
    blocks = equal_blocks(count, largest)
    (size,) = {len(block) for block in blocks}
    assert size in (*BATCH_SIZES, largest)
    assert size <= largest
    assert len(blocks) == -(-count // largest)
    np.testing.assert_array_equal(np.concatenate(blocks)[:count], np.arange(count))


@pytest.mark.parametrize("cut", [equal_blocks, whole_blocks])
@pytest.mark.parametrize(("count", "length"), COUNTS)
def test_what_is_filled_up_starts_over_and_leaves_no_trace(cut, count, length):
    values = np.random.default_rng(0).normal(size=(count, 2))
    seen = []

    def of_block(rows):
        seen.append(len(rows))
        return {"rows": rows, "doubled": 2 * values[rows]}

    found = over_blocks(of_block, count, cut(count, length))
    np.testing.assert_array_equal(found["rows"], np.arange(count))
    np.testing.assert_array_equal(found["doubled"], 2 * values)
    assert len(set(seen)) == 1
    assert cut is equal_blocks or set(seen) == {length}


@pytest.mark.parametrize("cut", [equal_blocks, whole_blocks, blocks_of_three_lengths])
def test_blocks_of_none_are_refused_and_none_need_no_block(cut):
    assert cut(0, 3) == []
    for length in (0, -1):
        with pytest.raises(ValueError, match="image_block must be at least 1"):
            cut(5, length)


@pytest.mark.parametrize("count", [1, 3, 4, 15, 16, 44, 49, 64, 200, 1000])
def test_blocks_are_of_three_lengths_with_little_filling(count):
    blocks = blocks_of_three_lengths(count, 64)
    held = np.concatenate(blocks)
    np.testing.assert_array_equal(held[:count], np.arange(count))
    assert held.max() < count
    assert {len(block) for block in blocks} <= {64, 16, 4}
    assert len(held) < max(4 * count / 3, 4) + 1
    assert len(blocks) <= count // 64 + 3 + 3
