"""An epoch of backpropagation, plain and with each regularizer, and of the decoder on a frozen layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from flax import nnx

from benchmarks import eager_training
from benchmarks.eager_network import (
    EagerNetwork,
    batches_by_index,
    choose_device,
    finished,
    loader,
    tensor,
)
from benchmarks.floors import Work
from benchmarks.rows import PYTORCH, Check, Results, Row, Stage, present, relative
from benchmarks.timing import Contestant, Part
from benchmarks.torch_compile import compiled
from benchmarks.workload import CLASSES, Sizes, Workload, weights_of
from jax_bioadv.learning import regularizers, supervised

RATE = 1e-3
L2_WEIGHT, JACOBIAN_WEIGHT, PROJECTIONS = 5e-4, 1e-3, 3
# Adam divides by the gradient's own size, so that a weight whose gradient is rounding moves a whole step either way.
UPDATE_TOLERANCE = 5e-2
LOSS_TOLERANCE = 1e-3


def adam_work(sizes: Sizes, steps: float, extra: float = 0.0) -> Work:
    """Forward product and weight gradient, the decoder's three; weights and both moments in and out, images in."""
    layer, decoder = sizes.inputs * sizes.hidden, sizes.hidden * CLASSES
    operations = sizes.batch_size * (4.0 * layer + 6.0 * decoder) + extra
    return Work(steps * operations, steps * 4.0 * (6 * (layer + decoder) + sizes.batch_size * sizes.inputs))


class OurTraining:
    """Our trainer on the timed batches, from the untrained network."""

    def __init__(
        self,
        workload: Workload,
        regularizer: regularizers.Regularizer | None = None,
        *,
        covariance: jax.Array | None = None,
        batch_norm: bool = False,
        renew_every: int | None = None,
        model: Any = None,
        images: Any = None,
    ):
        self.network = workload.network(batch_norm=batch_norm) if model is None else model
        optimizer = supervised.stepwise_adam([RATE], [], workload.sizes.batches)
        images = jnp.asarray(workload.timed_images) if images is None else images
        self.data = regularizers.TrainingData(images, jnp.asarray(workload.timed_labels), covariance)
        self.graphdef, self.state = supervised.init(jax.random.key(5), self.network, optimizer, regularizer, self.data)
        batch_size = workload.sizes.batch_size
        self.epoch = supervised.make_epoch(self.graphdef, optimizer, regularizer, batch_size=batch_size)
        batches = np.arange(len(images) // batch_size)
        self.renewals = batches % renew_every == 0 if renew_every else np.zeros(len(batches), bool)

    def run(self) -> tuple[supervised.TrainingState, supervised.EpochInfo]:
        return jax.block_until_ready(self.epoch(self.state, self.data, self.renewals))

    def trained(self, result: tuple[supervised.TrainingState, supervised.EpochInfo]) -> Any:
        return supervised.trained_model(self.graphdef, result[0])

    def first_batch(self, batch_size: int) -> tuple[regularizers.Batch, jax.Array]:
        """The first batch of the first epoch, and its cross-entropy."""
        chosen = self.order[:batch_size]
        images, labels = self.data.images[chosen], self.data.labels[chosen]
        preactivation = self.network.preactivation(images)
        logits = nnx.clone(self.network).decode(preactivation, train=True)
        entropy = jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))
        return regularizers.Batch(images, labels, preactivation), entropy

    @property
    def order(self) -> np.ndarray:
        """The order of the images in the first epoch."""
        order_key, _ = jax.random.split(jax.random.fold_in(self.state.key, self.state.epoch))
        return np.asarray(supervised.random_order(order_key, len(self.data.images)))


class TheirTraining:
    """One PyTorch network with its optimizer and the timed batches in our order."""

    def __init__(self, workload: Workload, order: np.ndarray, *, lean: bool, batch_norm: bool = False):
        self.workload, self.order, self.device = workload, order, choose_device()
        self.network = EagerNetwork(
            weights_of(workload.network(batch_norm=batch_norm)), self.device, batch_norm=batch_norm
        )
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=RATE, **({"fused": True} if lean else {}))
        self.images = tensor(workload.timed_images, self.device)
        self.labels = tensor(workload.timed_labels, self.device).long()

    def eager(self, penalty: eager_training.Penalty | None, **options: Any) -> Callable[[], eager_training.Losses]:
        batches = loader(self.images, self.labels, self.workload.sizes.batch_size, self.order)
        return finished(
            lambda: eager_training.train(self.network, self.optimizer, batches, penalty, **options), self.device
        )

    def lean(
        self, penalty: eager_training.Penalty | None, *, compile_it: bool = False, **options: Any
    ) -> Callable[[], eager_training.Losses]:
        losses = eager_training.losses_of(self.network, penalty)
        losses = compiled(losses, self.workload.compile_mode) if compile_it else losses

        def run() -> eager_training.Losses:
            batches = batches_by_index(self.images, self.labels, self.workload.sizes.batch_size, self.order)
            return eager_training.lean_train(self.network, self.optimizer, batches, losses, **options)

        return finished(run, self.device)


LABELS = {
    "eager": "eager PyTorch",
    "lean": "lean PyTorch: batches by index, fused Adam",
    "same": "lean PyTorch: batches by index, fused Adam; our algorithm",
    "compiled": "the same under torch.compile",
    "ours": "ours",
}


def contestant(workload: Workload, name: str, run: Callable[[], Any], *more: Part, label: str = "") -> Contestant:
    """A contestant that runs the timed batches of an epoch, and perhaps parts of a training beside it."""
    parts = (Part(run, workload.epoch_share), *more)
    return Contestant(label or LABELS[name], parts, workload.timed_batches_in_words)


