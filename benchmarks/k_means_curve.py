"""k-means on whitened patches against its published accuracy: ``python -m benchmarks.k_means_curve --out OUT.json``.

Coates, Ng & Lee (AISTATS 2011) classify CIFAR-10 by one layer of centroids of whitened 6 × 6 patches, the Triangle and
sums over quadrants, and print 77.9 % for 1 600 of them and 79.6 % for 4 000. The layer is the published one, apart
from what :func:`jax_bioadv.learning.patch_filters.nearness_filters` says; the readout is the one of this library on
standardised features, a softmax where the published one is an L2-SVM. Its weight decay, too, is chosen on training
images that it has not seen, and it then learns from all of them.
"""

import argparse
import logging
import shlex
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from jax_bioadv.command_line import exit_code, start
from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.data import load
from jax_bioadv.learning.patch_filters import COATES_EPSILON, coates_stage
from jax_bioadv.learning.readouts import halving_adam, train_readout
from jax_bioadv.learning.regularizers import weight_decay
from jax_bioadv.learning.stacks import features
from jax_bioadv.learning.stage_filters import by_k_means, fill
from jax_bioadv.storage import write_json
from jax_bioadv.user_folders import user_path

PUBLISHED = {1600: 0.779, 4000: 0.796}
BATCH = 100
logger = logging.getLogger("benchmarks.k_means_curve")

Labelled = tuple[np.ndarray, np.ndarray]
"""Features, and the labels of the same images."""


def accuracy(network: ConvolutionalNetwork, learned: Labelled, asked: Labelled, decay: float, epochs: int) -> float:
    """Of a readout that learned from some features, on others."""
    values, labels = learned
    steps = len(labels) // BATCH
    optimizer: optax.GradientTransformation = halving_adam(1e-3, epochs, steps)
    how: dict[str, Any] = {"batch_size": BATCH, "regularizer": weight_decay(decay), "standardise": True}
    trained, _ = train_readout(network, values, labels, jax.random.key(2), optimizer, epochs=epochs, **how)
    readout: Any = trained.readout
    decide = nnx.jit(lambda readout, block: readout.decode(readout.preactivation(block)).argmax(axis=1))
    blocks = np.array_split(asked[0], max(1, len(asked[0]) // 1000))
    return float(np.mean(np.concatenate([decide(readout, block) for block in blocks]) == asked[1]))


def measure(images: Any, filters: int, decays: Sequence[float], epochs: int) -> dict[str, Any]:
    """Test accuracy of a layer of so many centroids, with the weight decay that is best on a fifth held out."""
    train, test = (each.reshape(len(each), -1) / np.float32(255) for each in (images.train_images, images.test_images))
    shape = images.train_images.shape[1:]
    classes = len(images.class_names)
    network = ConvolutionalNetwork(shape, [coates_stage(filters)], classes=classes, rngs=nnx.Rngs(0))
    logger.info("%d centroids of whitened patches", filters)
    network = fill(network, 0, lambda *given: by_k_means(*given, epsilon=COATES_EPSILON), train, jax.random.key(1))
    logger.info("features of %d images", len(train) + len(test))
    learned: Labelled = (features(network, train, dtype=np.float16), images.train_labels.astype(np.int32))
    asked: Labelled = (features(network, test, dtype=np.float16), images.test_labels.astype(np.int32))
    values, labels = learned
    split = len(train) * 4 // 5
    on_held_out = {}
    for decay in decays:
        seen, held_out = (values[:split], labels[:split]), (values[split:], labels[split:])
        on_held_out[decay] = accuracy(network, seen, held_out, decay, epochs)
        logger.info("weight decay %g: %.4f on images held out", decay, on_held_out[decay])
    best = max(decays, key=lambda decay: on_held_out[decay])
    return {
        "filters": filters,
        "accuracy": accuracy(network, learned, asked, best, epochs),
        "published": PUBLISHED.get(filters),
        "weight_decay": best,
        "held_out": [{"weight_decay": decay, "accuracy": found} for decay, found in on_held_out.items()],
    }


def run(options: argparse.Namespace) -> None:
    found = measure(load("cifar10"), options.filters, options.weight_decays, options.epochs)
    about = {
        "command": shlex.join(["python", "-m", "benchmarks.k_means_curve", *options.given]),
        "device": jax.devices()[0].device_kind,
        "versions": {name: version(name) for name in ("jax", "flax", "optax", "numpy", "scikit-learn")},
    }
    write_json(options.out, {**about, **found})
    published = "none is published" if found["published"] is None else f"{found['published']:.1%} is published"
    print(f"{found['accuracy']:.1%} of the test images with {options.filters} centroids; {published}")


def main(arguments: list[str] | None = None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks.k_means_curve", description=__doc__)
    parser.add_argument("--out", type=user_path, required=True, help="JSON file of the results")
    parser.add_argument("--filters", type=int, default=1600, help="centroids")
    parser.add_argument("--weight-decays", type=float, nargs="+", default=[1e-4, 3e-4, 1e-3, 3e-3])
    parser.add_argument("--epochs", type=int, default=30, help="of the readout")
    options = parser.parse_args(given)
    options.given = given
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("jax").setLevel(logging.ERROR)
    return exit_code(lambda: run(options))


if __name__ == "__main__":
    start(main)
