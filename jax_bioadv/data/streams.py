"""Minibatches of images that do not fit into memory, read ahead by Grain and handed over as uint8.

The order of an epoch is drawn from the seed and the epoch alone, so that batch number n of a stream is the same
whenever it is asked for: a training that goes on from it goes on bitwise, also in the middle of an epoch::

    stream = Stream(StoredImages("imagenet64"), batch_size=1000, seed=0)
    for images, labels in stream.batches(start=0, stop=stream.per_epoch):
        ...
"""

import functools
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Integer, UInt8

from jax_bioadv.data.dataset import DataError
from jax_bioadv.extras import extra


@runtime_checkable
class Source(Protocol):
    """Images by index, as :class:`jax_bioadv.data.stored.StoredImages` has them."""

    labels: Int32[np.ndarray, " count"]

    def __len__(self) -> int: ...

    def read(self, indices: Sequence[int] | Integer[np.ndarray, " batch"]) -> UInt8[np.ndarray, "batch inputs"]:
        """Some images, flattened."""
        ...


class ArraySource:
    """Images that are in memory, or mapped into it by ``numpy.memmap``.

    Args:
        images: uint8, of shape (count, …).
        labels: integers (count,).

    Raises:
        DataError: for anything else.
    """

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        of_images = images.dtype == np.uint8 and images.ndim >= 2
        if not of_images or labels.shape != (len(images),) or labels.dtype.kind not in "iu":
            raise DataError(
                f"a source needs uint8 images (count, …) and an integer label each, got {images.dtype} {images.shape} "
                f"and labels {labels.dtype} {labels.shape}"
            )
        self.images, self.labels = images.reshape(len(images), -1), np.asarray(labels, np.int32)

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, indices: Sequence[int] | Integer[np.ndarray, " batch"]) -> UInt8[np.ndarray, "batch inputs"]:
        """Some images, flattened."""
        return self.images[np.asarray(indices)]


class ImageBatch(NamedTuple):
    """A minibatch on the host."""

    images: UInt8[np.ndarray, "batch inputs"]
    labels: Int32[np.ndarray, " batch"]


class Stream:
    """Minibatches in a random order of every epoch; an incomplete last one is left out.

    Args:
        source: the images.
        batch_size: images in a batch, over all processes.
        seed: of the order.
        window: images are shuffled within windows of so many, which come in random order themselves, so that a disk
            reads what lies together; None shuffles all.
        process: which of ``processes`` this is: each gets its own rows of every batch.
        processes: that share a batch.
        threads: that read ahead.
        ahead: batches that are read ahead.

    Raises:
        ValueError: sizes that do not fit together.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        *,
        seed: int = 0,
        window: int | None = None,
        process: int = 0,
        processes: int = 1,
        threads: int = 2,
        ahead: int = 4,
    ):
        if not 1 <= batch_size <= len(source):
            raise ValueError(f"batch_size must lie between 1 and the number of images, {len(source)}, got {batch_size}")
        if batch_size % processes or not 0 <= process < processes:
            raise ValueError(f"{processes} processes cannot share batches of {batch_size} (this is process {process})")
        if window is not None and window < 1:
            raise ValueError(f"window must be at least 1 image, got {window}")
        self.source, self.batch_size, self.seed, self.window = source, batch_size, seed, window
        self._rows = slice(process * batch_size // processes, (process + 1) * batch_size // processes)
        self._threads, self._ahead = threads, ahead
        self.order = functools.lru_cache(maxsize=2)(self._order)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return len(self.source) // self.batch_size

    def _order(self, epoch: int) -> Integer[np.ndarray, " count"]:
        """The indices of an epoch's images, in the order in which they are met."""
        numbers, count = np.random.default_rng((self.seed, epoch)), len(self.source)
        if self.window is None:
            return numbers.permutation(count)
        starts = numbers.permutation(np.arange(0, count, self.window))
        return np.concatenate([start + numbers.permutation(min(self.window, count - start)) for start in starts])

    def batch(self, number: int) -> ImageBatch:
        """A batch by its number, counted over all epochs."""
        epoch, of_epoch = divmod(number, self.per_epoch)
        indices = self.order(epoch)[of_epoch * self.batch_size :][: self.batch_size][self._rows]
        return ImageBatch(self.source.read(indices), self.source.labels[indices])

    def batches(self, start: int = 0, stop: int | None = None) -> Iterator[ImageBatch]:
        """The batches from one number to another, or without end, read ahead in the background.

        Raises:
            DataError: the images cannot be read any more.
        """
        with extra("streams"):
            import grain
        numbers = grain.MapDataset.range(start, 2**62 if stop is None else stop).map(self.batch)
        ahead = grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=self._ahead)
        yield from numbers.to_iter_dataset(ahead)
