"""This library against PyTorch, stage by stage: same weights, same data, same results, interleaved, medians.

    python -m benchmarks --out benchmarks/results/NAME

writes NAME.json and NAME.md. Every stage is a row (``stages*.py``) with up to five contestants:

``eager``     PyTorch from the equations, the way that the published code works: a DataLoader, one ε at a time,
              automatic differentiation for every row of a Jacobian;
``lean``      the published algorithm as one who knows PyTorch would write it: batches by index, fused Adam, no needless
              gradients; only where that is another algorithm than ours;
``same``      our algorithm in PyTorch, as lean;
``compiled``  that one under ``torch.compile``, one graph without breaks, in the mode that was the fastest
              (``torch_compile.py``);
``ours``      what the experiments call.

So eager / ours is what someone gains who leaves the published code, and the better of same and compiled / ours what JAX
gains on the same algorithm. Ratios of one run on one machine are what is claimed. On a CPU, absolute times are
indications.
"""

import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# JAX would take three quarters of a GPU for itself, and PyTorch works beside it. Read when JAX first meets its device.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import jax_bioadv  # noqa: F401  (before all else: Ctrl-C ends in one line while the rest is imported)
from jax_bioadv.storage import atomic_file, write_json


def write_results(path: Path, results: Mapping[str, Any], page: str) -> None:
    """``path.json`` with all numbers, and ``path.md`` beside it for people."""
    write_json(path.with_name(f"{path.name}.json"), results)
    with atomic_file(path.with_name(f"{path.name}.md")) as stream:
        stream.write(page.encode())


def require(*packages: str) -> None:
    """End the command in one line where one of the packages is missing; to be called before they are imported."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            sys.exit(f"error: {package} is missing; it comes with: pip install -e '.[test,benchmark]'")
