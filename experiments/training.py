"""The training tasks: Krotov–Hopfield layers, the hybrid's decoder, the four networks trained by backpropagation."""

import contextlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.settings import LayerSettings
from experiments.study import Study, purpose_key, weights
from experiments.tasks import Outcome, Task, progress
from jax_bioadv.learning import krotov_hopfield, pruning, regularizers, supervised
from jax_bioadv.learning.training import Diagnosis, train, watch_finite
from jax_bioadv.models import Network, logits_function
from jax_bioadv.storage import Checkpoints

# Training counts as converged when its loss changed by less than this share between the last two quarters of it.
LOSS_TOLERANCE = 0.01
# Weights this much larger than at the start and than R have exploded: converged rows are far below R.
EXPLOSION = 100.0


def _history(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"history/{name}": values for name, values in history.items()}


def _train(study: Study, task: Task, epoch: Any, state: Any, epochs: int, watch: Any = watch_finite) -> Any:
    """Train with checkpoints, in a folder that only this task's fingerprint leads to and that goes when it is done."""
    folder = study.directory / "checkpoints" / f"{task.name}-{task.fingerprint[:16]}"
    with (
        contextlib.closing(Checkpoints(folder)) as checkpoints,
        progress(f"train {task.name}", epochs, "epoch") as advance,
    ):
        trained = train(epoch, state, epochs, watch=watch, checkpoints=checkpoints, progress=advance)
    shutil.rmtree(folder, ignore_errors=True)
    return trained


def run_layer(
    study: Study, layer: LayerSettings, hidden: int, seed: int, task: Task, needed: Mapping[str, Outcome]
) -> Outcome:
    rule, images = layer.rule, study.train_images
    key = purpose_key(seed, f"layer from {layer.start}")
    state = krotov_hopfield.init(key, rule, images, hidden=hidden, start=layer.start, scale=layer.scale)
    limit = EXPLOSION * (layer.radius + float(jnp.abs(state.synapses).max()))

    def epoch(state: krotov_hopfield.State, index: int) -> tuple[krotov_hopfield.State, krotov_hopfield.EpochInfo]:
        rate = krotov_hopfield.linear_decay(layer.learning_rate, index, layer.epochs)
        precision = study.settings.precision
        return krotov_hopfield.epoch(rule, state, images, rate, batch_size=layer.batch_size, precision=precision)

    def watch(info: krotov_hopfield.EpochInfo) -> Diagnosis | None:
        if info.largest_weight > limit:
            return Diagnosis(f"a weight grew to {info.largest_weight:.3g}", "Lower the layer's learning rate.")
        return watch_finite(info)

    history: dict[str, np.ndarray] = {}
    if layer.epochs:
        state, history = _train(study, task, epoch, state, layer.epochs, watch)
    verdict = krotov_hopfield.convergence(rule, state.synapses)
    values = {
        "converged": verdict.accepted,
        "unconverged_rows": int((~verdict.norm_converged).sum()),
        "wrong_attractor_rows": int(verdict.wrong_attractor.sum()),
        "rows": hidden,
    }
    return Outcome(values, {"synapses": np.asarray(state.synapses), **_history(history)})


def decide_cut(study: Study, synapses: np.ndarray, layer: LayerSettings) -> pruning.Cut:
    """Which rows pruning keeps; ValueError where it would keep none."""
    chosen = study.settings.pruning
    if chosen.method == "none":
        return pruning.Cut(None, np.ones(len(synapses), bool), None, {}, "no pruning was asked for")
    log_variances = pruning.log_variances(synapses)
    if chosen.method == "mixture":
        noise = pruning.noise_shaped_variance(synapses.shape[1], layer.p, layer.radius)
        converged = pruning.largest_variance(synapses.shape[1], layer.p, layer.radius)
        return pruning.mixture_cut(log_variances, noise_variance=noise, converged_variance=converged)
    cut = pruning.threshold_cut(log_variances, chosen.threshold)
    if not cut.keep.any():
        raise ValueError(f"pruning.threshold = {chosen.threshold} removes every unit: raise it, or use the mixture")
    return cut


def cut_outcome(cut: pruning.Cut) -> Outcome:
    values = {"pruned_units": int((~cut.keep).sum()), "cut_variance": cut.variance, "cut_reason": cut.reason}
    arrays = {"keep": cut.keep}
    if cut.mixture is not None:
        arrays |= {f"mixture/{name}": array for name, array in cut.mixture._asdict().items()}
    return Outcome(values, arrays)


class Trained(NamedTuple):
    """A model after supervised training."""

    model: Any
    converged: bool
    history: dict[str, np.ndarray]


