"""Whether a number can be looked at: hyper-parameters are numbers in a run alone, and traced in a population."""

from typing import Any

import jax


def is_traced(*values: Any) -> bool:
    """Whether any of the values stands for many, inside ``jit`` or ``vmap``, so that its range cannot be checked."""
    return any(isinstance(value, jax.core.Tracer) for value in values)
