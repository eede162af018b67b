"""Fast convolutions: the same numbers, in the one layout that XLA computes fast, and nothing else is touched."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from jax_bioadv.attacks import apgd, minimum_norm, pgd
from jax_bioadv.convolutions_in_loops import with_fast_convolutions

FAST = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))
CONVOLUTIONS = {
    "strided": {"window_strides": (2, 2), "padding": ((1, 1), (1, 1))},
    "dilated": {"window_strides": (1, 1), "padding": "SAME", "rhs_dilation": (2, 2)},
    "grouped": {"window_strides": (1, 2), "padding": "VALID", "feature_group_count": 2},
    "channels first": {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NCHW", "OIHW", "NCHW")},
}


def _convolutions(jaxpr):
    """All of a program, in its loops too."""
    for equation in jaxpr.eqns:
        if equation.primitive is lax.conv_general_dilated_p:
            yield equation
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=lambda each: hasattr(each, "eqns")):
            if hasattr(inner, "eqns"):
                yield from _convolutions(getattr(inner, "jaxpr", inner))


def _layouts(function, *arguments):
    return [each.params["dimension_numbers"] for each in _convolutions(jax.make_jaxpr(function)(*arguments).jaxpr)]


@pytest.mark.parametrize("kind", CONVOLUTIONS)
def test_values_and_gradients_are_those_of_before(kind):
    options = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), **CONVOLUTIONS[kind]}
    random = np.random.default_rng(0)
    groups = options.get("feature_group_count", 1)
    kernel = random.normal(size=(3, 3, 4 // groups, 6)).astype(np.float32)
    maps = random.normal(size=(5, 8, 7, 4)).astype(np.float32)
    if kind == "channels first":
        maps, kernel = np.moveaxis(maps, 3, 1), kernel.transpose(3, 2, 0, 1)

    @jax.jit
    def inner(maps, kernel):
        return lax.conv_general_dilated(maps, kernel, **options)

    def loss(maps, kernel):
        return jnp.sum(nnx.relu(inner(jnp.sin(maps), kernel)) ** 2)

    gradient = jax.value_and_grad(loss, argnums=(0, 1))
    value, slopes = jax.jit(with_fast_convolutions(gradient))(maps, kernel)
    expected, expected_slopes = jax.jit(gradient)(maps, kernel)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    for slope, wanted in zip(slopes, expected_slopes, strict=True):
        # Sums of some hundred products in another order.
        np.testing.assert_allclose(slope, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
    assert set(_layouts(gradient, maps, kernel)) > {FAST} or kind == "channels first"
    assert set(_layouts(with_fast_convolutions(gradient), maps, kernel)) == {FAST}


def test_a_program_without_convolutions_is_left_alone():
    def function(maps, options):
        return {"sum": jnp.sum(nnx.relu(maps @ options[0])), "constant": 3}

    maps = jnp.ones((2, 3))
    arguments = maps, [jnp.ones((3, 4))]
    plain, changed = (jax.make_jaxpr(each)(*arguments) for each in (function, with_fast_convolutions(function)))
    assert str(plain) == str(changed)


def test_results_keep_their_structure():
    def function(maps, kernels):
        results = [nnx.avg_pool(lax.conv(maps, kernel, (1, 1), "SAME"), (2, 2)) for kernel in kernels["all"]]
        return {"maps": tuple(results), "given": maps}

    arguments = jnp.ones((2, 3, 6, 6)), {"all": [jnp.ones((3, 3, 2, 2)), jnp.ones((1, 3, 3, 3))]}
    for found, expected in zip(
        *(jax.tree.leaves_with_path(each(*arguments)) for each in (with_fast_convolutions(function), function)),
        strict=True,
    ):
        assert found[0] == expected[0]
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-6)


@pytest.mark.parametrize("attack", [apgd(steps=3), minimum_norm(steps=2), pgd(steps=2)], ids=["apgd", "minimum", "pgd"])
def test_attacks_differentiate_in_the_fast_layout(attack):
    convolution, readout = nnx.Conv(2, 3, (3, 3), rngs=nnx.Rngs(0)), nnx.Linear(48, 4, rngs=nnx.Rngs(1))

    def logits(images):
        return readout(nnx.relu(convolution(images.reshape(-1, 4, 4, 2))).reshape(len(images), -1))

    run = partial(attack, jax.random.key(0), logits)
    layouts = _layouts(lambda images: run(images, jnp.zeros(2, int), 0.1).images, jnp.full((2, 32), 0.5))
    assert len(layouts) >= 3
    assert set(layouts) == {FAST}
