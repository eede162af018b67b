"""The network in PyTorch, and how PyTorch is set up: device, precision, threads, loaders."""

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Sampler, TensorDataset


def choose_device() -> torch.device:
    """CUDA where JAX computes on a GPU and PyTorch has one too, else the CPU."""
    return torch.device("cuda" if jax.default_backend() == "gpu" and torch.cuda.is_available() else "cpu")


def configure(precision: str) -> None:
    """As many threads as JAX has processors, and the precision of matrix products (high and default: TF32 on a GPU).

    Compiled code is not kept on the disk, so that every run pays for compiling; JAX's is not either.

    Raises:
        ValueError: the two libraries would compute on different devices.
    """
    if jax.default_backend() == "gpu" and choose_device().type != "cuda":
        raise ValueError("JAX computes on a GPU, but this PyTorch has no CUDA; install one, or set JAX_PLATFORMS=cpu")
    os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.set_float32_matmul_precision("highest" if precision == "highest" else "high")


def tensor(array: Any, device: torch.device) -> torch.Tensor:
    """A copy of an array on the device."""
    return torch.tensor(np.asarray(array), device=device)


def finished(run: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """The call, which now returns when the device is done."""
    if device.type != "cuda":
        return run

    def waits() -> Any:
        result = run()
        torch.cuda.synchronize()
        return result

    return waits


class GivenOrder(Sampler[int]):
    """The order that the other side draws, so that both meet the same batches; set anew before every epoch."""

    def __init__(self, order: np.ndarray):
        self.order = order

    def __iter__(self) -> Iterator[int]:
        return iter(self.order.tolist())

    def __len__(self) -> int:
        return len(self.order)


def loader(
    images: torch.Tensor, labels: torch.Tensor, batch_size: int, order: np.ndarray | None = None
) -> DataLoader[Any]:
    """A DataLoader over images on the device, sample by sample, as the published one; without worker processes."""
    sampler = None if order is None else GivenOrder(order)
    return DataLoader(
        TensorDataset(images, labels), batch_size=batch_size, sampler=sampler, drop_last=order is not None
    )


def batches_by_index(
    images: torch.Tensor, labels: torch.Tensor, batch_size: int, order: np.ndarray
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The same batches, each taken in one go."""
    indices = torch.as_tensor(np.array(order), device=images.device).long()
    for start in range(0, len(order) - batch_size + 1, batch_size):
        chosen = indices[start : start + batch_size]
        yield images[chosen], labels[chosen]


class EagerNetwork(nn.Module):
    """``x -> V x -> ReLU^n -> (batch norm) -> dense``; gives logits and the hidden pre-activation."""

    def __init__(
        self, weights: Mapping[str, np.ndarray], device: torch.device, power: float = 1.0, batch_norm: bool = False
    ):
        super().__init__()
        hidden, classes = weights["decoder_kernel"].shape
        self.power = power
        self.kernel = nn.Parameter(tensor(weights["kernel"], device))
        self.norm = nn.BatchNorm1d(hidden, device=device) if batch_norm else None
        self.decoder = nn.Linear(hidden, classes, device=device)
        with torch.no_grad():
            self.decoder.weight.copy_(tensor(weights["decoder_kernel"].T, device))
            self.decoder.bias.copy_(tensor(weights["decoder_bias"], device))

    def activation(self, preactivation: torch.Tensor) -> torch.Tensor:
        """``ReLU(h)^n``."""
        rectified = torch.relu(preactivation)
        return rectified if self.power == 1 else rectified.pow(self.power)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        preactivation = images @ self.kernel
        activation = self.activation(preactivation)
        if self.norm is not None:
            activation = self.norm(activation)
        return self.decoder(activation), preactivation

    def weights(self) -> dict[str, np.ndarray]:
        """The weights on the host, in our layout."""
        arrays = {"kernel": self.kernel, "decoder_kernel": self.decoder.weight.T, "decoder_bias": self.decoder.bias}
        return {name: array.detach().cpu().numpy().copy() for name, array in arrays.items()}
