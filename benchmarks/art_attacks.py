"""Attacks of the Adversarial Robustness Toolbox (ART) on a model's twin in PyTorch, at the same budget as ours.

What ART leaves on the table is not held against it, as far as that can be had from outside:

- its APGD returns its last point: every point that it visits counts, as with ours;
- its second restart begins around its first random start: each restart is a run of its own;
- it adds 1e-7 to the length of a gradient averaged over images: losses are summed over them;
- its Square Attack in L2 divides by a length that it should multiply by, which does least harm in units in which
  ε is about 8: it gets the images in such units;
- it has no targeted DLR, and its targeted APGD counts a larger first loss as progress: it gets the targeted DLR as the
  loss of its untargeted APGD.
"""

import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack
from art.estimators.classification import PyTorchClassifier

from benchmarks.attack_contestants import BOUNDS, Budget, Model, Threat
from benchmarks.eager_network import choose_device, tensor

# What ART's L2 Square Attack is to meet as ε; see above.
SQUARE_L2_EPSILON = 8.0


def run_theirs(
    name: str, model: Model, images: np.ndarray, labels: np.ndarray, threat: Threat, budget: Budget
) -> np.ndarray:
    """Perturbed images by ART's attack: an image stays at the first misclassified point that ART visited."""
    np.random.seed(0)  # noqa: NPY002 - ART draws from the global generators
    random.seed(0)
    shaped = images.reshape(-1, *model.image_shape)
    if name == "square":
        return _their_square(model, shaped, labels, threat, budget).reshape(images.shape)
    found, broken = shaped.copy(), np.zeros(len(labels), bool)
    for target in _targets(name, model, images, labels, budget):
        for _ in range(budget.restarts):
            left = np.flatnonzero(~broken)
            if left.size:
                aim = None if target is None else target[left]
                found[left], broken[left] = _their_climb(name, model, shaped[left], labels[left], aim, threat, budget)
    return found.reshape(images.shape)


def _targets(
    name: str, model: Model, images: np.ndarray, labels: np.ndarray, budget: Budget
) -> Iterator[np.ndarray | None]:
    """For each climb the classes to aim at, the likeliest wrong ones first; None for a loss without."""
    if name != "apgd_targeted":
        yield None
        return
    logits = model.their_logits(images)
    logits[np.arange(len(labels)), labels] = -np.inf
    yield from np.argsort(-logits, axis=1)[:, : min(budget.targets, model.classes - 1)].T


class _TargetedDLR(torch.nn.Module):
    """``(z_t − z_y) / (z_π1 − (z_π3 + z_π4) / 2)`` of a batch with these targets; ART sets ``reduction``."""

    def __init__(self, targets: np.ndarray):
        super().__init__()
        self.targets, self.reduction = tensor(targets, choose_device())[:, None], "sum"

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        largest = logits.topk(4, dim=1).values
        spread = largest[:, 0] - (largest[:, 2] + largest[:, 3]) / 2
        label = logits.gather(1, labels.argmax(1, keepdim=True))[:, 0]
        losses = (logits.gather(1, self.targets)[:, 0] - label) / spread
        return losses if self.reduction == "none" else losses.sum()


def _classifier(model: Model, scale: float = 1.0, loss: torch.nn.Module | None = None) -> PyTorchClassifier:
    return PyTorchClassifier(
        model.twin if scale == 1 else _InUnits(model.twin, scale),
        loss=loss or torch.nn.CrossEntropyLoss(),
        input_shape=model.image_shape,
        nb_classes=model.classes,
        channels_first=False,
        clip_values=(scale * BOUNDS[0], scale * BOUNDS[1]),
        preprocessing=None,
        device_type="cpu" if choose_device().type == "cpu" else "gpu",
    )


def _their_climb(
    name: str,
    model: Model,
    images: np.ndarray,
    labels: np.ndarray,
    targets: np.ndarray | None,
    threat: Threat,
    budget: Budget,
) -> tuple[np.ndarray, np.ndarray]:
    """One climb of ART's APGD from one random start: the points, and which of them are misclassified."""
    attack = AutoProjectedGradientDescent(
        _classifier(model, loss=None if targets is None else _TargetedDLR(targets)),
        norm=threat.norm,
        eps=threat.epsilon,
        eps_step=2 * threat.epsilon,
        max_iter=budget.steps,
        nb_random_init=1,
        batch_size=len(images),
        loss_type={"apgd_ce": "cross_entropy", "apgd_dlr": "difference_logits_ratio"}.get(name),
        verbose=False,
    )
    attack.estimator.loss.reduction = "sum"
    found, broken = images.copy(), np.zeros(len(labels), bool)
    compute_loss = attack.estimator.compute_loss

    def compute_loss_and_keep(x: np.ndarray, **options: Any) -> np.ndarray:
        losses: np.ndarray = compute_loss(x=x, **options)
        wrong = model.twin.latest.argmax(1).cpu().numpy() != labels
        found[~broken] = x[~broken]
        broken[wrong] = True
        return losses

    attack.estimator.compute_loss = compute_loss_and_keep
    attack.generate(images, labels)
    return found, broken


class _InUnits(torch.nn.Module):
    """A model of images in units so many times smaller."""

    def __init__(self, model: torch.nn.Module, scale: float):
        super().__init__()
        self.model, self.scale = model, scale

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.model(images / self.scale)
        return logits


def _their_square(model: Model, images: np.ndarray, labels: np.ndarray, threat: Threat, budget: Budget) -> np.ndarray:
    # A power of two, so that nothing is rounded.
    scale = 1.0 if threat.norm == math.inf else 2.0 ** round(math.log2(SQUARE_L2_EPSILON / threat.epsilon))
    attack = SquareAttack(
        _classifier(model, scale),
        norm=threat.norm,
        eps=scale * threat.epsilon,
        max_iter=max(budget.queries - 1, 1),  # the start is a query too
        nb_restarts=budget.restarts,
        batch_size=len(images),
        verbose=False,
    )
    with np.errstate(divide="ignore", invalid="ignore"):  # of windows without a perturbation, which it then leaves so
        perturbed: np.ndarray = attack.generate(images * np.float32(scale), labels)
    return perturbed / np.float32(scale)
