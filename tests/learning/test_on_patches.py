"""Rules on patches: exactly the dense rule on patches cut out by hand, all of them or some."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.convolutional import Convolution, StageSettings
from jax_bioadv.learning import krotov_hopfield, pruning, soft_hebb
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.on_patches import on_patches, sampled_rows
from jax_bioadv.learning.soft_hebb import SoftHebb
from jax_bioadv.patches import PatchNorm

FILTERS, RATE = 4, 0.05
MAPS = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4, 5, 2)).astype(np.float32))
RULES = {
    "krotov_hopfield": krotov_hopfield.learning_rule(KrotovHopfield(), RATE, hidden=FILTERS),
    "soft_hebb": soft_hebb.learning_rule(SoftHebb(), RATE, hidden=FILTERS),
}


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("norm", [None, PatchNorm(3.0)])
def test_weights_are_shared_as_by_the_dense_rule_on_patches_cut_out(name, norm):
    rule, convolution = RULES[name], Convolution(2, StageSettings(FILTERS, 3, 1, patch_norm=norm), rngs=nnx.Rngs(0))
    shared = on_patches(rule, convolution.patches)
    padded = np.pad(np.asarray(MAPS), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    rows = [each[i : i + 3, j : j + 3].ravel() for each in padded for i in range(4) for j in range(5)]
    cut_out = np.stack(rows)
    if norm is not None:
        cut_out = cut_out / (abs(cut_out) ** 3).sum(axis=1, keepdims=True) ** (1 / 3)
    state = shared.init(jax.random.key(1), MAPS)
    after, info = jax.jit(shared.step)(state, MAPS, jax.random.key(2))
    expected, dense_info = jax.jit(rule.step)(state, jnp.asarray(cut_out, jnp.float32), jax.random.key(2))
    exact = {"rtol": 0, "atol": 0 if norm is None else 1e-6}  # the norms are of another precision
    np.testing.assert_allclose(after.synapses, expected.synapses, **exact)
    np.testing.assert_array_equal(info.winners, dense_info.winners)


def test_the_overlaps_of_the_rule_are_the_outputs_of_the_convolution():
    rule, convolution = KrotovHopfield(), Convolution(2, StageSettings(FILTERS, 3, 1), rngs=nnx.Rngs(0))
    state = krotov_hopfield.init(jax.random.key(1), rule, jnp.zeros((1, 18)), hidden=FILTERS)
    step = jax.jit(on_patches(RULES["krotov_hopfield"], convolution.patches).step)
    _, info = step(state, MAPS, jax.random.key(2))
    convolution.rows = krotov_hopfield.effective_weights(state.synapses, rule.p)
    overlaps = jax.jit(lambda maps: convolution(maps))(MAPS)
    np.testing.assert_array_equal(np.argmax(overlaps, axis=-1).ravel(), info.winners)


def test_some_positions_of_each_map_are_different_ones():
    numbered = jnp.arange(3 * 12, dtype=jnp.float32).reshape(3, 3, 4, 1)
    every = sampled_rows(numbered, jax.random.key(0), None)
    np.testing.assert_array_equal(every[:, 0], np.arange(36))
    some = np.asarray(sampled_rows(numbered, jax.random.key(0), 5)).reshape(3, 5)
    assert all(len(set(row)) == 5 for row in some)
    np.testing.assert_array_equal(some // 12, np.arange(3)[:, None] * np.ones(5))
    assert (np.sort(some % 12) != np.sort(some % 12)[0]).any()  # other ones of another map
    np.testing.assert_array_equal(np.sort(sampled_rows(numbered, jax.random.key(0), 12)[:, 0]), np.arange(36))
    with pytest.raises(ValueError, match="12 that there are"):
        sampled_rows(numbered, jax.random.key(0), 13)


def test_filters_converge_and_are_pruned_as_layers_are():
    """Maps tiled by one of two patterns: a unit comes to rest at either, and one that is pruned sees nothing."""
    rule, patterns = KrotovHopfield(), np.full((2, 8), 0.3, np.float32)
    patterns[:, :2] = np.eye(2)
    maps = jnp.tile(patterns.reshape(2, 2, 2, 2), (4, 2, 2, 1))
    convolution = Convolution(2, StageSettings(2, 2, stride=2, patch_norm=PatchNorm(3.0)), rngs=nnx.Rngs(0))

    def on(rate):
        dense = krotov_hopfield.learning_rule(rule, rate, hidden=2, start="samples")
        return on_patches(dense, convolution.patches, positions=3)

    state = jax.jit(on(0.1).init)(jax.random.key(1), maps)
    step = jax.jit(lambda state, rate, key: on(rate).step(state, maps, key))
    for number in range(100):
        state, info = step(state, 0.1 * (1 - number / 100), jax.random.key(number))
    assert set(info.winners.tolist()) == {0, 1}
    assert krotov_hopfield.convergence(rule, state.synapses).accepted
    convolution.rows = pruning.prune(state.synapses, np.array([True, False]))
    overlaps = jax.jit(lambda maps: convolution(maps))(maps)
    np.testing.assert_array_equal(np.any(overlaps, axis=(0, 1, 2)), [True, False])
