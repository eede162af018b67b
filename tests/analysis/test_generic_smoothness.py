"""Smoothness of any network: the closed forms of one hidden layer as the oracle, and the whole Jacobian of maps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv.analysis.generic_smoothness import generic_smoothness_measures, representation_smoothness
from jax_bioadv.analysis.smoothness import smoothness_measures
from jax_bioadv.models import Network
from jax_bioadv.taps import taps_of

COUNT, INPUTS, HIDDEN, CLASSES = 9, 8, 11, 4
KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (COUNT, INPUTS))
LABELS = np.arange(COUNT, dtype=np.int32) % CLASSES
# Both are float32: a dozen roundings of 6e-8, in differences of gradients over a radius of 0.05.
ROUNDING = 1e-3
WEIGHTS = jax.random.normal(jax.random.key(2), (INPUTS, 12))


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_measures_of_one_hidden_layer_are_those_of_its_closed_forms(power):
    model = Network(INPUTS, HIDDEN, CLASSES, power=power, batch_norm=True, rngs=nnx.Rngs(0))
    numbers = np.random.default_rng(9)
    for each in (model.norm.mean, model.norm.var, model.norm.scale, model.norm.bias):
        each[...] = numbers.uniform(0.5, 1.5, HIDDEN).astype(np.float32)
    exact = smoothness_measures(model, IMAGES, LABELS, KEY, radius=0.05)
    of_logits = generic_smoothness_measures(model, IMAGES, LABELS, KEY, radius=0.05)
    of_activation = representation_smoothness(taps_of(model)["activation"], IMAGES, KEY, radius=0.05)
    # Ascents from other directions may end on other hills, of which several per cent are all that they differ by.
    for found, suffix in ((of_logits, ""), (of_activation, "_activation")):
        np.testing.assert_allclose(found.pop("lipschitz_local"), exact[f"lipschitz_local{suffix}"], rtol=0.1)
    np.testing.assert_allclose(of_logits.pop("relative_lipschitz_local"), exact["relative_lipschitz_local"], rtol=0.1)
    assert np.all(of_activation.pop("jacobian_spectral_error") < ROUNDING * of_activation["jacobian_spectral"])
    for name, values in {**of_logits, **of_activation}.items():
        np.testing.assert_allclose(values, exact[name], rtol=ROUNDING, atol=1e-5, err_msg=name)


def maps(weights, images):
    return (images @ weights).reshape(-1, 2, 3, 2)


def bent(weights, images):
    return jnp.tanh(maps(weights, images))


def test_a_linear_map_has_its_singular_value_at_every_image_and_distance():
    singular = np.linalg.svd(WEIGHTS, compute_uv=False)
    found = representation_smoothness(Partial(maps, WEIGHTS), IMAGES, KEY, radius=3.0)
    np.testing.assert_allclose(found["jacobian_frobenius"], np.linalg.norm(singular), rtol=ROUNDING)
    np.testing.assert_allclose(found["jacobian_spectral"], singular[0], rtol=ROUNDING)
    np.testing.assert_allclose(found["lipschitz_local"], singular[0], rtol=1e-2)  # ten steps from chance
    assert np.all(found["lipschitz_local"] <= singular[0] * (1 + 1e-5))


def test_local_constants_are_between_the_steepness_at_the_image_and_anywhere():
    at = representation_smoothness(Partial(bent, WEIGHTS), IMAGES / 10, KEY, radius=1e-3)
    np.testing.assert_allclose(at["lipschitz_local"], at["jacobian_spectral"], rtol=2e-2)
    # tanh is steepest at 0
    steepest = np.linalg.svd(WEIGHTS, compute_uv=False)[0]
    around = representation_smoothness(Partial(bent, WEIGHTS), IMAGES, KEY, radius=0.5)
    assert np.all(around["lipschitz_local"] < steepest)


@pytest.mark.parametrize("projections", [None, 64])
def test_blocks_leave_measures_alone(projections):
    one, other = (
        representation_smoothness(Partial(bent, WEIGHTS), IMAGES, KEY, projections=projections, image_block=block)
        for block in (4, 64)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=ROUNDING, atol=1e-5), one, other)
    assert ("jacobian_frobenius_stderr" in one) == (projections is not None)


def test_projections_tell_how_far_off_they_are():
    exact = representation_smoothness(Partial(bent, WEIGHTS), IMAGES, KEY)["jacobian_frobenius"]
    found = representation_smoothness(Partial(bent, WEIGHTS), IMAGES, KEY, projections=64)
    off = (found["jacobian_frobenius"] - exact) / found["jacobian_frobenius_stderr"]
    assert 0.2 < np.sqrt(np.mean(off**2)) < 2.0  # of nine: chance stays within these by far


def test_few_steps_say_that_they_were_few():
    """A flat spectrum of 100 singular values, which 24 steps cannot tell apart."""
    flat = jnp.diag(jnp.linspace(0.9, 1.0, 100))
    found = representation_smoothness(Partial(lambda weights, images: images @ weights, flat), jnp.ones((1, 100)), KEY)
    assert found["jacobian_spectral"] < 1.0
    distance = np.abs(found["jacobian_spectral"] - np.diag(flat)).min()
    assert distance <= found["jacobian_spectral_error"] + 1e-6
    assert found["jacobian_spectral_error"] > 1e-4


def test_nothing_is_smooth_where_nothing_changes():
    found = representation_smoothness(lambda images: jnp.ones((len(images), 3)), IMAGES, KEY, projections=2)
    for name, values in found.items():
        assert np.all(values == 0.0), name
    logits = generic_smoothness_measures(lambda images: jnp.ones((len(images), CLASSES)), IMAGES, LABELS, KEY)
    assert np.all(np.isinf(logits["margin_over_gradient"]))
    assert np.all(np.isnan(logits["margin_curvature"]))


def test_networks_of_one_shape_share_a_trace():
    traces = []

    def counted(weights, images):
        traces.append(None)
        return bent(weights, images)

    for scale in (1.0, 2.0):
        representation_smoothness(Partial(counted, scale * WEIGHTS), IMAGES, KEY)
        if scale == 1.0:
            first = len(traces)
    assert len(traces) == first


@pytest.mark.parametrize(
    ("images", "options", "message"),
    [
        (IMAGES[0], {}, "flattened"),
        (IMAGES[:0], {}, "at least one"),
        (IMAGES * jnp.nan, {}, "finite"),
        (IMAGES.astype(int), {}, "floating"),
        (IMAGES, {"radius": 0.0}, "radius"),
        (IMAGES, {"image_block": 0}, "image_block"),
        (IMAGES, {"projections": 1}, "projections"),
    ],
)
def test_bad_input_is_refused(images, options, message):
    with pytest.raises(ValueError, match=message):
        representation_smoothness(Partial(bent, WEIGHTS), images, KEY, **options)


def test_labels_beyond_the_logits_are_refused():
    with pytest.raises(ValueError, match="labels"):
        generic_smoothness_measures(lambda images: images[:, :3], IMAGES, LABELS, KEY)
