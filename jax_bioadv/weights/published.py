"""The five networks of the paper's kind as a published run trained them, to be used at once.

They lie in ``results/RUN/weights``, in 16 bits where neither accuracy nor critical distances leave the run's intervals
for it: ``weights.json`` there has both numbers of each.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from jax_bioadv.clone import clone_folder
from jax_bioadv.models import Network
from jax_bioadv.storage import StorageError, read_json
from jax_bioadv.weights.flax_state import with_state

FOLDER, ABOUT = "weights", "weights.json"


def published_networks() -> dict[str, tuple[str, ...]]:
    """The names of the networks that can be loaded, by run."""
    found = sorted((clone_folder() / "results").glob(f"*/{FOLDER}/{ABOUT}"))
    return {path.parents[1].name: tuple(read_json(path)["networks"]) for path in found}


def load_published(model: str = "kh", run: str = "quick") -> Network:
    """A network of a published run, its first seed.

    Args:
        model: ``kh``, the hybrid of a Krotov–Hopfield layer and a decoder; ``bp``, backpropagation; ``l2``,
            ``jacobian`` and ``spectral``, the same with a regularizer.
        run: folder of ``results``: ``quick``, with 500 hidden units.

    Returns:
        The network, in float32 and with batch norm folded into its decoder. It takes CIFAR-10 images flattened and
        divided by their own L3 norm: ``unit_norm(images, 3.0)`` of :mod:`jax_bioadv.data`.

    Raises:
        ValueError: there is no such network; it names those that there are.
        StorageError: its file is missing or not as it was published.
    """
    there = published_networks()
    if model not in there.get(run, ()):
        known = "; ".join(f"{name}: {', '.join(models)}" for name, models in there.items()) or "none"
        raise ValueError(f"no network {model!r} of a run {run!r} is published. There are, by run: {known}")
    folder = clone_folder() / "results" / run / FOLDER
    about = read_json(folder / ABOUT)["networks"][model]
    state = _checked(folder / f"{model}.npz", about["sha256"])
    (inputs, hidden), classes = state["encoder/kernel"].shape, state["decoder/bias"].size
    network = Network(inputs, hidden, classes, power=about["power"], rngs=nnx.Rngs(0))
    loaded: Any = with_state(network, state, half_precision=True)
    return loaded


def _checked(path: Path, sha256: str) -> dict[str, np.ndarray]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}. Clone or install the package again.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise StorageError(f"{path} is not the file that was published. Clone or install the package again.")
    with np.load(io.BytesIO(content)) as archive:
        return dict(archive)
