"""An epoch with spectral regularization, its eigenvectors renewed as our presets do and as published."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from benchmarks import eager_training
from benchmarks.eager_network import EagerNetwork, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, relative
from benchmarks.stages_training import OurTraining, TheirTraining, adam_work, contestant
from benchmarks.timing import Part
from benchmarks.workload import Sizes, Workload, weights_of
from jax_bioadv.learning import regularizers

WEIGHT, EXPONENT, REFRESH_EVERY = 1.0, 1.0, 5


def _work(sizes: Sizes, refreshes: float) -> Work:
    """Beside backpropagation: per step the projection and its gradient; per refresh ``Vᵀ C V`` and an eigenbasis.

    An eigenbasis is counted as 10/3·H³, the reduction to tridiagonal form and the way back.
    """
    hidden, inputs = float(sizes.hidden), float(sizes.inputs)
    steps = adam_work(sizes, sizes.batches, extra=4.0 * sizes.batch_size * hidden**2)
    refresh = 2.0 * inputs**2 * hidden + 2.0 * inputs * hidden**2 + 10.0 / 3.0 * hidden**3
    moved = 4.0 * (inputs**2 + inputs * hidden + 2 * hidden**2)
    return Work(steps.operations + refreshes * refresh, steps.bytes + refreshes * moved)


class Sides:
    """Both sides, set up alike."""

    def __init__(self, workload: Workload, renew_every: int | None):
        self.images = jnp.asarray(workload.train_images)
        self.covariance = regularizers.image_covariance(self.images)
        network = workload.network(batch_norm=True)
        eigenvalues, _ = regularizers.hidden_spectrum(network, self.covariance)
        self.anchor = float(eigenvalues[0])
        # PyTorch decomposes anew at every renewal, and so do we here.
        self.regularizer = regularizers.spectral(WEIGHT, EXPONENT, 1, self.anchor, warm_start=False)
        self.data = regularizers.TrainingData(self.images, jnp.asarray(workload.train_labels), self.covariance)
        graphdef, state = nnx.split(network)
        refresh = jax.jit(lambda state, data: self.regularizer.refresh(nnx.merge(graphdef, state), data))
        self.refresh_ours = lambda: jax.block_until_ready(refresh(state, self.data))
        self.ours = OurTraining(
            workload, self.regularizer, covariance=self.covariance, batch_norm=True, renew_every=renew_every
        )
        names = ("eager", "lean")
        self.theirs = {n: TheirTraining(workload, self.ours.order, lean=n != "eager", batch_norm=True) for n in names}
        self.penalties = {
            n: eager_training.SpectralPenalty(WEIGHT, EXPONENT, self.anchor, lean=n != "eager") for n in names
        }
        device = self.theirs["eager"].device
        their_images, their_labels = tensor(workload.train_images, device), tensor(workload.train_labels, device)
        self.their_covariance = tensor(self.covariance, device)
        everything = loader(their_images, their_labels, workload.sizes.batch_size)
        self.refresh_theirs = {
            "eager": lambda network: self.penalties["eager"].refresh(network, everything),
            "lean": lambda network: self.penalties["lean"].refresh_from(network, self.their_covariance),
        }
        self.batch_size, self.device = workload.sizes.batch_size, device

    def refresh(self, name: str) -> Any:
        """A contestant's refresh of the network that it trains."""
        return finished(lambda: self.refresh_theirs[name](self.theirs[name].network), self.device)

    def agree(self, results: Results) -> list[Check]:
        """At the first batch, with the weights to start from.

        From the second batch on float32 decides: Adam turns gradients that are rounding into whole steps, in directions
        of almost no variance, where the penalty has its steepest slopes.
        """
        first, entropy = self.ours.first_batch(self.batch_size)
        target = self.refresh_ours()
        penalty, gradient = self._penalty_and_gradient(first, target)
        ours = np.asarray(target.eigenvectors, np.float64)
        checks = []
        for name in ("eager", "lean"):
            fresh = EagerNetwork(weights_of(self.ours.network), self.device, batch_norm=True)
            theirs = self.refresh_theirs[name](fresh).cpu().numpy().astype(np.float64)
            leading = slice(0, max(1, len(ours) // 100))
            overlap = np.abs(np.sum(ours[:, leading] * theirs[:, leading], axis=0))
            self.penalties[name].eigenvectors = tensor(target.eigenvectors, self.device)
            images = tensor(first.images, self.device)
            their_penalty = self.penalties[name](fresh, images, images @ fresh.kernel)
            their_penalty.backward()
            assert fresh.kernel.grad is not None
            losses: eager_training.Losses = results[name][0]
            checks += [
                Check(f"cross-entropy of the first batch, {name}", relative(entropy, losses.cross_entropy[0]), 1e-4),
                Check(f"leading eigenvectors, {name}", float(np.max(1 - overlap)), 1e-3),
                Check(f"penalty of the first batch, {name}", relative(penalty, their_penalty.item()), 1e-4),
                Check(f"its gradient by the weights, {name}", relative(gradient, fresh.kernel.grad.cpu()), 1e-3),
            ]
        return checks

    def _penalty_and_gradient(
        self, first: regularizers.Batch, target: regularizers.SpectralTarget
    ) -> tuple[jax.Array, jax.Array]:
        @jax.value_and_grad
        def penalty(kernel: jax.Array) -> jax.Array:
            batch = first._replace(preactivation=first.images @ kernel)
            return self.regularizer.penalty(self.ours.network, batch, target, jax.random.key(0))

        return penalty(self.ours.network.encoder.kernel[...])


LEAN_LABEL = "lean eager PyTorch: variance along the eigenvectors, covariance Vᵀ C V, batches by index, fused Adam"
NOTE = (
    "Eager PyTorch: the eigenbasis from a float32 pass over all training images per refresh, λ_n as the diagonal of "
    "Sᵀ C S of the batch's covariance C, as published. Ours and the lean one: Vᵀ C V per refresh, with the images' "
    "covariance C from before the first epoch (one product per training, not in the row). They are compared at the "
    "first batch: later, float32 decides about directions of almost no variance. "
)


def build_preset(workload: Workload) -> Row:
    return preset_row(workload, Sides(workload, REFRESH_EVERY))


def preset_row(workload: Workload, sides: Sides) -> Row:

    def before_batch(name: str) -> Any:
        refresh = sides.refresh(name)
        return lambda index: refresh() if index % REFRESH_EVERY == 0 else None

    eager = sides.theirs["eager"].eager(sides.penalties["eager"], before_batch=before_batch("eager"))
    lean = sides.theirs["lean"].lean(sides.penalties["lean"], before_batch=before_batch("lean"))
    contestants = {
        "eager": contestant(workload, "eager", eager),
        "lean": contestant(workload, "lean", lean, label=LEAN_LABEL),
        "ours": contestant(workload, "ours", sides.ours.run),
    }
    return Row(
        contestants,
        sides.agree,
        _work(workload.sizes, workload.sizes.batches / REFRESH_EVERY),
        NOTE + f"Eigenvectors are renewed every {REFRESH_EVERY} batches by all, as our presets do.",
    )


def build_published(workload: Workload) -> Row:
    sides = Sides(workload, None)
    eager = sides.theirs["eager"].eager(sides.penalties["eager"])
    lean = sides.theirs["lean"].lean(sides.penalties["lean"])

    refresh_eager, refresh_lean = sides.refresh("eager"), sides.refresh("lean")
    refresh_eager(), refresh_lean()  # the first batches need eigenvectors
    contestants = {
        "eager": contestant(workload, "eager", eager, Part(refresh_eager)),
        "lean": contestant(workload, "lean", lean, Part(refresh_lean), label=LEAN_LABEL),
        "ours": contestant(workload, "ours", sides.ours.run, Part(sides.refresh_ours)),
    }

    note = NOTE + "One renewal an epoch, as published: it and the batches are timed apart."
    return Row(contestants, sides.agree, _work(workload.sizes, 1), note)


STAGES = {
    "spectral_epoch": Stage("spectral epoch, a refresh every 5 batches", build_preset),
    "spectral_epoch_published_refresh": Stage("spectral epoch, one refresh", build_published),
}
