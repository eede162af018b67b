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


def lean_covariance_spectrum(kernel: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """The same without batches, and without a copy of the features for their centring."""
    hidden = (images @ kernel).double()
    hidden -= hidden.mean(dim=0)
    return torch.linalg.eigvalsh(hidden.T @ hidden / (len(hidden) - 1)).flip(0)


def on_a_plane(
    network: EagerNetwork, image: torch.Tensor, directions: torch.Tensor, coordinates: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Our landscape: the pre-activation is affine on the plane, so that no point of it is formed.

    Returns:
        Norm of the activation's Jacobian, class and confidence at the points of :func:`plane`.
    """
    origin, right, up = torch.cat([image[None], directions]) @ network.kernel
    across = coordinates[:, None] * right + origin
    preactivation = (coordinates[:, None, None] * up + across).reshape(-1, len(origin))
    norms = (_slope(network, preactivation).pow(2) @ network.kernel.pow(2).sum(dim=0)).sqrt()
    confidence, predicted = network.decoder(network.activation(preactivation)).softmax(dim=1).max(dim=1)
    return norms, predicted, confidence


def _slope(network: EagerNetwork, preactivation: torch.Tensor) -> torch.Tensor:
    """``n·ReLU(h)^(n-1)``."""
    if network.power == 1:
        return (preactivation > 0).to(preactivation.dtype)
    return network.power * torch.relu(preactivation).pow(network.power - 1)


def lean_squared_jacobian(network: EagerNetwork, points: torch.Tensor) -> torch.Tensor:
    """The same over all units, in closed form: ``Σ_μ (n·ReLU(h_μ)^(n-1))² ‖V_μ‖²``."""
    with torch.no_grad():
        return _slope(network, points @ network.kernel).pow(2) @ network.kernel.pow(2).sum(dim=0)
