"""Where a backpropagation step and an ε of an FGSM sweep spend their time: ``python -m benchmarks.profiling OUT.md``.

Operation by operation, as JAX's profiler sees them at the published sizes on random images. Operations that work in the
thread pool of another library may be missing from it; they are in the difference to the whole.
"""

import gzip
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import require

if __name__ == "__main__":
    require("torch")

import jax
import jax.numpy as jnp

from benchmarks.environment import describe
from benchmarks.stages_training import OurTraining
from benchmarks.workload import Sizes, Workload, make_workload
from jax_bioadv import attacks
from jax_bioadv.analysis.robustness import epsilon_grid, epsilon_sweep
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.models import logits_function
from jax_bioadv.storage import atomic_file
from jax_bioadv.user_folders import user_path

LARGEST = 10


def spent(run: Callable[[], Any]) -> tuple[float, Counter[str]]:
    """Seconds of a call that is compiled already, and of its operations."""
    run()
    start = time.perf_counter()
    run()
    whole = time.perf_counter() - start
    operations: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        for trace in Path(folder).rglob("*.trace.json.gz"):
            for event in json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]:
                if "hlo_op" in event.get("args", {}) and not event["name"].startswith("while"):
                    operations[event["name"]] += event["dur"] / 1e6
    return whole, operations


def _section(title: str, steps: int, whole: float, operations: Counter[str]) -> list[str]:
    rows = [f"| {name} | {1000 * seconds / steps:.2f} |" for name, seconds in operations.most_common(LARGEST)]
    return [f"## {title}: {1000 * whole / steps:.1f} ms", "", "| operation | ms |", "| --- | --- |", *rows, ""]


def profile(workload: Workload) -> list[str]:
    sizes = workload.sizes
    training = OurTraining(workload)
    images, labels = workload.attacked
    logits, epsilons = logits_function(workload.trained_network), epsilon_grid(1e-6, 10**-1.5, 40)

    def sweep() -> Any:
        return epsilon_sweep(attacks.fgsm(), jax.random.key(0), logits, images, labels, epsilons)

    batch, weights = jnp.asarray(images), workload.network().encoder.kernel[...]
    product = jax.jit(jnp.matmul)

    def bare() -> None:
        for _ in range(sizes.timed_batches):
            jax.block_until_ready(product(batch, weights))

    return [
        *_section("Bare product", sizes.timed_batches, *spent(bare)),
        *_section("Backpropagation step", sizes.timed_batches, *spent(training.run)),
        *_section("FGSM at one ε", len(epsilons), *spent(sweep)),
    ]


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: list[str]) -> None:
    if len(arguments) != 1:
        raise ValueError("name the file to write")
    out = arguments[0]
    about = describe()
    workload = make_workload(Sizes(), synthetic=True, data_dir=None, precision="highest")
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    head = [
        f"`python -m benchmarks.profiling {out}` on {about['device']}, {about['processors']} processors; {versions}.",
        "",
    ]
    with atomic_file(user_path(out)) as stream:
        stream.write("\n".join(head + profile(workload)).encode())


if __name__ == "__main__":
    start(main)
