"""This library against PyTorch, stage by stage: same weights, same data, same results, interleaved, medians.

    python -m benchmarks --out benchmarks/results/NAME

writes NAME.json and NAME.md. Every stage is a row (``stages*.py``) with up to four contestants:

``eager``     PyTorch from the equations, the way that the published code works: a DataLoader, one ε at a time,
              automatic differentiation for every row of a Jacobian;
``lean``      eager PyTorch as one who knows it would write the same: batches by index, fused Adam, no needless
              gradients, and where it exists our shorter way;
``compiled``  the lean one under ``torch.compile``, where that was seen to help;
``ours``      what the experiments call.

Ratios of one run on one machine are what is claimed. On a CPU, absolute times are indications.
"""

import importlib.util
import sys

import jax_bioadv  # noqa: F401  (first: Ctrl-C ends in one line while all else is imported)


def require(*packages: str) -> None:
    """End the command in one line where one of the packages is missing; to be called before they are imported."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            sys.exit(f"error: {package} is missing; PyTorch and ART come with: pip install -e '.[test,benchmark]'")
