"""Where AutoAttack keeps what is done, part by part, so that a call that was interrupted goes on.

``begun.npz`` says what is attacked: settings, key, images and labels by their digests, and the clean logits, which know
any classifier, be it a module or a function. ``PART.npz`` is what a part found, ``record.json`` all of it so far.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jax_bioadv.attacks.auto_attack_outcome import same_logits
from jax_bioadv.storage import read_arrays, write_arrays, write_json
from jax_bioadv.version import __version__


class AutoAttackFolder:
    """One attack's folder.

    Args:
        folder: made when missing.
        settings: of the attack.
        key: of its randomness.
        images: that it attacks.
        labels: theirs.
        indices: theirs, which decide their randomness.
        logits: of the classifier for these images.

    Attributes:
        logits: those of the first time, which may differ by rounding.

    Raises:
        ValueError: the folder holds an attack of something else.
        StorageError: it cannot be written, or holds a broken file.
    """

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        key: Key[Array, ""],
        images: Float[np.ndarray, "images inputs"],
        labels: Int[np.ndarray, " images"],
        indices: Int[np.ndarray, " images"],
        logits: Float[np.ndarray, "images classes"],
    ):
        self.folder, begun = folder, folder / "begun.npz"
        asked = {
            "settings": json.dumps(settings),
            "key": str(jax.random.key_data(key)),
            "images": _digest(images),
            "labels": _digest(labels),
            "image indices": _digest(indices),
            "version": __version__,
        }
        if not begun.exists():
            write_arrays(begun, {"asked": np.array(json.dumps(asked)), "logits": logits})
            self.logits = logits
            return
        arrays = read_arrays(begun)
        earlier = json.loads(str(arrays["asked"]))
        other = [name for name in asked if asked[name] != earlier.get(name)]
        if not other and not same_logits(arrays["logits"], logits):
            other = ["classifier"]
        if other:
            raise ValueError(
                f"{folder} holds an attack with other {', '.join(other)}; choose another folder, or delete this one"
            )
        self.logits = arrays["logits"]

    def read(self, part: str) -> dict[str, np.ndarray] | None:
        """What a part found; None if it is still to be run."""
        path = self.folder / f"{part}.npz"
        return read_arrays(path) if path.exists() else None

    def write(self, part: str, found: Mapping[str, np.ndarray]) -> None:
        """Keep what a part found."""
        write_arrays(self.folder / f"{part}.npz", found)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Keep the record so far."""
        write_json(self.folder / "record.json", record)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
