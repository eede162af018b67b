"""What :mod:`benchmarks.attack_check` attacks (a trained model and its twin in PyTorch), and our attacks on it."""

import dataclasses
import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from benchmarks.eager_network import EagerNetwork, choose_device, tensor
from jax_bioadv.attacks import Attack
from jax_bioadv.attacks.auto_projected_gradient_descent import apgd
from jax_bioadv.attacks.square import square
from jax_bioadv.models import Network, logits_function
from jax_bioadv.raw_pixels import raw_pixel_logits
from jax_bioadv.storage import read_json

BLOCK = 128  # images of one call of ours, so that all calls share a compilation
# Two roundings of a pixel below 1 in float32.
PIXEL_ROUNDING = 2.0**-24
# Of the largest logit: float32 sums of thousands of products, in another order, then to the power of 4.5.
LOGIT_ROUNDING = 2e-5
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


class Copies(Protocol):
    """A model in JAX and in PyTorch, as functions of flattened images on the host."""

    def our_logits(self, images: np.ndarray) -> np.ndarray: ...

    def their_logits(self, images: np.ndarray) -> np.ndarray: ...


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
        variable[...] = jnp.asarray(weights["/".join(["weights", *map(str, path)])])
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


class Verdict(NamedTuple):
    """Of perturbed images: which are ``broken``; how many are ``outside`` of the ball or of [0, 1], and how many only
    one copy of the model misclassifies (``disputed``)."""

    broken: np.ndarray
    outside: int
    disputed: int


def judge(model: Copies, threat: Threat, perturbed: np.ndarray, images: np.ndarray, labels: np.ndarray) -> Verdict:
    """The same judgement for both implementations, which neither has a part in."""
    lengths = threat.lengths(perturbed.astype(np.float64) - images.astype(np.float64))
    inside = (lengths <= threat.epsilon + threat.rounding(images.shape[1])) & np.all(
        (perturbed >= BOUNDS[0]) & (perturbed <= BOUNDS[1]), axis=1
    )
    ours, theirs = (
        np.isfinite(logits).all(axis=1) & (logits.argmax(axis=1) != labels)
        for logits in (model.our_logits(perturbed), model.their_logits(perturbed))
    )
    return Verdict(inside & ours & theirs, int(np.sum(~inside)), int(np.sum(ours != theirs)))


def verified(model: Copies, images: np.ndarray) -> dict[str, float]:
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


def earlier_results(path: Path, settings: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """An earlier check of the same weights under the same settings, from which this one goes on.

    Raises:
        ValueError: the file holds another one.
    """
    if not path.exists():
        return {}
    earlier: dict[str, Any] = read_json(path)
    if earlier.get("settings") != settings or earlier.get("environment") != about:
        raise ValueError(f"{path} holds a check of other models, settings or versions; give another --out or delete it")
    return earlier


def without_data_dir(arguments: list[str]) -> list[str]:
    """The folder of the data changes nothing."""
    return [
        text
        for before, text in zip(["", *arguments], arguments, strict=False)
        if before != "--data-dir" and not text.startswith("--data-dir")
    ]
