"""The floor of a stage: what its operations and bytes would take at the speed of a measured product and copy.

Operations are those that any implementation of the same mathematics must spend, and bytes those that must move: weights
and optimizer states in and out in every step, each image in. The floor is the larger of the two times, a bound that
only perfect overlap would reach; the share reached is floor / measured.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Stopwatch

COPY_BYTES = 2**28


class Work(NamedTuple):
    """What a whole stage must spend."""

    operations: float
    """Of matrix products and other arithmetic; a multiplication and an addition are two."""
    bytes: float
    dtype: str = "float32"


class Speed(NamedTuple):
    """What the device was seen to do, by the faster library."""

    operations_per_second: dict[str, float]
    """By dtype."""
    bytes_per_second: float
    """Read and written."""

    def floor_seconds(self, work: Work) -> float:
        return max(work.operations / self.operations_per_second[work.dtype], work.bytes / self.bytes_per_second)


class Measured(NamedTuple):
    """The best speeds, and what each library did, by name."""

    speed: Speed
    by_library: dict[str, float]


def _best(seconds: Callable[[Callable[[], Any]], tuple[float, Any]], run: Callable[[], Any], rounds: int) -> float:
    run()
    return min(seconds(run)[0] for _ in range(rounds))


def jax_calls(rows: int, inner: int, columns: int, copied: int) -> dict[str, Callable[[], Any]]:
    """A product in float32 and a copy by JAX, a product in float64 by NumPy, where our spectra run."""
    keys = jax.random.split(jax.random.key(0), 2)
    left = jax.random.normal(keys[0], (rows, inner))
    right = jax.random.normal(keys[1], (inner, columns))
    multiply, copy = jax.jit(jnp.matmul), jax.jit(lambda values: values + 1)
    values = jnp.zeros(copied // 4)
    left64, right64 = np.asarray(left, np.float64), np.asarray(right, np.float64)
    return {
        "product float32": lambda: jax.block_until_ready(multiply(left, right)),
        "product float64": lambda: left64 @ right64,
        "copy": lambda: jax.block_until_ready(copy(values)),
    }


def measure(
    stopwatch: Stopwatch,
    libraries: Mapping[str, Mapping[str, Callable[[], Any]]],
    size: tuple[int, int, int],
    copied: int,
    rounds: int = 5,
) -> Measured:
    """Time every library's product and copy, and keep the best of each.

    Args:
        stopwatch: the clock.
        libraries: name to calls, as :func:`jax_calls` gives them.
        size: rows, inner length and columns of the product.
        copied: bytes of the array that is copied; each is read and written.
        rounds: calls of which the fastest counts.
    """
    operations = 2.0 * size[0] * size[1] * size[2]
    by_library = {
        f"{library} {name}": (2.0 * copied if name == "copy" else operations) / _best(stopwatch.seconds, run, rounds)
        for library, calls in libraries.items()
        for name, run in calls.items()
    }

    def best(name: str) -> float:
        return max(rate for full_name, rate in by_library.items() if full_name.endswith(name))

    products = {dtype: best(f"product {dtype}") for dtype in ("float32", "float64")}
    return Measured(Speed(products, best("copy")), by_library)


def interference(
    stopwatch: Stopwatch, libraries: Mapping[str, Mapping[str, Callable[[], Any]]], rounds: int = 5
) -> dict[str, float]:
    """How much a product slows down right after the other library's, and after the pause between contestants.

    Returns:
        ``{"ours after eager": ratio, …}``: median seconds right after another library's product over those after the
        library's own; with "and a pause", after the pause that contestants get.
    """
    impatient = stopwatch._replace(pause_seconds=0.0)
    products = {name: calls["product float32"] for name, calls in libraries.items()}

    def median(watch: Stopwatch, before: Callable[[], Any], run: Callable[[], Any]) -> float:
        seconds = []
        for _ in range(rounds):
            before()
            seconds.append(watch.seconds(run)[0])
        return float(np.median(seconds))

    ratios = {}
    for name, run in products.items():
        for other, before in products.items():
            if other != name:
                alone = median(impatient, run, run)
                ratios[f"{name} after {other}"] = median(impatient, before, run) / alone
                ratios[f"{name} after {other} and a pause"] = median(stopwatch, before, run) / alone
    return ratios
