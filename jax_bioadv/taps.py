"""Taps: the representations inside a network, by name, each as a pure function of images.

Spectra, Jacobians, their penalties and landscapes look inside a network. All that they ask of it is a function of a
batch of flattened images, and :func:`taps_of` makes such functions of any ``nnx.Module``, whatever its shape::

    network.taps = ("stages.0.convolution", "stages.0", "head")   # or as an attribute of its class, or as an argument
    for name, tap in taps_of(network).items():
        eigenvalues = covariance_spectrum(covariance(tap(images)))

A name is the dotted path of

- a submodule, ``"stages.0.convolution"``: what it gives when the network is called;
- a function that the network keeps, such as a nonlinearity in an ``nnx.Sequential``, ``"layers.1"``: likewise;
- a method of a submodule, ``"stages.0.overlap"``: likewise;
- a method of the network itself, ``"preactivation"``: what it gives for the images.

Nothing is asked of the modules, and no class is changed: what is tapped is a copy, in evaluation mode, whose submodule
also keeps what it gives. It must be called once for a batch, and by Python: what is called within ``nnx.scan``,
``nnx.vmap`` and the like can be tapped as a whole, not inside.
"""

from collections.abc import Callable, Iterable, MutableSequence, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, Protocol

import jax
from flax import nnx
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jax_bioadv.classifiers import evaluated


class TappedNetwork(Protocol):
    """What every measurement can work with: logits, and the names of what is inside."""

    taps: Sequence[str]
    """Names of representations in the order of the network, of those before a nonlinearity and those after."""

    def __call__(self, images: Float[Array, "batch inputs"], /) -> Float[Array, "batch classes"]:
        """Logits of flattened images."""


def taps_of(network: Any, names: str | Iterable[str] | None = None) -> dict[str, Partial]:
    """Representations of a network as pure functions ``images (batch, inputs) -> representation (batch, …)``.

    Each is a pytree of the weights of now, in evaluation mode, so that networks of one shape share compilations; it can
    be differentiated in the images, and in the weights of a network that is itself a function's argument.

    Args:
        network: an ``nnx.Module``, from flattened images to logits.
        names: dotted paths, see the module's docstring; None for those that ``network.taps`` lists.

    Returns:
        The functions, by name, in the order of the names. They raise ValueError where what they are called after is not
        called just once, or gives anything but an array with a row for every image.

    Raises:
        TypeError: for a plain function, which has logits and no inside.
        ValueError: for names that the network does not have, or none.
    """
    if not isinstance(network, nnx.Module):
        raise TypeError(
            f"a {type(network).__name__} gives logits and has no inside to tap: give the nnx.Module itself, or use "
            "what needs logits alone"
        )
    names = getattr(network, "taps", ()) if names is None else names
    names = [names] if isinstance(names, str) else list(names)
    there_are = f"there are {', '.join(available_taps(network)) or 'none'}"
    if not names:
        raise ValueError(f"a {type(network).__name__} lists no taps: name some, {there_are}")
    if unknown := [name for name in names if _found(network, name) is None]:
        raise ValueError(f"a {type(network).__name__} has no {' and no '.join(map(repr, unknown))}; {there_are}")
    parts = nnx.split(evaluated(network))
    return {name: Partial(_tapped, _Name(name), *parts) for name in names}


def available_taps(network: nnx.Module) -> list[str]:
    """Names that :func:`taps_of` takes: those that the network lists, its submodules, and functions among their items.

    Methods are taken too, but which of them give a representation a network alone can say.
    """
    inside = [
        ".".join(map(str, path))
        for path, value in nnx.iter_graph(network)
        if path and callable(value) and (isinstance(value, nnx.Module) or isinstance(path[-1], int))
    ]
    return list(dict.fromkeys([*getattr(network, "taps", ()), *inside]))


@jax.tree_util.register_static
@dataclass(frozen=True)
class _Name:
    name: str


class _Place(NamedTuple):
    """Where a name leads to: an attribute or item of its owner, which may be a method of it."""

    owner: Any
    key: str
    member: Any

    @property
    def is_method(self) -> bool:
        return getattr(self.member, "__self__", None) is self.owner


def _tapped(tap: _Name, graphdef: Any, state: Any, images: Array) -> Array:
    network = nnx.merge(graphdef, state)
    place = _found(network, tap.name)
    assert place is not None
    given: list[Any] = []
    if place.is_method and place.owner is network:
        given.append(place.member(images))
    else:
        _watch(place, given)
        network(images)
    if len(given) != 1:
        raise ValueError(
            f"{tap.name!r} is called {len(given)} times for a batch and so is no one representation; tap what calls "
            "it, or what is within it"
        )
    shape = getattr(given[0], "shape", None)
    if shape is None or shape[:1] != images.shape[:1]:
        found = f"a {type(given[0]).__name__}" if shape is None else f"shape {shape}"
        raise ValueError(f"{tap.name!r} must give an array with a row for each of {len(images)} images, not {found}")
    return given[0]


def _found(network: nnx.Module, name: str) -> _Place | None:
    """Where a name leads to; None if nowhere, or to nothing that is called."""
    place = _Place(None, "", network)
    for key in name.split("."):
        owner = place.member
        try:
            place = _Place(owner, key, owner[int(key)] if isinstance(owner, Sequence) else getattr(owner, key))
        except (AttributeError, LookupError, ValueError):
            return None
    if isinstance(place.member, nnx.Module):
        return place if callable(place.member) else None
    own = isinstance(place.owner, nnx.Module) and not hasattr(nnx.Module, place.key)
    return place if own and callable(place.member) and not isinstance(place.member, nnx.Variable) else None


def _watch(place: _Place, given: list[Any]) -> None:
    """Make every call of what is there, in a copy of the network, add what it gives to a list."""
    if place.is_method or isinstance(place.member, nnx.Module):
        module, name = (place.owner, place.key) if place.is_method else (place.member, "__call__")
        cls: Any = type(module)
        object.__setattr__(module, _GIVEN, given)
        object.__setattr__(module, "__class__", _watching(cls, name))
    elif isinstance(place.owner, MutableSequence):
        place.owner[int(place.key)] = _Kept(place.member, given)
    else:
        setattr(place.owner, place.key, _Kept(place.member, given))


_GIVEN = "_given_at_tap"


@cache
def _watching(cls: type, name: str) -> type:
    """A subclass whose method keeps what it gives; made once, for JAX never forgets a class of modules."""

    def kept(self: Any, *arguments: Any, **options: Any) -> Any:
        vars(self)[_GIVEN].append(getattr(cls, name)(self, *arguments, **options))
        return vars(self)[_GIVEN][-1]

    return type(cls)(cls.__name__, (cls,), {name: kept})


class _Kept:
    """A function that also keeps what it gives."""

    def __init__(self, function: Callable[..., Any], given: list[Any]):
        self.function, self.given = function, given

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.given.append(self.function(*arguments, **options))
        return self.given[-1]
