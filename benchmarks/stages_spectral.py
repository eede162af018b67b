"""An epoch with spectral regularization: its eigenvectors renewed as our presets do, as published, by our schedule."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import nnx

from benchmarks import eager_training
from benchmarks.eager_network import EagerNetwork, finished, loader, tensor
from benchmarks.floors import Work
from benchmarks.rows import Check, Results, Row, Stage, present, relative
from benchmarks.stages_training import OurTraining, TheirTraining, adam_work, contestant
from benchmarks.timing import Contestant, Part
from benchmarks.workload import Sizes, Workload, weights_of
from jax_bioadv.learning import regularizers
from jax_bioadv.learning.supervised import renewal_batches

WEIGHT, EXPONENT, RENEW_EVERY = 1.0, 1.0, 5
# The published training: epochs, of which some at the full learning rate, and the e-fold in which it then falls.
EPOCHS, CONSTANT_EPOCHS, DECAY_EPOCHS = 1000, 90, 30.0


def _work(sizes: Sizes, renewals: float, warm_start: bool) -> Work:
    """Beside backpropagation: per step the projection and its gradient; per renewal ``Vᵀ C V`` and a basis.

    ``Vᵀ (C V)`` is symmetric, half a product. An eigenbasis is counted as 10/3·H³, the reduction to tridiagonal form
    and the way back; a step of orthogonal iteration as a product, 2·H³, and a QR with its Q, 8/3·H³.
    """
    hidden, inputs = float(sizes.hidden), float(sizes.inputs)
    steps = adam_work(sizes, sizes.batches, extra=4.0 * sizes.batch_size * hidden**2)
    basis = (14.0 if warm_start else 10.0) / 3.0 * hidden**3
    renewal = 2.0 * inputs**2 * hidden + inputs * hidden**2 + basis
    moved = 4.0 * (inputs**2 + inputs * hidden + 2 * hidden**2)
    return Work(steps.operations + renewals * renewal, steps.bytes + renewals * moved)


class Sides:
    """Both sides, set up alike.

    Args:
        workload: the images and the network to start from.
        renew_every: batches between two renewals of our epoch; None leaves them out of it.
        warm_start: whether our algorithm renews by orthogonal iteration from the last eigenvectors.
    """

    def __init__(self, workload: Workload, renew_every: int | None, *, warm_start: bool):
        self.images = jnp.asarray(workload.train_images)
        self.covariance = regularizers.image_covariance(self.images)
        network = workload.network(batch_norm=True)
        eigenvalues, _ = regularizers.hidden_spectrum(network, self.covariance)
        self.anchor, self.warm_start = float(eigenvalues[0]), warm_start
        self.regularizer = regularizers.spectral(WEIGHT, EXPONENT, 1, self.anchor, warm_start)
        self.data = regularizers.TrainingData(self.images, jnp.asarray(workload.train_labels), self.covariance)
        self.ours = OurTraining(
            workload, self.regularizer, covariance=self.covariance, batch_norm=True, renew_every=renew_every
        )
        graphdef, state = nnx.split(network)
        renew = jax.jit(lambda aux, state, data: self.regularizer.renewed(aux, nnx.merge(graphdef, state), data))
        self.renew_ours = lambda: jax.block_until_ready(renew(self.ours.state.aux, state, self.data))
        names = ("eager", "same", "compiled")
        self.theirs = {n: TheirTraining(workload, self.ours.order, lean=n != "eager", batch_norm=True) for n in names}
        self.penalties = {
            n: eager_training.SpectralPenalty(WEIGHT, EXPONENT, self.anchor, projected=n != "eager") for n in names
        }
        self.batch_size, self.device = workload.sizes.batch_size, self.theirs["eager"].device
        their_images, their_labels = (
            tensor(array, self.device) for array in (workload.train_images, workload.train_labels)
        )
        self.everything = loader(their_images, their_labels, self.batch_size)
        self.their_covariance = tensor(self.covariance, self.device)
        for name in names[1:]:  # ours has eigenvectors before the first batch too
            self.penalties[name].refresh_from(self.theirs[name].network, self.their_covariance)

    def renewal(self, name: str, network: EagerNetwork) -> torch.Tensor:
        """A contestant's renewal of the eigenvectors, for this network."""
        penalty = self.penalties[name]
        if name == "eager":
            return penalty.refresh(network, self.everything)
        return (penalty.renew_from if self.warm_start else penalty.refresh_from)(network, self.their_covariance)

    def renew(self, name: str) -> Callable[[], torch.Tensor]:
        """The same of the network that it trains."""
        return finished(partial(self.renewal, name, self.theirs[name].network), self.device)

    def training(self, name: str, **options: Any) -> Callable[[], eager_training.Losses]:
        theirs, penalty = self.theirs[name], self.penalties[name]
        if name == "eager":
            return theirs.eager(penalty, **options)
        return theirs.lean(penalty, compile_it=name == "compiled", **options)

    def agree(self, results: Results) -> list[Check]:
        """At the first batch, with the weights to start from.

        From the second batch on float32 decides: Adam turns gradients that are rounding into whole steps, in directions
        of almost no variance, where the penalty has its steepest slopes.
        """
        first, entropy = self.ours.first_batch(self.batch_size)
        start, target = tensor(self.ours.state.aux.eigenvectors, self.device), self.renew_ours()
        penalty, gradient = self._penalty_and_gradient(first, target)
        ours = np.asarray(target.eigenvectors, np.float64)
        checks = []
        for name in present(results, *self.theirs):
            fresh = EagerNetwork(weights_of(self.ours.network), self.device, batch_norm=True)
            self.penalties[name].eigenvectors = start
            theirs = self.renewal(name, fresh).cpu().numpy().astype(np.float64)
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
                Check(f"first penalty in training, {name}", relative(losses.penalty[0], penalty), 1e-4),
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


