"""Training in PyTorch, from the equations: Krotov–Hopfield, cross-entropy, the published regularizers."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional

from benchmarks.eager_network import EagerNetwork

Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]
Penalty = Callable[[EagerNetwork, torch.Tensor, torch.Tensor], torch.Tensor]
"""Of the network, the images and their pre-activation."""

RADIUS, DELTA, NORM, RANK, SMALLEST_CHANGE = 1.0, 0.4, 3.0, 2, 1e-9


def krotov_hopfield_step(synapses: torch.Tensor, images: torch.Tensor, learning_rate: float) -> None:
    """``W += lr·ΔW / max|ΔW|`` in place; W has the published layout (inputs, hidden)."""
    overlaps = images @ (synapses * synapses.abs().pow(NORM - 2))
    ranks = overlaps.topk(RANK, dim=-1).indices
    rows = torch.arange(len(images), device=images.device)
    activation = torch.zeros_like(overlaps)
    activation[rows, ranks[:, 0]] = 1.0
    activation[rows, ranks[:, -1]] = -DELTA
    change = RADIUS**NORM * (images.T @ activation) - (activation * overlaps).sum(dim=0) * synapses
    largest = max(float(change.abs().max()), SMALLEST_CHANGE)
    synapses += learning_rate * change / largest


def lean_krotov_hopfield_step(synapses: torch.Tensor, images: torch.Tensor, learning_rate: float) -> torch.Tensor:
    """The same for p = 3, k = 2 and R = 1, pure, without a power and without waiting for the device."""
    overlaps = images @ (synapses * synapses.abs())
    values, ranks = overlaps.topk(2, dim=-1)
    signs = torch.tensor([1.0, -DELTA], device=images.device)
    activation = torch.zeros_like(overlaps).scatter_(1, ranks, signs.expand(len(images), 2))
    decay = torch.zeros_like(synapses[0]).index_add_(0, ranks.flatten(), (signs * values).flatten())
    change = images.T @ activation - decay * synapses
    return synapses + (learning_rate / change.abs().max().clamp(min=SMALLEST_CHANGE)) * change


def scattered_krotov_hopfield_step(synapses: torch.Tensor, images: torch.Tensor, learning_rate: float) -> torch.Tensor:
    """The lean step as ours on a CPU: W as (hidden, inputs), each image added to the two rows that it moves."""
    values, ranks = (images @ (synapses * synapses.abs()).T).topk(2, dim=-1)
    (won, pushed), (winner, loser) = values.T, ranks.T
    decay = torch.zeros_like(synapses[:, 0]).index_add_(0, winner, won).index_add_(0, loser, pushed, alpha=-DELTA)
    change = -decay[:, None] * synapses
    change.index_add_(0, winner, images).index_add_(0, loser, images, alpha=-DELTA)
    return synapses + (learning_rate / change.abs().max().clamp(min=SMALLEST_CHANGE)) * change


def weight_decay(weight: float) -> Penalty:
    """``weight · Σ θ²`` over every parameter."""

    def penalty(network: EagerNetwork, images: torch.Tensor, preactivation: torch.Tensor) -> torch.Tensor:
        return weight * sum((parameter.pow(2).sum() for parameter in network.parameters()), start=torch.zeros(()))

    return penalty


def projected_jacobian(
    weight: float, projections: int = 3, directions: Iterable[torch.Tensor] | None = None
) -> Penalty:
    """``weight · E_x ‖∂h/∂x‖²_F`` by random projections (Hoffman et al., arXiv 1908.02729), each of unit length.

    The images must require gradients. ``directions`` stands in for the random ones in tests.
    """

    def penalty(network: EagerNetwork, images: torch.Tensor, preactivation: torch.Tensor) -> torch.Tensor:
        batch, hidden = preactivation.shape
        given = iter(directions) if directions is not None else None
        total = torch.zeros((), device=images.device)
        for _ in range(projections):
            direction = torch.randn_like(preactivation) if given is None else next(given)
            direction = direction / direction.norm(dim=-1, keepdim=True)
            (row,) = torch.autograd.grad(preactivation, images, direction, create_graph=True)
            total = total + hidden * row.pow(2).sum() / (projections * batch)
        return weight * total

    return penalty


def exact_jacobian(weight: float) -> Penalty:
    """What :func:`projected_jacobian` estimates: the pre-activation's Jacobian is the weights, at every image."""

    def penalty(network: EagerNetwork, images: torch.Tensor, preactivation: torch.Tensor) -> torch.Tensor:
        return weight * network.kernel.pow(2).sum()

    return penalty


