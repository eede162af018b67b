"""Where AutoAttack keeps what is done, part by part, so that a call that was interrupted goes on.

``begun.npz`` says what is attacked and how, by digests, and has the clean logits, by which any classifier is known, be
it a module or a function. ``PART.npz`` is what a part found, ``record.json`` the record of all of them.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Float

from jax_bioadv.attacks.auto_attack_outcome import same_logits
from jax_bioadv.storage import read_arrays, write_arrays, write_json
from jax_bioadv.version import __version__


class AutoAttackFolder:
    """One attack's folder.

    Args:
        folder: made when missing; None keeps nothing.
        asked: what is attacked and how, by name.
        logits: of the classifier for the images as they are.

    Attributes:
        logits: of the first call, which may differ by rounding.

    Raises:
        ValueError: the folder holds an attack of something else.
        StorageError: it cannot be written, or holds a broken file.
    """

    def __init__(
        self, folder: Path | None, asked: Mapping[str, ArrayLike | str], logits: Float[np.ndarray, "images classes"]
    ):
        self.folder, self.logits = folder, logits
        if folder is None:
            return
        begun = folder / "begun.npz"
        digests = {name: _digest(np.asarray(value)) for name, value in {**asked, "version": __version__}.items()}
        if not begun.exists():
            write_arrays(begun, {"asked": np.array(json.dumps(digests)), "logits": logits})
            return
        arrays = read_arrays(begun)
        earlier = json.loads(str(arrays["asked"]))
        other = [name for name in digests if digests[name] != earlier.get(name)]
        if not other and not same_logits(arrays["logits"], logits):
            other = ["classifier"]
        if other:
            raise ValueError(
                f"{folder} holds an attack with other {', '.join(other)}; choose another folder, or delete this one"
            )
        self.logits = arrays["logits"]

    def read(self, part: str) -> dict[str, np.ndarray] | None:
        """What a part found; None if it is still to be run."""
        if self.folder is None or not (path := self.folder / f"{part}.npz").exists():
            return None
        return read_arrays(path)

    def write(self, part: str, found: Mapping[str, np.ndarray]) -> None:
        """Keep what a part found."""
        if self.folder is not None:
            write_arrays(self.folder / f"{part}.npz", found)

    def write_record(self, record: Mapping[str, Any]) -> None:
        """Keep the record of the whole attack."""
        if self.folder is not None:
            write_json(self.folder / "record.json", record)


def _digest(array: np.ndarray) -> str:
    return hashlib.sha256(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
