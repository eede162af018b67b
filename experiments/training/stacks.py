"""Convolutional stacks: filters stage by stage and a readout, or backpropagation through the same architecture."""

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
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
from experiments.settings.stacks import (
    PatchRuleSettings,
    PatchSettings,
    ReadoutSettings,
    SoftHebbSettings,
    StackBackpropSettings,
    StackSettings,
    TapPenaltySettings,
)
from experiments.training.adversarial import adversary
from experiments.training.layers import decide_cut
from experiments.training.trainer import ORDER, histories, loss_settled
from jax_bioadv.analysis.robustness import correctly_classified
from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.learning import krotov_hopfield, patch_filters, regularizers, soft_hebb, stacks, supervised
from jax_bioadv.learning.learning_rule import LearningRule
from jax_bioadv.learning.pruning import prune
from jax_bioadv.learning.readouts import halving_adam, train_readout
from jax_bioadv.learning.tap_regularizers import jacobian_at_tap, spectral_at_tap, tap_covariance
from jax_bioadv.learning.training import train
from jax_bioadv.learning.whitening import Filters, Whitening, zca
from jax_bioadv.patches import PatchNorm
from jax_bioadv.storage import Checkpoints


@dataclass(frozen=True)
class Below:
    """What the filters of a stage are made from.

    Attributes:
        network: with the stages below as they stay, and the statistics of the stage's batch norm.
        stage: its index.
        images: the training images.
        seed: of the model.
        folder: for checkpoints.
    """

    network: ConvolutionalNetwork
    stage: int
    images: jax.Array
    seed: int
    folder: Path

    @property
    def key(self) -> jax.Array:
        return jax.random.fold_in(purpose_key(self.seed, "filters"), self.stage)

    @property
    def filters(self) -> int:
        return self.network.stages[self.stage].settings.filters

    def normalised(self) -> "Below":
        """With each patch centred and divided by its norm, as winner-take-all needs it."""
        network = nnx.clone(self.network)
        convolution = network.stages[self.stage].convolution
        convolution.settings = dataclasses.replace(convolution.settings, patch_norm=PatchNorm(centred=True))
        return dataclasses.replace(self, network=network)

    @property
    def positions(self) -> int:
        """At which the filters see a patch of an image."""
        _, rows, columns, _ = jax.eval_shape(lambda one: self.network.patches(one, self.stage), self.images[:1]).shape
        return rows * columns

    def patches(self, chosen: PatchSettings) -> np.ndarray:
        """Some of what the filters see."""
        count = min(chosen.samples, len(self.images) * self.positions)
        return stacks.sampled_patches(self.network, self.stage, self.images, self.key, count)

    def learned(self, rule: stacks.RuleOfRate, rates: list[float], **how: Any) -> Any:
        """The state of a rule that has learned from the patches."""
        with progress(f"stage {self.stage + 1}", len(rates), "epoch") as advance:
            state, _ = stacks.train_stage(
                *(self.network, self.stage, rule, self.images, self.key, rates),
                **{**how, "checkpoints": Checkpoints(self.folder), "progress": advance},
            )
        return state


FiltersOf = Callable[..., tuple[Filters, dict[str, Any]]]
"""``filters_of(below, **given) -> (filters, values)``: how a model comes by its filters, and what is told of it."""


@cache  # the same rule for the same settings, so that seeds share a program
def _soft_hebb_rule(inverse_temperature: float, filters: int) -> stacks.RuleOfRate:
    rule = soft_hebb.SoftHebb(inverse_temperature)

    def of_rate(rate: Any) -> LearningRule:
        return soft_hebb.learning_rule(rule, rate, hidden=filters)

    return of_rate


def soft_hebb_filters(below: Below, *, soft_hebb: SoftHebbSettings) -> tuple[Filters, dict[str, Any]]:
    """Filters by SoftHebb."""
    rule = _soft_hebb_rule(soft_hebb.inverse_temperatures[below.stage], below.filters)
    rates = [soft_hebb.learning_rates[below.stage]] * soft_hebb.epochs
    state = below.learned(rule, rates, batch_size=soft_hebb.batch_size)
    norms = np.linalg.norm(state.synapses, axis=1)
    return Filters(state.synapses), {"row_norms": [float(norms.min()), float(norms.max())]}


@cache
def _patch_rule(chosen: PatchRuleSettings, start: krotov_hopfield.Start, filters: int) -> stacks.RuleOfRate:
    rule = krotov_hopfield.KrotovHopfield(chosen.p, chosen.k, chosen.delta)

    def of_rate(rate: Any) -> LearningRule:
        return krotov_hopfield.learning_rule(rule, rate, hidden=filters, start=start, scale=chosen.scale)

    return of_rate


def kh_filters(
    below: Below, *, kh: PatchRuleSettings, start: krotov_hopfield.Start, pruning: PruningSettings
) -> tuple[Filters, dict[str, Any]]:
    """Filters by the Krotov–Hopfield rule, without those that pruning sets to zero."""
    rates = [krotov_hopfield.linear_decay(kh.learning_rate, epoch, kh.epochs) for epoch in range(kh.epochs)]
    rule, below = _patch_rule(kh, start, below.filters), below.normalised()
    whitening = _whitening(below.patches(PatchSettings()), kh.whitening)
    positions = min(kh.positions, below.positions)
    state = below.learned(rule, rates, batch_size=kh.batch_size, positions=positions, whitening=whitening)
    verdict = krotov_hopfield.convergence(krotov_hopfield.KrotovHopfield(kh.p, kh.k, kh.delta), state.synapses)
    cut = decide_cut(np.asarray(state.synapses), pruning, kh.p, 1.0)
    rows = krotov_hopfield.effective_weights(prune(state.synapses, cut.keep), kh.p)
    return whitening.filters(rows), {"converged": bool(verdict.accepted), "pruned": int((~cut.keep).sum())}


