"""The contestants of :mod:`benchmarks.attack_check`: our attacks, and those of the Adversarial Robustness Toolbox (ART)
on a twin of the model in PyTorch, at the same budget.

What ART leaves on the table is not held against it, as far as that can be had from outside:

- its APGD returns its last point: every point that it visits counts, as with ours;
- its second restart begins around its first random start: each restart is a run of its own;
- it adds 1e-7 to the length of a gradient averaged over images: losses are summed over them;
- its Square Attack in L2 divides by a length that it should multiply by, which does least harm in units in which
  ε is about 8: it gets the images in such units;
- it has no targeted DLR, and its targeted APGD counts a larger first loss as progress: it gets the targeted DLR as the
  loss of its untargeted APGD.
"""

import dataclasses
import math
import random
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack
from art.estimators.classification import PyTorchClassifier
from experiments.study import weight_name
from flax import nnx

from benchmarks.eager_network import EagerNetwork, choose_device, tensor
from jax_bioadv.attacks import Attack
from jax_bioadv.attacks.auto_projected_gradient_descent import apgd
from jax_bioadv.attacks.square import square
from jax_bioadv.models import Network, logits_function
from jax_bioadv.raw_pixels import raw_pixel_logits

BLOCK = 128  # images of one call of ours, so that all calls share a compilation
# Two roundings of a pixel below 1 in float32.
PIXEL_ROUNDING = 2.0**-24
# Of the largest logit: float32 sums of thousands of products, in another order, then to the power of 4.5.
LOGIT_ROUNDING = 2e-5
# What ART's L2 Square Attack is to meet as ε; see above.
SQUARE_L2_EPSILON = 8.0
BOUNDS = (0.0, 1.0)


class Threat(NamedTuple):
    """A ball around images that are divided by their own norm (unit) or around raw pixels in [0, 1]."""

    norm: float
    epsilon: float
    space: str

    def lengths(self, perturbations: np.ndarray) -> np.ndarray:
        return np.linalg.norm(perturbations.astype(np.float64), ord=self.norm, axis=1)

    def rounding(self, inputs: int) -> float:
        """How much longer than ε a perturbation may be that float32 pixels hold."""
        return PIXEL_ROUNDING * (1.0 if self.norm == math.inf else math.sqrt(inputs))


THREATS = {
    "unit_linf": Threat(math.inf, 0.002, "unit"),
    "unit_l2": Threat(2, 0.1, "unit"),
    "raw_linf": Threat(math.inf, 8 / 255, "raw"),
    "raw_l2": Threat(2, 0.5, "raw"),
}


@dataclasses.dataclass(frozen=True)
class Budget:
    """What both implementations may spend on an image."""

    steps: int = 20
    restarts: int = 1
    targets: int = 3
    queries: int = 200


