"""A linear readout trained by Optax on features that stay as they are, computed once.

Journé et al. (ICLR 2023) train for 50 epochs with dropout, batches of 64 and :func:`halving_adam`; Coates, Ng & Lee
(AISTATS 2011) bring features to mean 0 and variance 1 first, ``standardise``, and penalise the weights::

    optimizer = halving_adam(1e-3, epochs=50, steps_per_epoch=len(labels) // 64)
    network, history = train_readout(network, features(network, images), labels, key, optimizer, epochs=50)
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.learning.regularizers import Regularizer, TrainingData
from jax_bioadv.learning.schedules import stepwise_adam
from jax_bioadv.learning.supervised import init, make_epoch, trained_model
from jax_bioadv.learning.training import train
from jax_bioadv.readout import Readout

HALVINGS = (0.2, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9)
"""After which shares of its epochs the published readout halves its learning rate."""


def halving_adam(rate: float, epochs: int, steps_per_epoch: int) -> optax.GradientTransformation:
    """Adam at a rate that is halved after each of the published shares of the epochs; 1e-3 is published."""
    ends = [math.floor(epochs * share + 1e-9) for share in HALVINGS]
    boundaries = sorted(set(ends) - {0})  # of few epochs several may fall on one
    rates = [rate, *(rate * 0.5 ** sum(end <= boundary for end in ends) for boundary in boundaries)]
    return stepwise_adam(rates, boundaries, steps_per_epoch)


class Standardised(nnx.Module):
    """A readout of features that are brought to mean 0 and variance 1 first; those that never vary to 0.

    Args:
        readout: to train.
        mean: of each feature.
        deviation: its standard deviation.
    """

    def __init__(self, readout: Readout, mean: Float[Array, " features"], deviation: Float[Array, " features"]):
        self.readout = readout
        self.mean, self.scale = nnx.Variable(mean), nnx.Variable(jnp.where(deviation > 0, 1 / deviation, 0.0))

    def preactivation(self, features: Float[Array, "batch features"]) -> Float[Array, "batch features"]:
        """Standardised features."""
        return (self.readout.preactivation(features) - self.mean[...]) * self.scale[...]

    def decode(self, features: Float[Array, "batch features"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits of standardised features."""
        return self.readout.decode(features, train)

    def folded(self) -> Readout:
        """A readout that does to features as they are what this one does, outside of training."""
        readout: Any = nnx.clone(self.readout)
        kernel = self.scale[...][:, None] * readout.linear.kernel[...]
        shift = jnp.matmul(self.mean[...], kernel, precision="highest")
        readout.linear.kernel[...], readout.linear.bias[...] = kernel, readout.linear.bias[...] - shift
        return readout


def mean_and_deviation(
    features: Float[np.ndarray, "samples features"],
) -> tuple[Float[Array, " features"], Float[Array, " features"]]:
    """Mean and standard deviation of each feature, in float64, block by block; 0 where it is rounding of the mean."""
    total, squares = np.zeros((2, features.shape[1]))
    for start in range(0, len(features), 1000):
        block = features[start : start + 1000].astype(np.float64)
        total += block.sum(axis=0)
        squares += np.square(block).sum(axis=0)
    mean = total / len(features)
    variance = squares / len(features) - mean**2
    variance[variance < 1e-12 * mean**2] = 0.0
    return jnp.asarray(mean, jnp.float32), jnp.asarray(np.sqrt(variance), jnp.float32)


def train_readout(
    network: ConvolutionalNetwork,
    features: Float[Array | np.ndarray, "samples features"],
    labels: Int[Array | np.ndarray, " samples"],
    key: Key[Array, ""],
    optimizer: optax.GradientTransformation,
    *,
    epochs: int,
    batch_size: int = 64,
    regularizer: Regularizer | None = None,
    standardise: bool = False,
    **options: Any,
) -> tuple[ConvolutionalNetwork, dict[str, np.ndarray]]:
    """Train the readout of a network whose stages stay as they are.

    Args:
        network: whose readout to start from.
        features: from :func:`jax_bioadv.learning.stacks.features`.
        labels: of the same images.
        key: decides the order of the images and what is random in penalties; dropout has a stream of its own in the
            network.
        optimizer: from Optax.
        epochs: how many.
        batch_size: images per step, 64 as published.
        regularizer: added to the cross-entropy, such as weight decay.
        standardise: whether the readout learns from features of mean 0 and variance 1; the result takes them as they
            are.
        **options: of :func:`jax_bioadv.learning.training.train`: checkpoints, progress.

    Returns:
        A copy of the network with the trained readout, and the epochs' infos.

    Raises:
        ValueError: there are fewer images than a batch has, or labels that do not fit them or the network.
        DivergenceError: the loss left the range of useful numbers.
    """
    model: Any = network.readout
    if standardise:
        model = Standardised(model, *mean_and_deviation(np.asarray(features)))
    data = TrainingData(jax.device_put(features), jnp.asarray(labels))  # jnp.asarray would copy them
    graphdef, state = init(key, model, optimizer, regularizer, data)
    epoch = make_epoch(graphdef, optimizer, regularizer, batch_size=batch_size)
    state, history = train(lambda state, _: epoch(state, data), state, epochs, **options)
    trained = trained_model(graphdef, state)
    network = nnx.clone(network)
    network.readout = trained.folded() if standardise else trained
    return network, history
