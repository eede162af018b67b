"""k-means on whitened patches against its published accuracy: ``python -m benchmarks.k_means_curve --out OUT.json``.

Coates, Ng & Lee (AISTATS 2011) classify CIFAR-10 by one layer of centroids of whitened 6 × 6 patches, the Triangle,
sums over quadrants and an L2-SVM on standardised features, and print 77.9 % for 1 600 centroids and 79.6 % for 4 000.
The layer is the published one, apart from what :func:`jax_bioadv.learning.patch_filters.nearness_filters` says; the
SVM weighs its mean squared hinge loss by a factor that is chosen on a fifth of the training images, which it has not
seen.
"""

import argparse
import logging
import shlex
import sys
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
import scipy
from flax import nnx

from jax_bioadv.command_line import exit_code, start
from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.data import load
from jax_bioadv.learning.patch_filters import COATES_EPSILON, coates_stage
from jax_bioadv.learning.readouts import mean_and_deviation
from jax_bioadv.learning.stacks import features
from jax_bioadv.learning.stage_filters import by_k_means, fill
from jax_bioadv.storage import write_json
from jax_bioadv.user_folders import user_path

PUBLISHED = {1600: 0.779, 4000: 0.796}
logger = logging.getLogger("benchmarks.k_means_curve")

Labelled = tuple[np.ndarray, np.ndarray]
"""Standardised features, and the labels of the same images."""
Weights = tuple[np.ndarray, np.ndarray]
"""Of all classes: (features, classes), and their bias (1, classes)."""


def l2_svm(learned: Labelled, classes: int, factor: float, steps: int) -> tuple[Weights, bool]:
    """One L2-SVM a class, and whether L-BFGS came to its end in so many steps.

    It minimises ``|w|²/2 + factor · mean(max(0, 1 − t (w·x + b))²)`` with t = ±1.
    """
    values, labels = learned
    signs = np.where(labels[:, None] == np.arange(classes), np.float32(1), np.float32(-1))

    def parted(flat: np.ndarray) -> Weights:
        weights, bias = np.split(flat.astype(np.float32).reshape(-1, classes), [-1])
        return weights, bias

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = parted(flat)
        hinge = np.maximum(0, 1 - signs * (values @ weights + bias))
        slope = -2 * factor / len(values) * signs * hinge
        value = np.sum(weights**2, dtype=np.float64) / 2 + factor * np.sum(hinge**2, dtype=np.float64) / len(values)
        return float(value), np.concatenate([weights + values.T @ slope, slope.sum(axis=0)[None]]).ravel().astype(float)

    nothing = np.zeros((values.shape[1] + 1) * classes)
    found = scipy.optimize.minimize(loss, nothing, jac=True, method="L-BFGS-B", options={"maxiter": steps})
    return parted(found.x), bool(found.success)


def accuracy(weights: Weights, asked: Labelled) -> float:
    return float(np.mean((asked[0] @ weights[0] + weights[1]).argmax(axis=1) == asked[1]))


def measure(images: Any, filters: int, factors: Sequence[float], steps: int) -> dict[str, Any]:
    """Test accuracy of a layer of so many centroids, with the factor that is best on a fifth held out."""
    train, test = (each.reshape(len(each), -1) / np.float32(255) for each in (images.train_images, images.test_images))
    shape, labels = images.train_images.shape[1:], images.train_labels
    network = ConvolutionalNetwork(shape, [coates_stage(filters)], classes=len(images.class_names), rngs=nnx.Rngs(0))
    logger.info("%d centroids of whitened patches", filters)
    network = fill(network, 0, lambda *given: by_k_means(*given, epsilon=COATES_EPSILON), train, jax.random.key(1))
    logger.info("features of %d images", len(train) + len(test))
    values, asked = features(network, train), features(network, test)
    mean, deviation = map(np.asarray, mean_and_deviation(values))
    for each in (values, asked):
        each -= mean
        each /= np.where(deviation > 0, deviation, 1)
    split, classes = len(train) * 4 // 5, len(images.class_names)
    seen, held_out = (values[:split], labels[:split]), (values[split:], labels[split:])
    on_held_out = {}
    for factor in factors:
        on_held_out[factor] = accuracy(l2_svm(seen, classes, factor, steps)[0], held_out)
        logger.info("factor %g: %.4f on images held out", factor, on_held_out[factor])
    best = max(factors, key=lambda factor: on_held_out[factor])
    weights, converged = l2_svm((values, labels), classes, best, steps)
    return {
        "filters": filters,
        "accuracy": accuracy(weights, (asked, images.test_labels)),
        "converged": converged,
        "published": PUBLISHED.get(filters),
        "factor": best,
        "held_out": [{"factor": factor, "accuracy": found} for factor, found in on_held_out.items()],
    }


def run(options: argparse.Namespace) -> None:
    if options.steps < 1 or not all(0 < factor < float("inf") for factor in options.factors):
        raise ValueError("steps and factors must be positive and finite")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=options.out.parent):  # what cannot be written is told before the work
        pass
    found = measure(load("cifar10"), options.filters, options.factors, options.steps)
    about = {
        "command": shlex.join(["python", "-m", "benchmarks.k_means_curve", *options.given]),
        "device": jax.devices()[0].device_kind,
        "versions": {name: version(name) for name in ("jax", "flax", "numpy", "scipy", "scikit-learn")},
    }
    write_json(options.out, {**about, **found})
    published = "none is published" if found["published"] is None else f"{found['published']:.1%} is published"
    print(f"{found['accuracy']:.1%} of the test images with {options.filters} centroids; {published}")


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks.k_means_curve", description=__doc__)
    parser.add_argument("--out", type=user_path, required=True, help="JSON file of the results")
    parser.add_argument("--filters", type=int, default=1600, help="centroids")
    parser.add_argument("--factors", type=float, nargs="+", default=[30.0, 100.0, 300.0], help="of the hinge loss")
    parser.add_argument("--steps", type=int, default=200, help="of L-BFGS, at most")
    options = parser.parse_args(given)
    options.given = given
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("jax").setLevel(logging.ERROR)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    start(main)
