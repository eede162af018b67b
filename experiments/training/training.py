"""The training tasks: Krotov–Hopfield layers, the hybrid's decoder, the four networks trained by backpropagation."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from experiments.engine.tasks import Outcome, Task, checkpoint_folder, progress
from experiments.settings.groups import AdversarialSettings, DecoderSettings, LayerSettings
from experiments.settings.reproduction import Settings
from experiments.study import Study, purpose_key, weights
from jax_bioadv.attacks import pgd
from jax_bioadv.learning import fixed_layers, krotov_hopfield, pruning, regularizers, supervised
from jax_bioadv.learning.training import Diagnosis, train, watch_finite
from jax_bioadv.models import Network, logits_function
from jax_bioadv.storage import Checkpoints

# The purpose of the key that orders the images.
ORDER = "order of the images"
# Training counts as converged when its loss changed by less than this share between the last two quarters of it.
LOSS_TOLERANCE = 0.01
# Weights this much larger than at the start and than R have exploded: converged rows are far below R.
EXPLOSION = 100.0


def _history(history: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {f"history/{name}": values for name, values in history.items()}


def _train(study: Study, task: Task, epoch: Any, state: Any, epochs: int, watch: Any = watch_finite) -> Any:
    """Train with checkpoints, in a folder that only this task's fingerprint leads to and that goes when it is done."""
    folder = checkpoint_folder(study.directory, task)
    with progress(f"train {task.name}", epochs, "epoch") as advance:
        trained = train(epoch, state, epochs, watch=watch, checkpoints=Checkpoints(folder), progress=advance)
    shutil.rmtree(folder, ignore_errors=True)
    return trained


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Start:
    """A training at epoch 0; a pytree but for the structure of its model."""

    state: Any
    constant: jax.Array
    """What else it needs: a layer the weight beyond which it has exploded, a decoder the activations of the frozen
    layer, ``spectral`` the anchor of its target."""
    graphdef: Any = field(default=None, metadata={"static": True})


def layer_start(layer: LayerSettings, hidden: int, seed: int | jax.Array, images: jax.Array) -> Start:
    """A layer at epoch 0; this and the other functions of a start or an epoch are pure, also in traced numbers."""
    key = purpose_key(seed, f"layer from {layer.start}")
    state = krotov_hopfield.init(key, layer.rule, images, hidden=hidden, start=layer.start, scale=layer.scale)
    return Start(state, EXPLOSION * (layer.radius + jnp.abs(state.synapses).max()))


def layer_epoch(
    layer: LayerSettings,
    precision: str,
    state: krotov_hopfield.State,
    rate: float | jax.Array,
    images: jax.Array,
) -> tuple[krotov_hopfield.State, krotov_hopfield.EpochInfo]:
    return krotov_hopfield.epoch(layer.rule, state, images, rate, batch_size=layer.batch_size, precision=precision)


def layer_rate(layer: LayerSettings, epoch: int) -> float:
    return krotov_hopfield.linear_decay(layer.learning_rate, epoch, layer.epochs)


def watch_layer(limit: float, info: krotov_hopfield.EpochInfo) -> Diagnosis | None:
    if info.largest_weight > limit:
        return Diagnosis(f"a weight grew to {info.largest_weight:.3g}", "Lower the layer's learning rate.")
    return watch_finite(info)


def layer_outcome(layer: LayerSettings, synapses: np.ndarray, history: Mapping[str, np.ndarray]) -> Outcome:
    verdict = krotov_hopfield.convergence(layer.rule, jnp.asarray(synapses))
    values = {
        "converged": verdict.accepted,
        "unconverged_rows": int((~verdict.norm_converged).sum()),
        "wrong_attractor_rows": int(verdict.wrong_attractor.sum()),
        "rows": len(synapses),
    }
    return Outcome(values, {"synapses": synapses, **_history(history)})


def run_layer(
    study: Study, layer: LayerSettings, hidden: int, seed: int, task: Task, needed: Mapping[str, Outcome]
) -> Outcome:
    images, precision = study.train_images, study.settings.precision
    start = layer_start(layer, hidden, seed, images)
    state = start.state

    def epoch(state: krotov_hopfield.State, index: int) -> tuple[krotov_hopfield.State, krotov_hopfield.EpochInfo]:
        return layer_epoch(layer, precision, state, layer_rate(layer, index), images)

    history: dict[str, np.ndarray] = {}
    if layer.epochs:
        state, history = _train(study, task, epoch, state, layer.epochs, partial(watch_layer, float(start.constant)))
    return layer_outcome(layer, np.asarray(state.synapses), history)