class Model(NamedTuple):
    """A trained model, ours and its twin, for images of one space."""

    logits: Any
    twin: "Twin"
    image_shape: tuple[int, int, int]
    classes: int

    def our_logits(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(jax.jit(lambda function, images: function(images))(self.logits, images))

    def their_logits(self, images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return self.twin(tensor(images, choose_device())).cpu().numpy()


class Twin(torch.nn.Module):
    """``models.Network`` in evaluation mode in PyTorch; flattens images, and divides raw ones by their norm.

    ``latest`` keeps the logits of the last call.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], power: float, raw_norm: float | None = None):
        super().__init__()
        device = choose_device()
        layers = {
            "kernel": weights["weights/encoder/kernel"],
            "decoder_kernel": weights["weights/decoder/kernel"],
            "decoder_bias": weights["weights/decoder/bias"],
        }
        self.raw_norm = raw_norm
        self.network = EagerNetwork(layers, device, power, has_batch_norm(weights))
        if self.network.norm is not None:
            norm = self.network.norm
            into = {"scale": norm.weight, "bias": norm.bias, "mean": norm.running_mean, "var": norm.running_var}
            with torch.no_grad():
                for name, target in into.items():
                    target.copy_(tensor(weights[f"weights/norm/{name}"], device))
        self.requires_grad_(False)
        self.eval()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        flat = images.flatten(1)
        if self.raw_norm is not None:
            flat = flat / flat.pow(self.raw_norm).sum(1, keepdim=True).pow(1 / self.raw_norm)
        logits: torch.Tensor = self.network(flat)[0]
        self.latest = logits.detach()
        return logits


def has_batch_norm(weights: Mapping[str, np.ndarray]) -> bool:
    return "weights/norm/scale" in weights


def our_network(weights: Mapping[str, np.ndarray], power: float) -> Network:
    """``models.Network`` with exported weights."""
    inputs, hidden = weights["weights/encoder/kernel"].shape
    classes = len(weights["weights/decoder/bias"])
    network = Network(inputs, hidden, classes, power=power, batch_norm=has_batch_norm(weights), rngs=nnx.Rngs(0))
    state = nnx.state(network)
    for path, variable in nnx.to_flat_state(state):
        variable[...] = jnp.asarray(weights[weight_name(path)])
    nnx.update(network, state)
    return network


def build(
    weights: Mapping[str, np.ndarray], power: float, image_shape: tuple[int, int, int], raw_norm: float | None
) -> Model:
    """A model and its twin; ``raw_norm`` is the norm that raw pixels are divided by inside, None for unit images."""
    logits = logits_function(our_network(weights, power))
    logits = logits if raw_norm is None else raw_pixel_logits(logits, norm=raw_norm)
    return Model(logits, Twin(weights, power, raw_norm), image_shape, len(weights["weights/decoder/bias"]))


def our_attacks(threat: Threat, budget: Budget, image_shape: tuple[int, int, int]) -> dict[str, Attack]:
    """The attacks under check, by name."""
    climb = partial(apgd, threat.norm, budget.steps, restarts=budget.restarts, bounds=BOUNDS)
    return {
        "apgd_ce": climb(loss="cross_entropy"),
        "apgd_dlr": climb(loss="dlr"),
        "apgd_targeted": climb(loss="targeted_dlr", targets=budget.targets),
        "square": square(threat.norm, budget.queries, image_shape, bounds=BOUNDS, restarts=budget.restarts),
    }


def verified(model: Model, images: np.ndarray) -> dict[str, float]:
    """How far the twin's logits are from ours, and how far they may be.

    Raises:
        ValueError: they are farther, so that the attacks would not meet the same model.
    """
    ours, theirs = model.our_logits(images), model.their_logits(images)
    difference, tolerance = float(np.max(abs(ours - theirs))), LOGIT_ROUNDING * float(np.max(abs(ours)))
    if not difference <= tolerance:
        raise ValueError(f"logits in PyTorch differ from ours by {difference:.2g}, by rounding at most {tolerance:.2g}")
    return {"logit_difference": difference, "logit_tolerance": tolerance}


def run_ours(
    attack: Attack, seed: int, model: Model, images: np.ndarray, labels: np.ndarray, epsilon: float
) -> np.ndarray:
    """Perturbed images by our attack, in blocks of one size; attacks of one seed start from the same random points."""
    perturbed = []
    for start in range(0, len(images), BLOCK):
        chosen = np.minimum(np.arange(start, start + BLOCK), len(images) - 1)
        key = jax.random.fold_in(jax.random.key(seed), start)
        found = _attack(attack, key, model.logits, images[chosen], labels[chosen], np.float32(epsilon))
        perturbed.append(np.asarray(found))
    return np.concatenate(perturbed)[: len(images)]


@jax.jit
def _attack(attack: Attack, key: Any, logits: Any, images: Any, labels: Any, epsilon: Any) -> Any:
    return attack(key, logits, images, labels, epsilon).images


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
