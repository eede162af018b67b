"""AutoAttack, ours against the published one (pyautoattack, in PyTorch), at the standard budget on trained networks.

    python -m benchmarks.autoattack --images 1000 --out benchmarks/results

Three architectures are trained and copied to PyTorch. Both implementations attack the same images with the same budget,
in L-infinity and in L2. An image counts as broken if its perturbed copy lies in the ball and in [0, 1], judged in
float64, and both copies of the network misclassify it. The comparison fails where ours leaves an accuracy more than
half a point above theirs. They run in turns, after a call of ours that compiles: medians of seconds, and that apart.

Writes autoattack.json and autoattack.md after each network and threat; the same command goes on from there.
"""

import argparse
import dataclasses
import logging
import math
import re
import shlex
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any, NamedTuple

from benchmarks import require

if __name__ == "__main__":
    require("torch", "pyautoattack")

import jax
import numpy as np
import torch
from flax import nnx
from pyautoattack import AutoAttack
from tqdm import tqdm

from benchmarks import environment, write_results
from benchmarks.attack_contestants import BOUNDS, THREATS, Threat, earlier_results, judge, verified, without_data_dir
from benchmarks.autoattack_networks import ARCHITECTURES, Pair, train
from benchmarks.autoattack_page import in_words, markdown
from benchmarks.eager_network import choose_device, configure, tensor
from jax_bioadv.attacks import autoattack
from jax_bioadv.command_line import IncompleteError, exit_code, start
from jax_bioadv.data import Dataset, load
from jax_bioadv.raw_pixels import raw_pixels
from jax_bioadv.user_folders import user_path

SCHEMA = 1
TOLERATED_POINTS = 0.5
BLOCK = 256  # images in a batch of either
COMPARED = ("raw_linf", "raw_l2")
logger = logging.getLogger("benchmarks.autoattack")


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is compared; the budget is the standard one, unless it is lowered for a trial."""

    dataset: str = "cifar10"
    trained_on: int = 20_000
    epochs: int = 5
    images: int = 500
    rounds: int = 3
    steps: int = 100
    targets: int = 9
    queries: int = 5000


class _Heard(logging.Handler):
    """What the published code says after each of its attacks: the accuracy, and the seconds since the first began."""

    SENTENCE = re.compile(r"robust accuracy after (\S+): ([\d.]+)% \(total time ([\d.]+) s\)")

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.parts: dict[str, dict[str, float]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        said = self.SENTENCE.match(record.getMessage())
        if said is not None:
            name, accuracy, seconds = said[1].lower(), float(said[2]) / 100, float(said[3])
            before = sum(part["seconds"] for part in self.parts.values())
            self.parts[name] = {"robust_accuracy": accuracy, "seconds": seconds - before}


class Clocks(NamedTuple):
    """Seconds on the wall, and of all processors, which other work on the machine does not lengthen."""

    seconds: float
    processor_seconds: float


Attacked = tuple[np.ndarray, dict[str, dict[str, float]]]
"""Perturbed images, and by part the accuracy that it leaves and its seconds."""


def run_ours(pair: Pair, images: np.ndarray, labels: np.ndarray, threat: Threat, settings: Settings) -> Attacked:
    budget = {"steps": settings.steps, "targets": settings.targets, "queries": settings.queries}
    attack = autoattack(threat.norm, threat.epsilon, image_shape=pair.image_shape, bounds=BOUNDS, **budget)
    found = attack(jax.random.key(0), pair.network, images, labels, image_block=BLOCK)
    kept = ("robust_accuracy", "seconds")
    return found.images, {name: {k: part[k] for k in kept} for name, part in found.record()["parts"].items()}


def run_theirs(pair: Pair, images: np.ndarray, labels: np.ndarray, threat: Threat, settings: Settings) -> Attacked:
    norm, device, heard = "Linf" if threat.norm == math.inf else "L2", choose_device(), _Heard()
    attack = AutoAttack(pair.twin, norm=norm, eps=threat.epsilon, seed=0, device=device)
    for climb in (attack.apgd, attack.apgd_targeted, attack.fab):
        climb.n_iter = settings.steps
    for aimed in (attack.apgd_targeted, attack.fab):
        aimed.n_target_classes = settings.targets
    attack.square.n_queries = settings.queries
    attack.logger.setLevel(logging.DEBUG)
    attack.logger.addHandler(heard)
    try:
        given = pair.channels_first(images), tensor(labels.astype(np.int64), device)
        perturbed, _ = attack.run_standard_evaluation(*given, batch_size=BLOCK)
    finally:
        attack.logger.removeHandler(heard)
    return pair.flattened(perturbed), heard.parts


CONTESTANTS = {"ours": run_ours, "theirs": run_theirs}


def compare(pair: Pair, threat: Threat, settings: Settings, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Accuracies under both, judged by the same rules; and a race in turns, after a call of ours that compiles."""
    clean = (pair.our_logits(images).argmax(axis=1) == labels) & (pair.their_logits(images).argmax(axis=1) == labels)
    calls = {who: partial(attack, pair, images, labels, threat, settings) for who, attack in CONTESTANTS.items()}
    _, first = _timed(calls["ours"])
    results: dict[str, Attacked] = {}
    rounds: dict[str, list[Clocks]] = {who: [] for who in calls}
    for _ in range(settings.rounds):
        for who, call in calls.items():
            results[who], clocks = _timed(call)
            rounds[who].append(clocks)
    sides = {who: _side(pair, threat, result, images, labels, clean, rounds[who]) for who, result in results.items()}
    ours, theirs = sides["ours"], sides["theirs"]
    points = 100 * (ours["robust"] - theirs["robust"])
    return {
        "epsilon": threat.epsilon,
        "images": len(images),
        "clean": float(np.mean(clean)),
        **sides,
        "difference_points": points,
        "agrees": points <= TOLERATED_POINTS,
        "compiling": {clock: value - ours["median"][clock] for clock, value in first._asdict().items()},
        "times_less": {clock: theirs["median"][clock] / ours["median"][clock] for clock in Clocks._fields},
    }


