"""Lowers jitted functions for other platforms instead of running them, and reads what they came to."""

import functools
import importlib
import pkgutil
import re

import jax
import jax.numpy as jnp
from jax import export

import jax_bioadv

PLATFORMS = ("tpu", "cuda")
KEY = jax.random.key(0)
JITTED = type(jax.jit(len))


@functools.cache
def jitted_functions():
    """Every jitted function that stands in a module of the library: the module, the name there, and the function."""
    names = [info.name for info in pkgutil.walk_packages(jax_bioadv.__path__, "jax_bioadv.")]
    modules = [importlib.import_module(name) for name in names if not name.endswith("__main__")]
    found = [(module, name, each) for module in modules for name, each in vars(module).items()]
    return [(module, name, each) for module, name, each in found if isinstance(each, JITTED)]


def _blank(aval):
    is_key = jnp.issubdtype(aval.dtype, jax.dtypes.prng_key)
    return jnp.broadcast_to(KEY, aval.shape) if is_key else jnp.zeros(aval.shape, aval.dtype)


class Lowering:
    """Lowers jitted functions for all the platforms at once instead of running them, and keeps both."""

    def __init__(self):
        self.programs = []
        self.functions = set()

    def __call__(self, function, *arguments, **options):
        exported = export.export(function, platforms=PLATFORMS)(*arguments, **options)
        self.programs.append(exported.mlir_module())
        self.functions.add(function)
        return jax.tree.unflatten(exported.out_tree, [_blank(aval) for aval in exported.out_avals])


def custom_calls(program):
    """What a program calls that is not part of StableHLO: kernels of a vendor, or the host's Python."""
    return set(re.findall(r'custom_call @"?([^"(]+)', program))
