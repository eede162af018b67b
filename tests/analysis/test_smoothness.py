"""Measures of smoothness: automatic differentiation as the oracle, known curvatures, bounds in order, invariances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.analysis import smoothness
from jax_bioadv.analysis.smoothness import smoothness_measures
from jax_bioadv.models import Network

IMAGES, INPUTS, HIDDEN, CLASSES = 9, 8, 11, 4
KEY = jax.random.key(0)
# Closed forms in float32, with the factor's ridge of 1e-10: some hundred roundings of 6e-8.
ROUNDING = 1e-4
SCALE_FREE = [
    "relative_jacobian",
    "relative_jacobian_spectral",
    "relative_logit_jacobian",
    "relative_lipschitz_local",
    "margin_over_gradient",
    "margin_curvature",
]


def network(power, batch_norm=False, seed=0, classes=CLASSES, inputs=INPUTS, hidden=HIDDEN):
    model = Network(inputs, hidden, classes, power=power, batch_norm=batch_norm, rngs=nnx.Rngs(seed))
    if batch_norm:
        numbers = np.random.default_rng(9)
        for each in (model.norm.mean, model.norm.var, model.norm.scale, model.norm.bias):
            each[...] = numbers.uniform(0.5, 1.5, hidden).astype(np.float32)
        model.norm.var[...] *= 100  # as far as ReLU^4.5 spreads
    return model


@pytest.fixture
def images():
    return jax.random.normal(jax.random.key(1), (IMAGES, INPUTS))


@pytest.fixture
def labels():
    return np.arange(IMAGES, dtype=np.int32) % CLASSES


def centred_logits(model, image):
    logits = model(image[None])[0]
    return logits - jnp.mean(logits)


def loss(model, image, label):
    return -jax.nn.log_softmax(model(image[None])[0])[label]


@pytest.mark.parametrize(("power", "batch_norm"), [(1.0, True), (2.0, False), (4.5, True)])
def test_measures_at_the_image_are_what_differentiation_finds(images, labels, power, batch_norm):
    model, radius = network(power, batch_norm), 0.05
    found = smoothness_measures(model, images, labels, KEY, radius=radius)

    @jax.jit
    def differentiated(images, labels):
        gradient = jax.vmap(jax.grad(lambda image, label: loss(model, image, label)))
        downhill = gradient(images, labels)
        along = downhill / jnp.linalg.norm(downhill, axis=1, keepdims=True)
        return (
            model.activation(images),
            jax.vmap(jax.jacfwd(lambda image: model.activation(image[None])[0]))(images),
            jax.vmap(lambda image: centred_logits(model, image))(images),
            jax.vmap(jax.jacfwd(lambda image: centred_logits(model, image)))(images),
            jax.vmap(jax.hessian(lambda image, label: loss(model, image, label)))(images, labels),
            downhill,
            gradient(images + radius * along, labels),
        )

    activations, activation, values, logits, hessians, downhill, moved = differentiated(images, labels)
    singular, logit_singular = (np.linalg.svd(each, compute_uv=False) for each in (activation, logits))
    contrast = np.linalg.norm(images, axis=1) / np.linalg.norm(activations, axis=1)
    expected = {
        "jacobian_frobenius": np.linalg.norm(activation, axis=(1, 2)),
        "jacobian_spectral": singular[:, 0],
        "relative_jacobian": np.linalg.norm(activation, axis=(1, 2)) * contrast,
        "relative_jacobian_spectral": singular[:, 0] * contrast,
        "logit_jacobian_spectral": logit_singular[:, 0],
        "relative_logit_jacobian": logit_singular[:, 0]
        * np.linalg.norm(images, axis=1)
        / np.linalg.norm(values, axis=1),
        "loss_hessian_spectral": np.abs(np.linalg.eigvalsh(hessians)).max(axis=1),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-3 if "spectral" in name else ROUNDING, err_msg=name)
    change = np.linalg.norm(moved - downhill, axis=1) / radius
    # The difference of two gradients: their roundings, over the radius.
    np.testing.assert_allclose(found["loss_curvature"], change, rtol=1e-3, atol=1e-5 * np.abs(downhill).max() / radius)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_margins_are_what_differentiation_finds(images, labels, power):
    model, radius = network(power), 0.05
    found = smoothness_measures(model, images, labels, KEY, radius=radius)

    def margin(point, label, other):
        logits = model(point[None])[0]
        return logits[label] - logits[other]

    with_gradient = jax.jit(jax.value_and_grad(margin))
    for row, (image, label) in enumerate(zip(np.asarray(images), labels, strict=True)):
        nearest = (np.inf, None)
        for other in range(CLASSES):
            if other != label:
                value, gradient = with_gradient(image, label, other)
                length = np.linalg.norm(gradient)
                _, moved = with_gradient(image - radius * gradient / length, label, other)
                change = np.linalg.norm(moved - gradient) / (radius * length)
                nearest = min(nearest, (float(value / length), float(change)))
        assert found["margin_over_gradient"][row] == pytest.approx(nearest[0], rel=1e-3)
        assert found["margin_curvature"][row] == pytest.approx(nearest[1], rel=1e-3, abs=1e-4)


def one_unit(power, weight=2.0, slope=3.0):
    model = network(power, classes=2, inputs=2, hidden=1)
    model.encoder.kernel[...] = jnp.array([[slope], [0.0]])
    model.decoder.kernel[...] = jnp.array([[weight, 0.0]])
    model.decoder.bias[...] = jnp.zeros(2)
    return model


def test_a_linear_network_is_flat_and_as_steep_everywhere():
    found = smoothness_measures(one_unit(1.0), jnp.array([[1.0, 0.5]]), np.zeros(1, np.int32), KEY, radius=0.2)
    # logits less their mean are ±w·s·x/2, of length w·s·x/√2
    steepness = 2.0 * 3.0 / np.sqrt(2)
    for name in ("logit_jacobian_spectral", "lipschitz_local", "lipschitz_global"):
        assert found[name] == pytest.approx(steepness, rel=1e-5), name
    for name in ("jacobian_spectral", "lipschitz_local_activation", "lipschitz_global_activation"):
        assert found[name] == pytest.approx(3.0, rel=1e-5), name
    assert found["margin_over_gradient"] == pytest.approx(1.0, rel=1e-5)
    assert found["margin_curvature"] == pytest.approx(0.0, abs=1e-5)


def test_a_quadratic_network_has_the_curvature_of_a_parabola():
    radius = 0.2
    found = smoothness_measures(one_unit(2.0), jnp.array([[1.0, 0.5]]), np.zeros(1, np.int32), KEY, radius=radius)
    # The margin is 18 x²: its gradient 36 x changes by 36 a unit, itself 36 at x = 1.
    assert found["margin_curvature"] == pytest.approx(1.0, rel=1e-5)
    assert found["margin_over_gradient"] == pytest.approx(0.5, rel=1e-5)
    # (9 (1 + r)² - 9)/r = 9 (2 + r), and on the ball that holds the image 18·√1.25.
    assert found["lipschitz_local_activation"] == pytest.approx(9 * (2 + radius), rel=1e-5)
    assert found["lipschitz_global_activation"] == pytest.approx(18 * np.sqrt(1.25), rel=1e-5)


def test_the_loss_of_a_linear_network_has_the_curvature_of_the_logistic_function():
    found = smoothness_measures(one_unit(1.0, 0.2), jnp.array([[1.0, 0.0]]), np.zeros(1, np.int32), KEY, radius=1e-2)
    margin, slope = 0.6, 0.6
    probability = 1 / (1 + np.exp(-margin))
    curvature = probability * (1 - probability) * slope**2
    assert found["loss_hessian_spectral"] == pytest.approx(curvature, rel=1e-4)
    assert found["loss_curvature"] == pytest.approx(curvature, rel=1e-2)  # to first order in the radius


@pytest.mark.parametrize(("power", "batch_norm"), [(1.0, False), (1.0, True), (2.0, False), (4.5, True)])
def test_bounds_are_in_order(images, labels, power, batch_norm):
    radius = 0.3
    found = smoothness_measures(network(power, batch_norm), images, labels, KEY, radius=radius)
    wider = {  # the ball that holds the images and what is looked at around them
        name: found[name] * (1 + radius / np.linalg.norm(images, axis=1).max()) ** (power - 1)
        for name in ("lipschitz_global", "lipschitz_global_activation")
    }
    slack = 1 + 1e-4
    assert np.all(found["jacobian_spectral"] <= found["jacobian_frobenius"] * slack)
    assert np.all(found["relative_jacobian_spectral"] >= power / slack)
    assert np.all(found["logit_jacobian_spectral"] <= found["lipschitz_global"] * slack)
    assert np.all(found["jacobian_spectral"] <= found["lipschitz_global_activation"] * slack)
    assert np.all(found["lipschitz_local"] <= wider["lipschitz_global"] * slack)
    assert np.all(found["lipschitz_local_activation"] <= wider["lipschitz_global_activation"] * slack)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_the_ascent_finds_no_less_than_a_thousand_random_points(images, labels, power):
    model, radius = network(power), 0.3
    found = smoothness_measures(model, images, labels, KEY, radius=radius)
    directions = jax.random.normal(jax.random.key(5), (1000, 1, INPUTS))
    points = images + radius * directions / jnp.linalg.norm(directions, axis=-1, keepdims=True)
    centre = jax.vmap(lambda image: centred_logits(model, image))
    change = jax.vmap(centre)(points) - centre(images)
    assert np.all(found["lipschitz_local"] >= np.linalg.norm(change, axis=-1).max(axis=0) / radius * (1 - 1e-4))
    change = jax.vmap(model.activation)(points) - model.activation(images)
    found_activation = found["lipschitz_local_activation"]
    assert np.all(found_activation >= np.linalg.norm(change, axis=-1).max(axis=0) / radius * (1 - 1e-4))


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_some_measures_are_free_of_scale(images, labels, power):
    model = network(power)
    model.decoder.bias[...] = jnp.zeros(CLASSES)
    before = smoothness_measures(model, images, labels, KEY)
    model.decoder.kernel[...] = 8.0 * model.decoder.kernel[...] + 0.5  # a part that all logits share
    after = smoothness_measures(model, images, labels, KEY)
    for name in SCALE_FREE:
        np.testing.assert_allclose(after[name], before[name], rtol=2e-3, atol=1e-4, err_msg=name)
    for name in ("logit_jacobian_spectral", "lipschitz_global", "lipschitz_local"):
        np.testing.assert_allclose(after[name], 8.0 * np.asarray(before[name]), rtol=1e-4, err_msg=name)


def test_the_scale_of_the_activation_can_move_to_the_decoder(images, labels):
    model, power = network(2.0), 2.0
    before = smoothness_measures(model, images, labels, KEY)
    model.encoder.kernel[...] *= 2.0
    model.decoder.kernel[...] /= 2.0**power
    after = smoothness_measures(model, images, labels, KEY)
    for name, value in after.items():
        factor = 2.0**power if name in ("jacobian_frobenius", "jacobian_spectral") or "activation" in name else 1.0
        np.testing.assert_allclose(value, factor * np.asarray(before[name]), rtol=1e-3, err_msg=name)


def test_an_image_that_excites_nothing_is_told_apart(images, labels):
    found = smoothness_measures(network(2.0), images.at[3].set(0.0), labels, KEY)
    assert found["jacobian_frobenius"][3] == 0.0
    assert np.isinf(found["margin_over_gradient"][3])
    for name in ("relative_jacobian", "margin_curvature"):
        np.testing.assert_array_equal(np.isnan(found[name]), np.arange(IMAGES) == 3)
    assert np.all(np.isfinite(found["lipschitz_local"]))


def test_blocks_leave_the_measures_alone(images, labels):
    model = network(4.5)
    whole = smoothness_measures(model, images, labels, KEY)
    for name, value in smoothness_measures(model, images, labels, KEY, image_block=4).items():
        assert np.ndim(value) == 0 or value.shape == (IMAGES,)
        np.testing.assert_allclose(value, whole[name], rtol=1e-3, err_msg=name)


def test_logits_of_any_size_are_measured(images, labels):
    model = network(4.5)
    before = smoothness_measures(model, images, labels, KEY)
    model.decoder.kernel[...] *= 2.0**83
    model.decoder.bias[...] *= 2.0**83  # 1e25
    after = smoothness_measures(model, images, labels, KEY)
    for name in ("relative_logit_jacobian", "relative_lipschitz_local", "margin_over_gradient", "margin_curvature"):
        np.testing.assert_array_equal(after[name], before[name])
    for name in ("logit_jacobian_spectral", "lipschitz_local"):
        np.testing.assert_array_equal(after[name], before[name] * 2.0**83)
    assert np.isfinite(after["loss_curvature"]).all()


@pytest.mark.parametrize("kind", [np.float16, jnp.bfloat16])
def test_images_of_half_precision_are_measured_in_single(images, labels, kind):
    half = (1e4 * np.asarray(images)).astype(kind)
    found, expected = (smoothness_measures(network(1.0), some, labels, KEY) for some in (half, half.astype(np.float32)))
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


def test_bad_input_is_refused(images, labels):
    model = network(1.0)
    with pytest.raises(ValueError, match="labels"):
        smoothness_measures(model, images, labels[:2], KEY)
    with pytest.raises(ValueError, match="labels must name"):
        smoothness_measures(model, images, labels + 1, KEY)
    with pytest.raises(ValueError, match="images"):
        smoothness_measures(model, images[:0], labels[:0], KEY)
    with pytest.raises(ValueError, match="radius"):
        smoothness_measures(model, images, labels, KEY, radius=0.0)


def test_models_of_one_shape_share_one_trace(images, labels):
    smoothness_measures(network(4.5), images, labels, KEY)
    traced = smoothness._at_images._cache_size()
    for seed in range(1, 4):
        smoothness_measures(network(4.5, seed=seed), images, labels, jax.random.key(seed), radius=0.1 * seed)
    assert smoothness._at_images._cache_size() == traced


def test_counts_of_images_that_are_near_share_one_trace(images, labels):
    traced = set()
    for count in (9, 10):
        rows = np.resize(np.arange(len(images)), count)
        smoothness_measures(network(4.5), np.asarray(images)[rows], labels[rows], KEY)
        traced.add(smoothness._at_images._cache_size())
    assert len(traced) == 1
