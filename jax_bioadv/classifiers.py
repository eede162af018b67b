"""Classifiers, and other functions of images, as arguments that jitted code can take.

Whatever is given, a module, a method of one, or a function that captures modules, becomes a callable pytree with its
arrays as leaves (:func:`as_pytree`): models of one shape share a compilation, and a call gives today's answer, not that
of the weights at the time of tracing.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from typing import Any

import jax
from flax import nnx
from flax.errors import TraceContextError
from jax.tree_util import Partial
from jaxtyping import Array

_OF_ITS_OWN = (Partial, nnx.Module)
_JITTED: tuple[Any, ...] = (type(jax.jit(len)), type(nnx.jit(len)))
_WRAPPED: tuple[Any, ...] = (functools.partial, *_JITTED)


class _TracedAnew:
    """A function that jitted code traces again, although it has seen it: what it captures may be another by now."""

    def __init__(self, function: Callable[..., Any]):
        self.function = function

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            return self.function(*arguments, **options)
        except TraceContextError as error:
            raise ValueError(
                "the function changes the state of a module whenever it is called; give the module itself, or "
                "logits_function(module), either of which runs in evaluation mode"
            ) from error


def as_pytree(function: Callable[..., Any]) -> Partial:
    """A function as an argument that jitted code can take, and that gives today's answer.

    Every public function that is given a classifier, or another function of images, begins with this.

    Args:
        function: one of these.

            - An ``nnx.Module`` or a method of one: a pytree of its present weights, in evaluation mode. Models of one
              shape share compilations.
            - A ``Partial``: the pytree that it is, and its function is taken for constant: it shares compilations, and
              what it captures but the arguments of the ``Partial`` must never change. Modules are looked for among both
              and treated as above, or as below where the function captures them.
            - Any other function, with whatever it captures: compiled anew by every call of a public function, for the
              variables that it reads may have changed since the last one. JAX keeps each compilation, and all that the
              function captures, until ``jax.clear_caches()``: where there are many, give modules or a ``Partial``. Of
              a jitted function, the one within it, for it would not look at them again; but not of one that is jitted
              deeper inside.

    Returns:
        The function; of a module, with the weights of now.

    Raises:
        ValueError: when it is called, by a function that changes the state of a module that it captures, such as batch
            norm in training mode.
    """
    if isinstance(function, nnx.Module):
        return logits_function(function)
    owner: Any = getattr(function, "__self__", None)
    if isinstance(owner, nnx.Module):
        return Partial(_merged_method, _Method(function.__name__), *nnx.split(evaluated(owner)))
    if isinstance(function, _JITTED):
        return as_pytree(function.__wrapped__)
    if not isinstance(function, Partial):
        return Partial(_TracedAnew(function))
    called: Callable[..., Any] = function.func
    arguments, options = jax.tree.map(
        _without_modules, (function.args, function.keywords), is_leaf=lambda each: isinstance(each, _OF_ITS_OWN)
    )
    if isinstance(called, _TracedAnew):
        return Partial(_TracedAnew(called.function), *arguments, **options)
    if not (inspect.isfunction(called) or isinstance(called, _JITTED)) or _holds_module(called):
        return Partial(_call, as_pytree(called), *arguments, **options)
    return Partial(called, *arguments, **options)


def logits_function(model: nnx.Module) -> Partial:
    """The model in evaluation mode as a pure function ``images -> logits`` that is itself a pytree of its weights.

    Any ``nnx.Module`` whose ``__call__(images)`` gives logits without changing its state will do. The result can be an
    argument of a jitted function: models of the same shape then share one compilation. It keeps the weights of now,
    whatever is later assigned to the model's.
    """
    return Partial(_merged_call, *nnx.split(evaluated(model)))


@jax.tree_util.register_static
@dataclasses.dataclass(frozen=True)
class _Method:
    name: str


def _merged_call(graphdef: Any, state: Any, images: Array) -> Array:
    return nnx.merge(graphdef, state)(images)


def _merged_method(method: _Method, graphdef: Any, state: Any, *arguments: Any) -> Any:
    return getattr(nnx.merge(graphdef, state), method.name)(*arguments)


def _call(function: Partial, *arguments: Any, **options: Any) -> Any:
    return function(*arguments, **options)


def evaluated(model: nnx.Module) -> nnx.Module:
    """A copy in evaluation mode."""
    copy = nnx.clone(model)
    copy.eval()
    return copy


def _without_modules(argument: Any) -> Any:
    """An argument of a ``Partial`` as jitted code can take it: modules stay modules, whose attributes may be wanted."""
    if isinstance(argument, nnx.Module):
        return evaluated(argument)
    return as_pytree(argument) if callable(argument) else argument


def _holds_module(value: Any, seen: set[int] | None = None) -> bool:
    """Whether a module is found in what a function captures, in its containers and in functions among it."""
    nested, seen = seen is not None, set() if seen is None else seen
    if id(value) in seen:
        return False
    seen.add(id(value))
    if isinstance(value, nnx.Module):
        return True
    inside: Any = ()
    if isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        inside = value
    elif inspect.isfunction(value) or isinstance(value, _WRAPPED):
        inside = _captured(value, with_globals=not nested)
    return any(_holds_module(each, seen) for each in inside)


def _captured(function: Callable[..., Any], with_globals: bool) -> list[Any]:
    """What a function holds beside its arguments, as far as Python tells."""
    if isinstance(function, functools.partial):
        return [*function.args, *function.keywords.values(), *_captured(function.func, with_globals)]
    if isinstance(function, _JITTED):
        return _captured(function.__wrapped__, with_globals)
    if not inspect.isfunction(function):
        return [getattr(function, "__self__", None)]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    names = function.__code__.co_names if with_globals else ()
    named = [function.__globals__.get(name) for name in names]
    return [*defaults, *named, *(each for cell in function.__closure__ or () for each in _content(cell))]


def _content(cell: types.CellType) -> list[Any]:
    """What is in a cell of a closure; nothing, while the function around it has not come to it yet."""
    try:
        return [cell.cell_contents]
    except ValueError:
        return []
