"""Convolutional stacks: filters stage by stage and a readout, or backpropagation through the same architecture."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import count
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.tree_util import register_static

from experiments.engine.tasks import Outcome, Work, progress
from experiments.networks import purpose_key, stack_outcome, untrained_stack
from experiments.settings.groups import AdversarialSettings, L2Settings, PruningSettings
from experiments.settings.stacks import ReadoutSettings, StackBackpropSettings, StackSettings, TapPenaltySettings
from experiments.training.adversarial import adversary
from experiments.training.layers import decide_cut
from experiments.training.matching import matched_epoch
from experiments.training.trainer import ORDER, histories, loss_settled
from jax_bioadv.analysis.robustness import correctly_classified
from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.learning import regularizers, supervised
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.readouts import halving_adam, train_readout
from jax_bioadv.learning.stacks import features
from jax_bioadv.learning.stage_filters import FiltersOf, fill
from jax_bioadv.learning.tap_regularizers import jacobian_at_tap, spectral_at_tap, tap_covariance
from jax_bioadv.learning.training import train
from jax_bioadv.learning.whitening import Filters
from jax_bioadv.patches import PatchNorm
from jax_bioadv.storage import Checkpoints

# Patches as winner-take-all needs them; the network that the filters go into sees them as they are.
NORMALISED = PatchNorm(centred=True)


def on_normalised(
    filters_of: FiltersOf, network: ConvolutionalNetwork, index: int, images: jax.Array, key: jax.Array
) -> Filters:
    """Filters learnt from patches that are each centred and divided by their norm, for a stage that does neither."""
    network = nnx.clone(network)
    convolution = network.stages[index].convolution
    convolution.settings = dataclasses.replace(convolution.settings, patch_norm=NORMALISED)
    return filters_of(network, index, images, key)


def cut_by_mixture(rule: KrotovHopfield, synapses: np.ndarray) -> np.ndarray:
    """Which rows are kept, as of a layer of the paper's."""
    return decide_cut(synapses, PruningSettings("mixture"), float(rule.p), float(rule.radius)).keep


