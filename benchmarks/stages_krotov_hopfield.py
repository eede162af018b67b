"""Krotov–Hopfield: one step against the bare matrix product that it holds, and an epoch."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch

from benchmarks import eager_training
from benchmarks.eager_network import batches_by_index, choose_device, compiled, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, present, relative
from benchmarks.timing import Contestant, Part
from benchmarks.workload import Sizes, Workload
from jax_bioadv.learning import krotov_hopfield

LEARNING_RATE = 0.02
# An image whose two best units are equal up to rounding goes to either, and then moves two whole rows.
TOLERANCE = 1e-2


def _work(sizes: Sizes, steps: int) -> Work:
    """Per step one product and two rows per image; the synapses in and out, the images in."""
    batch, inputs, hidden = sizes.batch_size, sizes.inputs, sizes.hidden
    operations = 2.0 * batch * inputs * hidden + 4.0 * batch * inputs
    return Work(steps * operations, steps * 4.0 * (2 * inputs * hidden + batch * inputs))


def _agreement(start: np.ndarray, results: Results, ours: np.ndarray) -> list[Check]:
    checks = []
    for name in present(results, "eager", "lean", "compiled"):
        theirs = results[name][0].cpu().numpy().T
        checks.append(Check(f"change of the synapses, {name}", relative(ours - start, theirs - start), TOLERANCE))
    return checks


def build_step(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    rule, batch = krotov_hopfield.KrotovHopfield(), workload.train_images[: sizes.batch_size]
    synapses, images = jnp.asarray(workload.synapses), jnp.asarray(batch)
    their_images, in_place = tensor(batch, device), tensor(workload.synapses.T, device)
    their_start = in_place.clone()
    their_effective = (their_start * their_start.abs()).T.contiguous()
    step = jax.jit(krotov_hopfield.minibatch_step, static_argnames=("accumulation", "precision"))
    multiply = jax.jit(lambda left, right: jnp.matmul(left, right.T, precision=workload.precision))
    effective = krotov_hopfield.effective_weights(synapses, rule.p)

    def eager() -> torch.Tensor:
        eager_training.krotov_hopfield_step(in_place, their_images, LEARNING_RATE)
        return in_place

    def lean() -> torch.Tensor:
        return eager_training.lean_krotov_hopfield_step(their_start, their_images, LEARNING_RATE)

    compiled_step = compiled(eager_training.lean_krotov_hopfield_step)
    runs: dict[str, tuple[str, Callable[[], Any]]] = {
        "eager": ("eager PyTorch", finished(eager, device)),
        "lean": ("lean eager PyTorch", finished(lean, device)),
        "compiled": (
            "lean PyTorch under torch.compile",
            finished(lambda: compiled_step(their_start, their_images, LEARNING_RATE), device),
        ),
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
        return [products, *_agreement(workload.synapses, results, np.asarray(results["ours"][0][0]))]

    note = "Rows start from training images; the bare product is images × effective weights, by either library."
    return Row(contestants, agree, _work(sizes, 1), note)


def build_epoch(workload: Workload) -> Row:
    sizes, device = workload.sizes, choose_device()
    rule = krotov_hopfield.KrotovHopfield()
    images = jnp.asarray(workload.timed_images)
    state = krotov_hopfield.State(jnp.asarray(workload.synapses), jnp.array(0), jax.random.key(4))
    order = np.asarray(jax.random.permutation(jax.random.fold_in(state.key, state.epoch), len(images)))
    their_images, their_labels = tensor(workload.timed_images, device), tensor(workload.timed_labels, device)
    in_place = tensor(workload.synapses.T, device)
    their_start = in_place.clone()
    batches = loader(their_images, their_labels, sizes.batch_size, order)

    def ours() -> Any:
        return jax.block_until_ready(
            krotov_hopfield.epoch(
                rule, state, images, LEARNING_RATE, batch_size=sizes.batch_size, precision=workload.precision
            )
        )

    def eager() -> torch.Tensor:
        with torch.no_grad():
            for batch, _ in batches:
                eager_training.krotov_hopfield_step(in_place, batch, LEARNING_RATE)
        return in_place

    def lean(step: Callable[..., torch.Tensor]) -> torch.Tensor:
        synapses = their_start
        with torch.no_grad():
            for batch, _ in batches_by_index(their_images, their_labels, sizes.batch_size, order):
                synapses = step(synapses, batch, LEARNING_RATE)
        return synapses

    compiled_step = compiled(eager_training.lean_krotov_hopfield_step)
    runs: dict[str, tuple[str, Callable[[], Any]]] = {
        "eager": ("eager PyTorch", finished(eager, device)),
        "lean": ("lean eager PyTorch", finished(lambda: lean(eager_training.lean_krotov_hopfield_step), device)),
        "compiled": ("lean PyTorch under torch.compile", finished(lambda: lean(compiled_step), device)),
        "ours": ("ours", ours),
    }
    contestants = {
        name: Contestant(label, (Part(run, workload.epoch_share),), workload.timed_batches_in_words)
        for name, (label, run) in runs.items()
    }

    def agree(results: Results) -> list[Check]:
        return _agreement(workload.synapses, results, np.asarray(results["ours"][0][0].synapses))

    note = "PyTorch gets the order of the images that ours draws; rows start from training images."
    return Row(contestants, agree, _work(sizes, sizes.batches), note)


STAGES = {
    "kh_step": Stage("Krotov–Hopfield step", build_step),
    "kh_epoch": Stage("Krotov–Hopfield epoch", build_epoch),
}
