"""Several processes of ``jax.distributed`` that do one thing together: which is the first, and how they agree."""

import pickle
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def is_first() -> bool:
    """Whether this is the process that reads and writes files; a process alone is."""
    return jax.process_index() == 0


def broadcast(value: Any, source: int = 0) -> Any:
    """The value that one process has, on all of them; all must call it.

    Args:
        value: anything that can be pickled; what the other processes give is not looked at.
        source: number of the process.
    """
    if jax.process_count() == 1:
        return value
    is_source = jax.process_index() == source
    content = np.frombuffer(pickle.dumps(value) if is_source else b"", np.uint8)
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(content)), is_source=is_source))
    padded = content if is_source else np.zeros(length, np.uint8)
    return pickle.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded, is_source=is_source)).tobytes())