def greedy(
    filters_of: FiltersOf,
    work: Work,
    *,
    seed: int,
    depth: int,
    stack: StackSettings,
    readout: ReadoutSettings,
) -> Outcome:
    """A stack whose filters are made stage by stage, each on the frozen ones before, and then its readout.

    Args:
        filters_of: how they are made.
        work: of the task.
        seed: of all that is random.
        depth: number of stages.
        stack: the architecture.
        readout: how it is trained.
    """
    images, labels = work.images.train[: stack.images], work.images.train_labels[: stack.images]
    network, key = untrained_stack(work.images, stack, depth, seed, readout.dropout), purpose_key(seed, "filters")
    for stage in range(depth):
        network = fill(network, stage, filters_of, images, jax.random.fold_in(key, stage))
    optimizer = _halving_adam(readout.learning_rate, readout.epochs, len(images) // readout.batch_size)
    with _resumable(work, f"readout of {work.name}", readout.epochs) as options:
        network, history = train_readout(
            *(network, features(network, images), labels, purpose_key(seed, ORDER), optimizer),
            epochs=readout.epochs,
            batch_size=readout.batch_size,
            standardise=True,
            **options,
        )
    cut = sum(int((~np.asarray(stage.convolution.rows).any(axis=1)).sum()) for stage in network.stages)
    values = {"converged": None, "pruned_units": cut, "decoder_converged": loss_settled(history["loss"])}
    return _outcome(work, network, values, history)


_halving_adam = cache(halving_adam)


@contextmanager
def _resumable(work: Work, what: str, epochs: int) -> Iterator[dict[str, Any]]:
    """Options of a training: progress that is shown, and checkpoints, after any epoch, which the ledger drops."""
    folder = work.directory / "checkpoints" / work.task.fingerprint[:16]
    with progress(what, epochs, "epoch") as advance:
        yield {"checkpoints": Checkpoints(folder), "check_every": 1, "progress": advance}


def _outcome(
    work: Work, network: ConvolutionalNetwork, values: Mapping[str, Any], history: Mapping[str, np.ndarray]
) -> Outcome:
    given, accuracy = work.task.given, _accuracy(work, network)
    values = {"test_accuracy": accuracy, **values}
    return stack_outcome(network, values, given["stack"], given["depth"], histories(history))


def _accuracy(work: Work, network: ConvolutionalNetwork) -> float:
    images, labels = work.images.test, work.images.test_labels
    return len(correctly_classified(network, images, labels)) / len(labels)


@register_static
@dataclass(frozen=True)
class Penalised:
    """Backpropagation with what is added to it, of which a program is made."""

    depth: int
    steps: int
    backprop: StackBackpropSettings
    l2: L2Settings | None = None
    jacobian: TapPenaltySettings | None = None
    spectral: TapPenaltySettings | None = None
    adversarial: AdversarialSettings | None = None

    @property
    def tap(self) -> str:
        """The overlaps of the last convolution, whose spectrum is pulled."""
        return f"stages.{self.depth - 1}.convolution"

    def optimizer(self) -> optax.GradientTransformation:
        return halving_adam(self.backprop.learning_rate, self.backprop.epochs, self.steps)

    def regularizer(self, anchor: jax.Array) -> regularizers.Regularizer:
        """The penalty; the anchor is that of a spectral target."""
        if self.l2 is not None:
            return regularizers.weight_decay(self.l2.weight)
        if self.jacobian is not None:
            last = f"stages.{self.depth - 1}"
            return jacobian_at_tap(last, self.jacobian.jacobian, self.jacobian.projections)
        if self.spectral is not None:
            return spectral_at_tap(self.tap, self.spectral.spectral, anchor=anchor)
        return regularizers.combine()


@partial(jax.jit, static_argnames=("how", "graphdef"))
def _epoch(
    how: Penalised, graphdef: Any, anchor: jax.Array, state: Any, data: regularizers.TrainingData, renewals: jax.Array
) -> Any:
    epoch = supervised.make_epoch(
        graphdef,
        how.optimizer(),
        how.regularizer(anchor),
        batch_size=how.backprop.batch_size,
        adversary=None if how.adversarial is None else adversary(how.adversarial),
    )
    return epoch(state, data, renewals)


class Begun(NamedTuple):
    """A training by backpropagation at epoch 0, and its epochs."""

    graphdef: nnx.GraphDef
    state: supervised.TrainingState
    epochs: int
    epoch: Callable[[Any, int], tuple[Any, supervised.EpochInfo]]


def _begin(
    work: Work, seed: int, depth: int, stack: StackSettings, backprop: StackBackpropSettings, **added: Any
) -> Begun:
    images, labels = work.images.train[: stack.images], work.images.train_labels[: stack.images]
    network, data = untrained_stack(work.images, stack, depth, seed), regularizers.TrainingData(images, labels)
    how = Penalised(depth, len(images) // backprop.batch_size, backprop, **added)
    anchor = jnp.ones(())
    if how.spectral is not None:
        anchor = jnp.linalg.eigvalsh(tap_covariance(network, how.tap, images))[-1]
    key, regularizer = purpose_key(seed, ORDER), how.regularizer(anchor)
    graphdef, state = supervised.init(key, network, how.optimizer(), regularizer, data)
    every = how.steps if how.spectral is None else how.spectral.refresh_every

    def epoch(state: Any, number: int) -> Any:
        renewals = (number * how.steps + np.arange(how.steps)) % every == 0
        return _epoch(how, graphdef, anchor, state, data, renewals)

    epochs = backprop.epochs if how.adversarial is None else how.adversarial.epochs
    return Begun(graphdef, state, epochs, epoch)


def by_backprop(work: Work, **given: Any) -> Outcome:
    """A stack trained by backpropagation, with what its settings add to the cross-entropy."""
    begun = _begin(work, **given)
    with _resumable(work, f"train {work.name}", begun.epochs) as options:
        state, history = train(begun.epoch, begun.state, begun.epochs, **options)
    network = supervised.trained_model(begun.graphdef, state)
    return _outcome(work, network, {"converged": loss_settled(history["loss"]), "pruned_units": 0}, history)


def matched(work: Work, **given: Any) -> Outcome:
    """Plain backpropagation up to the accuracy of ``needs["matched"]``, to the nearer of the epochs around it."""
    begun, wanted = _begin(work, **given), work.needed["matched"].values["test_accuracy"]

    def trained() -> Iterator[tuple[Any, supervised.EpochInfo]]:
        state = begun.state
        for number in count():
            state, info = begun.epoch(state, number)
            yield supervised.trained_model(begun.graphdef, state), jax.device_get(info)

    accuracy_of = partial(_accuracy, work)
    network, reached, history = matched_epoch(work.name, wanted, begun.epochs, trained(), accuracy_of)
    return _outcome(work, network, {**reached, "pruned_units": 0}, history)
