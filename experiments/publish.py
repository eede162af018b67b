"""Publish a finished run: ``python -m experiments.publish runs/quick results/quick``.

The folder then holds results.json and figures.npz, from which ``experiments.report`` draws figures and page, and the
weights of the paper's models, first seed, for :func:`jax_bioadv.weights.load_published`.
"""

import hashlib
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from experiments.engine.command import Place, images_of
from experiments.engine.provenance import environment
from experiments.engine.tasks import Outcome
from experiments.images import Images
from experiments.models import PAPER_MODELS
from experiments.networks import measured_accuracy, purpose_key, trained_network
from experiments.results.schema import read_results, whole_results
from experiments.settings.reproduction import Settings
from jax_bioadv import attacks
from jax_bioadv.analysis.robustness import correctly_classified, median_with_censoring
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.models import Network
from jax_bioadv.storage import atomic_file, read_arrays, read_json, write_arrays, write_json
from jax_bioadv.user_folders import user_path
from jax_bioadv.weights import state_of, with_state
from jax_bioadv.weights.published import ABOUT, FOLDER

SEED = 0


def publish(
    directory: tyro.conf.Positional[Path],
    to: tyro.conf.Positional[Path],
    data_dir: Path | None = None,
    resize: int | None = None,
    drop_blank_images: bool = False,
) -> None:
    """Copy what a finished run found, and write its networks down in as few bits as leave them what they are.

    A network is kept in 16 bits where test accuracy and median critical distance stay within the run's 95 % intervals,
    and in 32 where they do not; weights.json has both numbers.

    Args:
        directory: of a reproduction.
        to: folder that is made, or whose files are written anew.
        data_dir: folder that holds the data; default: $JAX_BIOADV_DATA, else ~/.cache/jax-bioadv.
        resize: as the run had it.
        drop_blank_images: as the run had it.

    Raises:
        ValueError: the run has not come to its end, or its networks are not those of its results.
        OSError: a file is missing or not whole, or cannot be written.
    """
    directory, to = user_path(directory), user_path(to)
    with whole_results(directory):
        results = read_results(directory)
        models = [name for name in PAPER_MODELS if (directory / "models" / f"{name}-{SEED}.npz").is_file()]
        if not models:
            raise ValueError(f"{directory} holds no networks of the paper; name the folder of a reproduction")
        if not all("minimum_norm" in results["models"][name].get("critical_l2", {}) for name in models):
            raise ValueError("the run has no minimum-norm distances, which tell whether weights may be rounded")
    chosen = results["settings"]
    place = Place(data_dir=data_dir, resize=resize, drop_blank_images=drop_blank_images)
    images, told = images_of(place, Settings(dataset=chosen["dataset"], norm=chosen["norm"])), results["dataset"]
    if images.dataset.sha256 != told["sha256"]:
        raise ValueError(
            f"the data are not those of {directory}, {told['source']}: name their folder with --data-dir, and give "
            "--resize and --drop-blank-images as the run had them"
        )
    with jax.default_matmul_precision(chosen["precision"]):
        found = {name: _written(name, directory, to / FOLDER, images, results) for name in models}
    about = {"seed": SEED, "dataset": results["dataset"]["name"], "norm": chosen["norm"], "networks": found}
    write_json(to / FOLDER / ABOUT, {**about, "environment": environment(chosen["precision"])})
    for name in ("results.json", "figures.npz"):
        content = (directory / name).read_bytes()
        with atomic_file(to / name) as stream:
            stream.write(content)


def _written(name: str, directory: Path, folder: Path, images: Images, results: Mapping[str, Any]) -> dict[str, Any]:
    record = read_json(directory / "stages" / f"{name}-{SEED}.json")
    outcome = Outcome(record["values"], read_arrays(directory / "models" / f"{name}-{SEED}.npz"))
    network, settings = trained_network(images, outcome), results["settings"]
    state = state_of(network)
    halved = {**state, "encoder/kernel": state["encoder/kernel"].astype(np.float16)}
    rounded: Any = with_state(network, halved, half_precision=True)
    rows = correctly_classified(network, images.test, images.test_labels, settings["attacks"]["images"])
    single, half = (_measured(one, rows, images, settings["threats"]) for one in (network, rounded))
    told, intervals = _told(results["models"][name])
    if not all(math.isclose(single[what], told[what], rel_tol=1e-3) for what in told):
        raise ValueError(f"{name} has {single}, and the run's results say {told}: they are of another network")
    fits = all(low <= half[what] <= high for what, (low, high) in intervals.items())
    path = folder / f"{name}.npz"
    write_arrays(path, halved if fits else state)
    return {
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "power": network.power,
        "bits": 16 if fits else 32,
        "in_32_bits": single,
        "in_16_bits": half,
        "intervals": intervals,
        "decisions_changed": int(jnp.sum(_decisions(network, images) != _decisions(rounded, images))),
    }


def _measured(network: Network, rows: np.ndarray, images: Images, threats: Mapping[str, Any]) -> dict[str, float]:
    """What must not move when weights are rounded."""
    attack = attacks.minimum_norm(2, threats["minimum_norm_steps"], threats["targets"])
    found = attacks.minimum_norm_perturbations(
        attack, purpose_key(SEED, "minimum_norm"), network, images.test[rows], images.test_labels[rows]
    )
    median = median_with_censoring(np.asarray(found.length))
    return {"test_accuracy": measured_accuracy(images, network), "median_critical_l2": median}


def _told(entry: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """The same as a model's results have it, and its intervals."""
    shortest = entry["critical_l2"]["minimum_norm"]
    told = {"test_accuracy": entry["test_accuracy"][SEED], "median_critical_l2": shortest["median"][SEED]}
    low_high = entry["test_accuracy_interval"][SEED], shortest["median_interval"][SEED]
    return told, dict(zip(told, low_high, strict=True))


def _decisions(network: Network, images: Images) -> jnp.ndarray:
    return jnp.argmax(network(images.test), axis=1)


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: tyro.cli(publish, args=words, prog="python -m experiments.publish"))


if __name__ == "__main__":
    start(main)
