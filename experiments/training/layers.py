"""First layers: the Krotov–Hopfield layer, trained from noise or images, and those that nothing has trained."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.engine.tasks import Outcome, Work
from experiments.networks import purpose_key, untrained_network
from experiments.settings.groups import KMeansSettings, LayerSettings, PruningSettings
from experiments.training.trainer import Start, Trainable, Training, histories
from jax_bioadv import population
from jax_bioadv.learning import fixed_layers, krotov_hopfield, pruning
from jax_bioadv.learning.training import Diagnosis, watch_finite

# Weights this much larger than at the start and than R have exploded: converged rows are far below R.
EXPLOSION = 100.0
# Always arguments of the program, so that a member of any population rounds alike.
ALWAYS_TRACED = ("layer.delta", "layer.radius")


def _start(given: Mapping[str, Any], member: Any, images: jax.Array) -> Start:
    layer: LayerSettings = given["layer"]
    state = _init(layer, given["hidden"], given["seed"], images)
    return Start(state, EXPLOSION * (layer.radius + jnp.abs(state.synapses).max()))


def _init(layer: LayerSettings, hidden: int, seed: int | jax.Array, images: jax.Array) -> krotov_hopfield.State:
    key = purpose_key(seed, f"layer from {layer.start}")
    return krotov_hopfield.init(key, layer.rule, images, hidden=hidden, start=layer.start, scale=layer.scale)


def _epoch(
    precision: str, given: Mapping[str, Any], state: krotov_hopfield.State, start: Start, member: Any, images: jax.Array
) -> tuple[krotov_hopfield.State, krotov_hopfield.EpochInfo]:
    layer: LayerSettings = given["layer"]
    return krotov_hopfield.epoch(
        layer.rule, state, images, member["rate"], batch_size=layer.batch_size, precision=precision
    )


def _watch(limit: float, info: krotov_hopfield.EpochInfo) -> Diagnosis | None:
    if info.largest_weight > limit:
        return Diagnosis(f"a weight grew to {info.largest_weight:.3g}", "Lower the layer's learning rate.")
    return watch_finite(info)


def layer_outcome(layer: LayerSettings, synapses: np.ndarray, history: Mapping[str, np.ndarray]) -> Outcome:
    """Synapses, and whether they have converged."""
    verdict = krotov_hopfield.convergence(layer.rule, jnp.asarray(synapses))
    values = {
        "converged": verdict.accepted,
        "unconverged_rows": int((~verdict.norm_converged).sum()),
        "wrong_attractor_rows": int(verdict.wrong_attractor.sum()),
        "rows": len(synapses),
    }
    return Outcome(values, {"synapses": synapses, **histories(history)})


def _layers(works: Sequence[Work]) -> Trainable:
    first, layers = works[0].task, [work.task.given["layer"] for work in works]

    def rates(index: int) -> np.ndarray:
        rates = [krotov_hopfield.linear_decay(layer.learning_rate, index, layer.epochs) for layer in layers]
        return np.array(rates, np.float32)

    return Trainable(
        start=_start,
        epoch=partial(_epoch, first.precision),
        epochs=layers[0].epochs,
        shared=first.images.train,
        kept=lambda states: states.synapses,
        outcome=lambda row, graphdef, synapses, history: layer_outcome(layers[row], synapses, history),
        at_epoch=lambda index: {"rate": rates(index)},
        watches=lambda limits: [partial(_watch, float(limit)) for limit in population.collect(limits, len(works))],
    )


LAYER = Training(
    _layers, ("layer.learning_rate", "layer.p", "layer.delta", "layer.radius", "layer.scale"), ALWAYS_TRACED
)


def images_as_rows(work: Work, *, seed: int, hidden: int, p: float, radius: float) -> Outcome:
    """Random training images as rows, of the norm of converged ones: a layer that never learned."""
    layer = LayerSettings(epochs=0, start="samples", p=p, radius=radius)
    state = _init(layer, hidden, seed, work.images.train)
    return layer_outcome(layer, np.asarray(state.synapses), {})


def _fixed(kernel: Any) -> Outcome:
    return Outcome({"converged": True}, {"kernel": np.asarray(kernel)})


def random_layer(work: Work, *, seed: int, hidden: int) -> Outcome:
    """The layer that backpropagation starts from."""
    return _fixed(untrained_network(work.images, hidden, seed).encoder.kernel[...])


def centroids(work: Work, *, seed: int, hidden: int, p: float, radius: float, kmeans: KMeansSettings) -> Outcome:
    """Centroids of k-means, which respond to images as Krotov–Hopfield rows do."""
    rows = fixed_layers.centroid_rows(
        seed, work.images.train, hidden, p=p, radius=radius, batch_size=kmeans.batch_size, passes=kmeans.passes
    )
    return centroids_outcome(rows, p)


def centroids_outcome(rows: np.ndarray, p: float) -> Outcome:
    return _fixed(krotov_hopfield.effective_weights(jnp.asarray(rows), p).T)


def principal_directions(work: Work, *, hidden: int, whiten: bool) -> Outcome:
    """Principal directions of the images, two opposite units for each."""
    rows = fixed_layers.principal_rows(work.images.device_covariance, hidden, whiten=whiten)
    return _fixed(jnp.asarray(rows.T))


def decide_cut(synapses: np.ndarray, chosen: PruningSettings, p: float, radius: float) -> pruning.Cut:
    """Which rows pruning keeps; ValueError where it would keep none."""
    if chosen.method == "none":
        return pruning.Cut(None, np.ones(len(synapses), bool), None, {}, "no pruning was asked for")
    log_variances = pruning.log_variances(synapses)
    if chosen.method == "mixture":
        noise = pruning.noise_shaped_variance(synapses.shape[1], p, radius)
        converged = pruning.largest_variance(synapses.shape[1], p, radius)
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


def layer_kernel(synapses: np.ndarray, keep: np.ndarray, p: float) -> jax.Array:
    """The encoder's kernel that a pruned layer makes."""
    return krotov_hopfield.effective_weights(pruning.prune(jnp.asarray(synapses), keep), p).T


def rotated_layer(work: Work, *, seed: int, hidden: int, p: float, radius: float, pruning: PruningSettings) -> Outcome:
    """A learned layer whose kept rows a random rotation mixes: ``Q V`` has every spectrum of V, on whatever inputs."""
    layer = work.needed["layer"]
    keep = decide_cut(layer.arrays["synapses"], pruning, p, radius).keep
    kernel = np.array(layer_kernel(layer.arrays["synapses"], keep, p), np.float64)
    normal = np.asarray(jax.random.normal(purpose_key(seed, "rotation"), (int(keep.sum()),) * 2), np.float64)
    kernel[:, keep] = kernel[:, keep] @ np.linalg.qr(normal)[0]
    return Outcome({"converged": layer.values["converged"]}, {"kernel": kernel.astype(np.float32)})