def _whitening(patches: np.ndarray, share: float) -> Whitening:
    return zca(patches, share * float(patches.var(axis=0).mean()))


def k_means_filters(below: Below, *, patches: PatchSettings, whitened: bool) -> tuple[Filters, dict[str, Any]]:
    """Nearness to centroids of the patches, as they are or whitened."""
    seen = below.patches(patches)
    whitening = _whitening(seen, patches.whitening) if whitened else None
    passes = patches.passes
    made = patch_filters.k_means_filters(below.seed, seen, below.filters, whitening=whitening, passes=passes)
    return made, {}


def sampled_filters(below: Below, *, patches: PatchSettings) -> tuple[Filters, dict[str, Any]]:
    """Patches themselves, as the Krotov–Hopfield rule sees them."""
    return patch_filters.sampled_filters(below.seed, below.normalised().patches(patches), below.filters), {}


def principal_filters(below: Below, *, patches: PatchSettings) -> tuple[Filters, dict[str, Any]]:
    """Principal directions of the patches."""
    return patch_filters.principal_filters(below.patches(patches), below.filters), {}


def random_filters(below: Below) -> tuple[Filters, dict[str, Any]]:
    """Those that backpropagation starts from."""
    return Filters(below.network.stages[below.stage].convolution.rows), {}


def greedy(
    filters_of: FiltersOf,
    work: Work,
    *,
    seed: int,
    depth: int,
    stack: StackSettings,
    readout: ReadoutSettings,
    **given: Any,
) -> Outcome:
    """A stack whose filters are made stage by stage, each on the frozen ones before, and then its readout.

    Args:
        filters_of: how they are made.
        work: of the task.
        seed: of all that is random.
        depth: number of stages.
        stack: the architecture.
        readout: how it is trained.
        **given: what else the filters are made by.
    """
    images, labels = work.images.train[: stack.images], work.images.train_labels[: stack.images]
    network = untrained_stack(work.images, stack, depth, seed, readout.dropout)
    told: list[dict[str, Any]] = []
    folder = work.directory / "checkpoints" / work.task.fingerprint[:16]
    for stage in range(depth):
        network = stacks.with_statistics(network, stage, images)
        made, values = filters_of(Below(network, stage, images, seed, folder / f"stage-{stage}"), **given)
        network, told = stacks.with_filters(network, stage, *made), [*told, values]
    optimizer = _halving_adam(readout.learning_rate, readout.epochs, len(images) // readout.batch_size)
    with progress(f"readout of {work.name}", readout.epochs, "epoch") as advance:
        network, history = train_readout(
            *(network, stacks.features(network, images), labels, purpose_key(seed, ORDER), optimizer),
            epochs=readout.epochs,
            batch_size=readout.batch_size,
            standardise=True,
            checkpoints=Checkpoints(folder / "readout"),
            progress=advance,
        )
    shutil.rmtree(folder)
    values = {"stages": told, "converged": all(one.get("converged", True) for one in told)}
    values |= {"pruned_units": sum(one.get("pruned", 0) for one in told)}
    return _outcome(work, network, {**values, "decoder_converged": loss_settled(history["loss"])}, history)


_halving_adam = cache(halving_adam)


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
    folder = work.directory / "checkpoints" / work.task.fingerprint[:16]
    with progress(f"train {work.name}", begun.epochs, "epoch") as advance:
        state, history = train(
            begun.epoch, begun.state, begun.epochs, checkpoints=Checkpoints(folder), progress=advance
        )
    shutil.rmtree(folder)
    network = supervised.trained_model(begun.graphdef, state)
    return _outcome(work, network, {"converged": loss_settled(history["loss"]), "pruned_units": 0}, history)


def matched(work: Work, **given: Any) -> Outcome:
    """Plain backpropagation up to the accuracy of ``needs["matched"]``, to the nearer of the epochs around it."""
    begun, wanted = _begin(work, **given), work.needed["matched"].values["test_accuracy"]
    state, infos = begun.state, list[supervised.EpochInfo]()
    found = -float("inf"), supervised.trained_model(begun.graphdef, state)
    with progress(f"train {work.name}", begun.epochs, "epoch") as advance:
        while found[0] < wanted and len(infos) < begun.epochs:
            before, (state, info) = found, begun.epoch(state, len(infos))
            network = supervised.trained_model(begun.graphdef, state)
            found = _accuracy(work, network), network
            infos.append(jax.device_get(info))
            advance(1)
    reached = found[0] >= wanted
    accuracy, network = min(before, found, key=lambda one: abs(one[0] - wanted))
    used = infos[: len(infos) - (accuracy == before[0])]
    history = {name: np.array([getattr(info, name) for info in used]) for name in supervised.EpochInfo._fields}
    return _outcome(work, network, {"converged": reached, "pruned_units": 0, "epochs": len(used)}, history)
