"""Attacks in PyTorch, from the equations: one ε at a time, as published, and with the algorithms that ours uses."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from benchmarks.eager_network import EagerNetwork

Attack = Callable[[float, torch.Tensor, torch.Tensor], torch.Tensor]
"""ε, images and labels to perturbed images."""
Gradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Gradient of the cross-entropy by the images."""
Logits = Callable[[torch.Tensor], torch.Tensor]
Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Images, perturbation, labels, ε and step size to the next perturbation."""

Outcome = tuple[torch.Tensor, torch.Tensor]
"""Of a batch: is the label lost, and the L2 length of the perturbation."""
Evaluate = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], Outcome]
"""Images, directions known before, labels and ε, a number or one (1,) for each image, to what comes of an attack."""
Batches = Iterable[tuple[torch.Tensor, torch.Tensor]]


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


def lean_gradient(logits: Logits) -> Gradient:
    """Of the images alone."""

    def gradient(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        images = images.detach().requires_grad_()
        return torch.autograd.grad(functional.cross_entropy(logits(images), labels), images)[0]

    return gradient


def gaussian() -> Attack:
    """``x + ε N(0, 1)``, with new noise at every ε."""
    return lambda epsilon, images, labels: images + epsilon * torch.randn_like(images)


def fgsm(gradient: Gradient) -> Attack:
    """``clip(x + ε sign ∇)``."""
    return lambda epsilon, images, labels: (images + epsilon * gradient(images, labels).sign()).clamp(0.0, 1.0)


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


def sweep(attack: Attack, logits: Logits, batches: Batches, epsilons: Sequence[float] | np.ndarray) -> Sweep:
    """Attack all batches at every ε: is the label lost, and how long is the perturbation."""

    def measured(epsilon: float, images: torch.Tensor, labels: torch.Tensor) -> Outcome:
        perturbed = attack(epsilon, images, labels)
        with torch.no_grad():
            return logits(perturbed).argmax(dim=1) != labels, (perturbed - images).norm(dim=1)

    return _gathered([[measured(float(epsilon), *batch) for batch in batches] for epsilon in epsilons])


def _gathered(outcomes: list[list[Outcome]]) -> Sweep:
    success, l2 = (
        np.stack([torch.cat([outcome[part] for outcome in batches]).cpu().numpy() for batches in outcomes])
        for part in range(2)
    )
    return Sweep(success, l2)


def along(logits: Logits, *, clip: bool) -> Evaluate:
    """``x + ε d``; what may be compiled as a whole."""

    def evaluate(
        images: torch.Tensor, directions: torch.Tensor, labels: torch.Tensor, epsilon: torch.Tensor
    ) -> Outcome:
        perturbed = images + epsilon * directions
        perturbed = perturbed.clamp(0.0, 1.0) if clip else perturbed
        return logits(perturbed).argmax(dim=1) != labels, (perturbed - images).norm(dim=1)

    return evaluate


def sweep_along(
    evaluate: Evaluate,
    batches: Batches,
    directions: Sequence[torch.Tensor],
    epsilons: Sequence[float] | np.ndarray,
) -> Sweep:
    """A sweep for which all ε share what is known before: one noise, or the signs of the gradient at the images."""
    steps = torch.as_tensor(epsilons, dtype=directions[0].dtype, device=directions[0].device)
    with torch.no_grad():
        return _gathered(
            [
                [evaluate(images, way, labels, step) for (images, labels), way in zip(batches, directions, strict=True)]
                for step in steps
            ]
        )


def ascent_step(logits: Logits) -> Step:
    """One step of PGD as a pure function of tensors, its gradient inside: what may be compiled as a whole."""

    def step(
        images: torch.Tensor,
        perturbation: torch.Tensor,
        labels: torch.Tensor,
        epsilon: torch.Tensor,
        step_size: torch.Tensor,
    ) -> torch.Tensor:
        def loss(moved: torch.Tensor) -> torch.Tensor:
            return functional.cross_entropy(logits(moved), labels)

        direction = torch.func.grad(loss)(images + perturbation).sign()
        return (perturbation + step_size * direction).clamp(-epsilon, epsilon)

    return step


def ascent(step: Step, logits: Logits, steps: int = 20) -> Evaluate:
    """PGD from the signs of the gradient at the images, which all ε share, by a step that may be compiled."""

    def evaluate(
        images: torch.Tensor, directions: torch.Tensor, labels: torch.Tensor, epsilon: torch.Tensor
    ) -> Outcome:
        step_size = torch.where(epsilon < 0.01, 0.1 * epsilon, 0.01)
        perturbation = (step_size * directions).clamp(-epsilon, epsilon)
        for _ in range(steps - 1):
            perturbation = step(images, perturbation, labels, epsilon, step_size)
        perturbed = (images + perturbation).clamp(0.0, 1.0)
        return logits(perturbed).argmax(dim=1) != labels, (perturbed - images).norm(dim=1)

    return evaluate


def critical_search(
    evaluate: Evaluate, images: torch.Tensor, directions: torch.Tensor, labels: torch.Tensor, epsilons: np.ndarray
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
        with torch.no_grad():
            flipped, lengths = evaluate(images, directions, labels, grid[tried][:, None])
        closer = flipped & (tried < success)
        failed = ~flipped & (tried > failure) & (tried < success)
        l2 = torch.where(closer, lengths, l2)
        success, failure = torch.where(closer, tried, success), torch.where(failed, tried, failure)
    critical = torch.cat([grid, torch.full_like(grid[:1], torch.inf)])[success]
    return critical.cpu().numpy(), l2.cpu().numpy()