def compare(ours: OurTraining, theirs: dict[str, TheirTraining], results: Results, *, penalty: bool) -> list[Check]:
    """Mean losses, and the change of the first layer's weights."""
    before = weights_of(ours.network)["kernel"]
    state_and_info = results["ours"][0]
    after, info = weights_of(ours.trained(state_and_info))["kernel"], state_and_info[1]
    checks = []
    for name in present(results, *(name for name in PYTORCH if name in theirs)):
        losses: eager_training.Losses = results[name][0]
        change = theirs[name].network.weights()["kernel"] - before
        checks += [
            Check(
                f"cross-entropy, {name}", relative(info.cross_entropy, np.mean(losses.cross_entropy)), LOSS_TOLERANCE
            ),
            Check(f"change of the weights, {name}", relative(after - before, change), UPDATE_TOLERANCE),
        ]
        if penalty:
            checks.append(Check(f"penalty, {name}", relative(info.penalty, np.mean(losses.penalty)), LOSS_TOLERANCE))
    return checks


def _plain_row(
    workload: Workload, regularizer: regularizers.Regularizer | None, penalty: eager_training.Penalty | None, note: str
) -> Row:
    ours = OurTraining(workload, regularizer)
    theirs = {name: TheirTraining(workload, ours.order, lean=name != "eager") for name in ("eager", "same", "compiled")}
    contestants = {
        "eager": contestant(workload, "eager", theirs["eager"].eager(penalty)),
        "same": contestant(workload, "same", theirs["same"].lean(penalty)),
        "compiled": contestant(workload, "compiled", theirs["compiled"].lean(penalty, compile_it=True)),
        "ours": contestant(workload, "ours", ours.run),
    }
    return Row(
        contestants,
        lambda results: compare(ours, theirs, results, penalty=penalty is not None),
        adam_work(workload.sizes, workload.sizes.batches),
        note,
    )


def build_bp(workload: Workload) -> Row:
    return _plain_row(workload, None, None, "The published algorithm is ours. No regularizer runs at weight zero.")


def build_l2(workload: Workload) -> Row:
    ours = regularizers.weight_decay(L2_WEIGHT)
    note = "The published algorithm is ours. Decay covers every parameter."
    return _plain_row(workload, ours, eager_training.weight_decay(L2_WEIGHT), note)


def projection_error(workload: Workload) -> float:
    """Standard error of a batch's penalty by random projections, relative to its value.

    Of ``D vᵀ A v`` for a random unit vector v and A = V Vᵀ the relative variance is 2/(D+2)·(D tr A²/(tr A)² − 1).
    """
    kernel = weights_of(workload.network())["kernel"].astype(np.float64)
    gram = kernel.T @ kernel
    hidden = len(gram)
    spread = 2.0 / (hidden + 2) * (hidden * np.sum(gram**2) / np.trace(gram) ** 2 - 1)
    return float(np.sqrt(spread / (PROJECTIONS * workload.sizes.batch_size)))


def build_jacobian(workload: Workload) -> Row:
    regularizer = regularizers.jacobian(JACOBIAN_WEIGHT)
    ours = OurTraining(workload, regularizer)
    theirs = {name: TheirTraining(workload, ours.order, lean=name != "eager") for name in PYTORCH}
    penalty = eager_training.projected_jacobian(JACOBIAN_WEIGHT, PROJECTIONS)
    exact = eager_training.exact_jacobian(JACOBIAN_WEIGHT)
    contestants = {
        "eager": contestant(workload, "eager", theirs["eager"].eager(penalty, images_need_gradients=True)),
        "lean": contestant(
            workload,
            "lean",
            theirs["lean"].lean(penalty, images_need_gradients=True),
            label=LABELS["lean"] + ", no gradient of the loss by the images",
        ),
        "same": contestant(workload, "same", theirs["same"].lean(exact)),
        "compiled": contestant(workload, "compiled", theirs["compiled"].lean(exact, compile_it=True)),
        "ours": contestant(workload, "ours", ours.run),
    }

    def agree(results: Results) -> list[Check]:
        first, entropy = ours.first_batch(workload.sizes.batch_size)
        penalty = regularizer.penalty(ours.network, first, None, jax.random.key(0))
        exactly = {name: theirs[name] for name in ("same", "compiled")}
        checks = compare(ours, exactly, results, penalty=True)
        for name in ("eager", "lean"):
            losses: eager_training.Losses = results[name][0]
            difference = relative(losses.penalty[0], penalty)
            checks += [
                Check(f"cross-entropy of the first batch, {name}", relative(entropy, losses.cross_entropy[0]), 1e-4),
                Check(f"penalty of the first batch, {name}", difference, 5 * projection_error(workload)),
            ]
        return checks

    note = (
        f"Published: {PROJECTIONS} random projections of the pre-activation's Jacobian, each normalised; the images "
        "require gradients for them, so that the eager one computes the loss's by the images too. Our algorithm: the "
        "exact value, ‖V‖². The two agree at the first batch within five standard errors of the estimator, and later "
        "drift apart by its noise."
    )
    return Row(contestants, agree, adam_work(workload.sizes, workload.sizes.batches), note)


STAGES = {
    "bp_epoch": Stage("backpropagation epoch", build_bp),
    "l2_epoch": Stage("L2 epoch", build_l2),
    "jacobian_epoch": Stage("Jacobian epoch", build_jacobian),
}
