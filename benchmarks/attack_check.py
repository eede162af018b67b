"""Our attacks against an independent implementation, the Adversarial Robustness Toolbox (ART), on trained models.

    python -m benchmarks.attack_check --run runs/quick --images 500 --out benchmarks/results

Every model of the run is rebuilt in PyTorch from its exported weights. Both implementations attack the same correctly
classified images with as many steps, restarts, targets and queries. An image is broken if its perturbed copy lies in
the ball and in [0, 1], judged in float64, and *both* copies of the model misclassify it. The check fails where our
attack leaves an accuracy more than one point above that under ART's, attack by attack or all together. Writes
attack_check.json and attack_check.md after each threat to each model; the same command goes on from there.

What ART leaves on the table is not held against it; see :mod:`benchmarks.art_attacks`.
"""

import argparse
import dataclasses
import hashlib
import logging
import math
import shlex
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import require

if __name__ == "__main__":
    require("torch", "art")

import jax
import numpy as np
import torch
from tqdm import tqdm

from benchmarks import environment, write_results
from benchmarks.art_attacks import run_theirs
from benchmarks.attack_contestants import (
    THREATS,
    Budget,
    Model,
    Threat,
    build,
    earlier_results,
    judge,
    our_attacks,
    run_ours,
    verified,
    without_data_dir,
)
from benchmarks.attack_page import in_words, markdown
from benchmarks.eager_network import configure
from experiments.models import MODELS, PAPER_MODELS
from jax_bioadv.command_line import IncompleteError, exit_code, start
from jax_bioadv.compilation_cache import keep_compiled_programs
from jax_bioadv.data import Dataset, load, unit_norm
from jax_bioadv.raw_pixels import raw_pixels
from jax_bioadv.storage import read_arrays, read_json
from jax_bioadv.user_folders import user_path

SCHEMA = 1
TOLERATED_POINTS = 1.0
logger = logging.getLogger("benchmarks.attack_check")


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
        power = settings["decoder"]["power"] if MODELS[name].powered else 1.0
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
    parser.add_argument("--run", type=user_path, required=True, help="folder that experiments.reproduce wrote")
    parser.add_argument("--out", type=user_path, required=True, help="folder for attack_check.json and attack_check.md")
    parser.add_argument("--images", type=int, default=500, help="so many of the first test images")
    parser.add_argument("--models", default=",".join(PAPER_MODELS), help="names, separated by commas")
    parser.add_argument("--seed", type=int, default=0, help="of the run's models")
    parser.add_argument("--data-dir", help="where the images are kept; see docs/reproduce.md")
    for field in dataclasses.fields(Budget):
        parser.add_argument(f"--{field.name}", type=int, default=field.default, help="of the budget of both")
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> None:
    """Run what the command says.

    Raises:
        IncompleteError: something differs by more than is tolerated.
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
    keep_compiled_programs()
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
    earlier = earlier_results(path, settings, about)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "-m", "benchmarks.attack_check", *without_data_dir(arguments)]),
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
        write_results(options.out / "attack_check", results, markdown(results))
        logger.info("%-10s %-10s %s", name, threat, in_words(results["models"][name][threat]))
    write_results(options.out / "attack_check", results, markdown(results))
    weak = [name for name, model in results["models"].items() if not all(one["agrees"] for one in model.values())]
    if weak:
        raise IncompleteError(f"our attacks are too weak on {', '.join(weak)}; see {options.out / 'attack_check.md'}")


def _check(found: Run, trained: Trained, threat: Threat, budget: Budget) -> dict[str, Any]:
    raw_norm = found.norm if threat.space == "raw" else None
    model = build(trained.weights, trained.power, found.dataset.image_shape, raw_norm)
    images = found.images[threat.space]
    with jax.default_matmul_precision("highest"):
        return {**verified(model, images), **compare(model, threat, budget, images, found.labels)}


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for library in ("art", "jax"):
        logging.getLogger(library).setLevel(logging.ERROR)
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)
