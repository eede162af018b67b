"""A small network and its batch, and what a regularizer makes of them."""

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

from jax_bioadv.learning.regularizers import Batch
from jax_bioadv.models import Network

KEY = jax.random.key(5)
INPUTS, HIDDEN, CLASSES = 12, 8, 3
# Sums of about a hundred float32 products of one sign, or nearly so, some raised to the power 7.
ROUNDING = 3e-5
# Small programs that run once or twice: optimizing them would cost more than running them.
COMPILE_FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
fast_jit = partial(jax.jit, compiler_options=COMPILE_FAST)


def network(power=1.0, seed=0, **options):
    return Network(INPUTS, HIDDEN, CLASSES, power=power, rngs=nnx.Rngs(seed), **options)


def batch_of(model, images):
    return Batch(images, jnp.zeros(len(images), jnp.int32), model.preactivation(images))


def penalty(regularizer, model, images, key=KEY):
    return float(
        fast_jit(lambda images, key: regularizer.penalty(model, batch_of(model, images), None, key))(images, key)
    )


def gradient(regularizer, model, images, aux=None):
    """Of the penalty, with respect to the weights and through the pre-activation, as in a training."""
    graphdef, parameters, rest = nnx.split(model, nnx.Param, ...)

    def loss(parameters):
        model = nnx.merge(graphdef, parameters, rest)
        return regularizer.penalty(model, batch_of(model, images), aux, KEY)

    return fast_jit(jax.grad(loss))(parameters)