def _side(
    pair: Pair,
    threat: Threat,
    result: Attacked,
    images: np.ndarray,
    labels: np.ndarray,
    clean: np.ndarray,
    rounds: list[Clocks],
) -> dict[str, Any]:
    perturbed, parts = result
    verdict = judge(pair, threat, perturbed, images, labels)
    return {
        "robust": float(np.mean(clean & ~verdict.broken)),
        "parts": parts,
        "outside": verdict.outside,
        "disputed": verdict.disputed,
        "rounds": [clocks._asdict() for clocks in rounds],
        "median": {clock: statistics.median(getattr(each, clock) for each in rounds) for clock in Clocks._fields},
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, Clocks]:
    began, processor_began = time.perf_counter(), time.process_time()
    result = call()
    return result, Clocks(time.perf_counter() - began, time.process_time() - processor_began)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoattack", description=__doc__)
    parser.add_argument("--out", type=user_path, required=True, help="folder for autoattack.json and autoattack.md")
    parser.add_argument("--architectures", default=",".join(ARCHITECTURES), help="names, separated by commas")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch; 0 for as many as there are processors")
    parser.add_argument("--data-dir", help="where the images are kept; see docs/reproduce.md")
    for field in dataclasses.fields(Settings):
        kind = type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    return parser.parse_args(arguments)


def run(arguments: list[str]) -> None:
    """Run what the command says.

    Raises:
        IncompleteError: ours is too weak somewhere.
        ValueError: settings that cannot work, before any work; or a copy that gives other logits.
    """
    options = parse(arguments)
    settings = Settings(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Settings)})
    for name, value in dataclasses.asdict(settings).items():
        if not isinstance(value, str) and value < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be at least 1, got {value}")
    names = options.architectures.split(",")
    if not set(names) <= set(ARCHITECTURES):
        raise ValueError(f"--architectures are among {', '.join(ARCHITECTURES)}; got {options.architectures}")
    dataset = load(settings.dataset, options.data_dir)
    if settings.images > len(dataset.test_images):
        raise ValueError(f"--images {settings.images}: there are {len(dataset.test_images)} test images")
    configure("highest")
    if options.threads > 0:
        torch.set_num_threads(options.threads)
    about = environment.describe()
    about["versions"]["pyautoattack"] = version("pyautoattack")
    path, stated = options.out / "autoattack.json", {**dataclasses.asdict(settings), "sha256": dataset.sha256}
    earlier = earlier_results(path, stated, about)
    results: dict[str, Any] = {
        "schema": SCHEMA,
        "command": shlex.join(["python", "-m", "benchmarks.autoattack", *without_data_dir(arguments)]),
        "environment": about,
        "settings": stated,
        "tolerated_points": TOLERATED_POINTS,
        "networks": {name: dict(earlier.get("networks", {}).get(name, {})) for name in names},
    }
    images, labels = raw_pixels(dataset.test_images)[: settings.images], dataset.test_labels[: settings.images]
    for name in tqdm(names, desc="networks", disable=None):
        left = [threat for threat in COMPARED if threat not in results["networks"][name]]
        if not left:
            continue
        pair = _trained(name, dataset, settings)
        verified(pair, images)
        for threat in left:
            entry = compare(pair, THREATS[threat], settings, images, labels.astype(np.int32))
            results["networks"][name][threat] = entry
            write_results(options.out / "autoattack", results, markdown(results))
            logger.info("%-13s %-9s %s", name, threat, in_words(entry))
    weak = [name for name, each in results["networks"].items() if not all(entry["agrees"] for entry in each.values())]
    if weak:
        raise IncompleteError(f"our AutoAttack is too weak on {', '.join(weak)}; see {options.out / 'autoattack.md'}")


def _trained(name: str, dataset: Dataset, settings: Settings) -> Pair:
    pair = ARCHITECTURES[name](dataset.image_shape, 10, nnx.Rngs(0))
    images, labels = dataset.train_images[: settings.trained_on], dataset.train_labels[: settings.trained_on]
    train(pair.network, raw_pixels(images), labels.astype(np.int32), THREATS[COMPARED[0]].epsilon, settings.epochs)
    return pair.copied()


def main(arguments: list[str] | None = None) -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("jax").setLevel(logging.ERROR)
    logging.getLogger("auto-attack").propagate = False
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    start(main)
