"""Filters of every kind in a stage: each by its recipe, from what the stage sees, and with the same key the same."""

from functools import partial

import jax
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.convolutional import ConvolutionalNetwork, Pool, StageSettings
from jax_bioadv.learning import stage_filters
from jax_bioadv.learning.krotov_hopfield import KrotovHopfield
from jax_bioadv.learning.soft_hebb import SoftHebb
from jax_bioadv.learning.stacks import with_statistics
from jax_bioadv.learning.stage_filters import (
    at_random,
    by_k_means,
    by_krotov_hopfield,
    by_soft_hebb,
    fill,
    of_patches,
    of_principal_directions,
)
from jax_bioadv.patches import PatchNorm

CENTRED = PatchNorm(centred=True)
STAGES = (StageSettings(4, 3, 1, pool=Pool("max", 2, 2)), StageSettings(6, 2, bias=True, patch_norm=CENTRED))
NETWORK = ConvolutionalNetwork((6, 6, 2), STAGES, 2, rngs=nnx.Rngs(0))
IMAGES = np.random.default_rng(0).uniform(size=(40, 72)).astype(np.float32)
KEY = jax.random.key(1)
KINDS = {
    "random": at_random,
    "SoftHebb": partial(by_soft_hebb, rule=SoftHebb(radius=3.0), rate=0.1),
    "Krotov–Hopfield": partial(by_krotov_hopfield, epochs=2, batch_size=10, positions=4),
    "whitened": partial(by_krotov_hopfield, epochs=2, batch_size=10, positions=4, epsilon=0.01),
    "k-means": partial(by_k_means, epsilon=0.01),
    "patches": of_patches,
    "principal": of_principal_directions,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_stage_is_filled_with_what_a_key_gives(kind):
    filled = fill(NETWORK, 1, KINDS[kind], IMAGES, KEY)
    rows = np.asarray(filled.stages[1].convolution.rows)
    assert np.isfinite(rows).all()
    assert (np.std(rows, axis=1) > 0).all()
    again = KINDS[kind](with_statistics(NETWORK, 1, IMAGES), 1, IMAGES, KEY)
    np.testing.assert_array_equal(again.rows, rows)
    if kind != "principal":  # they hardly depend on which patches were taken
        other = KINDS[kind](with_statistics(NETWORK, 1, IMAGES), 1, IMAGES, jax.random.key(2))
        assert np.abs(np.asarray(other.rows) - rows).max() > 0.01
    np.testing.assert_array_equal(filled.stages[0].convolution.rows, NETWORK.stages[0].convolution.rows)


def test_random_filters_have_the_norm_asked_for():
    network = ConvolutionalNetwork((9, 9, 9), [StageSettings(50, 9)], 2, rngs=nnx.Rngs(0))
    norms = np.linalg.norm(at_random(network, 0, IMAGES, KEY, radius=2.0).rows, axis=1)
    np.testing.assert_allclose(norms, 2.0, rtol=0.11)  # four standard errors, 1/sqrt(2·729) each


def test_krotov_hopfield_filters_are_effective_weights_of_converged_rows():
    filters = by_krotov_hopfield(
        with_statistics(NETWORK, 1, IMAGES),
        1,
        IMAGES,
        KEY,
        rule=KrotovHopfield(p=3.0, delta=0.1),
        batch_size=10,
        positions=4,
        epochs=1,
    )
    rows = np.sqrt(np.abs(np.asarray(filters.rows)))  # of weights w|w|
    np.testing.assert_allclose((rows**3).sum(axis=1), 1, rtol=0.2)


def test_rows_may_start_from_more_patches_than_there_are_images():
    stage = StageSettings(32, 3, batch_norm=False, patch_norm=PatchNorm(centred=True))
    network = ConvolutionalNetwork((6, 6, 2), [stage], 2, rngs=nnx.Rngs(0))
    filters = by_krotov_hopfield(network, 0, IMAGES[:10], KEY, batch_size=10, epochs=1)
    assert filters.rows.shape == (32, 18)


def test_patches_are_sampled_from_few_images_too(monkeypatch):
    monkeypatch.setattr(stage_filters, "PATCHES", 10**6)
    network = with_statistics(NETWORK, 1, IMAGES)
    filters = of_patches(network, 1, IMAGES[:3], KEY)
    seen = np.asarray(jax.jit(lambda images: network.patches(images, 1))(IMAGES[:3])).reshape(-1, 16)
    nearest = np.asarray(filters.rows) @ seen.T  # both of norm 1
    np.testing.assert_allclose(nearest.max(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("kind", ["k-means", "whitened"])
def test_filters_with_bias_need_a_stage_with_bias(kind):
    with pytest.raises(ValueError, match="bias"):
        fill(NETWORK, 0, KINDS[kind], IMAGES, KEY)
