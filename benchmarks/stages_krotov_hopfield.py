"""Krotov–Hopfield: one step against the bare matrix product that it holds, and an epoch."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import eager_training
from benchmarks.eager_network import batches_by_index, choose_device, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import PYTORCH, Check, Results, Row, Stage, present, relative
from benchmarks.timing import Contestant, Part
from benchmarks.torch_compile import compiled
from benchmarks.workload import Sizes, Workload
from jax_bioadv.learning import krotov_hopfield

LEARNING_RATE = 0.02
# An image whose two best units are equal up to rounding goes to either, and then moves two whole rows: few rows may
# differ, by whatever, and all others by rounding alone.
ROUNDING, DIFFERENT_ROWS = 1e-3, 1e-2
NOTE = (
    "Rows start from training images. Our algorithm on a CPU: every image is added to the two rows that it moves; "
    "published, and on a GPU ours too: a product of images and learning activations."
)


def _work(sizes: Sizes, steps: int) -> Work:
    """Per step one product and two rows per image; the synapses in and out, the images in."""
    batch, inputs, hidden = sizes.batch_size, sizes.inputs, sizes.hidden
    operations = 2.0 * batch * inputs * hidden + 4.0 * batch * inputs
    return Work(steps * operations, steps * 4.0 * (2 * inputs * hidden + batch * inputs))


Step = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


class _Side(NamedTuple):
    """A contestant in PyTorch: its step, and the synapses to start from in the layout that the step takes."""

    label: str
    step: Step
    start: torch.Tensor
    by_rows: bool = False

    def rows(self, synapses: torch.Tensor) -> torch.Tensor:
        """Synapses as (hidden, inputs)."""
        return synapses if self.by_rows else synapses.T


def _in_place(synapses: torch.Tensor, images: torch.Tensor, learning_rate: float) -> torch.Tensor:
    eager_training.krotov_hopfield_step(synapses, images, learning_rate)
    return synapses


def _sides(workload: Workload, device: torch.device) -> dict[str, _Side]:
    columns = tensor(workload.synapses.T, device)
    lean = _Side("lean PyTorch, ΔW by a product", eager_training.lean_krotov_hopfield_step, columns)
    same = lean  # as is ours on an accelerator
    if device.type == "cpu":
        rows = columns.T.contiguous()
        same = _Side("", eager_training.scattered_krotov_hopfield_step, rows, by_rows=True)
    fused = compiled(same.step, workload.compile_mode)
    return {
        "eager": _Side("eager PyTorch", _in_place, columns.clone()),
        "lean": lean,
        "same": same._replace(label="lean PyTorch with our algorithm"),
        "compiled": same._replace(label="the same under torch.compile", step=fused),
    }


def agreement(start: np.ndarray, results: Results, ours: np.ndarray) -> list[Check]:
    checks = []
    for name in present(results, *PYTORCH):
        theirs = results[name][0].cpu().numpy()
        moved, apart = (np.linalg.norm(difference, axis=1) for difference in (theirs - start, ours - theirs))
        share = np.mean(~(apart <= ROUNDING * moved))  # counts NaN
        checks.append(Check(f"share of the rows that moved otherwise, {name}", float(share), DIFFERENT_ROWS))
    return checks


def build_step(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    rule, batch = krotov_hopfield.KrotovHopfield(), workload.train_images[: sizes.batch_size]
    synapses, images = jnp.asarray(workload.synapses), jnp.asarray(batch)
    their_images, their_synapses = tensor(batch, device), tensor(workload.synapses, device)
    their_effective = their_synapses * their_synapses.abs()
    step = jax.jit(krotov_hopfield.minibatch_step, static_argnames=("accumulation", "precision"))
    multiply = jax.jit(lambda left, right: jnp.matmul(left, right.T, precision=workload.precision))
    effective = krotov_hopfield.effective_weights(synapses, rule.p)

    def stepped(side: _Side) -> Callable[[], torch.Tensor]:
        return finished(lambda: side.rows(side.step(side.start, their_images, LEARNING_RATE)), device)

    runs: dict[str, tuple[str, Callable[[], Any]]] = {
        **{name: (side.label, stepped(side)) for name, side in _sides(workload, device).items()},
        "ours": (
            "ours",
            lambda: jax.block_until_ready(step(rule, synapses, images, LEARNING_RATE, precision=workload.precision)),
        ),
        "bare product, JAX": ("bare product, JAX", lambda: jax.block_until_ready(multiply(images, effective))),
        "bare product, PyTorch": (
            "bare product, PyTorch",
            finished(lambda: their_images @ their_effective.T, device),
        ),
    }
    contestants = {name: Contestant(label, (Part(run),)) for name, (label, run) in runs.items()}

    def agree(results: Results) -> list[Check]:
        theirs = results["bare product, PyTorch"][0].cpu().numpy()
        products = Check("bare products", relative(results["bare product, JAX"][0], theirs), 1e-4)
        return [products, *agreement(workload.synapses, results, np.asarray(results["ours"][0][0]))]

    note = f"{NOTE} The bare product is images × effective weights, by either library."
    return Row(contestants, agree, _work(sizes, 1), note)


def build_epoch(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    rule = krotov_hopfield.KrotovHopfield()
    images = jnp.asarray(workload.timed_images)
    state = krotov_hopfield.State(jnp.asarray(workload.synapses), jnp.array(0), jax.random.key(4))
    order = np.asarray(jax.random.permutation(jax.random.fold_in(state.key, state.epoch), len(images)))
    their_images, their_labels = tensor(workload.timed_images, device), tensor(workload.timed_labels, device)
    one_by_one = loader(their_images, their_labels, sizes.batch_size, order)

    def ours() -> Any:
        return jax.block_until_ready(
            krotov_hopfield.epoch(
                rule, state, images, LEARNING_RATE, batch_size=sizes.batch_size, precision=workload.precision
            )
        )

    def trained(name: str, side: _Side) -> Callable[[], torch.Tensor]:
        def run() -> torch.Tensor:
            synapses, indexed = side.start, batches_by_index(their_images, their_labels, sizes.batch_size, order)
            with torch.no_grad():
                for batch, _ in one_by_one if name == "eager" else indexed:
                    synapses = side.step(synapses, batch, LEARNING_RATE)
            return side.rows(synapses)

        return finished(run, device)

    runs: dict[str, tuple[str, Callable[[], Any]]] = {
        **{name: (side.label, trained(name, side)) for name, side in _sides(workload, device).items()},
        "ours": ("ours", ours),
    }
    contestants = {
        name: Contestant(label, (Part(run, workload.epoch_share),), workload.timed_batches_in_words)
        for name, (label, run) in runs.items()
    }

    def agree(results: Results) -> list[Check]:
        return agreement(workload.synapses, results, np.asarray(results["ours"][0][0].synapses))

    note = f"{NOTE} PyTorch gets the order of the images that ours draws."
    return Row(contestants, agree, _work(sizes, sizes.batches), note)


STAGES = {
    "kh_step": Stage("Krotov–Hopfield step", build_step),
    "kh_epoch": Stage("Krotov–Hopfield epoch", build_epoch),
}
