"""Our attacks against an independent implementation, the Adversarial Robustness Toolbox (ART), on trained models.

    python -m benchmarks.attack_check --run runs/quick --images 500 --out benchmarks/results

Every model of the run is rebuilt in PyTorch from its exported weights. Both implementations attack the same correctly
classified images with as many steps, restarts, targets and queries. An image is broken if its perturbed copy lies in
the ball and in [0, 1], judged in float64, and *both* copies of the model misclassify it. The check fails where our
attack leaves an accuracy more than one point above that under ART's, attack by attack or all together. Writes
attack_check.json and attack_check.md after each threat to each model; the same command goes on from there.

What ART leaves on the table is not held against it, as far as that can be had from outside:

- its APGD returns its last point: every point that it visits counts, as with ours;
- its second restart begins around its first random start: each restart is a run of its own;
- it adds 1e-7 to the length of a gradient averaged over images: losses are summed over them;
- its Square Attack in L2 divides by a length that it should multiply by, which does least harm in units in which
  ε is about 8: it gets the images in such units;
- it has no targeted DLR, and its targeted APGD counts a larger first loss as progress: it gets the targeted DLR as the
  loss of its untargeted APGD.
"""

import argparse
import dataclasses
import hashlib
import logging
import math
import random
import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

try:
    import torch
    from art.attacks.evasion import AutoProjectedGradientDescent, SquareAttack
    from art.estimators.classification import PyTorchClassifier
except ModuleNotFoundError as missing:
    if __name__ != "__main__":
        raise
    package = str(missing.name).partition(".")[0]
    sys.exit(f"error: {package} is missing; PyTorch and ART come with: pip install -e '.[test,benchmark]'")

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from tqdm import tqdm

from benchmarks import environment
from benchmarks.eager_network import EagerNetwork, choose_device, configure, tensor
from experiments.settings import MODELS, POWERED
from experiments.study import weight_name
from jax_bioadv.attacks import Attack
from jax_bioadv.attacks.auto_projected_gradient_descent import apgd
from jax_bioadv.attacks.square import square
from jax_bioadv.data import Dataset, load, unit_norm
from jax_bioadv.models import Network, logits_function
from jax_bioadv.raw_pixels import raw_pixel_logits, raw_pixels
from jax_bioadv.storage import atomic_file, read_arrays, read_json, write_json

SCHEMA = 1
TOLERATED_POINTS = 1.0
BLOCK = 128  # images of one call of ours, so that all calls share a compilation
# Two roundings of a pixel below 1 in float32.
PIXEL_ROUNDING = 2.0**-24
# Of the largest logit: float32 sums of thousands of products, in another order, then to the power of 4.5.
LOGIT_ROUNDING = 2e-5
# What ART's L2 Square Attack is to meet as ε; see above.
SQUARE_L2_EPSILON = 8.0
BOUNDS = (0.0, 1.0)
logger = logging.getLogger("benchmarks.attack_check")


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


class Verdict(NamedTuple):
    """Of perturbed images: which are ``broken``; how many are ``outside`` of the ball or of [0, 1], and how many only
    one copy of the model misclassifies (``disputed``)."""

    broken: np.ndarray
    outside: int
    disputed: int


def judge(model: Model, threat: Threat, perturbed: np.ndarray, images: np.ndarray, labels: np.ndarray) -> Verdict:
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


