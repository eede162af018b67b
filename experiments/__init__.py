"""The paper's experiments, scripted: ``python -m experiments.reproduce --help``."""

import os

# On few cores a second thread of LAPACK spins where XLA's threads, or anything else, hold the other core, and the small
# factorizations of the spectral penalty wait for it. To be said before NumPy starts.
if (os.cpu_count() or 1) <= 4:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax_bioadv  # noqa: F401  (before all else: Ctrl-C ends in one line while that is imported)
