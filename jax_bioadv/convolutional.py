"""Convolutional networks of equal stages and a linear readout, for local learning, its controls and backpropagation.

A stage is ``batch norm without gain and bias -> convolution -> Triangle or ReLU^n -> pooling`` (Journé et al., ICLR
2023, arXiv 2209.11883; the Triangle is that of Coates, Ng & Lee, AISTATS 2011). Images are flattened, (batch, inputs),
row-major (height, width, channels); maps inside are (batch, height, width, channels)::

    network = ConvolutionalNetwork((32, 32, 3), published_stages(1), classes=10, dropout=0.5, rngs=nnx.Rngs(0))
    network.taps    # ("stages.0.convolution", "stages.0.nonlinearity", "stages.0")

As it stands it is what backpropagation starts from (:mod:`jax_bioadv.learning.supervised`) and the control of random
filters; :mod:`jax_bioadv.learning.stacks` puts learnt filters in, stage by stage.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Real

from jax_bioadv.models import rectified_power
from jax_bioadv.patches import PatchNorm, extract, normalised, to_kernel, to_rows, window_norms
from jax_bioadv.readout import Readout

MapShape = tuple[int, int, int]


class Pool(NamedTuple):
    """Pooling over square windows; an average counts the zeros of the padding, as published."""

    kind: Literal["max", "average"]
    size: int
    stride: int
    padding: int = 0


def pooled(
    maps: Float[Array, "batch height width channels"], pool: Pool
) -> Float[Array, "batch rows columns channels"]:
    """Pooled maps: first the rows of each window, then its columns.

    As the pooling of Flax, whose gradient of a maximum takes XLA far longer on CPUs; of equal numbers the
    first one has the gradient.
    """
    largest = pool.kind == "max"
    for axis in (1, 2):
        maps = _over_windows(maps, axis, pool, largest)
    return maps if largest else maps / pool.size**2


def _over_windows(maps: Array, axis: int, pool: Pool, largest: bool) -> Array:
    """Maximum or sum over the windows along one axis."""
    padding = [(0, 0)] * maps.ndim
    padding[axis] = (pool.padding, pool.padding)
    padded = jnp.pad(maps, padding, constant_values=-jnp.inf if largest else 0.0)
    end = padded.shape[axis] - pool.size + 1
    shifted = [lax.slice_in_dim(padded, start, start + end, pool.stride, axis) for start in range(pool.size)]
    return reduce(_larger if largest else jnp.add, shifted)


def _larger(one: Array, other: Array) -> Array:
    """The first of equals; NaN where either is."""
    return jnp.where((other > one) | jnp.isnan(other), other, one)


@dataclass(frozen=True)
class StageSettings:
    """What a stage is, apart from its weights.

    Attributes:
        filters: how many.
        size: side of a filter.
        padding: pixels mirrored at each edge, without the edge itself.
        stride: of the convolution.
        batch_norm: whether maps are normalised channel by channel before the convolution.
        patch_norm: by what each patch is divided before filters look at it; None leaves it as it is.
        bias: whether filters have one.
        nonlinearity: "triangle" subtracts the mean over the filters first, "relu" does not.
        power: n of ReLU^n. Below 1, as published for the first stage, the slope has no bound at 0.
        pool: None keeps the maps as they are.
        radius: expected L2 norm of a filter at the start.
    """

    filters: int
    size: int
    padding: int = 0
    stride: int = 1
    batch_norm: bool = True
    patch_norm: PatchNorm | None = None
    bias: bool = False
    nonlinearity: Literal["triangle", "relu"] = "triangle"
    power: float = 1.0
    pool: Pool | None = None
    radius: float = 2.0**0.5

    def check(self, maps: MapShape) -> MapShape:
        """The shape that maps of this shape leave with; ValueError where it is empty or a setting is out of range."""
        if self.filters < 1 or self.size < 1 or self.stride < 1 or not self.power > 0 or not self.radius > 0:
            raise ValueError(f"filters, size, stride, power and radius must be positive, got {self}")
        if self.nonlinearity not in ("triangle", "relu"):
            raise ValueError(f"nonlinearity must be 'triangle' or 'relu', got {self.nonlinearity!r}")
        if self.pool is not None and self.pool.kind not in ("max", "average"):
            raise ValueError(f"pooling must be 'max' or 'average', got {self.pool.kind!r}")
        if self.pool is not None and not (self.pool.stride >= 1 and 0 <= self.pool.padding < self.pool.size):
            raise ValueError(f"pooling needs stride >= 1 and 0 <= padding < size, got {self.pool}")
        if not 0 <= self.padding < min(maps[:2]):
            raise ValueError(f"maps of {maps[0]} × {maps[1]} can mirror fewer pixels at an edge than {self.padding}")
        if self.patch_norm is not None:
            self.patch_norm.check()
        sides = [(side + 2 * self.padding - self.size) // self.stride + 1 for side in maps[:2]]
        if self.pool is not None:
            sides = [(side + 2 * self.pool.padding - self.pool.size) // self.pool.stride + 1 for side in sides]
        if min(sides) < 1:
            raise ValueError(
                f"nothing is left of maps of {maps[0]} × {maps[1]} after {self}; leave out stages or pools"
            )
        return sides[0], sides[1], self.filters


def published_stages(depth: int, filters: Sequence[int] = (96, 384, 1536)) -> tuple[StageSettings, ...]:
    """Stages of the networks of Journé et al. for CIFAR-10, of depth 1, 2 or 3.

    Args:
        depth: number of stages; the first pools otherwise where it is not followed by two.
        filters: of each stage; others than the published numbers make a narrower or wider network of the same shape.

    Raises:
        ValueError: another depth, or fewer numbers of filters than stages.
    """
    if not 1 <= depth <= 3 or len(filters) < depth:
        raise ValueError(
            f"published are depths 1, 2 and 3, with a number of filters for each stage; got {depth}, {filters}"
        )
    # The published second stage of depth 2 applies the Triangle twice; that of depth 3, used here for both, once.
    largest, mean = Pool("max", 4, 2, 1), Pool("average", 4, 2, 1)
    stages = (
        StageSettings(filters[0], 5, 2, power=0.7, pool=largest if depth == 3 else mean, radius=25.0),
        StageSettings(filters[min(1, depth - 1)], 3, 1, power=1.4, pool=largest, radius=25.0),
        StageSettings(filters[depth - 1], 3, 1, power=1.0, pool=Pool("average", 2, 2), radius=25.0),
    )
    return stages[:depth]


class Convolution(nnx.Module):
    """A convolution over mirrored edges, which sees each patch divided by its own norm where that is asked for.

    Args:
        channels: of the maps.
        settings: of the stage that it belongs to.
        rngs: with a ``params`` stream; filters start from a normal distribution.
    """

    def __init__(self, channels: int, settings: StageSettings, *, rngs: nnx.Rngs):
        size, self.settings = settings.size, settings
        inputs = size * size * channels
        start = jax.random.normal(rngs.params(), (size, size, channels, settings.filters), jnp.float32)
        self.kernel = nnx.Param(start * (settings.radius / inputs**0.5))
        self.bias = nnx.Param(jnp.zeros(settings.filters, jnp.float32)) if settings.bias else None

    @property
    def rows(self) -> Float[Array, "filters inputs"]:
        """The filters as rows that look at flattened patches."""
        return to_rows(self.kernel[...])

    @rows.setter
    def rows(self, rows: Float[Array, "filters inputs"]) -> None:
        self.kernel[...] = to_kernel(rows, self.settings.size)

    def patches(self, maps: Real[Array, "batch height width channels"]) -> Float[Array, "batch rows columns inputs"]:
        """What the filters see at each position: the overlaps are the products of these with :attr:`rows`."""
        settings = self.settings
        maps = maps.astype(jnp.promote_types(maps.dtype, self.kernel[...].dtype))  # bytes have no room for squares
        return normalised(extract(self._padded(maps), settings.size, settings.stride), settings.patch_norm)

    def __call__(self, maps: Float[Array, "batch height width channels"]) -> Float[Array, "batch rows columns filters"]:
        """Overlaps of all filters with all patches, plus the bias."""
        settings, kernel, maps = self.settings, self.kernel[...], self._padded(maps)
        norm = settings.patch_norm
        if norm is not None and norm.centred:  # (x - mean x)·w is x·(w - mean w)
            kernel = kernel - jnp.mean(kernel, axis=(0, 1, 2))
        dtype = jnp.promote_types(maps.dtype, kernel.dtype)  # a convolution wants one for both
        maps, kernel = maps.astype(dtype), kernel.astype(dtype)
        strides = (settings.stride, settings.stride)
        overlaps = lax.conv_general_dilated(maps, kernel, strides, "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        if norm is not None:
            overlaps = overlaps / window_norms(maps, settings.size, settings.stride, norm)
        return overlaps if self.bias is None else overlaps + self.bias[...]

    def _padded(self, maps: Array) -> Array:
        edge = (self.settings.padding, self.settings.padding)
        return jnp.pad(maps, ((0, 0), edge, edge, (0, 0)), mode="reflect")


class Nonlinearity(nnx.Module):
    """Triangle, ``ReLU(h - mean over filters of h)^n``, or ``ReLU(h)^n``."""

    def __init__(self, kind: Literal["triangle", "relu"], power: float):
        self.kind, self.power = kind, power

    def __call__(self, overlaps: Float[Array, "*shape filters"]) -> Float[Array, "*shape filters"]:
        """Activations. The mean takes part in the gradient, as attacks need; the published code holds it fixed."""
        if self.kind == "triangle":
            overlaps = overlaps - jnp.mean(overlaps, axis=-1, keepdims=True)
        return rectified_power(overlaps, self.power)


class Stage(nnx.Module):
    """Batch norm, convolution, nonlinearity and pooling of maps.

    Args:
        channels: of the maps.
        settings: what it is.
        rngs: with a ``params`` stream.
    """

    def __init__(self, channels: int, settings: StageSettings, *, rngs: nnx.Rngs):
        norm = nnx.BatchNorm(channels, momentum=0.9, use_bias=False, use_scale=False, rngs=rngs)
        self.norm = norm if settings.batch_norm else None
        self.convolution = Convolution(channels, settings, rngs=rngs)
        self.nonlinearity = Nonlinearity(settings.nonlinearity, settings.power)
        self.settings = settings

    def normed(
        self, maps: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch height width channels"]:
        """What the convolution is given; with ``train`` batch norm uses, and updates from, this batch."""
        return maps if self.norm is None else self.norm(maps, use_running_average=not train)

    def __call__(
        self, maps: Float[Array, "batch height width channels"], train: bool = False
    ) -> Float[Array, "batch rows columns filters"]:
        """Pooled activations."""
        activation, pool = self.nonlinearity(self.convolution(self.normed(maps, train))), self.settings.pool
        if pool is None:
            return activation
        return pooled(activation, pool)


class ConvolutionalNetwork(nnx.Module):
    """Stages one after another and a readout of the last one's maps, from flattened images to logits.

    Args:
        image_shape: height, width and channels.
        stages: settings of each.
        classes: number of logits.
        dropout: before the readout, in training.
        rngs: with streams ``params`` and, where there is dropout, ``dropout``.

    Raises:
        ValueError: a setting is out of range, or nothing is left of an image after some stage.
    """

    def __init__(
        self,
        image_shape: MapShape,
        stages: Sequence[StageSettings],
        classes: int,
        *,
        dropout: float = 0.0,
        rngs: nnx.Rngs,
    ):
        shape, built, taps = image_shape, [], []
        for index, settings in enumerate(stages):
            after = settings.check(shape)
            built.append(Stage(shape[2], settings, rngs=rngs))
            taps += [f"stages.{index}.convolution", f"stages.{index}.nonlinearity"]
            taps += [f"stages.{index}"] if settings.pool is not None else []
            shape = after
        self.image_shape = image_shape
        self.stages = nnx.List(built)
        self.taps = tuple(taps)
        self.readout = Readout(shape[0] * shape[1] * shape[2], classes, dropout=dropout, rngs=rngs)

    def maps(self, images: Float[Array, "batch inputs"], depth: int, train: bool = False) -> Float[Array, "batch ..."]:
        """What the first so many stages make of flattened images; of none, the images as maps."""
        maps = images.reshape(-1, *self.image_shape)
        for stage in list(self.stages)[:depth]:
            maps = stage(maps, train)
        return maps

    def stage_inputs(self, images: Float[Array, "batch inputs"], index: int) -> Float[Array, "batch ..."]:
        """What the convolution of a stage is given."""
        return self.stages[index].normed(self.maps(images, index))

    def patches(self, images: Float[Array, "batch inputs"], index: int) -> Float[Array, "batch rows columns weights"]:
        """What the filters of a stage see at each position."""
        return self.stages[index].convolution.patches(self.stage_inputs(images, index))

    def features(self, images: Float[Array, "batch inputs"], train: bool = False) -> Float[Array, "batch features"]:
        """What the readout sees: the flattened maps of the last stage."""
        return self.maps(images, len(self.stages), train).reshape(len(images), -1)

    def preactivation(self, images: Float[Array, "batch inputs"]) -> Float[Array, "batch inputs"]:
        """The images themselves: batch norm comes first, so that nothing before :meth:`decode` is without it."""
        return images

    def decode(self, images: Float[Array, "batch inputs"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits; with ``train`` features drop out, and batch norms use, and update from, this batch."""
        return self.readout.decode(self.features(images, train), train)

    def __call__(self, images: Float[Array, "batch inputs"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits of a batch of flattened images."""
        return self.decode(images, train)
