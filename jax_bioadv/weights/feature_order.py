"""In which order features reach the parameters of a network, seen from PyTorch, where channels come before pixels.

A dense layer behind a flattened map has a row for each pixel and channel: here channels vary fastest, in PyTorch they
vary slowest. One image is followed through the network, each of its numbers marked with the place that it would have
in PyTorch; a parameter that meets marked numbers is in their order.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jaxtyping import Int

Path = tuple[Any, ...]
"""To a variable or module: names and numbers."""

# What is known of an array: PyTorch's places of its numbers; of which parameters it is made, place for place; nothing.
_Places = np.ndarray
_Parameters = frozenset
_UNKNOWN = object()
_NESTED = ("jaxpr", "call_jaxpr", "fun_jaxpr")
_LOOPS = ("scan", "while", "cond")
_MOVING = ("reshape", "transpose", "squeeze", "expand_dims")
_SUMMING = ("reduce_sum", "reduce_max", "reduce_min")
_MIXING = ("rev", "sort", "cumsum", "cumprod", "cummax", "cumlogsumexp")


def feature_orders(network: nnx.Module, image_shape: tuple[int, int, int]) -> dict[Path, Int[np.ndarray, " n"] | None]:
    """The order of what reaches each kernel of a dense layer, and each vector that is applied to features one by one.

    Args:
        network: takes flattened images; followed in evaluation mode.
        image_shape: height, width and channels of an image.

    Returns:
        By the path of a parameter, for each of the features that it meets the place of this feature in PyTorch; None
        where it cannot be told. Parameters that meet whole maps alone have no entry, and neither has one that takes a
        way that is not followed.
    """
    evaluated = nnx.clone(network)
    evaluated.eval()
    graphdef, state = nnx.split(evaluated)
    flat = dict(nnx.to_flat_state(state))
    paths = {str(place): path for place, path in enumerate(flat)}
    values = {place: flat[path].get_value() for place, path in paths.items()}

    def logits(values: dict[str, Any], images: jax.Array) -> Any:
        whole = [(path, flat[path].replace(values[place])) for place, path in paths.items()]
        return nnx.merge(graphdef, nnx.from_flat_state(whole))(images)

    image = jnp.zeros((1, int(np.prod(image_shape))), jnp.float32)
    traced = jax.make_jaxpr(logits)(values, image)
    marks: list[Any] = [_Parameters([paths[place]]) for place in sorted(values)]
    following = _Following()
    following.follow(traced, [*marks, _in_order((1, *image_shape)).reshape(1, -1)])
    return following.orders


def _in_order(shape: Sequence[int]) -> _Places:
    """PyTorch's places of a map of which channels are the last axis, or of features."""
    spatial, channels = tuple(shape[1:-1]), shape[-1]
    return np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape[0], channels, *spatial), 1, -1)


class _Last(np.ndarray):
    """Places of features that a dense layer made at each pixel or token.

    In PyTorch they are the last axis of an array in whose order the others are too, or else of a map that was put in
    its usual order before or behind the layer: it cannot be told how they are flattened.
    """


def _ordered(places: Any) -> bool:
    return isinstance(places, _Places) and places.ndim > 1 and np.array_equal(places, _in_order(places.shape))