def run_fixed_layer(study: Study, control: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The first layer of a control, which nothing has trained, as the encoder's kernel."""
    settings = study.settings
    if control == "random":
        kernel = study.network(seed).encoder.kernel[...]
    elif control == "kmeans":
        layer, chosen = settings.layer, settings.kmeans
        centroids = fixed_layers.centroid_rows(
            seed,
            study.train_images,
            settings.hidden,
            p=layer.p,
            radius=layer.radius,
            batch_size=chosen.batch_size,
            passes=chosen.passes,
        )
        kernel = krotov_hopfield.effective_weights(jnp.asarray(centroids), layer.p).T
    else:
        rows = fixed_layers.principal_rows(study.image_covariance, settings.hidden, whiten=control == "whitened")
        kernel = jnp.asarray(rows.T)
    return Outcome({"converged": True}, {"kernel": np.asarray(kernel)})


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


def loss_settled(loss: np.ndarray) -> bool:
    """Whether the mean loss changed by less than 1 % from the third quarter of the epochs to the last."""
    quarter = len(loss) // 4
    if not quarter:
        return False
    before, after = loss[-2 * quarter : -quarter].mean(), loss[-quarter:].mean()
    return bool(abs(before - after) < LOSS_TOLERANCE * abs(before))


def hybrid_network(study: Study, power: float, seed: int | jax.Array, kernel: jax.Array) -> Network:
    """The hybrid with a trained layer and an untrained decoder."""
    network = study.network(seed, power=power)
    network.encoder.kernel[...] = kernel
    return network


def _decoder_optimizer(decoder: DecoderSettings, samples: int) -> optax.GradientTransformation:
    return supervised.stepwise_adam([decoder.learning_rate], [], samples // decoder.batch_size)


def hybrid_start(
    study: Study, decoder: DecoderSettings, seed: int | jax.Array, kernel: jax.Array, images: jax.Array
) -> Start:
    """A decoder on a frozen layer, whose activations are computed once."""
    network = hybrid_network(study, decoder.power, seed, kernel)
    frozen, optimizer = supervised.FrozenFeatures(network.decoder), _decoder_optimizer(decoder, len(images))
    graphdef, state = supervised.init(purpose_key(seed, ORDER), frozen, optimizer)
    return Start(state, network.activation(images), graphdef)


def hybrid_epoch(
    decoder: DecoderSettings,
    graphdef: nnx.GraphDef,
    state: supervised.TrainingState,
    features: jax.Array,
    labels: jax.Array,
) -> tuple[supervised.TrainingState, supervised.EpochInfo]:
    optimizer = _decoder_optimizer(decoder, len(features))
    epoch = supervised.make_epoch(graphdef, optimizer, batch_size=decoder.batch_size)
    return epoch(state, regularizers.TrainingData(features, labels))


_compiled_hybrid_epoch = jax.jit(hybrid_epoch, static_argnames=("decoder", "graphdef"), donate_argnames="state")


def layer_kernel(study: Study, synapses: np.ndarray, keep: np.ndarray) -> jax.Array:
    """The encoder's kernel that a pruned layer makes."""
    pruned = pruning.prune(jnp.asarray(synapses), keep)
    return krotov_hopfield.effective_weights(pruned, study.settings.layer.p).T


def hybrid_outcome(
    study: Study, network: Network, layer: Outcome, cut: pruning.Cut, history: Mapping[str, np.ndarray]
) -> Outcome:
    decided = cut_outcome(cut)
    values = {
        "test_accuracy": _test_accuracy(study, network),
        "converged": layer.values["converged"],
        "decoder_converged": loss_settled(history["loss"]),
        **decided.values,
    }
    return Outcome(values, {**weights(network), **_history(history), **decided.arrays})


def run_hybrid(study: Study, model: str, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """A frozen layer, for ``kh`` the trained and pruned one, and a decoder trained on its activations."""
    layer = needed["layer"]
    decoder = dataclasses.replace(study.settings.decoder, power=study.power(model))
    if "kernel" in layer.arrays:
        kernel = jnp.asarray(layer.arrays["kernel"])
        cut = pruning.Cut(None, np.ones(kernel.shape[1], bool), None, {}, "a layer that never learned is not pruned")
    else:
        cut = decide_cut(study, layer.arrays["synapses"], study.settings.layer)
        kernel = layer_kernel(study, layer.arrays["synapses"], cut.keep)
    network, history = _decoded(study, decoder, seed, task, kernel)
    return hybrid_outcome(study, network, layer, cut, history)


def _decoded(
    study: Study, decoder: DecoderSettings, seed: int, task: Task, kernel: jax.Array
) -> tuple[Network, Mapping[str, np.ndarray]]:
    """A frozen layer under a decoder trained on it."""
    start, labels = hybrid_start(study, decoder, seed, kernel, study.train_images), study.train_labels
    # The features are given, so that the power shapes nothing: all decoders of a size are one program.
    epoch = partial(_compiled_hybrid_epoch, dataclasses.replace(decoder, power=1.0), start.graphdef)
    state, history = _train(
        study, task, lambda state, index: epoch(state, start.constant, labels), start.state, decoder.epochs
    )
    network = hybrid_network(study, decoder.power, seed, kernel)
    network.decoder = supervised.trained_model(start.graphdef, state).decoder
    return network, history


def run_noise_start_decoder(
    study: Study, pruned: bool, seed: int, task: Task, needed: Mapping[str, Outcome]
) -> Outcome:
    """How well classes can be read from the layer that started from noise, whole or pruned."""
    settings, synapses = study.settings, needed["layer"].arrays["synapses"]
    small = study.variant(dataclasses.replace(settings, hidden=settings.noise_start_hidden, layer=settings.noise_start))
    keep = decide_cut(small, synapses, settings.noise_start).keep if pruned else np.ones(len(synapses), bool)
    network, history = _decoded(small, settings.decoder, seed, task, layer_kernel(small, synapses, keep))
    values = {"test_accuracy": _test_accuracy(small, network), "decoder_converged": loss_settled(history["loss"])}
    return Outcome(values, _history(history))


def _optimizer_and_regularizer(
    settings: Settings, model: str, anchor: jax.Array, samples: int
) -> tuple[optax.GradientTransformation, regularizers.Regularizer]:
    steps, backprop = samples // settings.backprop.batch_size, settings.backprop
    optimizer = supervised.stepwise_adam(backprop.learning_rates, backprop.boundaries, steps)
    if model == "l2":
        return optimizer, regularizers.weight_decay(settings.l2.weight)
    if model == "bp_first_decay":
        # On the pre-activation, which is linear in the image, a Jacobian penalty is decay of the first layer.
        return optimizer, regularizers.jacobian(settings.l2.weight, "preactivation")
    if model == "jacobian":
        return optimizer, regularizers.jacobian(settings.jacobian.weight, settings.jacobian.target)
    if model == "spectral":
        chosen = settings.spectral
        optimizer = supervised.decaying_adam(chosen.learning_rate, chosen.constant_epochs, chosen.decay_epochs, steps)
        target = anchor if chosen.anchored else None
        spectral = regularizers.spectral(chosen.weight, chosen.exponent, chosen.first, target, chosen.warm_start)
        return optimizer, spectral
    return optimizer, regularizers.combine()


def backprop_start(
    study: Study, settings: Settings, model: str, seed: int | jax.Array, data: regularizers.TrainingData
) -> Start:
    """A network trained by backpropagation."""
    network, anchor = study.network(seed, power=study.power(model), batch_norm=model == "spectral"), jnp.ones(())
    if data.covariance is not None:
        eigenvalues, _ = regularizers.hidden_spectrum(network, data.covariance)
        anchor = eigenvalues[settings.spectral.first - 1]
    optimizer, regularizer = _optimizer_and_regularizer(settings, model, anchor, len(data.images))
    graphdef, state = supervised.init(purpose_key(seed, ORDER), network, optimizer, regularizer, data)
    return Start(state, anchor, graphdef)


def backprop_renewals(settings: Settings, epoch: int, samples: int) -> np.ndarray:
    """Before which batches of an epoch the spectral regularizer renews its eigenvectors."""
    chosen, batches = settings.spectral, samples // settings.backprop.batch_size
    return supervised.renewal_batches(chosen.refresh_every, epoch, batches, chosen.constant_epochs, chosen.decay_epochs)


def backprop_epoch(
    settings: Settings,
    model: str,
    graphdef: nnx.GraphDef,
    state: supervised.TrainingState,
    anchor: jax.Array,
    data: regularizers.TrainingData,
    renewals: jax.Array | np.ndarray,
    adversary: supervised.Adversary | None = None,
) -> tuple[supervised.TrainingState, supervised.EpochInfo]:
    optimizer, regularizer = _optimizer_and_regularizer(settings, model, anchor, len(data.images))
    batch_size = settings.backprop.batch_size
    epoch = supervised.make_epoch(
        graphdef,
        optimizer,
        regularizer,
        batch_size=batch_size,
        adversary=adversary,
    )
    return epoch(state, data, renewals)


_compiled_backprop_epoch = jax.jit(
    backprop_epoch, static_argnames=("settings", "model", "graphdef", "adversary"), donate_argnames="state"
)


@cache  # the same object for the same settings, so that seeds share a program
def _adversary(chosen: AdversarialSettings) -> supervised.Adversary:
    attack = pgd(steps=chosen.steps, step_size=min(2.5 / chosen.steps, 1.0) * chosen.epsilon)

    def perturbed(model: Any, images: jax.Array, labels: jax.Array, key: jax.Array) -> jax.Array:
        return attack(key, model, images, labels, chosen.epsilon).images

    return perturbed


def backprop_data(study: Study, model: str) -> regularizers.TrainingData:
    covariance = study.image_covariance if model == "spectral" else None
    return regularizers.TrainingData(study.train_images, study.train_labels, covariance)


def backprop_outcome(study: Study, network: Network, history: Mapping[str, np.ndarray]) -> Outcome:
    values = {
        "test_accuracy": _test_accuracy(study, network),
        "converged": loss_settled(history["loss"]),
        "pruned_units": 0,
    }
    return Outcome(values, {**weights(network), **_history(history)})


def run_adversarial(study: Study, seed: int, task: Task, needed: Mapping[str, Outcome]) -> Outcome:
    """The control trained on adversarial images; the only one whose training uses an attack."""
    return run_backprop(study, "adversarial", seed, task, needed, _adversary(study.settings.adversarial))


def run_backprop(
    study: Study,
    model: str,
    seed: int,
    task: Task,
    needed: Mapping[str, Outcome],
    adversary: supervised.Adversary | None = None,
) -> Outcome:
    """A network trained by backpropagation; ``bp_matched`` stops when it is as accurate as ``needed["hybrid"]``."""
    settings, data = study.settings, backprop_data(study, model)
    start = backprop_start(study, settings, model, seed, data)
    # Up to where it stops, ``bp_matched`` is trained as ``bp`` is, by the same program.
    shape = settings, "bp" if model == "bp_matched" else model, start.graphdef
    program = partial(_compiled_backprop_epoch, *shape, adversary=adversary)

    def epoch(state: supervised.TrainingState, index: int) -> tuple[supervised.TrainingState, supervised.EpochInfo]:
        renewals = backprop_renewals(settings, index, len(data.images))
        return program(state=state, anchor=start.constant, data=data, renewals=renewals)

    if model == "bp_matched":
        return _matched_outcome(study, start, epoch, needed["hybrid"])
    epochs = settings.adversarial.epochs if model == "adversarial" else settings.backprop.epochs
    state, history = _train(study, task, epoch, start.state, epochs)
    return backprop_outcome(study, supervised.trained_model(start.graphdef, state), history)


def _matched_outcome(study: Study, start: Start, epoch: Callable[[Any, int], Any], hybrid: Outcome) -> Outcome:
    """Training up to the hybrid's test accuracy, to the nearer of the two epochs between which it is passed.

    It takes a few epochs where backpropagation is the better learner, and so goes without checkpoints; "converged" says
    that it got there.
    """
    wanted, epochs, state = hybrid.values["test_accuracy"], study.settings.backprop.epochs, start.state
    infos: list[supervised.EpochInfo] = []

    def network_of(state: supervised.TrainingState) -> Network:
        """With weights of its own: an epoch uses up the state that it is given."""
        return supervised.trained_model(start.graphdef, jax.tree.map(jnp.copy, state))

    found = -float("inf"), network_of(state)
    with progress("train bp_matched", epochs, "epoch") as advance:
        while found[0] < wanted and len(infos) < epochs:
            before, (state, info) = found, epoch(state, len(infos))
            network = network_of(state)
            found = _test_accuracy(study, network), network
            infos.append(info)
            advance(1)
    reached = found[0] >= wanted
    accuracy, network = min(before, found, key=lambda one: abs(one[0] - wanted))
    used = infos[: len(infos) - (accuracy == before[0])]
    history = {name: np.array([getattr(info, name) for info in used]) for name in supervised.EpochInfo._fields}
    outcome = backprop_outcome(study, network, history)
    return Outcome({**outcome.values, "converged": reached, "epochs": len(used)}, outcome.arrays)


@jax.jit
def _correct(logits: Callable[[jax.Array], jax.Array], images: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.argmax(logits(images), axis=1) == labels


def _test_accuracy(study: Study, network: Network) -> float:
    correct = _correct(logits_function(network), study.test_images, study.test_labels)
    return float(np.asarray(correct).mean())
