"""Attacks in PyTorch, from the equations: one ε at a time, everything anew for each."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional
from torch.utils.data import DataLoader

from benchmarks.eager_network import EagerNetwork

Attack = Callable[[float, torch.Tensor, torch.Tensor], torch.Tensor]
"""ε, images and labels to perturbed images."""
Gradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Gradient of the cross-entropy by the images."""


class Sweep(NamedTuple):
    """By ε and image."""

    success: np.ndarray
    l2: np.ndarray


def published_gradient(network: EagerNetwork) -> Gradient:
    """By ``loss.backward()``, which computes the gradients of the trainable weights too, as the published FGSM does."""

    def gradient(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = images.detach().requires_grad_()
        loss = functional.cross_entropy(network(images)[0], labels)
        network.zero_grad()
        loss.backward()
        assert images.grad is not None
        return images.grad

    return gradient


def lean_gradient(logits: Callable[[torch.Tensor], torch.Tensor]) -> Gradient:
    """Of the images alone."""

    def gradient(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = images.detach().requires_grad_()
        return torch.autograd.grad(functional.cross_entropy(logits(images), labels), images)[0]

    return gradient


def gaussian(noise: torch.Tensor | None = None, batch_size: int = 1) -> Attack:
    """``x + ε N(0, 1)``: new noise at every ε, or the given noise of all images, which come batch by batch."""
    given = None if noise is None else itertools.cycle(noise.split(batch_size))

    def attack(epsilon: float, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return images + epsilon * (torch.randn_like(images) if given is None else next(given))

    return attack


def fgsm(gradient: Gradient) -> Attack:
    """``clip(x + ε sign ∇)``."""

    def attack(epsilon: float, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return (images + epsilon * gradient(images, labels).sign()).clamp(0.0, 1.0)

    return attack


def pgd(gradient: Gradient, steps: int = 20) -> Attack:
    """L∞, steps of 0.01 (of 0.1·ε where ε < 0.01), projected to the ε-ball, clipped at the end."""

    def attack(epsilon: float, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        step_size = 0.1 * epsilon if epsilon < 0.01 else 0.01
        perturbation = torch.zeros_like(images)
        for _ in range(steps):
            direction = gradient(images + perturbation, labels).sign()
            perturbation = (perturbation + step_size * direction).clamp(-epsilon, epsilon)
        return (images + perturbation).clamp(0.0, 1.0)

    return attack


def lean_critical_search(
    gradient: Gradient, network: EagerNetwork, images: torch.Tensor, labels: torch.Tensor, epsilons: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Critical ε and L2 length under PGD by our search: 16 points of the grid, then bisection, an ε for each image."""
    grid = torch.as_tensor(epsilons, dtype=images.dtype, device=images.device)
    points, coarse = len(grid), min(16, len(grid))
    failure = torch.full_like(labels, -1)
    success = torch.full_like(labels, points)
    l2 = torch.full_like(images[:, 0], torch.inf)
    widest = -(-points // coarse)
    for evaluation in range(coarse + (widest - 1).bit_length()):
        if evaluation < coarse:
            tried = torch.full_like(labels, (evaluation + 1) * points // coarse - 1)
        else:
            tried = ((failure + success + 1) // 2).clamp(max=points - 1)
        epsilon = grid[tried][:, None]
        step_size = torch.where(epsilon < 0.01, 0.1 * epsilon, 0.01)
        perturbation = torch.zeros_like(images)
        for _ in range(20):
            direction = gradient(images + perturbation, labels).sign()
            perturbation = (perturbation + step_size * direction).clamp(-epsilon, epsilon)
        perturbed = (images + perturbation).clamp(0.0, 1.0)
        with torch.no_grad():
            flipped = network(perturbed)[0].argmax(dim=1) != labels
        closer = flipped & (tried < success)
        failed = ~flipped & (tried > failure) & (tried < success)
        l2 = torch.where(closer, (perturbed - images).norm(dim=1), l2)
        success, failure = torch.where(closer, tried, success), torch.where(failed, tried, failure)
    critical = torch.cat([grid, torch.full_like(grid[:1], torch.inf)])[success]
    return critical.cpu().numpy(), l2.cpu().numpy()


def sweep(
    attack: Attack, network: EagerNetwork, batches: DataLoader[Any], epsilons: Sequence[float] | np.ndarray
) -> Sweep:
    """Attack all batches at every ε: is the label lost, and how long is the perturbation."""
    network.eval()
    success, l2 = [], []
    for epsilon in epsilons:
        flipped, lengths = [], []
        for images, labels in batches:
            perturbed = attack(float(epsilon), images, labels)
            with torch.no_grad():
                flipped.append(network(perturbed)[0].argmax(dim=1) != labels)
                lengths.append((perturbed - images).norm(dim=1))
        success.append(torch.cat(flipped).cpu().numpy())
        l2.append(torch.cat(lengths).cpu().numpy())
    return Sweep(np.stack(success), np.stack(l2))