def _train_supervised(
    study: Study,
    task: Task,
    seed: int,
    model: nnx.Module,
    optimizer: optax.GradientTransformation,
    regularizer: regularizers.Regularizer,
    data: regularizers.TrainingData,
    *,
    epochs: int,
    batch_size: int,
    refresh_every: int | None = None,
) -> Trained:
    graphdef, state = supervised.init(purpose_key(seed, "order of the images"), model, optimizer)
    run_epoch = supervised.make_epoch(
        graphdef, optimizer, regularizer, batch_size=batch_size, refresh_every=refresh_every
    )
    state, history = _train(study, task, lambda state, index: run_epoch(state, data), state, epochs)
    return Trained(supervised.trained_model(graphdef, state), loss_settled(history["loss"]), _history(history))


def loss_settled(loss: np.ndarray) -> bool:
    """Whether the mean loss changed by less than 1 % from the third quarter of the epochs to the last."""
    quarter = len(loss) // 4
    if not quarter:
        return False
    before, after = loss[-2 * quarter : -quarter].mean(), loss[-quarter:].mean()
    return bool(abs(before - after) < LOSS_TOLERANCE * abs(before))


def run_hybrid(study: Study, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The ``kh`` model: the layer, pruned and frozen, and a decoder trained on its activations, computed once."""
    layer, settings = needed["layer"], study.settings.decoder
    cut = decide_cut(study, layer.arrays["synapses"], study.settings.layer)
    pruned = pruning.prune(jnp.asarray(layer.arrays["synapses"]), cut.keep)
    network = study.network(seed, power=settings.power)
    network.encoder.kernel[...] = krotov_hopfield.effective_weights(pruned, study.settings.layer.p).T
    features = network.activation(study.train_images)
    optimizer = supervised.stepwise_adam([settings.learning_rate], [], len(features) // settings.batch_size)
    trained = _train_supervised(
        study,
        task,
        seed,
        supervised.FrozenFeatures(network.decoder),
        optimizer,
        regularizers.combine(),
        regularizers.TrainingData(features, study.train_labels),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
    )
    network.decoder = trained.model.decoder
    decided = cut_outcome(cut)
    values = {
        "test_accuracy": _test_accuracy(study, network),
        "converged": layer.values["converged"],
        "decoder_converged": trained.converged,
        **decided.values,
    }
    return Outcome(values, {**weights(network), **trained.history, **decided.arrays})


def _optimizer_and_regularizer(
    study: Study, model: str, network: Network
) -> tuple[optax.GradientTransformation, regularizers.Regularizer]:
    settings, backprop = study.settings, study.settings.backprop
    steps = len(study.train_images) // backprop.batch_size
    optimizer = supervised.stepwise_adam(backprop.learning_rates, backprop.boundaries, steps)
    if model == "l2":
        return optimizer, regularizers.weight_decay(settings.l2.weight)
    if model == "jacobian":
        return optimizer, regularizers.jacobian(settings.jacobian.weight, settings.jacobian.target)
    if model == "spectral":
        chosen = settings.spectral
        eigenvalues, _ = regularizers.hidden_spectrum(network, study.image_covariance)
        anchor = float(eigenvalues[chosen.first - 1]) if chosen.anchored else None
        optimizer = supervised.decaying_adam(chosen.learning_rate, chosen.constant_epochs, chosen.decay_epochs, steps)
        return optimizer, regularizers.spectral(chosen.weight, chosen.exponent, chosen.first, anchor)
    return optimizer, regularizers.combine()


def run_backprop(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    spectral, backprop = model == "spectral", study.settings.backprop
    network = study.network(seed, batch_norm=spectral)
    optimizer, regularizer = _optimizer_and_regularizer(study, model, network)
    covariance = study.image_covariance if spectral else None
    trained = _train_supervised(
        study,
        task,
        seed,
        network,
        optimizer,
        regularizer,
        regularizers.TrainingData(study.train_images, study.train_labels, covariance),
        epochs=backprop.epochs,
        batch_size=backprop.batch_size,
        refresh_every=study.settings.spectral.refresh_every if spectral else None,
    )
    values = {
        "test_accuracy": _test_accuracy(study, trained.model),
        "converged": trained.converged,
        "pruned_units": 0,
    }
    return Outcome(values, {**weights(trained.model), **trained.history})


@jax.jit
def _correct(logits: Callable[[jax.Array], jax.Array], images: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.argmax(logits(images), axis=1) == labels


def _test_accuracy(study: Study, network: Network) -> float:
    correct = _correct(logits_function(network), study.test_images, study.test_labels)
    return float(np.asarray(correct).mean())