def compare(model: Model, threat: Threat, budget: Budget, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """All attacks of both on one model: accuracies that they leave, of all images given, and whether they agree."""
    correct = np.flatnonzero(
        (model.our_logits(images).argmax(axis=1) == labels) & (model.their_logits(images).argmax(axis=1) == labels)
    )
    right, answers = images[correct], labels[correct]
    attacks: dict[str, Any] = {}
    worst = {"ours": np.zeros(len(correct), bool), "theirs": np.zeros(len(correct), bool)}
    for seed, (name, attack) in enumerate(our_attacks(threat, budget, model.image_shape).items()):
        seconds, verdicts = {}, {}
        for who in worst:
            began = time.perf_counter()
            if who == "ours":
                perturbed = run_ours(attack, seed, model, right, answers, threat.epsilon)
            else:
                perturbed = run_theirs(name, model, right, answers, threat, budget)
            seconds[who] = time.perf_counter() - began
            verdicts[who] = judge(model, threat, perturbed, right, answers)
            worst[who] |= verdicts[who].broken
        attacks[name] = {
            **_difference({who: verdict.broken for who, verdict in verdicts.items()}, len(images)),
            "outside": {who: verdict.outside for who, verdict in verdicts.items()},
            "disputed": {who: verdict.disputed for who, verdict in verdicts.items()},
            "seconds": seconds,
        }
    attacks["all together"] = _difference(worst, len(images))
    return {
        **threat._asdict(),
        "norm": "linf" if threat.norm == math.inf else "l2",
        "images": len(images),
        "clean": len(correct) / len(images),
        "attacks": attacks,
        "agrees": all(entry["agrees"] for entry in attacks.values()),
    }


def _difference(broken: Mapping[str, np.ndarray], images: int) -> dict[str, Any]:
    """Accuracies, and ours minus theirs in points."""
    left = {who: int(np.sum(~of_them)) for who, of_them in broken.items()}
    points = 100 * (left["ours"] - left["theirs"]) / images
    accuracies = {who: count / images for who, count in left.items()}
    return {**accuracies, "difference_points": points, "agrees": points <= TOLERATED_POINTS}


class Trained(NamedTuple):
    """What a run exported of one model."""

    weights: Mapping[str, np.ndarray]
    power: float
    digest: str


class Run(NamedTuple):
    """A finished run: its models, and the first test images in both spaces."""

    trained: dict[str, Trained]
    dataset: Dataset
    norm: float
    images: Mapping[str, np.ndarray]
    labels: np.ndarray


def read_run(directory: Path, models: list[str], seed: int, images: int, data_dir: str | None) -> Run:
    """Everything that the check needs.

    Raises:
        ValueError: it is not a run, a model is missing, or the images are not those that it was trained on.
    """
    path = directory / "results.json"
    if not path.is_file():
        raise ValueError(f"{directory} holds no results.json; --run is the folder that experiments.reproduce wrote")
    results = read_json(path)
    settings, trained = results["settings"], {}
    for name in models:
        file = directory / "models" / f"{name}-{seed}.npz"
        if not file.is_file():
            raise ValueError(f"{file} is missing; choose --models and --seed among what the run has trained")
        arrays = read_arrays(file)
        if "weights/encoder/kernel" not in arrays:
            raise ValueError(f"{file} holds no weights: that training diverged; leave it out with --models")
        power = settings["decoder"]["power"] if name in POWERED else 1.0
        trained[name] = Trained(arrays, power, hashlib.sha256(file.read_bytes()).hexdigest())
    dataset = load(settings["dataset"], data_dir)
    if dataset.sha256 != results["dataset"]["sha256"]:
        raise ValueError(f"{settings['dataset']} in --data-dir is not what the run was trained on")
    if images > len(dataset.test_images):
        raise ValueError(f"--images {images}: there are {len(dataset.test_images)} test images")
    test_images = dataset.test_images[:images]
    spaces = {"unit": unit_norm(test_images, settings["norm"]), "raw": raw_pixels(test_images)}
    return Run(trained, dataset, settings["norm"], spaces, dataset.test_labels[:images].astype(np.int32))


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attack_check", description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="folder that experiments.reproduce wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder for attack_check.json and attack_check.md")
    parser.add_argument("--images", type=int, default=500, help="so many of the first test images")
    parser.add_argument("--models", default=",".join(MODELS), help="names, separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="of the run's models")
    parser.add_argument("--data-dir", help="where the images are kept; see the README")
    for field in dataclasses.fields(Budget):
        parser.add_argument(f"--{field.name}", type=int, default=field.default, help="of the budget of both")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> bool:
    """Run what the command says; true if nothing differs by more than is tolerated.

    Raises:
        ValueError: settings that cannot work, before any work; or a twin that is none.
    """
    options = parse(arguments)
    budget = Budget(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Budget)})
    for name, value in {"images": options.images, **dataclasses.asdict(budget)}.items():
        if value < 1:
            raise ValueError(f"--{name} must be at least 1, got {value}")
    models = [name.strip() for name in options.models.split(",")]
    found = read_run(options.run, models, options.seed, options.images, options.data_dir)
    configure("highest")
    torch.set_num_threads(1)  # more of them wait for each other on small batches, on a busy machine five times as long
    about = environment.describe()
    about["versions"]["adversarial-robustness-toolbox"] = version("adversarial-robustness-toolbox")
    settings = {
        "budget": dataclasses.asdict(budget),
        "images": options.images,
        "dataset": found.dataset.name,
        "weights": {name: trained.digest for name, trained in found.trained.items()},
    }
    path = options.out / "attack_check.json"
    earlier = _earlier(path, settings, about)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "-m", "benchmarks.attack_check", *_without_data_dir(arguments)]),
        "environment": about,
        "settings": settings,
        "tolerated_points": TOLERATED_POINTS,
        "seconds": earlier.get("seconds", 0.0),
        "models": {name: dict(earlier.get("models", {}).get(name, {})) for name in models},
    }
    pairs = [(name, threat) for name in models for threat in THREATS if threat not in results["models"][name]]
    for name, threat in tqdm(pairs, desc="model × threat", disable=None):
        began = time.perf_counter()
        results["models"][name][threat] = _check(found, found.trained[name], THREATS[threat], budget)
        results["seconds"] += time.perf_counter() - began
        _write(options.out, results)
        logger.info("%-10s %-10s %s", name, threat, _in_words(results["models"][name][threat]))
    _write(options.out, results)
    return all(entry["agrees"] for model in results["models"].values() for entry in model.values())


