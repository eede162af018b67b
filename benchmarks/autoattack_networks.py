"""Three architectures that AutoAttack is compared on, in JAX and in PyTorch with the same weights, and their training.

Ours take flattened images (height, width, channels); those in PyTorch channels first, as AutoAttack wants them there.
Both give their layers the same names.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from benchmarks.eager_network import choose_device, tensor
from jax_bioadv.attacks.attack import log_odds_against
from jax_bioadv.models import Network, logits_function

Shape = tuple[int, int, int]

BATCH, LEARNING_RATE = 128, 1e-3
# Of the step from a random point of the ball, as in fast adversarial training (Wong et al., arXiv 2001.03994).
STEP = 1.25
_AROUND = ((1, 1), (1, 1))


class Convolutional(nnx.Module):
    """Two convolutions of stride 2 and a dense readout of all places."""

    def __init__(self, image_shape: Shape, classes: int, widths: tuple[int, int], rngs: nnx.Rngs):
        self.image_shape = image_shape
        before = (image_shape[2], widths[0])
        self.convolutions = nnx.List(
            nnx.Conv(*each, (3, 3), strides=2, padding=_AROUND, rngs=rngs) for each in zip(before, widths, strict=True)
        )
        self.decoder = nnx.Linear(math.prod(self.last_shape), classes, rngs=rngs)

    @property
    def last_shape(self) -> Shape:
        height, width, _ = self.image_shape
        return -(-height // 4), -(-width // 4), self.convolutions[1].out_features

    def __call__(self, images: jax.Array) -> jax.Array:
        maps = images.reshape(-1, *self.image_shape)
        for convolution in self.convolutions:
            maps = nnx.relu(convolution(maps))
        return self.decoder(maps.reshape(len(maps), -1))


class Residual(nnx.Module):
    """A convolution of stride 2, blocks with shortcuts and batch norm before each nonlinearity, a mean over places."""

    def __init__(self, image_shape: Shape, classes: int, width: int, blocks: int, rngs: nnx.Rngs):
        self.image_shape = image_shape
        self.stem = nnx.Conv(image_shape[2], width, (3, 3), strides=2, padding=_AROUND, rngs=rngs)
        self.norms = nnx.List(nnx.BatchNorm(width, momentum=0.9, rngs=rngs) for _ in range(2 * blocks + 1))
        self.convolutions = nnx.List(
            nnx.Conv(width, width, (3, 3), padding=_AROUND, rngs=rngs) for _ in range(2 * blocks)
        )
        self.decoder = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, images: jax.Array) -> jax.Array:
        maps = self.stem(images.reshape(-1, *self.image_shape))
        for first in range(0, len(self.convolutions), 2):
            inner = maps
            for layer in (first, first + 1):
                inner = self.convolutions[layer](nnx.relu(self.norms[layer](inner)))
            maps = maps + inner
        return self.decoder(jnp.mean(nnx.relu(self.norms[-1](maps)), axis=(1, 2)))


class DenseTwin(torch.nn.Module):
    def __init__(self, image_shape: Shape, classes: int, hidden: int):
        super().__init__()
        self.encoder = torch.nn.Linear(math.prod(image_shape), hidden, bias=False)
        self.decoder = torch.nn.Linear(hidden, classes)

    def forward(self, images: torch.Tensor) -> Any:
        return self.decoder(torch.relu(self.encoder(images.flatten(1))))


class ConvolutionalTwin(torch.nn.Module):
    def __init__(self, image_shape: Shape, classes: int, widths: tuple[int, int], last: int):
        super().__init__()
        before = (image_shape[2], widths[0])
        self.convolutions = torch.nn.ModuleList(
            torch.nn.Conv2d(*each, 3, stride=2, padding=1) for each in zip(before, widths, strict=True)
        )
        self.decoder = torch.nn.Linear(last, classes)

    def forward(self, images: torch.Tensor) -> Any:
        for convolution in self.convolutions:
            images = torch.relu(convolution(images))
        return self.decoder(images.flatten(1))


class ResidualTwin(torch.nn.Module):
    def __init__(self, image_shape: Shape, classes: int, width: int, blocks: int):
        super().__init__()
        self.stem = torch.nn.Conv2d(image_shape[2], width, 3, stride=2, padding=1)
        self.norms = torch.nn.ModuleList(torch.nn.BatchNorm2d(width) for _ in range(2 * blocks + 1))
        self.convolutions = torch.nn.ModuleList(torch.nn.Conv2d(width, width, 3, padding=1) for _ in range(2 * blocks))
        self.decoder = torch.nn.Linear(width, classes)

    def forward(self, images: torch.Tensor) -> Any:
        maps = self.stem(images)
        for first in range(0, len(self.convolutions), 2):
            inner = maps
            for layer in (first, first + 1):
                inner = self.convolutions[layer](torch.relu(self.norms[layer](inner)))
            maps = maps + inner
        return self.decoder(torch.relu(self.norms[-1](maps)).mean((2, 3)))


class Pair(NamedTuple):
    """A network and its copy in PyTorch; ``flat`` says of layers that see flattened maps what these were."""

    network: nnx.Module
    twin: torch.nn.Module
    image_shape: Shape
    flat: dict[str, Shape]

    def channels_first(self, images: np.ndarray) -> torch.Tensor:
        """Flattened images as PyTorch takes them."""
        return tensor(np.moveaxis(images.reshape(-1, *self.image_shape), 3, 1), choose_device()).contiguous()

    def flattened(self, images: torch.Tensor) -> np.ndarray:
        """And back."""
        return np.moveaxis(images.cpu().numpy(), 1, 3).reshape(len(images), -1)

    def our_logits(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(_logits(logits_function(self.network), images))

    def their_logits(self, images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return np.asarray(self.twin(self.channels_first(images)).cpu())

    def copied(self) -> "Pair":
        """With today's weights in the copy, which is in evaluation mode."""
        weights = {}
        for (*path, name), variable in nnx.to_flat_state(nnx.state(self.network)):
            layer, array = ".".join(map(str, path)), np.asarray(variable.get_value())
            if name == "kernel" and layer in self.flat:
                array = np.moveaxis(array.reshape(*self.flat[layer], -1), 2, 0).reshape(array.shape)
            if name == "kernel":
                array = np.moveaxis(array, (-1, -2), (0, 1))
            weights[f"{layer}.{_NAMES[str(name)]}"] = tensor(array, choose_device())
        wanted = {name for name in self.twin.state_dict() if "num_batches" not in name}
        if weights.keys() != wanted:
            raise ValueError(f"the copy in PyTorch has other layers: {sorted(wanted ^ weights.keys())}")
        self.twin.load_state_dict(weights, strict=False)
        self.twin.requires_grad_(False).eval().to(choose_device())
        return self


_NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def dense(image_shape: Shape, classes: int, rngs: nnx.Rngs, hidden: int = 500) -> Pair:
    """The library's network of one hidden layer."""
    network = Network(math.prod(image_shape), hidden, classes, rngs=rngs)
    return Pair(network, DenseTwin(image_shape, classes, hidden), image_shape, {"encoder": image_shape})


def convolutional(image_shape: Shape, classes: int, rngs: nnx.Rngs, widths: tuple[int, int] = (16, 32)) -> Pair:
    """Two convolutions and a dense layer."""
    network = Convolutional(image_shape, classes, widths, rngs)
    twin = ConvolutionalTwin(image_shape, classes, widths, math.prod(network.last_shape))
    return Pair(network, twin, image_shape, {"decoder": network.last_shape})


def residual(image_shape: Shape, classes: int, rngs: nnx.Rngs, width: int = 8, blocks: int = 2) -> Pair:
    """Five convolutions with shortcuts."""
    twin = ResidualTwin(image_shape, classes, width, blocks)
    return Pair(Residual(image_shape, classes, width, blocks, rngs), twin, image_shape, {})


ARCHITECTURES: dict[str, Callable[..., Pair]] = {"dense": dense, "convolutional": convolutional, "residual": residual}


def train(network: nnx.Module, images: np.ndarray, labels: np.ndarray, epsilon: float, epochs: int) -> None:
    """Fast adversarial training in L-infinity, so that something is left to attack; the network is changed in place."""
    network.train()
    graph, weights, *rest = nnx.split(network, nnx.Param, ...)
    optimizer = optax.adam(optax.cosine_decay_schedule(LEARNING_RATE, epochs * (len(images) // BATCH)))

    def loss(weights: Any, rest: Any, images: jax.Array, labels: jax.Array) -> tuple[jax.Array, Any]:
        merged = nnx.merge(graph, weights, *rest, copy=True)
        losses = jax.nn.softplus(log_odds_against(merged(images), labels))
        return jnp.mean(losses), [nnx.state(merged, nnx.Not(nnx.Param))]

    @jax.jit
    def step(state: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> Any:
        weights, rest, moments = state
        start = images + jax.random.uniform(key, images.shape, images.dtype, -epsilon, epsilon)
        slope = jax.grad(loss, argnums=2, has_aux=True)(weights, rest, start, labels)[0]
        moved = jnp.clip(start + STEP * epsilon * jnp.sign(slope), images - epsilon, images + epsilon)
        gradient, rest = jax.grad(loss, has_aux=True)(weights, rest, jnp.clip(moved, 0, 1), labels)
        updates, moments = optimizer.update(gradient, moments)
        return optax.apply_updates(weights, updates), rest, moments

    state, random, number = (weights, rest, optimizer.init(weights)), np.random.default_rng(0), 0
    for _ in range(epochs):
        for batch in random.permutation(len(images))[: len(images) // BATCH * BATCH].reshape(-1, BATCH):
            state = step(state, images[batch], labels[batch], jax.random.fold_in(jax.random.key(0), number))
            number += 1
    nnx.update(network, state[0], *state[1])
    network.eval()


@jax.jit
def _logits(function: Any, images: jax.Array) -> jax.Array:
    return function(images)