class SpectralPenalty:
    """``weight · mean_n [(λ_n/γ_n − 1)² + max(λ_n/γ_n − 1, 0)]``, γ_n = anchor · n^−α (Nassar et al., 2012.04729).

    λ_n is the batch's variance along the n-th eigenvector of the training covariance of the pre-activation, which
    :meth:`refresh` takes from a pass over the training images. As published, λ_n is the diagonal of ``Sᵀ C S``, C the
    covariance of the batch; with ``projected`` it is, as in ours, the variance of the projected batch.
    """

    eigenvectors: torch.Tensor
    wanted: torch.Tensor

    def __init__(self, weight: float, exponent: float, anchor: float, projected: bool = False):
        self.weight, self.exponent, self.anchor, self.projected = weight, exponent, anchor, projected

    def refresh(self, network: EagerNetwork, batches: Batches) -> torch.Tensor:
        """Eigenvectors from a pass over the training data."""
        hidden, count = network.kernel.shape[1], 0
        second = torch.zeros(hidden, hidden, device=network.kernel.device)
        first = torch.zeros(hidden, device=network.kernel.device)
        with torch.no_grad():
            shift = None
            for images, _ in batches:
                preactivation = images @ network.kernel
                shift = preactivation.mean(dim=0) if shift is None else shift
                preactivation = preactivation - shift
                second += preactivation.T @ preactivation
                first += preactivation.sum(dim=0)
                count += len(images)
            return self._keep(second / count - first[:, None] * first / count**2)

    def refresh_from(self, network: EagerNetwork, image_covariance: torch.Tensor) -> torch.Tensor:
        """Eigenvectors from the covariance of the images, which is computed once."""
        with torch.no_grad():
            return self._keep(network.kernel.T @ (image_covariance @ network.kernel))

    def renew_from(self, network: EagerNetwork, image_covariance: torch.Tensor) -> torch.Tensor:
        """Better eigenvectors from the last ones, by one step of orthogonal iteration."""
        with torch.no_grad():
            covariance = network.kernel.T @ (image_covariance @ network.kernel)
            self.eigenvectors = torch.linalg.qr(covariance @ self.eigenvectors).Q
            return self.eigenvectors

    def _keep(self, covariance: torch.Tensor) -> torch.Tensor:
        self.eigenvectors = torch.linalg.eigh(covariance).eigenvectors.flip(1)
        ranks = torch.arange(1, len(covariance) + 1, device=covariance.device, dtype=covariance.dtype)
        self.wanted = self.anchor * ranks**-self.exponent
        return self.eigenvectors

    def variances(self, preactivation: torch.Tensor) -> torch.Tensor:
        """λ_n of a batch."""
        if self.projected:
            return (preactivation @ self.eigenvectors).var(dim=0, correction=0)
        centred = preactivation - preactivation.mean(dim=0)
        covariance = centred.T @ centred / len(centred)
        return torch.diagonal(self.eigenvectors.T @ covariance @ self.eigenvectors)

    def __call__(self, network: EagerNetwork, images: torch.Tensor, preactivation: torch.Tensor) -> torch.Tensor:
        excess = self.variances(preactivation) / self.wanted - 1
        return self.weight * (excess.pow(2) + excess.clamp(min=0)).mean()


class Losses(NamedTuple):
    """By batch."""

    cross_entropy: list[float]
    penalty: list[float]


def train(
    network: EagerNetwork,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    penalty: Penalty | None = None,
    *,
    images_need_gradients: bool = False,
    before_batch: Callable[[int], Any] = lambda index: None,
) -> Losses:
    """One pass; the loss of every batch comes to the host, as published."""
    losses = Losses([], [])
    network.train()
    for index, (images, labels) in enumerate(batches):
        before_batch(index)
        if images_need_gradients:
            images.requires_grad_()
        optimizer.zero_grad()
        logits, preactivation = network(images)
        loss = functional.cross_entropy(logits, labels)
        losses.cross_entropy.append(loss.item())
        if penalty is not None:
            extra = penalty(network, images, preactivation)
            losses.penalty.append(extra.item())
            loss = loss + extra
        loss.backward()
        optimizer.step()
    return losses


def lean_train(
    network: EagerNetwork,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    loss_function: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]],
    *,
    images_need_gradients: bool = False,
    before_batch: Callable[[int], Any] = lambda index: None,
) -> Losses:
    """The same, with gradients of the parameters alone, and the losses on the host at the end.

    ``loss_function(images, labels)`` gives cross-entropy and penalty; it is what may be compiled.
    """
    parameters = list(network.parameters())
    kept = []
    network.train()
    for index, (images, labels) in enumerate(batches):
        before_batch(index)
        if images_need_gradients:
            images.requires_grad_()
        optimizer.zero_grad()
        cross_entropy, penalty = loss_function(images, labels)
        (cross_entropy + penalty).backward(inputs=parameters)
        optimizer.step()
        kept.append(torch.stack([cross_entropy.detach(), penalty.detach()]))
    values = torch.stack(kept).cpu()
    return Losses(values[:, 0].tolist(), values[:, 1].tolist())


def losses_of(network: nn.Module, penalty: Penalty | None) -> Callable[..., tuple[torch.Tensor, torch.Tensor]]:
    """Cross-entropy and penalty of a batch, as one function."""

    def losses(images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits, preactivation = network(images)
        cross_entropy = functional.cross_entropy(logits, labels)
        if penalty is None:
            return cross_entropy, torch.zeros_like(cross_entropy)
        return cross_entropy, penalty(network, images, preactivation)

    return losses
