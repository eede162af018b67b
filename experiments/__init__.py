"""The paper's experiments, scripted: ``python -m experiments.reproduce --help``."""

import jax_bioadv  # noqa: F401  (first: Ctrl-C ends in one line while all else is imported)
