"""The one network that all five trainings share: ``x -> V x -> ReLU^n -> (batch norm) -> dense``.

Holzhausen et al., arXiv 2405.00679. The hybrid ("kh") model is this network with a frozen first layer
``V = W |W|^(p-2)`` made from Krotov–Hopfield synapses W and the power n = 4.5; the backpropagation models have n = 1.

The module keeps its parameters in the layout of ``flax.nnx.Linear``: ``encoder.kernel`` is ``V`` transposed, of shape
(inputs, hidden). Outside this file models are handled as pure functions: :func:`logits_function` gives a callable
pytree whose leaves are the weights, so that jitted code takes them as arguments and is traced once for many models.
"""

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from flax.errors import TraceContextError
from jax.tree_util import Partial
from jax.typing import DTypeLike
from jaxtyping import Array, Float


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def rectified_power(preactivation: Float[Array, "*shape"], power: float) -> Float[Array, "*shape"]:
    """Hidden activation ``ReLU(h)^n``, with the derivative ``n·ReLU(h)^(n-1)`` and 0 wherever h ≤ 0.

    NaN stays NaN for n > 0. Whole and half powers, as the published 4.5, are products with a square root: far cheaper
    than a general power.
    """
    rectified = jnp.maximum(preactivation, 0.0)
    whole, rest = divmod(power, 1)
    if rest == 0.5:
        result = rectified ** int(whole) * jnp.sqrt(rectified)
    else:
        result = rectified ** (int(whole) if rest == 0 else power)
    return jnp.where(preactivation <= 0, 0.0, result)


@rectified_power.defjvp
def _rectified_power_jvp(power: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (preactivation,), (tangent,) = primals, tangents
    return rectified_power(preactivation, power), power * rectified_power(preactivation, power - 1) * tangent


def _symmetric_uniform(bound: float) -> nnx.Initializer:
    def init(key: Array, shape: tuple[int, ...], dtype: DTypeLike = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return init


class Network(nnx.Module):
    """One hidden layer without bias, ReLU^n, optional batch norm after the activation, dense decoder with bias.

    Args:
        inputs: number of pixels D of a flattened image.
        hidden: number of hidden units H.
        classes: number of logits.
        power: the exponent n of ReLU(h)^n, at least 1.
        batch_norm: whether the activation is batch-normalised; running statistics keep 0.9 of their old value.
        rngs: ``nnx.Rngs`` with a ``params`` stream.

    The encoder starts from N(0, 2/D), the decoder's kernel and bias from U(±1/sqrt(H)), as published.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        classes: int,
        *,
        power: float = 1.0,
        batch_norm: bool = False,
        rngs: nnx.Rngs,
    ):
        if not power >= 1.0:
            raise ValueError(f"power must be at least 1 for a finite derivative at 0, got {power}")
        decoder_init = _symmetric_uniform(hidden**-0.5)
        self.power = power
        self.encoder = nnx.Linear(
            inputs, hidden, use_bias=False, kernel_init=nnx.initializers.normal((2.0 / inputs) ** 0.5), rngs=rngs
        )
        self.norm = nnx.BatchNorm(hidden, momentum=0.9, rngs=rngs) if batch_norm else None
        self.decoder = nnx.Linear(hidden, classes, kernel_init=decoder_init, bias_init=decoder_init, rngs=rngs)

    def preactivation(self, images: Float[Array, "batch inputs"]) -> Float[Array, "batch hidden"]:
        """``h = V x``."""
        return self.encoder(images)

    def activation(self, images: Float[Array, "batch inputs"]) -> Float[Array, "batch hidden"]:
        """``a = ReLU(h)^n``, before batch norm."""
        return rectified_power(self.encoder(images), self.power)

    def decode(self, preactivation: Float[Array, "batch hidden"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits from the hidden pre-activation; with ``train`` batch norm uses, and updates from, this batch."""
        activation = rectified_power(preactivation, self.power)
        if self.norm is not None:
            activation = self.norm(activation, use_running_average=not train)
        return self.decoder(activation)

    def __call__(self, images: Float[Array, "batch inputs"], train: bool = False) -> Float[Array, "batch classes"]:
        """Logits of a batch of flattened images."""
        return self.decode(self.preactivation(images), train)


def check_one_hidden_layer(model: Any, otherwise: str) -> None:
    """Raise TypeError for any model but a :class:`Network` as it is defined here, of which closed forms hold.

    Args:
        model: what a closed form is to be applied to; another encoder, a bias in it, or a subclass that computes
            something else, would make the form silently wrong.
        otherwise: what to use for such a model, for the message.
    """
    computes = ("preactivation", "activation", "decode", "__call__")
    if not isinstance(model, Network):
        found = f"a {type(model).__name__}"
    elif overridden := [name for name in computes if getattr(type(model), name) is not getattr(Network, name)]:
        found = f"{type(model).__name__}, which overrides {', '.join(overridden)}"
    elif type(model.encoder) is not nnx.Linear or model.encoder.bias is not None:
        found = f"one whose encoder is a {type(model.encoder).__name__}, or has a bias"
    elif type(model.decoder) is not nnx.Linear or model.decoder.bias is None:
        found = f"one whose decoder is a {type(model.decoder).__name__}, or has no bias"
    elif type(model.norm) not in (type(None), nnx.BatchNorm):
        found = f"one whose norm is a {type(model.norm).__name__}"
    else:
        return
    raise TypeError(
        "this holds for a jax_bioadv.models.Network of one dense layer and a dense decoder, "
        f"not for {found}. {otherwise}"
    )


def fold_batch_norm(network: Network) -> Network:
    """The network in evaluation mode without batch norm, which follows the activation: its decoder does that too.

    It gives the same logits up to rounding, and shares compilations with networks that never had a batch norm.

    Args:
        network: with or without batch norm; it is left as it is.

    Returns:
        A copy, also where there is nothing to fold.

    Raises:
        TypeError: another model than :class:`Network`.
    """
    check_one_hidden_layer(network, "Other models keep their batch norm: call them in evaluation mode.")
    folded: Any = nnx.clone(network)
    if folded.norm is not None:
        norm, decoder = folded.norm, folded.decoder
        gain = norm.scale[...] / jnp.sqrt(norm.var[...] + norm.epsilon)
        shift = norm.bias[...] - norm.mean[...] * gain
        decoder.bias[...] += jnp.matmul(shift, decoder.kernel[...], precision="highest")
        decoder.kernel[...] *= gain[:, None]
        folded.norm = nnx.static(None)
    return folded


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
              variables that it reads may have changed since the last one. Of a jitted function, the one within it,
              for it would not look at them again; but not of one that is jitted deeper inside.

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
        return Partial(_merged_method, _Method(function.__name__), *nnx.split(_evaluated(owner)))
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
    return Partial(_merged_call, *nnx.split(_evaluated(model)))


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


def _evaluated(model: nnx.Module) -> nnx.Module:
    """A copy in evaluation mode."""
    copy = nnx.clone(model)
    copy.eval()
    return copy


def _without_modules(argument: Any) -> Any:
    """An argument of a ``Partial`` as jitted code can take it: modules stay modules, whose attributes may be wanted."""
    if isinstance(argument, nnx.Module):
        return _evaluated(argument)
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
