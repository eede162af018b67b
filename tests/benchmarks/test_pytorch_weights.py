"""Weights that PyTorch wrote: our networks give PyTorch's own logits."""
# ruff: noqa: E402

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file

from torch_threads import one_torch_thread

from jax_bioadv.models import Network, logits_function
from jax_bioadv.weights import load_weights

SHAPE = (8, 6, 3)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    torch.manual_seed(0)
    with one_torch_thread():
        yield


class TorchBlock(torch.nn.Module):
    """Residual, with a shortcut where sizes change."""

    def __init__(self, given, features, stride):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(given, features, 3, stride, 1, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(features)
        self.conv2 = torch.nn.Conv2d(features, features, 3, 1, 1, bias=False)
        self.bn2 = torch.nn.BatchNorm2d(features)
        self.downsample = torch.nn.Sequential()
        if given != features:
            self.downsample = torch.nn.Sequential(
                torch.nn.Conv2d(given, features, 1, stride, bias=False), torch.nn.BatchNorm2d(features)
            )

    def forward(self, maps):
        inner = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(maps)))))
        return torch.relu(inner + self.downsample(maps))


class Block(nnx.Module):
    def __init__(self, given, features, stride, rngs):
        def convolution(given, window, stride):
            padding = window // 2  # what PyTorch pads; SAME pads elsewhere where a stride is even
            return nnx.Conv(
                given, features, (window, window), stride, padding=((padding, padding),) * 2, use_bias=False, rngs=rngs
            )

        self.conv1, self.bn1 = convolution(given, 3, stride), nnx.BatchNorm(features, rngs=rngs)
        self.conv2, self.bn2 = convolution(features, 3, 1), nnx.BatchNorm(features, rngs=rngs)
        short = given != features
        self.shortcut = nnx.List([convolution(given, 1, stride), nnx.BatchNorm(features, rngs=rngs)] if short else [])

    def __call__(self, maps):
        inner = self.bn2(self.conv2(nnx.relu(self.bn1(self.conv1(maps)))))
        for part in self.shortcut:
            maps = part(maps)
        return nnx.relu(inner + maps)


class Residual(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.stem = nnx.Conv(3, 4, (3, 3), rngs=rngs)
        self.stages = nnx.List([Block(4, 4, 1, rngs), Block(4, 6, 2, rngs)])
        self.fc = nnx.Linear(6, 5, rngs=rngs)

    def __call__(self, images):
        maps = self.stem(images.reshape(-1, *SHAPE))
        for stage in self.stages:
            maps = stage(maps)
        return self.fc(maps.mean((1, 2)))


class TorchResidual(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.layer1, self.layer2 = TorchBlock(4, 4, 1), TorchBlock(4, 6, 2)
        self.fc = torch.nn.Linear(6, 5)

    def forward(self, images):
        return self.fc(self.layer2(self.layer1(self.stem(images))).mean((2, 3)))


def torch_plain():
    """As most are written: convolutions, pooling, a flattened map with a norm of its own, dense layers."""
    return torch.nn.Sequential(
        *(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.GroupNorm(2, 4), torch.nn.ReLU(), torch.nn.MaxPool2d(2)),
        *(torch.nn.Flatten(), torch.nn.BatchNorm1d(48), torch.nn.Dropout(), torch.nn.Linear(48, 7), torch.nn.ReLU()),
        torch.nn.Linear(7, 5),
    )


def plain():
    rngs = nnx.Rngs(0)
    return nnx.Sequential(
        lambda images: images.reshape(-1, *SHAPE),
        *(nnx.Conv(3, 4, (3, 3), rngs=rngs), nnx.GroupNorm(4, 2, epsilon=1e-5, rngs=rngs), nnx.relu),
        *(lambda maps: nnx.max_pool(maps, (2, 2), (2, 2)), lambda maps: maps.reshape(len(maps), -1)),
        *(nnx.BatchNorm(48, rngs=rngs), nnx.Dropout(0.5, rngs=rngs), nnx.Linear(48, 7, rngs=rngs), nnx.relu),
        nnx.Linear(7, 5, rngs=rngs),
    )


def torch_dense():
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(144, 6, bias=False), torch.nn.ReLU(), torch.nn.Linear(6, 5)
    )


PAIRS = {
    "residual": (
        TorchResidual,
        Residual,
        {"stages.0": "layer1", "stages.1": "layer2", "stages.1.shortcut": "layer2.downsample"},
    ),
    "plain": (torch_plain, plain, {}),
    "one hidden layer": (torch_dense, lambda: Network(144, 6, 5, rngs=nnx.Rngs(0)), {}),
}


@pytest.mark.parametrize("name", PAIRS)
def test_logits(name, tmp_path):
    theirs, ours, names = PAIRS[name]
    model = theirs()
    images = torch.rand(6, SHAPE[2], *SHAPE[:2])
    for _ in range(3):
        model(images)  # running statistics that are not those of the beginning
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # nor scales of 1
    model.eval()
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    loaded = load_weights(ours(), tmp_path / "model.safetensors", SHAPE, names=names)
    with torch.no_grad():
        expected = model(images).numpy()
    with jax.default_matmul_precision("highest"):
        found = logits_function(loaded)(jnp.asarray(images.permute(0, 2, 3, 1).numpy()).reshape(6, -1))
    # float32 on both sides
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
