"""The order in which features reach parameters, against orders that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.weights.feature_order import feature_orders

SHAPE = HEIGHT, WIDTH, CHANNELS = 4, 2, 3
FEATURES = HEIGHT * WIDTH * CHANNELS
# Channels last, and the place of each in a map with channels first.
FLATTENED = np.arange(FEATURES).reshape(CHANNELS, HEIGHT, WIDTH).transpose(1, 2, 0).reshape(-1)


class Net(nnx.Module):
    def __init__(self, forward, features=FEATURES):
        rngs = nnx.Rngs(0)
        self.convolution = nnx.Conv(CHANNELS, CHANNELS, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(features, rngs=rngs)
        self.group, self.token = nnx.GroupNorm(CHANNELS, 1, rngs=rngs), nnx.Linear(CHANNELS, CHANNELS, rngs=rngs)
        self.dense, self.head = nnx.Linear(features, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)
        self.forward = nnx.static(forward)

    def __call__(self, images):
        return self.head(nnx.relu(self.dense(self.forward(self, images.reshape(-1, *SHAPE)))))


def flat(images):
    return images.reshape(len(images), -1)


def squeezed(net, images):
    """As in a squeeze-and-excitation block: every channel is scaled by something of the whole map."""
    return flat(images * jax.nn.sigmoid(images.mean((1, 2), keepdims=True)))


ORDERS = {
    "of the images": (lambda net, x: flat(x), FLATTENED),
    "of a map": (lambda net, x: flat(nnx.relu(net.convolution(x))), FLATTENED),
    "of a map with a shortcut": (lambda net, x: flat(net.convolution(x) + x), FLATTENED),
    "of a map in groups": (lambda net, x: flat(net.group(net.convolution(x))), FLATTENED),
    "of a rescaled map": (squeezed, FLATTENED),
    "as PyTorch flattens": (lambda net, x: flat(net.convolution(x).transpose(0, 3, 1, 2)), np.arange(FEATURES)),
    "columns first": (
        lambda net, x: flat(x.transpose(0, 2, 1, 3)),
        FLATTENED.reshape(SHAPE).transpose(1, 0, 2).reshape(-1),
    ),
    "of two maps side by side": (
        lambda net, x: flat(jnp.concatenate([net.convolution(x), x], -1)[..., :CHANNELS]),
        FLATTENED,
    ),
    "of a part of what was flattened": (lambda net, x: flat(x)[:, ::-1], None),
    "of the sum of two orders": (lambda net, x: flat(x) + flat(x.transpose(0, 3, 1, 2)), None),
}


@pytest.mark.parametrize("name", ORDERS)
def test_of_a_dense_layer(name):
    forward, expected = ORDERS[name]
    found = feature_orders(Net(forward), SHAPE)
    np.testing.assert_equal(found["dense", "kernel"], expected)
    np.testing.assert_equal(found["head", "kernel"], np.arange(4))  # what a layer makes is in its own order


def test_of_a_norm_behind_a_flattened_map():
    found = feature_orders(Net(lambda net, x: net.norm(flat(x))), SHAPE)
    for own in ("mean", "var", "scale", "bias"):
        np.testing.assert_array_equal(found["norm", own], FLATTENED)


def test_a_norm_of_maps_meets_no_flattened_features():
    found = feature_orders(Net(lambda net, x: flat(net.group(net.convolution(x)))), SHAPE)
    assert all(np.array_equal(order, np.arange(CHANNELS)) for path, order in found.items() if "group" in path)


def test_a_pooled_map_has_one_feature_a_channel():
    found = feature_orders(Net(lambda net, x: net.convolution(x).mean((1, 2)), CHANNELS), SHAPE)
    np.testing.assert_array_equal(found["dense", "kernel"], np.arange(CHANNELS))


def test_a_window_keeps_the_order_of_a_map():
    pooled = feature_orders(Net(lambda net, x: flat(nnx.max_pool(x, (2, 2), (2, 2))), FEATURES // 4), SHAPE)
    np.testing.assert_array_equal(pooled["dense", "kernel"], np.arange(6).reshape(3, 2).T.reshape(-1))


@pytest.mark.parametrize("reduced", [lambda x: x.mean(-1), lambda x: x.max(-1), lambda x: x.sum(-1, keepdims=True)])
def test_without_its_channels_a_map_is_in_one_order(reduced):
    found = feature_orders(Net(lambda net, x: flat(reduced(net.convolution(x))), HEIGHT * WIDTH), SHAPE)
    np.testing.assert_array_equal(found["dense", "kernel"], np.arange(HEIGHT * WIDTH))


def test_a_map_of_means_over_channels_is_a_map():
    """As in spatial attention."""
    net = Net(lambda net, x: flat(net.convolution(jnp.broadcast_to(x.mean(-1, keepdims=True), x.shape))))
    assert ("convolution", "kernel") not in feature_orders(net, SHAPE), "it meets whole maps alone"


@pytest.mark.parametrize(
    "joined", [lambda made, x: made, lambda made, x: nnx.relu(made) + x, lambda made, x: x @ jnp.ones((CHANNELS,) * 2)]
)
def test_how_tokens_are_flattened_is_not_guessed(joined):
    """A dense layer at each place has its features last in PyTorch too: flattened at once, they are as here."""

    def tokens(net, x):
        there = x.reshape(1, -1, CHANNELS)
        return joined(net.token(there), there)

    assert feature_orders(Net(lambda net, x: flat(tokens(net, x))), SHAPE)["dense", "kernel"] is None
    pooled = feature_orders(Net(lambda net, x: tokens(net, x).mean(1), CHANNELS), SHAPE)
    np.testing.assert_array_equal(pooled["dense", "kernel"], np.arange(CHANNELS))


def test_a_convolution_of_what_is_no_map_is_told():
    mixed = Net(lambda net, x: flat(net.convolution(flat(x)[:, ::-1].reshape(x.shape))))
    assert feature_orders(mixed, SHAPE)["convolution", "kernel"] is None


def test_weights_that_a_loop_carries_are_not_followed():
    def looped(net, images):
        def step(carried, _):
            return flat(images) @ net.dense.kernel[...] + carried, None

        return jnp.pad(jax.lax.scan(step, jnp.zeros((len(images), 4)), None, 2)[0], ((0, 0), (0, FEATURES - 4)))

    found = feature_orders(Net(lambda net, x: looped(net, x)), SHAPE)
    assert found.get(("dense", "kernel")) is None