NOTE = (
    "Eager PyTorch: the eigenbasis from a float32 pass over all training images per renewal, λ_n as the diagonal of "
    "Sᵀ C S of the batch's covariance C, as published. Our algorithm: Vᵀ C V per renewal, with the images' "
    "covariance C from before the first epoch (one product per training, not in the row), and the variance of the "
    "projected batch. All are compared at the first batch: later, float32 decides about directions of almost no "
    "variance. "
)


def build_preset(workload: Workload) -> Row:
    return preset_row(workload, Sides(workload, RENEW_EVERY, warm_start=True))


def preset_row(workload: Workload, sides: Sides) -> Row:
    def before_batch(name: str) -> Callable[[int], Any]:
        renew = sides.renew(name)
        return lambda index: renew() if index % RENEW_EVERY == 0 else None

    contestants = {
        name: contestant(workload, name, sides.training(name, before_batch=before_batch(name))) for name in sides.theirs
    }
    note = (
        f"Eigenvectors are renewed every {RENEW_EVERY} batches by all, as our presets do at the full learning rate; in "
        "our algorithm by one step of orthogonal iteration from the last ones."
    )
    work = _work(workload.sizes, workload.sizes.batches / RENEW_EVERY, warm_start=True)
    return Row({**contestants, "ours": contestant(workload, "ours", sides.ours.run)}, sides.agree, work, NOTE + note)


def _apart(workload: Workload, sides: Sides, names: tuple[str, ...], renewals: float) -> dict[str, Contestant]:
    """Contestants whose batches and renewals are timed apart."""
    if "eager" in names:
        sides.renew("eager")()  # the first batches need eigenvectors
    contestants = {
        name: contestant(workload, name, sides.training(name), Part(sides.renew(name), renewals)) for name in names
    }
    return {**contestants, "ours": contestant(workload, "ours", sides.ours.run, Part(sides.renew_ours, renewals))}


def build_published(workload: Workload) -> Row:
    sides = Sides(workload, None, warm_start=False)
    note = NOTE + "One renewal an epoch, by an eigendecomposition, as published: it and the batches are timed apart."
    contestants = _apart(workload, sides, ("eager", "same", "compiled"), 1.0)
    return Row(contestants, sides.agree, _work(workload.sizes, 1, warm_start=False), note)


def renewals_per_epoch(batches: int) -> float:
    """The mean over the published training, with our schedule."""
    schedule = (renewal_batches(RENEW_EVERY, epoch, batches, CONSTANT_EPOCHS, DECAY_EPOCHS) for epoch in range(EPOCHS))
    return sum(int(renewals.sum()) for renewals in schedule) / EPOCHS


def build_schedule(workload: Workload) -> Row:
    sizes = workload.sizes
    sides, plain = Sides(workload, None, warm_start=True), OurTraining(workload)
    renewals = renewals_per_epoch(sizes.batches)
    contestants = _apart(workload, sides, ("same", "compiled"), renewals)
    contestants["backpropagation"] = contestant(workload, "ours", plain.run, label="our epoch of plain backpropagation")
    products = 1.0 + sizes.hidden / sizes.inputs
    note = (
        f"The mean epoch of the published training ({EPOCHS} epochs) with our schedule: a renewal by orthogonal "
        f"iteration every {RENEW_EVERY} batches at the full learning rate, rarer as it decays, {renewals:.3g} an "
        "epoch; it and the batches are timed apart. With the penalty's two products a step has "
        f"{products:.3g} times the operations of backpropagation's, whatever the schedule."
    )
    return Row(contestants, sides.agree, _work(sizes, renewals, warm_start=True), note)


STAGES = {
    "spectral_epoch": Stage("spectral epoch, a renewal every 5 batches", build_preset),
    "spectral_epoch_published_refresh": Stage("spectral epoch, one renewal", build_published),
    "spectral_schedule": Stage("spectral epoch, our schedule", build_schedule),
}
