"""A network that a user brings: how it is made, what images it takes, and what makes it one that cannot be measured.

``--network my_module:build`` names a function without arguments, or a class, that gives an ``nnx.Module`` or a plain
function, from flattened images (batch, height · width · channels) to logits.
"""

import dataclasses
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.tree_util import Partial, register_static
from jaxtyping import Array, Float

from experiments.engine.sources import code_digest_below, digest_of
from experiments.images import Images
from jax_bioadv.analysis.robustness import correctly_classified
from jax_bioadv.data.dataset import sha256_of_array
from jax_bioadv.models import as_pytree
from jax_bioadv.taps import taps_of
from jax_bioadv.weights import load_weights, state_of

Space = Literal["raw", "unit"]
# The logits of so many images are looked at before long work starts.
LOOKED_AT = 64
# So many are classified, to tell a network from guessing.
GUESSED_AT = 1000
# Logits of one image by itself and among others differ by rounding, which is far below this share of them.
ROUNDING = 1e-3


@dataclasses.dataclass(frozen=True)
class Brought:
    """How a network is made.

    Attributes:
        build: ``module:function``.
        image_shape: height, width and channels of the images that it takes flattened.
        mean: of each channel, which is subtracted from its pixels first; one for all; or none.
        std: of each channel, by which they are then divided.
    """

    build: str
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        channels = self.image_shape[-1]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (0, 1, channels):
                raise ValueError(f"--{name}: give one number, or one for each of {channels} channels")
        if bool(self.mean) != bool(self.std):
            raise ValueError("--mean and --std belong together: give both, or none")
        if not all(0 < value < np.inf for value in self.std) or not np.isfinite(self.mean).all():
            raise ValueError(f"--std must be positive and --mean finite, got {self.std} and {self.mean}")

    @property
    def function(self) -> Callable[[], Any]:
        """What makes it; ValueError if there is no such thing."""
        module_name, _, name = self.build.partition(":")
        if not module_name or not name or not all(part.isidentifier() for part in module_name.split(".")):
            raise ValueError(f"--network: name a module and a function in it, my_module:build, not {self.build!r}")
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise ValueError(f"--network: {module_name} imports {error.name}, which is not installed") from error
            ending = "write its name without .py, " if module_name.endswith(".py") else ""
            raise ValueError(
                f"--network: there is no module {module_name!r}; {ending}run the command in the folder that holds it, "
                "or put that folder into PYTHONPATH"
            ) from error
        function = getattr(module, name, None)
        if not callable(function):
            own = [n for n, one in vars(module).items() if callable(one) and one.__module__ == module.__name__]
            raise ValueError(f"--network: {module_name} has no function {name!r}; it has {', '.join(own) or 'none'}")
        return function

    def built(self) -> Any:
        """The network as it is built, a module or a function; ValueError if it cannot be."""
        function = self.function
        try:
            network = function()
        except TypeError as error:
            raise ValueError(f"--network: {self.build}() fails, it is called without arguments: {error}") from error
        if not callable(network):
            raise ValueError(
                f"--network: {self.build}() gives a {type(network).__name__}, which maps no images to logits"
            )
        return network

    @property
    def code(self) -> str:
        """A digest of the code that makes it: of its module, and of the modules beside it that it uses."""
        function, (at, _, name) = self.function, self.build.partition(":")
        if hasattr(function, "__qualname__"):  # a partial application, or an object, is what its module says it is
            at, name = function.__module__, function.__qualname__
        file = getattr(sys.modules.get(at), "__file__", None)
        if file is None:
            return ""
        path = Path(os.path.abspath(file))  # of a link, not of what it leads to, which may have another name
        package = path.parent if path.name == "__init__.py" else path
        return code_digest_below(at, name, package.parents[at.count(".")])


