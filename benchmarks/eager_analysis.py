"""Spectrum and Jacobian landscape in PyTorch, from the equations."""

from typing import Any

import torch
from torch.utils.data import DataLoader

from benchmarks.eager_network import EagerNetwork


def covariance_spectrum(network: EagerNetwork, batches: DataLoader[Any]) -> torch.Tensor:
    """Eigenvalues of the pre-activation's covariance, largest first: about the true mean, in float64."""
    with torch.no_grad():
        hidden = torch.cat([images @ network.kernel for images, _ in batches]).double()
        centred = hidden - hidden.mean(dim=0)
        return torch.linalg.eigvalsh(centred.T @ centred / (len(hidden) - 1)).flip(0)


def plane(image: torch.Tensor, directions: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
    """The points image + u·d_0 + v·d_1, row by row of v."""
    up, right = torch.meshgrid(coordinates, coordinates, indexing="ij")
    return image + right.reshape(-1, 1) * directions[0] + up.reshape(-1, 1) * directions[1]


def squared_jacobian_rows(network: EagerNetwork, points: torch.Tensor, units: range) -> torch.Tensor:
    """``Σ_μ ‖∂a_μ/∂x‖²`` over some hidden units, by automatic differentiation for every row, all points at once."""
    points = points.detach().requires_grad_()
    activation = network.activation(points @ network.kernel)
    total = torch.zeros(len(points), device=points.device)
    for unit in units:
        selected = torch.zeros_like(activation)
        selected[:, unit] = 1.0
        (row,) = torch.autograd.grad(activation, points, selected, retain_graph=True)
        total += row.pow(2).sum(dim=1)
    return total


def lean_squared_jacobian(network: EagerNetwork, points: torch.Tensor) -> torch.Tensor:
    """The same over all units, in closed form: ``Σ_μ (n·ReLU(h_μ)^(n-1))² ‖V_μ‖²``."""
    with torch.no_grad():
        preactivation = points @ network.kernel
        if network.power == 1:
            slope = (preactivation > 0).to(points.dtype)
        else:
            slope = network.power * torch.relu(preactivation).pow(network.power - 1)
        return slope.pow(2) @ network.kernel.pow(2).sum(dim=0)
