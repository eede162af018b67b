"""The floor of a stage: what its operations and bytes would take at the fastest product and copy that the run has seen.

Operations are those that our algorithm must spend, and bytes those that must move: weights and optimizer states in and
out in every step, each image in. The floor is the larger of the two times, a bound that only perfect overlap would
reach; the share reached is floor / measured.

That nothing beats a floor, its speeds are the best of all that was seen: by either library, of every shape of product
that the stages are made of, at the start and again after every stage, since a machine's speed drifts by some 10 %
within minutes.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.timing import Stopwatch

COPY_BYTES = 2**28
ROUNDS = 5


class Work(NamedTuple):
    """What a whole stage must spend."""

    operations: float
    """Of matrix products and other arithmetic; a multiplication and an addition are two."""
    bytes: float
    dtype: str = "float32"


class Speed(NamedTuple):
    """What the device was seen to do."""

    operations_per_second: dict[str, float]
    """By dtype."""
    bytes_per_second: float
    """Read and written."""

    def floor_seconds(self, work: Work) -> float:
        return max(work.operations / self.operations_per_second[work.dtype], work.bytes / self.bytes_per_second)


class Probe(NamedTuple):
    """A call whose speed is the device's."""

    kind: str
    """A dtype, of a product, or ``copy``."""
    amount: float
    """Operations, or bytes read and written."""
    run: Callable[[], Any]


class Product(NamedTuple):
    """A matrix product as both libraries' einsum takes it."""

    subscripts: str
    left: tuple[int, int]
    right: tuple[int, int]
    operations: float


def products(batch: int, inputs: int, hidden: int) -> dict[str, Product]:
    """Those that stages are made of: a layer, its gradients by images and by weights, a covariance times the layer."""
    step = 2.0 * batch * inputs * hidden
    return {
        "forward": Product("ij,jk->ik", (batch, inputs), (inputs, hidden), step),
        "by images": Product("ij,kj->ik", (batch, hidden), (inputs, hidden), step),
        "by weights": Product("ji,jk->ik", (batch, inputs), (batch, hidden), step),
        "covariance": Product("ij,jk->ik", (inputs, inputs), (inputs, hidden), 2.0 * inputs**2 * hidden),
    }


def jax_probes(batch: int, inputs: int, hidden: int, copied: int = COPY_BYTES) -> dict[str, Probe]:
    """Products and a copy by JAX, and a product in float64 by NumPy, where our spectra run."""

    generator = np.random.default_rng(0)

    def probe(product: Product) -> Probe:
        left, right = (jnp.asarray(generator.random(shape, np.float32)) for shape in (product.left, product.right))
        multiply = jax.jit(lambda left, right: jnp.einsum(product.subscripts, left, right))
        return Probe("float32", product.operations, lambda: jax.block_until_ready(multiply(left, right)))

    shapes = products(batch, inputs, hidden)
    copy, values = jax.jit(lambda values: values + 1), jnp.zeros(copied // 4)
    left64, right64 = (generator.random(shape) for shape in ((batch, inputs), (inputs, hidden)))
    return {
        **{f"JAX, {name}": probe(product) for name, product in shapes.items()},
        "NumPy, forward": Probe("float64", shapes["forward"].operations, lambda: left64 @ right64),
        "JAX, copy": Probe("copy", 2.0 * copied, lambda: jax.block_until_ready(copy(values))),
    }


def measure(stopwatch: Stopwatch, probes: Mapping[str, Probe], rounds: int = ROUNDS) -> dict[str, float]:
    """By probe the speed of its fastest call, after one that is not timed."""

    def best(run: Callable[[], Any]) -> float:
        run()
        return min(stopwatch.seconds(run)[0] for _ in range(rounds))

    return {name: probe.amount / best(probe.run) for name, probe in probes.items()}


def speed_of(probes: Mapping[str, Probe], rates: Mapping[str, float]) -> Speed:
    """The fastest probe of each kind."""
    best = {kind: rates[name] for kind, name in _fastest(probes, rates).items()}
    copied = best.pop("copy")
    return Speed(best, copied)


def fastest_probes(probes: Mapping[str, Probe], rates: Mapping[str, float]) -> dict[str, Probe]:
    """Of each kind the fastest, by which later drift is seen."""
    return {name: probes[name] for name in _fastest(probes, rates).values()}


def _fastest(probes: Mapping[str, Probe], rates: Mapping[str, float]) -> dict[str, str]:
    kinds = dict.fromkeys(probes[name].kind for name in rates)
    return {kind: max((n for n in rates if probes[n].kind == kind), key=lambda n: rates[n]) for kind in kinds}


def best(speeds: Iterable[Speed]) -> Speed:
    """What was seen at any time."""
    seen = list(speeds)
    dtypes = seen[0].operations_per_second
    return Speed(
        {dtype: max(speed.operations_per_second[dtype] for speed in seen) for dtype in dtypes},
        max(speed.bytes_per_second for speed in seen),
    )


def interference(
    stopwatch: Stopwatch, products: Mapping[str, Callable[[], Any]], rounds: int = ROUNDS
) -> dict[str, float]:
    """How much a product slows down right after the other library's, and after the pause between contestants.

    Args:
        stopwatch: the clock, with that pause.
        products: the same product by each library.
        rounds: of which the median counts.

    Returns:
        ``{"JAX after PyTorch": ratio, …}``: median seconds right after another library's product over those after the
        library's own; with "and a pause", after the pause that contestants get.
    """
    impatient = stopwatch._replace(pause_seconds=0.0)

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