class _Following:
    def __init__(self) -> None:
        self.orders: dict[Path, np.ndarray | None] = {}

    def follow(self, closed: ClosedJaxpr | Jaxpr, known: Sequence[Any]) -> list[Any]:
        """What is known of a program's results, from what is known of its arguments."""
        program: Any = closed.jaxpr if isinstance(closed, ClosedJaxpr) else closed
        found: dict[Any, Any] = dict(zip(program.invars, known, strict=True))

        def look(variable: Any) -> Any:
            return None if isinstance(variable, Literal) else found.get(variable)

        for equation in program.eqns:
            operands = [look(variable) for variable in equation.invars]
            inner = next((equation.params[name] for name in _NESTED if name in equation.params), None)
            if inner is not None and equation.primitive.name not in _LOOPS:
                results = self.follow(inner, operands)
            else:
                results = [self._one(equation, operands, variable.aval.shape) for variable in equation.outvars]
            found.update(zip(equation.outvars, results, strict=True))
        return [look(variable) for variable in program.outvars]

    def _one(self, equation: Any, operands: list[Any], shape: tuple[int, ...]) -> Any:
        name = equation.primitive.name
        places: list[Any] = [one for one in operands if isinstance(one, _Places) or one is _UNKNOWN]
        if name in _LOOPS:
            for one in operands:
                self._meets(one, _UNKNOWN)
        elif name == "dot_general":
            order = _contracted(operands[0], equation)
            self._meets(operands[1], order)
            if order is not None and isinstance(operands[1], _Parameters):  # new features, as a convolution's
                return _in_order(shape).view(_Last) if len(shape) > 2 else _in_order(shape)
        elif name == "conv_general_dilated":
            return self._convolution(equation.params["dimension_numbers"], operands, shape)
        elif name in _MOVING or (name == "broadcast_in_dim" and _size(equation.invars[0]) == np.prod(shape)):
            return _moved(equation, operands[0], shape)
        elif name not in _MIXING:
            whole = [
                one
                for one, variable in zip(operands, equation.invars, strict=True)
                if variable.aval.shape == shape and one is not None
            ]
            if whole and len(equation.outvars) == 1:
                return self._elementwise(whole)
        if not places or (name in _SUMMING and not all(map(_ordered, places))):  # no features: statistics of groups
            return None
        if len(shape) < 2 or not all(map(_ordered, places)):
            return _UNKNOWN
        if places[0].ndim - 1 in equation.params.get("axes", ()):  # over channels: pixels are in one order everywhere
            return np.arange(np.prod(shape)).reshape(shape)
        last = len(shape) > 2 and (name == "dot_general" or _Last in map(type, places))
        return _in_order(shape).view(_Last) if last else _in_order(shape)

    def _elementwise(self, operands: list[Any]) -> Any:
        parameters = [one for one in operands if isinstance(one, _Parameters)]
        places = [one for one in operands if not isinstance(one, _Parameters)]
        if not places:
            return _Parameters().union(*parameters)
        unknown = any(one is _UNKNOWN for one in places) or not all(np.array_equal(places[0], one) for one in places)
        for one in parameters:
            self._meets(one, _UNKNOWN if unknown else places[0].reshape(-1))
        return _UNKNOWN if unknown else next((one for one in places if isinstance(one, _Last)), places[0])

    def _convolution(self, axes: Any, operands: list[Any], shape: tuple[int, ...]) -> Any:
        images, kernel = operands[:2]
        batch, channels, *spatial = axes.lhs_spec
        if images is None:
            return None
        if images is _UNKNOWN or not _ordered(images.transpose(batch, *spatial, channels)):
            self._meets(kernel, _UNKNOWN)
        batch, channels, *spatial = axes.out_spec
        order = (batch, *spatial, channels)
        return _in_order([shape[axis] for axis in order]).transpose(np.argsort(order))

    def _meets(self, parameters: Any, order: Any) -> None:
        for path in parameters if isinstance(parameters, _Parameters) and order is not None else ():
            new = None if order is _UNKNOWN else order
            before = self.orders.get(path, new)
            same = before is not None and new is not None and np.array_equal(before, new)
            self.orders[path] = new if same else None


def _size(variable: Any) -> int:
    return int(np.prod(variable.aval.shape))


def _contracted(places: Any, equation: Any) -> Any:
    """The order along the axis that a dense layer sums over."""
    (axes, _), _ = equation.params["dimension_numbers"]
    if not isinstance(places, _Places):
        return _UNKNOWN if places is _UNKNOWN else None
    if tuple(axes) != (places.ndim - 1,):
        return _UNKNOWN
    if places.size == places.shape[-1]:
        return places.reshape(-1)
    return np.arange(places.shape[-1]) if _ordered(places) else _UNKNOWN


def _moved(equation: Any, operand: Any, shape: tuple[int, ...]) -> Any:
    if not isinstance(operand, _Places):
        return operand
    if equation.primitive.name == "transpose":
        return operand.transpose(equation.params["permutation"])
    if isinstance(operand, _Last) and shape[-1] != operand.shape[-1]:
        return _UNKNOWN
    return operand.reshape(shape)
