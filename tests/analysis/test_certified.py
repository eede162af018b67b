"""Certified radii: nothing inside changes the class, exact where theory says so, ordered, and free of scale."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv.analysis import certified
from jax_bioadv.analysis.certified import folded, lipschitz_bound, margins, relaxation_bound
from jax_bioadv.models import Network, logits_function

BOUNDS = [lipschitz_bound, relaxation_bound]
IMAGES, INPUTS, HIDDEN, CLASSES = 24, 8, 12, 4


def network(power, batch_norm=False, seed=0, inputs=INPUTS, hidden=HIDDEN, classes=CLASSES):
    model = Network(inputs, hidden, classes, power=power, batch_norm=batch_norm, rngs=nnx.Rngs(seed))
    if batch_norm:
        keys = iter(jax.random.split(jax.random.key(seed + 100), 4))
        model.norm.scale[...] = jax.random.normal(next(keys), (hidden,))
        model.norm.bias[...] = jax.random.normal(next(keys), (hidden,))
        model.norm.mean[...] = jax.random.uniform(next(keys), (hidden,))
        model.norm.var[...] = jax.random.uniform(next(keys), (hidden,), minval=0.1)
    return model


def one_layer(encoder, decoder, bias, power):
    """A network with these weights, in the layout of matrices that multiply from the left."""
    encoder, decoder = np.atleast_2d(encoder), np.atleast_2d(decoder)
    model = network(power, inputs=encoder.shape[1], hidden=len(encoder), classes=len(decoder))
    model.encoder.kernel[...] = jnp.asarray(encoder.T, jnp.float32)
    model.decoder.kernel[...] = jnp.asarray(decoder.T, jnp.float32)
    model.decoder.bias[...] = jnp.asarray(bias, jnp.float32)
    return model


def classified(model, seed, inputs=INPUTS):
    """Images with the labels that the network gives them."""
    images = jax.random.normal(jax.random.key(seed), (IMAGES, inputs))
    return images, jnp.argmax(model(images), axis=1).astype(jnp.int32)


def logits_in_float64(model, points):
    """The network in evaluation mode written out, batch norm where it stands: no folding, no float32."""
    kernel, decoder, bias = (
        np.asarray(each[...], np.float64) for each in (model.encoder.kernel, model.decoder.kernel, model.decoder.bias)
    )
    activation = np.maximum(np.asarray(points, np.float64) @ kernel, 0.0) ** model.power
    if model.norm is not None:
        mean, var, scale, shift = (
            np.asarray(each[...], np.float64)
            for each in (model.norm.mean, model.norm.var, model.norm.scale, model.norm.bias)
        )
        activation = (activation - mean) / np.sqrt(var + model.norm.epsilon) * scale + shift
    return activation @ decoder + bias


@partial(jax.jit, static_argnames="steps")
def descend(logits, images, labels, radii, key, steps=40):
    """For every image and every other class the lowest points of the margin that descent on the sphere finds."""
    starts = jax.random.normal(key, (4, CLASSES - 1, *images.shape))
    starts /= jnp.linalg.norm(starts, axis=-1, keepdims=True)

    def margin(direction, other):
        values = logits(images + radii[:, None] * direction)
        return jnp.sum(values[jnp.arange(len(labels)), labels] - values[jnp.arange(len(labels)), other])

    def from_start(direction, shift):
        other = (labels + shift) % CLASSES

        def step(direction, size):
            gradient = jax.grad(margin)(direction, other)
            gradient /= jnp.maximum(jnp.linalg.norm(gradient, axis=-1, keepdims=True), 1e-30)
            moved = direction - size * gradient
            return moved / jnp.maximum(jnp.linalg.norm(moved, axis=-1, keepdims=True), 1e-30), None

        return jax.lax.scan(step, direction, jnp.geomspace(2.0, 0.01, steps))[0]

    shifts = jnp.arange(1, CLASSES)
    return starts, jax.vmap(jax.vmap(from_start), (0, None))(starts, shifts)


def lowest_margin(model, images, labels, radii, key):
    """Lowest margin, over all other classes, of random and of attacked points at these distances."""
    starts, ends = descend(logits_function(model), images, labels, jnp.asarray(radii, jnp.float32), key)
    directions = np.concatenate([starts, ends]).reshape(-1, *images.shape).astype(np.float64)
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    points = np.asarray(images, np.float64) + radii[:, None] * directions
    logits = logits_in_float64(model, points.reshape(-1, images.shape[1])).reshape(*points.shape[:2], CLASSES)
    right = np.take_along_axis(logits, np.asarray(labels)[None, :, None], 2)[..., 0]
    np.put_along_axis(logits, np.broadcast_to(np.asarray(labels)[None, :, None], (*logits.shape[:2], 1)), -np.inf, 2)
    return np.min(right - logits.max(axis=2), axis=0)


@pytest.mark.parametrize(("power", "batch_norm"), [(1.0, False), (1.0, True), (1.5, False), (2.0, True), (4.5, False)])
def test_no_attack_finds_another_class_within_a_certified_ball(power, batch_norm):
    flipped = []
    for seed in range(3):
        model = network(power, batch_norm, seed)
        images, labels = classified(model, seed)
        radii = np.maximum(*(bound(model, images, labels) for bound in BOUNDS))
        assert np.all(radii > 0.0)
        assert np.all(lowest_margin(model, images, labels, radii, jax.random.key(seed)) >= 0.0)
        flipped.append(lowest_margin(model, images, labels, 1.5 * radii, jax.random.key(seed)) < 0.0)
    # The search is strong enough, and the bound tight enough, that half as much again is too far for many.
    assert np.mean(flipped) > 0.2


RISING = (1.0, -2.0, 2.0)
FALLING = (-1.0, 5.0, 5.0)


@pytest.mark.parametrize(
    ("unit", "power"),
    [(FALLING, 1.0), (FALLING, 1.5), (FALLING, 2.0), (FALLING, 4.5), (RISING, 1.0), (RISING, 1.5)],
)
def test_one_hidden_unit_is_certified_up_to_its_boundary(unit, power):
    # The margin weight·ReLU(v·x)^n + bias is monotone in v·x; its line or parabola touches it where the ball ends.
    weight, bias, boundary = unit
    encoder = np.array([3.0, 4.0])
    model = one_layer(encoder, [[weight], [0.0]], [bias, 0.0], power)
    image = np.array([[0.6, 0.8]], np.float32) / 5.0 * 3.0 ** (1 / power)
    exact = abs(boundary ** (1 / power) - float(image[0] @ encoder)) / 5.0
    found = relaxation_bound(model, image, np.zeros(1, np.int32), steps=30)[0]
    assert found <= exact
    assert found == pytest.approx(exact, rel=1e-4)  # 8n + 16 units of 2^-24, on terms several times the margin


def test_a_linear_region_is_certified_up_to_its_boundary():
    generator = np.random.default_rng(0)
    encoder = generator.uniform(0.5, 1.0, (HIDDEN, INPUTS))
    decoder = generator.normal(size=(CLASSES, HIDDEN))
    image = generator.uniform(2.0, 3.0, (1, INPUTS)).astype(np.float32)
    margin_bias = -decoder @ encoder @ image[0] + np.array([0.3, 0.0, 0.1, -0.2])
    model = one_layer(encoder, decoder, margin_bias, 1.0)
    layers = folded(model)
    margin, others = margins(layers, image.astype(np.float64) @ layers.encoder.T, np.zeros(1, np.int32))
    normals = (layers.decoder[0] - layers.decoder[others[0]]) @ layers.encoder
    exact = np.min(margin / np.linalg.norm(normals, axis=1))
    found = relaxation_bound(model, image, np.zeros(1, np.int32), steps=30)[0]
    assert exact < 2.0 * INPUTS * 0.5 / np.linalg.norm(encoder, axis=1).max()  # no unit is silenced on the way
    assert found <= exact
    assert found == pytest.approx(exact, rel=2e-3)  # roundings of sums that are hundreds of times the margin


@pytest.mark.parametrize(("power", "batch_norm"), [(1.0, False), (1.0, True), (1.5, False), (2.0, True), (4.5, False)])
def test_the_relaxation_is_the_tighter_bound(power, batch_norm):
    for seed in range(4):
        model = network(power, batch_norm, seed)
        images, labels = classified(model, seed + 50)
        loose, tight = (bound(model, images, labels) for bound in BOUNDS)
        assert np.all(tight >= loose)


@pytest.mark.parametrize("power", [1.0, 1.5, 2.0, 4.5])
def test_units_that_sleep_throughout_the_ball_cost_nothing(power):
    model = one_layer(1e4 * np.eye(2), [[-1.0, 1.0], [1.0, 0.0]], [1e-3, 0.0], power)
    image, label = -np.array([[0.6, 0.8]], np.float32), np.zeros(1, np.int32)
    loose, tight = (bound(model, image, label, steps=30)[0] for bound in BOUNDS)
    assert tight >= loose > 0.6 * (1 - 1e-6), "up to where the first unit wakes"


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_misclassified_images_have_no_certified_ball(bound, power):
    model = network(power)
    images, labels = classified(model, 1)
    wrong = np.arange(IMAGES) % 3 == 0
    radii = bound(model, images, np.where(wrong, (labels + 1) % CLASSES, labels).astype(np.int32))
    np.testing.assert_array_equal(radii[wrong], 0.0)
    assert np.all(radii[~wrong] > 0.0)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_the_scale_and_the_common_part_of_the_logits_do_not_matter(bound, power):
    model = network(power)
    images, labels = classified(model, 2)
    before = bound(model, images, labels)
    model.decoder.kernel[...] = 8.0 * model.decoder.kernel[...] + 0.25
    model.decoder.bias[...] = 8.0 * model.decoder.bias[...] - 3.0
    # The sum that is added rounds in float32, some units of 6e-8 in margins that may be a hundredth of the logits.
    np.testing.assert_allclose(bound(model, images, labels), before, rtol=2e-3)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("power", [1.0, 4.5])
def test_rotating_image_space_leaves_the_radii_alone(bound, power):
    model = network(power)
    images, labels = classified(model, 3)
    before = bound(model, images, labels)
    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(INPUTS, INPUTS)))[0].astype(np.float32)
    model.encoder.kernel[...] = rotation @ model.encoder.kernel[...]
    np.testing.assert_allclose(bound(model, np.asarray(images) @ rotation.T, labels), before, rtol=1e-3)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_silent_copied_and_disconnected_units_are_no_trouble(power):
    model = network(power)
    images, labels = classified(model, 4)
    before = relaxation_bound(model, images, labels)
    kernel, decoder = np.array(model.encoder.kernel[...]), np.array(model.decoder.kernel[...])
    kernel = np.concatenate([kernel, np.zeros((INPUTS, 3)), kernel[:, :1], kernel[:, :2]], axis=1)
    decoder = np.concatenate([decoder, np.ones((3, CLASSES)), decoder[:1] / 2, np.zeros((2, CLASSES))])
    decoder[0] /= 2
    larger = one_layer(kernel.T, decoder.T, model.decoder.bias[...], power)
    np.testing.assert_allclose(relaxation_bound(larger, images, labels), before, rtol=1e-3)


@pytest.mark.parametrize("power", [1.0, 4.5])
def test_a_ball_in_which_nothing_can_happen_is_certified_far_out(power):
    # Every unit only speaks for the label: no perturbation can lose it, and the search ends where its steps do.
    model = one_layer(np.eye(2), [[1.0, 1.0], [0.0, 0.0]], [1.0, 0.0], power)
    radii = lipschitz_bound(model, -np.ones((1, 2), np.float32), np.zeros(1, np.int32))
    assert radii[0] > 0.9
    if power == 1.0:
        assert relaxation_bound(model, -np.ones((1, 2), np.float32), np.zeros(1, np.int32))[0] > 1e3


def test_the_folded_network_is_the_network():
    model = network(4.5, batch_norm=True)
    images, _ = classified(model, 5)
    layers = folded(model)
    activation = np.maximum(np.asarray(images, np.float64) @ layers.encoder.T, 0.0) ** layers.power
    np.testing.assert_allclose(activation @ layers.decoder.T + layers.bias, logits_in_float64(model, images), rtol=1e-9)


def test_blocks_leave_the_radii_alone():
    model = network(4.5)
    images, labels = classified(model, 6)
    np.testing.assert_allclose(
        relaxation_bound(model, images, labels, image_block=7), relaxation_bound(model, images, labels), rtol=1e-4
    )


@pytest.mark.parametrize("bound", BOUNDS)
def test_bad_input_is_refused(bound):
    model = network(1.0)
    images, labels = classified(model, 7)
    for arguments in (
        (images[0], labels),
        (images, labels[:3]),
        (images, labels.astype(jnp.float32)),
        (images.at[0, 0].set(jnp.nan), labels),
    ):
        with pytest.raises(ValueError, match="must be"):
            bound(model, *arguments)
    with pytest.raises(ValueError, match="step"):
        bound(model, images, labels, steps=0)
    with pytest.raises(ValueError, match="labels must name"):
        bound(model, images, labels + CLASSES)


def test_models_of_one_shape_share_one_trace():
    images, labels = classified(network(4.5), 8)
    relaxation_bound(network(4.5), images, labels)
    traced = certified._radii._cache_size()
    for seed in range(3):
        relaxation_bound(network(4.5, seed=seed), images[seed % 2 :], labels[seed % 2 :])
    assert certified._radii._cache_size() == traced