@register_static
@dataclasses.dataclass(frozen=True)
class _Normalisation:
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def _of_normalised(settings: _Normalisation, function: Partial, images: Float[Array, "batch inputs"]) -> Array:
    pixels = images.reshape(-1, *settings.image_shape)
    normalised = (pixels - jnp.asarray(settings.mean, images.dtype)) / jnp.asarray(settings.std, images.dtype)
    return function(normalised.reshape(images.shape))


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A network with its weights.

    Attributes:
        brought: how it is made.
        network: the module, or the function.
    """

    brought: Brought
    network: Any

    def _before(self, function: Partial) -> Partial:
        brought = self.brought
        if not brought.mean:
            return function
        return Partial(_of_normalised, _Normalisation(brought.image_shape, brought.mean, brought.std), function)

    @property
    def logits(self) -> Partial:
        """From images, before they are normalised, to logits."""
        return self._before(as_pytree(self.network))

    def tap(self, name: str) -> Partial:
        """Likewise to a representation; of ``logits`` to these, which every network has."""
        if name == LOGITS and name not in getattr(self.network, "taps", ()):
            return self.logits
        return self._before(taps_of(self.network, name)[name])

    @property
    def state(self) -> dict[str, np.ndarray]:
        """Its weights; a function has none that are known."""
        return state_of(self.network) if isinstance(self.network, nnx.Module) else {}


LOGITS = "logits"
"""The name of the logits among the taps, for networks of which no others are named."""


def loaded(brought: Brought, weights: Path | None, options: Mapping[str, Any] = MappingProxyType({})) -> Loaded:
    """A network with weights from a file, or those that it is built with.

    Args:
        brought: how it is made.
        weights: their file; None for those that it is built with.
        options: of :func:`jax_bioadv.weights.load_weights`.

    Raises:
        ValueError: it cannot be built, or the weights do not fit; it says what to do.
        OSError: the file cannot be read.
    """
    network = brought.built()
    if weights is None:
        return Loaded(brought, network)
    if not isinstance(network, nnx.Module):
        raise ValueError(f"--weights are for an nnx.Module, and {brought.build}() gives a {type(network).__name__}")
    return Loaded(brought, load_weights(network, weights, brought.image_shape, **options))


def fingerprint(network: Loaded, images: Images) -> dict[str, str]:
    """All that tells it from another: its code, its weights, and what it answers, whatever this depends on besides."""
    state = {name: sha256_of_array(array) for name, array in network.state.items()}
    answers = np.asarray(network.logits(images.test[:LOOKED_AT]))
    return {"code": network.brought.code, "weights": digest_of(state), "answers": sha256_of_array(answers)}


def check(network: Loaded, images: Images) -> None:
    """Raise ValueError, with what to do, for a network that cannot be measured: before long work starts."""
    some, name = images.test[:LOOKED_AT], network.brought.build
    if isinstance(network.network, nnx.Module):
        _check_state(network.network, name, some[:2])
    try:
        logits = np.asarray(network.logits(some))
    except Exception as error:
        raise ValueError(
            f"{name} cannot take images of shape {some.shape}, flattened from (height, width, channels) = "
            f"{network.brought.image_shape}: reshape them inside. It says: {_first_line(error)}"
        ) from error
    if logits.shape != (len(some), images.classes):
        raise ValueError(
            f"{name} gives an array of shape {logits.shape} for {len(some)} images of {images.dataset.name}, which has "
            f"{images.classes} classes: it must give (batch, {images.classes}) logits"
        )
    if not np.isfinite(logits).all():
        raise ValueError(f"{name} gives NaN or infinite logits: check its weights and --mean, --std and --input")
    if len(some) > 1 and np.ptp(logits, axis=0).max() == 0:
        raise ValueError(f"{name} gives the same logits for all images: were its weights loaded?")
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-3):
        raise ValueError(
            f"{name} gives probabilities, whose gradients vanish where it is sure, so that attacks would fail for no "
            "good reason: leave the softmax out and give logits"
        )
    again, alone = np.asarray(network.logits(some)), np.asarray(network.logits(some[-1:]))
    scale = np.abs(logits).max()
    if np.abs(again - logits).max() > ROUNDING * scale:
        raise ValueError(f"{name} gives other logits when it is called again: switch off dropout and other noise")
    if np.abs(alone - logits[-1:]).max() > ROUNDING * scale:
        raise ValueError(
            f"{name} gives an image other logits by itself than among others: it is in training mode. Let batch norm "
            "take use_running_average from the module (model.eval() sets it) and not from the call"
        )


def suspicion(network: Loaded, images: Images) -> str | None:
    """What is to be looked at first, if the network does little better than guessing."""
    some = images.test[:GUESSED_AT], images.test_labels[:GUESSED_AT]
    right = len(correctly_classified(network.logits, *some)) / len(some[1])
    chance = 1 / images.classes
    if right > min(1.5 * chance, chance + 0.05 * (1 - chance)):
        return None
    return (
        f"{network.brought.build} classifies {right:.1%} of the first {len(some[1])} test images correctly, about as "
        f"many as guessing: does it take {'--input unit' if images.space == 'raw' else '--input raw'}, pixels "
        "normalised by --mean and --std, or classes in another order?"
    )


def _check_state(network: nnx.Module, name: str, images: jax.Array) -> None:
    copy = nnx.clone(network)
    copy.eval()
    before = state_of(copy)
    try:
        copy(images)
    except Exception:  # it is said when logits are asked for
        return
    after = state_of(copy)
    if set(before) != set(after) or not all(
        np.array_equal(one, after[name], equal_nan=True) for name, one in before.items()
    ):
        raise ValueError(
            f"{name} changes its state when it is called, in evaluation mode too: it is in training mode. Let batch "
            "norm take use_running_average from the module (model.eval() sets it) and not from the call"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:300]
