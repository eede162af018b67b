"""Networks as tasks make and keep them: untrained from a seed, trained from an outcome, and their random keys."""

import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial

from experiments.brought import Brought, Loaded
from experiments.engine.tasks import Outcome, plain
from experiments.images import Images
from experiments.settings.stacks import StackSettings
from jax_bioadv.convolutional import ConvolutionalNetwork
from jax_bioadv.models import Network, fold_batch_norm, logits_function
from jax_bioadv.weights import state_of, with_state

_WEIGHTS = "weights/"  # before the names of a network's weights among the arrays of an outcome


def purpose_key(seed: int | jax.Array, purpose: str) -> jax.Array:
    """The random key of a seed for one purpose; models that share a purpose share the randomness."""
    return jax.random.fold_in(jax.random.key(seed), zlib.crc32(purpose.encode()))


def untrained_network(
    images: Images, hidden: int, seed: int | jax.Array, *, power: float = 1.0, batch_norm: bool = False
) -> Network:
    """The untrained network of a seed; all models of the seed start from the same weights."""
    rngs = nnx.Rngs(params=purpose_key(seed, "initial weights"))
    return Network(images.inputs, hidden, images.classes, power=power, batch_norm=batch_norm, rngs=rngs)


def network_outcome(network: Network, values: dict[str, Any], arrays: dict[str, np.ndarray]) -> Outcome:
    """The outcome of a training, from which :func:`trained_network` makes the network again."""
    shape = {"power": network.power, "batch_norm": network.norm is not None}
    return Outcome({**values, "network": shape}, {**weights(state_of(network)), **arrays})


def trained_network(images: Images, outcome: Outcome) -> Network:
    """The network that a training found, with batch norm folded into its decoder."""
    state, shape = _state_in(outcome), outcome.values["network"]
    hidden = state["encoder/kernel"].shape[1]
    trained: Any = with_state(nnx.eval_shape(lambda: untrained_network(images, hidden, 0, **shape)), state)
    return fold_batch_norm(trained)


def network_again(outcome: Outcome) -> Loaded:
    """The network that a user brought, of which an outcome was made."""
    values = outcome.values["network"].items()
    made: Any = {name: tuple(one) if isinstance(one, list) else one for name, one in values}
    brought = Brought(**made)
    network, state = brought.built(), _state_in(outcome)
    return Loaded(brought, with_state(network, state, half_precision=True) if state else network)


def weights(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The state of a network as an outcome holds it."""
    return {f"{_WEIGHTS}{name}": array for name, array in state.items()}


def _state_in(outcome: Outcome) -> dict[str, np.ndarray]:
    return {name.removeprefix(_WEIGHTS): one for name, one in outcome.arrays.items() if name.startswith(_WEIGHTS)}


def untrained_stack(images: Images, stack: StackSettings, depth: int, seed: int, dropout: float = 0.0) -> Any:
    """The untrained stack of a seed; all models of a depth and seed start from the same weights."""
    rngs = nnx.Rngs(params=purpose_key(seed, "initial weights"), dropout=purpose_key(seed, "dropout"))
    shape = images.dataset.image_shape
    return ConvolutionalNetwork(shape, stack.stages(depth), images.classes, dropout=dropout, rngs=rngs)


def stack_outcome(
    network: ConvolutionalNetwork, values: dict[str, Any], stack: StackSettings, depth: int, history: Mapping[str, Any]
) -> Outcome:
    """The outcome of a stack's training, from which :func:`opened` makes it again."""
    made = {"stack": plain(stack), "depth": depth}
    kept: Any = nnx.clone(network)
    kept.readout.dropout = None  # of training alone
    return Outcome({**values, "network": made}, {**weights(state_of(kept)), **history})


def opened(images: Images, outcome: Outcome) -> Loaded:
    """The network of an outcome for what looks into it: one that a user brought, or a stack."""
    made = outcome.values["network"]
    if "build" in made:
        return network_again(outcome)
    settings: Any = {name: tuple(one) if isinstance(one, list) else one for name, one in made["stack"].items()}
    network = nnx.eval_shape(lambda: untrained_stack(images, StackSettings(**settings), made["depth"], 0))
    return Loaded(Brought("", images.dataset.image_shape), with_state(network, _state_in(outcome)))


@jax.jit
def _correct(logits: Callable[[jax.Array], jax.Array], images: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.argmax(logits(images), axis=1) == labels


def trained_logits(images: Images, outcome: Outcome) -> Partial:
    """From images to the logits of a network that a training found, or that a user brought."""
    if {"build", "stack"} & set(outcome.values["network"]):
        return opened(images, outcome).logits
    return logits_function(trained_network(images, outcome))


def classified_correctly(images: Images, network: Network) -> np.ndarray:
    """Whether each test image is."""
    return np.asarray(_correct(logits_function(network), images.test, images.test_labels))


def measured_accuracy(images: Images, network: Network) -> float:
    """Share of the test images that are classified correctly."""
    return float(classified_correctly(images, network).mean())
