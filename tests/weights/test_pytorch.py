"""PyTorch's weights in networks of ours, against PyTorch's operations written out in NumPy, and what is refused."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.models import logits_function
from jax_bioadv.weights import with_state_dict

SHAPE = (4, 6, 3)
GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.random((2, 3, 4, 6)).astype(np.float32)  # as PyTorch has them


def normal(*shape):
    return GENERATOR.normal(size=shape).astype(np.float32)


# A convolution in two groups, its batch norm, pooling, another convolution, a dense layer with a norm, and a head.
TENSORS = {
    "stem.0.weight": normal(4, 3, 3, 3),
    "stem.0.bias": normal(4),
    "stem.1.weight": normal(4),
    "stem.1.bias": normal(4),
    "stem.1.running_mean": normal(4),
    "stem.1.running_var": GENERATOR.random(4).astype(np.float32) + 0.5,
    "stem.1.num_batches_tracked": np.array(7),
    "grouped.weight": normal(6, 2, 1, 1),
    "grouped.bias": normal(6),
    "dense.weight": normal(5, 2 * 3 * 6),
    "dense.bias": normal(5),
    "norm.weight": normal(5),
    "norm.bias": normal(5),
    "head.weight": normal(2, 5),
    "head.bias": normal(2),
    "gain": normal(1),
}


def convolved(maps, kernel, bias, groups=1):
    """A cross-correlation that keeps the size, entry by entry."""
    out, _, height, width = kernel.shape
    padded = np.pad(maps, ((0, 0), (0, 0), (height // 2,) * 2, (width // 2,) * 2))
    found = np.zeros((len(maps), out, *maps.shape[2:]))
    for channel in range(out):
        own = np.split(padded, groups, axis=1)[channel * groups // out]
        for row, column in np.ndindex(maps.shape[2:]):
            window = own[:, :, row : row + height, column : column + width]
            found[:, channel, row, column] = (window * kernel[channel]).sum((1, 2, 3)) + bias[channel]
    return found


def logits_in_numpy(images, tensors):
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    maps = convolved(images, t["stem.0.weight"], t["stem.0.bias"])
    mean, var = (t[f"stem.1.running_{name}"][:, None, None] for name in ("mean", "var"))
    maps = (maps - mean) / np.sqrt(var + 1e-5) * t["stem.1.weight"][:, None, None] + t["stem.1.bias"][:, None, None]
    maps = np.maximum(maps, 0).reshape(len(maps), 4, 2, 2, 3, 2).max((3, 5))
    maps = convolved(maps, t["grouped.weight"], t["grouped.bias"], groups=2)
    features = maps.reshape(len(maps), -1) @ t["dense.weight"].T + t["dense.bias"]
    centred = features - features.mean(1, keepdims=True)
    normed = centred / np.sqrt((centred**2).mean(1, keepdims=True) + 1e-5) * t["norm.weight"] + t["norm.bias"]
    return t["gain"] * (normed @ t["head.weight"].T + t["head.bias"])


class Net(nnx.Module):
    """The same network here, whose modules have PyTorch's names; ``Other`` has names of its own."""

    def __init__(self, classes=2, epsilon=1e-5):
        rngs = nnx.Rngs(0)
        self.stem = nnx.Sequential(nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, epsilon=epsilon, rngs=rngs))
        self.grouped = nnx.Conv(4, 6, (1, 1), feature_group_count=2, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.dense, self.norm = nnx.Linear(36, 5, rngs=rngs), nnx.LayerNorm(5, epsilon=1e-5, rngs=rngs)
        self.head = nnx.Linear(5, classes, rngs=rngs)
        self.gain = nnx.Param(jnp.ones(1))

    def __call__(self, images):
        maps = nnx.max_pool(nnx.relu(self.stem(images.reshape(-1, *SHAPE))), (2, 2), (2, 2))
        features = self.dropout(self.grouped(maps).reshape(len(images), -1))
        return self.gain * self.head(self.norm(self.dense(features)))


class Other(Net):
    def __init__(self):
        super().__init__()
        self.first, self.between, self.last = self.stem, self.dense, self.head
        del self.stem, self.dense, self.head

    def __call__(self, images):
        maps = nnx.max_pool(nnx.relu(self.first(images.reshape(-1, *SHAPE))), (2, 2), (2, 2))
        features = self.grouped(maps).transpose(0, 3, 1, 2).reshape(len(images), -1)  # as PyTorch flattens
        return self.gain * self.last(self.norm(self.between(features)))


@pytest.mark.parametrize("network", [Net, Other])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.module."])
def test_logits_are_those_of_pytorch(network, wrapper):
    given = network()
    loaded = with_state_dict(given, {f"{wrapper}{name}": one for name, one in TENSORS.items()}, SHAPE)
    ours = logits_function(loaded)(jnp.asarray(IMAGES.transpose(0, 2, 3, 1).reshape(2, -1)))
    # float32 in sums of some hundred terms of size 1
    np.testing.assert_allclose(ours, logits_in_numpy(IMAGES, TENSORS), rtol=1e-4, atol=1e-4)
    assert given.gain[0] == 1  # left as it was


def test_half_precision_is_taken_if_asked_for_and_computed_in_single():
    half = {name: one.astype(jnp.bfloat16) if one.ndim else one for name, one in TENSORS.items()}
    loaded = with_state_dict(Net(), half, SHAPE, half_precision=True)
    assert loaded.dense.kernel[...].dtype == jnp.float32
    np.testing.assert_array_equal(loaded.head.kernel[...], half["head.weight"].astype(np.float32).T)


class Halved(nnx.Module):
    def __init__(self, size=3, padding="SAME", strides=2):
        self.stem = nnx.Conv(3, 4, (size, size), strides=strides, padding=padding, rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.stem(images.reshape(-1, *SHAPE)).mean((1, 2))


@pytest.mark.parametrize("settings", [(3, 1, 2), (3, "SAME", 1), (1, "SAME", (2, 2))])
def test_strides_skip_what_they_skip_in_pytorch(settings):
    size, _, strides = settings
    tensors = {"stem.weight": normal(4, 3, size, size), "stem.bias": normal(4)}
    step = np.max(strides)
    loaded = with_state_dict(Halved(*settings), tensors, SHAPE)
    ours = logits_function(loaded)(jnp.asarray(IMAGES.transpose(0, 2, 3, 1).reshape(2, -1)))
    theirs = convolved(IMAGES, tensors["stem.weight"], tensors["stem.bias"])[:, :, ::step, ::step].mean((2, 3))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


class Scrambled(Net):
    def __call__(self, images):
        maps = nnx.max_pool(nnx.relu(self.stem(images.reshape(-1, *SHAPE))), (2, 2), (2, 2))
        return self.head(self.norm(self.dense(self.grouped(maps).reshape(len(images), -1)[:, ::-1])))


def test_an_order_that_is_given_is_taken_and_is_the_one_that_is_found():
    def kernel(network, **flattened):
        return with_state_dict(network, TENSORS, SHAPE, flattened=flattened).dense.kernel[...]

    found = kernel(Net())
    for network in (Net(), Scrambled()):  # of which the latter's cannot be found
        np.testing.assert_array_equal(kernel(network, dense=(2, 3, 6)), found)
    assert (kernel(Net(), dense=(2, 6, 3)) != found).any()


class OnFeatures(nnx.Module):
    """What stands between flattened images and a dense layer."""

    def __init__(self, between):
        self.between, self.fc = between, nnx.Linear(72, 2, rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.fc(self.between(images))


class Gain(nnx.Module):
    def __init__(self, shape):
        self.gain = nnx.Param(jnp.ones(shape))

    def __call__(self, images):
        return (images.reshape(-1, *self.gain.shape) * self.gain).reshape(len(images), -1)


def test_a_vector_of_ones_own_is_put_in_the_order_of_the_features_that_it_meets():
    tensors = {"between.gain": normal(72), "fc.weight": normal(2, 72), "fc.bias": normal(2)}
    network = with_state_dict(OnFeatures(Gain((72,))), tensors, SHAPE)
    theirs = IMAGES.reshape(2, -1) * tensors["between.gain"] @ tensors["fc.weight"].T + tensors["fc.bias"]
    np.testing.assert_allclose(network(IMAGES.transpose(0, 2, 3, 1).reshape(2, -1)), theirs, rtol=1e-4, atol=1e-4)


def group_norm(groups):
    return nnx.GroupNorm(72, num_groups=groups, epsilon=1e-5, rngs=nnx.Rngs(0))


NORM = {"between.weight": normal(72), "between.bias": normal(72), "fc.weight": normal(2, 72), "fc.bias": normal(2)}


def test_one_group_of_flattened_features_is_theirs_in_any_order():
    network = with_state_dict(OnFeatures(group_norm(1)), NORM, SHAPE)
    flat = IMAGES.reshape(2, -1)
    normed = (flat - flat.mean(1, keepdims=True)) / np.sqrt(flat.var(1, keepdims=True) + 1e-5)
    theirs = (normed * NORM["between.weight"] + NORM["between.bias"]) @ NORM["fc.weight"].T + NORM["fc.bias"]
    np.testing.assert_allclose(network(IMAGES.transpose(0, 2, 3, 1).reshape(2, -1)), theirs, rtol=1e-3, atol=1e-3)


class Cube(nnx.Module):
    """A parameter whose sides do not tell which of them are the channels."""

    def __init__(self):
        self.place, self.fc = nnx.Param(jnp.ones((3, 3, 3))), nnx.Linear(27, 2, rngs=nnx.Rngs(0))

    def __call__(self, images):
        return self.fc((images.reshape(-1, 3, 3, 3) * self.place).reshape(len(images), -1))


CUBE = {"place": normal(3, 3, 3), "fc.weight": normal(2, 27), "fc.bias": normal(2)}


@pytest.mark.parametrize(
    ("network", "tensors", "shape", "message"),
    [
        (lambda: OnFeatures(group_norm(4)), NORM, SHAPE, "'between' has 4 groups of a flattened map"),
        (Cube, CUBE, (3, 3, 3), "in which order PyTorch has the numbers of place"),
    ],
)
def test_what_no_order_of_numbers_makes_theirs_is_refused(network, tensors, shape, message):
    with pytest.raises(ValueError, match=message):
        with_state_dict(network(), tensors, shape)


class ChannelsFirst(Net):
    """It takes the pixels of flattened images for what they are not."""

    def __call__(self, images):
        return super().__call__(images.reshape(-1, 3, 4, 6).transpose(0, 2, 3, 1).reshape(len(images), -1))


def without(*names):
    return {name: one for name, one in TENSORS.items() if name not in names}


BAD = {
    "missing": (Net, without("head.weight", "head.bias"), {}, r"lacks, head \(.*weight \(2, 5\).*names="),
    "superfluous": (Net, {**TENSORS, "extra.weight": normal(7, 7)}, {}, r"the network does not, extra \(weight \(7, 7"),
    "another shape": (lambda: Net(classes=3), TENSORS, {}, r"'head': bias must have shape \(3,\).*\(2,\)"),
    "no bias": (Net, without("grouped.bias"), {}, "'grouped' needs bias, weight and 'grouped' in the file has weight"),
    "NaN": (Net, {**TENSORS, "gain": np.full(1, np.nan, np.float32)}, {}, "gain holds NaN or infinite"),
    "half": (Net, {**TENSORS, "gain": np.ones(1, np.float16)}, {}, "gain has float16 numbers.*half_precision"),
    "quantized": (Net, {**TENSORS, "gain": np.ones(1, np.int8)}, {}, "gain has int8 numbers.*unquantized"),
    "epsilon": (lambda: Net(epsilon=1e-3), TENSORS, {}, "'stem.layers.1' has epsilon 0.001 and in the file"),
    "another padding": (Halved, {"stem.weight": normal(4, 3, 3, 3)}, {}, "'stem' has padding='SAME' and.*padding=1"),
    "unknown order": (Scrambled, TENSORS, {}, r"order features reach 'dense'.*flattened=\{'dense'"),
    "unknown map": (ChannelsFirst, TENSORS, {}, "how the map that 'stem.layers.0' reads is ordered"),
    "no such module": (Net, TENSORS, {"names": {"stern": "stem"}}, "no module 'stern'; it has .*'stem.layers.0'"),
    "no such name": (Net, TENSORS, {"names": {"stem": "stern"}}, r"'stern\.0' for 'stem\.layers\.0' is not in"),
    "no such layer": (Net, TENSORS, {"flattened": {"dens": (2, 3, 6)}}, "flattened: the network has no module 'dens'"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused_with_what_to_do(name):
    network, tensors, options, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        with_state_dict(network(), tensors, SHAPE, **options)
