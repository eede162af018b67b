"""Convolutions that XLA computes fast in a loop, on CPUs.

XLA has a fast kernel for convolutions of maps (batch, height, width, channels) with kernels (height, width, in, out).
It brings others into that layout, but outside of loops alone: in a ``scan`` all others, among them those that JAX
differentiates a convolution into, take several times as long (jaxlib 0.10.2). Here they are brought there before
XLA sees them, behind a barrier lest it put things back; the numbers are those of the fast kernel::

    gradient = with_fast_convolutions(jax.grad(loss))(images)
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core

_OF_JIT = ("jit", "pjit", "closed_call")


def with_fast_convolutions(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function as it is, but for the layout of its convolutions, where it has some and JAX computes on a CPU.

    Args:
        function: of pytrees of arrays.

    Returns:
        The same function of the same arguments. Convolutions within loops of its own are left as they are.
    """

    def changed(*arguments: Any) -> Any:
        if jax.default_backend() != "cpu":
            return function(*arguments)
        closed, shapes = jax.make_jaxpr(function, return_shape=True)(*arguments)
        leaves = [jnp.asarray(leaf) for leaf in jax.tree.leaves(arguments)]
        if _has_convolution(closed.jaxpr):
            results = _evaluated(closed.jaxpr, closed.consts, leaves)
        else:
            results = core.jaxpr_as_fun(closed)(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shapes), results)

    return changed


def _has_convolution(jaxpr: core.Jaxpr) -> bool:
    return any(
        equation.primitive is lax.conv_general_dilated_p
        or (equation.primitive.name in _OF_JIT and _has_convolution(_inner(equation).jaxpr))
        for equation in jaxpr.eqns
    )


def _inner(equation: core.JaxprEqn) -> core.ClosedJaxpr:
    return equation.params["call_jaxpr" if equation.primitive.name == "closed_call" else "jaxpr"]


def _evaluated(jaxpr: core.Jaxpr, constants: list[Any], arguments: list[Any]) -> list[Any]:
    """What the program gives, equation by equation."""
    values = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*constants, *arguments], strict=True))

    def value(variable: Any) -> Any:
        return variable.val if isinstance(variable, core.Literal) else values[variable]

    for equation in jaxpr.eqns:
        given = [value(variable) for variable in equation.invars]
        if equation.primitive is lax.conv_general_dilated_p:
            results = [_convolved(*given, **equation.params)]
        elif equation.primitive.name in _OF_JIT:
            inner = _inner(equation)
            results = _evaluated(inner.jaxpr, inner.consts, given)
        else:
            found = equation.primitive.bind(*given, **equation.primitive.get_bind_params(equation.params))
            results = found if equation.primitive.multiple_results else [found]
        values.update(zip(equation.outvars, results, strict=True))
    return [value(variable) for variable in jaxpr.outvars]


def _convolved(maps: jax.Array, kernel: jax.Array, **options: Any) -> jax.Array:
    """A convolution in the fast layout."""
    given = options.pop("dimension_numbers")
    last, *places = maps.ndim - 1, *range(1, maps.ndim - 1)
    of_maps, of_kernel = (0, last, *places), (last, last - 1, *range(last - 1))
    result = lax.conv_general_dilated_p.bind(
        _moved(maps, given.lhs_spec, of_maps),
        _moved(kernel, given.rhs_spec, of_kernel),
        dimension_numbers=lax.ConvDimensionNumbers(of_maps, of_kernel, of_maps),
        **options,
    )
    return _moved(result, of_maps, given.out_spec)


def _moved(array: jax.Array, before: tuple[int, ...], after: tuple[int, ...]) -> jax.Array:
    """An array whose dimension ``before[i]`` comes to be ``after[i]``, for all i."""
    if before == after:
        return array
    order = [0] * array.ndim
    for source, target in zip(before, after, strict=True):
        order[target] = source
    return lax.optimization_barrier(lax.transpose(array, order))