def _check(found: Run, trained: Trained, threat: Threat, budget: Budget) -> dict[str, Any]:
    raw_norm = found.norm if threat.space == "raw" else None
    model = build(trained.weights, trained.power, found.dataset.image_shape, raw_norm)
    images = found.images[threat.space]
    with jax.default_matmul_precision("highest"):
        return {**verified(model, images), **compare(model, threat, budget, images, found.labels)}


def _earlier(path: Path, settings: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
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


def _without_data_dir(arguments: list[str]) -> list[str]:
    """The folder of the data changes nothing."""
    return [
        text
        for before, text in zip(["", *arguments], arguments, strict=False)
        if before != "--data-dir" and not text.startswith("--data-dir")
    ]


def _in_words(entry: dict[str, Any]) -> str:
    together = entry["attacks"]["all together"]
    largest = max(attack["difference_points"] for attack in entry["attacks"].values())
    return (
        f"{100 * entry['clean']:.1f} % clean, {100 * together['ours']:.1f} % under ours, "
        f"{100 * together['theirs']:.1f} % under theirs; ours at most {largest:+.1f} points above"
        f"{'' if entry['agrees'] else ': TOO WEAK'}"
    )


def markdown(results: dict[str, Any]) -> str:
    """The page: what was compared, and a row for each threat to each model."""
    about, settings = results["environment"], results["settings"]
    attacks = list(next(entry for model in results["models"].values() for entry in model.values())["attacks"])
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    spent = ", ".join(f"{number} {name}" for name, number in settings["budget"].items())
    lines = [
        f"{about['device']} ({about['backend']}), Python {about['python']}, {versions}; "
        f"{settings['images']} test images of {settings['dataset']}; {spent}.",
        "",
        "Accuracy in % that our attack leaves / that ART's leaves. Ours may be at most "
        f"{results['tolerated_points']:g} point(s) above; where it is further above, the row is bold.",
        "",
        "| " + " | ".join(["model", "threat", "clean", *attacks, "largest difference, points"]) + " |",
        "|" + " --- |" * (len(attacks) + 4),
    ]
    for name, threats in results["models"].items():
        for threat, entry in threats.items():
            cells = [
                f"{100 * entry['attacks'][a]['ours']:.1f} / {100 * entry['attacks'][a]['theirs']:.1f}" for a in attacks
            ]
            largest = max(entry["attacks"][attack]["difference_points"] for attack in attacks)
            row = [
                name,
                f"{threat}, ε = {entry['epsilon']:.3g}",
                f"{100 * entry['clean']:.1f}",
                *cells,
                f"{largest:+.1f}",
            ]
            lines.append("| " + " | ".join(row if entry["agrees"] else [f"**{cell}**" for cell in row]) + " |")
    return "\n".join([*lines, "", f"`{results['command']}`: {results['seconds'] / 60:.1f} min.", ""])


def _write(out: Path, results: dict[str, Any]) -> None:
    write_json(out / "attack_check.json", results)
    with atomic_file(out / "attack_check.md") as stream:
        stream.write(markdown(results).encode())


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in ("art", "jax"):
        logging.getLogger(library).setLevel(logging.ERROR)
    try:
        agreed = run(sys.argv[1:] if arguments is None else arguments)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0 if agreed else 1


if __name__ == "__main__":
    sys.exit(main())
