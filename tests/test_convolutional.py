"""Convolutional networks: each stage against its formula in NumPy, their shapes and taps, and training by backprop."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jax_bioadv.classifiers import logits_function
from jax_bioadv.convolutional import (
    Convolution,
    ConvolutionalNetwork,
    Nonlinearity,
    Pool,
    Stage,
    StageSettings,
    pooled,
    published_stages,
)
from jax_bioadv.learning import supervised
from jax_bioadv.learning.regularizers import TrainingData
from jax_bioadv.learning.tap_regularizers import jacobian_at_tap
from jax_bioadv.patches import PatchNorm
from jax_bioadv.readout import Dropout, Readout
from jax_bioadv.taps import taps_of

SHAPE, CLASSES = (6, 6, 2), 3
IMAGES = jnp.asarray(np.random.default_rng(0).random((12, 72), np.float32))
MAPS = IMAGES.reshape(-1, *SHAPE)
FIRST = StageSettings(4, 3, 1, power=1.5, pool=Pool("max", 3, 2, 1))
STAGES = (FIRST, StageSettings(5, 2, nonlinearity="relu"))


def network(dropout=0.0, stages=STAGES):
    return ConvolutionalNetwork(SHAPE, stages, CLASSES, dropout=dropout, rngs=nnx.Rngs(2, dropout=1))


@pytest.mark.parametrize(
    "settings",
    [
        StageSettings(4, 3, 1, stride=2, bias=True),
        StageSettings(4, 3, 2, patch_norm=PatchNorm(3.0)),
        StageSettings(4, 2, patch_norm=PatchNorm(2.0, True, 0.1), bias=True),
    ],
)
def test_a_convolution_gives_the_products_of_patches_and_rows(settings):
    convolution = Convolution(2, settings, rngs=nnx.Rngs(0))
    if settings.bias:
        convolution.bias[...] = jnp.arange(4.0)
    edge = (settings.padding, settings.padding)
    padded = np.pad(np.asarray(MAPS, np.float64), ((0, 0), edge, edge, (0, 0)), mode="reflect")
    found, patches = jax.jit(lambda maps: (convolution(maps), convolution.patches(maps)))(MAPS)
    patches = np.asarray(patches, np.float64)
    if settings.patch_norm is None:
        i, j = 1, 2
        top, left = i * settings.stride, j * settings.stride
        window = padded[:, top : top + settings.size, left : left + settings.size]
        np.testing.assert_allclose(patches[:, i, j], window.reshape(len(MAPS), -1), rtol=1e-6)
    expected = patches @ np.asarray(convolution.rows, np.float64).T + (np.arange(4) if settings.bias else 0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)  # norms from window sums lose a digit


def test_patches_of_bytes_are_those_of_the_same_numbers():
    convolution = Convolution(3, StageSettings(4, 3, patch_norm=PatchNorm()), rngs=nnx.Rngs(0))
    maps = jnp.asarray(np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3)), jnp.uint8)
    np.testing.assert_array_equal(convolution.patches(maps), convolution.patches(maps.astype(jnp.float32)))


def test_filters_start_with_their_radius_and_can_be_replaced():
    convolution = Convolution(8, StageSettings(200, 5, radius=25.0), rngs=nnx.Rngs(0))
    # The norm of 200 normal numbers spreads by 25/√400, the mean over 200 filters by a fourteenth of that.
    assert np.linalg.norm(convolution.rows, axis=1).mean() == pytest.approx(25, abs=0.4)
    convolution.rows = jnp.ones((200, 200))
    np.testing.assert_array_equal(convolution.kernel[...], 1)


@pytest.mark.parametrize(("kind", "power"), [("triangle", 0.7), ("triangle", 1.0), ("relu", 2.5)])
def test_the_triangle_subtracts_the_mean_over_filters(kind, power):
    overlaps = np.asarray(MAPS - 0.5, np.float64)
    inside = overlaps - overlaps.mean(axis=-1, keepdims=True) if kind == "triangle" else overlaps
    nonlinearity = Nonlinearity(kind, power)
    found, slopes = jax.jvp(nonlinearity, (MAPS - 0.5,), (jnp.ones_like(MAPS),))
    np.testing.assert_allclose(found, np.maximum(inside, 0) ** power, rtol=1e-4, atol=1e-6)
    if kind == "triangle":  # what is the same for all filters does not matter
        np.testing.assert_allclose(slopes, 0, atol=1e-4)


@pytest.mark.parametrize("kind", ["max", "average"])
def test_a_stage_normalises_convolves_rectifies_and_pools(kind):
    stage = Stage(2, StageSettings(4, 3, 1, pool=Pool(kind, 4, 2, 1)), rngs=nnx.Rngs(0))
    stage.norm.mean[...], stage.norm.var[...] = jnp.array([0.5, 0.4]), jnp.array([0.1, 0.2])
    normed = (np.asarray(MAPS) - [0.5, 0.4]) / np.sqrt(np.array([0.1, 0.2]) + 1e-5)
    activation = np.asarray(stage.nonlinearity(stage.convolution(jnp.asarray(normed, jnp.float32))))
    padded = np.pad(activation, ((0, 0), (1, 1), (1, 1), (0, 0)))  # activations are not negative
    windows = [[padded[:, i : i + 4, j : j + 4] for j in (0, 2, 4)] for i in (0, 2, 4)]
    pooled = [[(np.max if kind == "max" else np.mean)(each, axis=(1, 2)) for each in row] for row in windows]
    np.testing.assert_allclose(stage(MAPS), np.transpose(pooled, (2, 0, 1, 3)), rtol=1e-4, atol=1e-6)


def test_a_maximum_keeps_nan_wherever_it_stands():
    broken = MAPS.at[:, 1, 1].set(jnp.nan)
    for pool in (Pool("max", 2, 2), Pool("average", 2, 2)):
        found = np.isnan(pooled(broken, pool))
        assert found[:, 0, 0].all()
        assert found.mean() == 1 / 9


def test_images_of_half_precision_go_in_without_batch_norm():
    model = network(stages=(StageSettings(4, 3, 1, batch_norm=False, bias=True), STAGES[1]))
    images = IMAGES.astype(jnp.bfloat16)
    np.testing.assert_array_equal(model(images), model(images.astype(jnp.float32)))


def test_in_training_a_batch_is_normalised_by_itself():
    stage = Stage(2, FIRST, rngs=nnx.Rngs(0))
    normed = stage.normed(MAPS, train=True)
    np.testing.assert_allclose(jnp.mean(normed, axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(stage.norm.mean[...], 0.1 * jnp.mean(MAPS, axis=(0, 1, 2)), rtol=1e-5)
    assert not nnx.state(stage.norm, nnx.Param)  # neither gain nor bias


@pytest.mark.parametrize(("depth", "features"), [(1, 16 * 16 * 96), (2, 8 * 8 * 384), (3, 4 * 4 * 1536)])
def test_the_published_networks_have_the_published_sizes(depth, features):
    shape = (32, 32, 3)
    for settings in published_stages(depth):
        shape = settings.check(shape)
    assert np.prod(shape) == features
    assert [settings.power for settings in published_stages(depth)] == [0.7, 1.4, 1.0][:depth]


def test_logits_are_those_of_the_readout_of_the_last_maps():
    model = network()
    maps = MAPS
    for stage in model.stages:
        maps = stage(maps)
    assert maps.any()
    np.testing.assert_array_equal(model.maps(IMAGES, 0), MAPS)
    np.testing.assert_array_equal(model(IMAGES), model.readout.linear(maps.reshape(12, -1)))
    np.testing.assert_array_equal(model.stage_inputs(IMAGES, 1), model.stages[1].normed(model.stages[0](MAPS)))


def test_taps_stand_before_and_after_every_nonlinearity():
    model = network()
    found = {name: tap(IMAGES) for name, tap in taps_of(model).items()}
    assert list(found) == list(model.taps)
    np.testing.assert_allclose(found["stages.0"], model.maps(IMAGES, 1), rtol=1e-6)
    for index in (0, 1):
        after = model.stages[index].nonlinearity(found[f"stages.{index}.convolution"])
        np.testing.assert_allclose(found[f"stages.{index}.nonlinearity"], after, rtol=1e-6)


@pytest.mark.parametrize("share", [0.5, 0.25, 0.2])
def test_dropout_drops_its_share_of_each_sample_and_keeps_the_mean(share):
    ones = jnp.ones((70, 500))
    dropout, dropped = Dropout(share, rngs=nnx.Rngs(dropout=1)), nnx.jit(lambda dropout: dropout(ones))
    seen = np.asarray(dropped(dropout))
    error = 4 * (share * (1 - share) / 500) ** 0.5  # four standard errors of a sample, or of a feature and half again
    np.testing.assert_allclose(np.mean(seen == 0, axis=1), share, rtol=0, atol=error + 1 / 512)
    np.testing.assert_allclose(np.mean(seen == 0, axis=0), share, rtol=0, atol=1.6 * error * (500 / 70) ** 0.5)
    assert len(np.unique(seen)) == 2
    assert seen.max() == pytest.approx(1 / (1 - share), rel=0.01)  # of a share rounded to a 256th
    assert len(np.unique(seen, axis=0)) == 70  # no two samples lose the same
    assert (np.asarray(dropped(dropout)) != seen).any()


def test_a_readout_in_training_is_the_same_function():
    readout = Readout(7, 3, rngs=nnx.Rngs(0))
    features = jax.random.normal(jax.random.key(0), (5, 7))

    def total(readout, train):
        return jnp.sum(readout.decode(features, train) ** 2)

    gradient = nnx.jit(nnx.grad(total), static_argnums=1)
    for one, other in zip(*(jax.tree.leaves(gradient(readout, train)) for train in (True, False)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_features_drop_out_in_training_alone():
    readout = Readout(1000, 2, dropout=0.25, rngs=nnx.Rngs(0, dropout=1))
    readout.linear.kernel[...], readout.linear.bias[...] = jnp.ones((1000, 2)), jnp.zeros(2)
    ones = jnp.ones((20, 1000))
    np.testing.assert_allclose(readout.decode(ones), 1000, rtol=1e-6)
    trained = np.asarray(readout.decode(ones, True))
    assert trained.mean() == pytest.approx(1000, rel=0.02)  # four standard errors of 20 000 coins, over 0.75
    assert trained.std() > 5
    model = network(dropout=0.5)
    np.testing.assert_array_equal(logits_function(model)(IMAGES), model.readout.linear(model.features(IMAGES)))


def test_backprop_trains_every_weight_and_the_statistics():
    optimizer, data = optax.adam(0.03), TrainingData(IMAGES, jnp.arange(12) % CLASSES)
    penalty = jacobian_at_tap("stages.0.convolution", 1e-4, projections=1)
    graphdef, start = supervised.init(jax.random.key(0), network(dropout=0.2), optimizer, penalty, data)
    epoch, state = supervised.make_epoch(graphdef, optimizer, penalty, batch_size=6), start
    losses = []
    for _ in range(30):
        state, info = epoch(state, data)
        losses.append(float(info.cross_entropy))
        assert info.penalty > 0
    assert losses[-1] < 0.5 * losses[0]  # 12 images that 3 classes are dealt to: learnt by heart
    moved = jax.tree.map(lambda one, other: bool((one != other).any()), state.parameters, start.parameters)
    assert all(jax.tree.leaves(moved))
    trained = supervised.trained_model(graphdef, state)
    assert (trained.stages[1].norm.mean[...] != network().stages[1].norm.mean[...]).any()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"filters": 0}, "positive"),
        ({"power": 0.0}, "positive"),
        ({"size": 9}, "nothing is left"),
        ({"padding": 6}, "mirror"),
        ({"pool": Pool("sum", 2, 2)}, "'max' or 'average'"),
        ({"pool": Pool("max", 2, 2, 2)}, "padding < size"),
        ({"pool": Pool("max", 2, 0)}, "stride >= 1"),
        ({"patch_norm": PatchNorm(0.0)}, "order >= 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        network(stages=[StageSettings(**{"filters": 2, "size": 3, **settings})])


def test_another_nonlinearity_is_refused():
    settings = StageSettings(2, 3)
    object.__setattr__(settings, "nonlinearity", "tanh")  # past the checks of types that tests alone have
    with pytest.raises(ValueError, match="'triangle' or 'relu'"):
        settings.check(SHAPE)


def test_other_depths_and_dropouts_are_refused():
    with pytest.raises(ValueError, match="depths 1, 2 and 3"):
        published_stages(2, filters=(8,))
    with pytest.raises(ValueError, match="dropout"):
        network(dropout=1.0)
