"""Taps: whatever is inside any module, by name, as a pure function of images and of the weights of now."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from small_convolutional import CLASSES, SIDE, Convolutional

from jax_bioadv.jacobian import jacobian_norms, on_one_image
from jax_bioadv.models import Network
from jax_bioadv.taps import available_taps, taps_of

IMAGES = jax.random.uniform(jax.random.key(0), (5, SIDE * SIDE))


def by_hand(network):
    """The listed representations, computed step by step."""
    network = nnx.clone(network)
    network.eval()
    first, second = network.stages
    maps = network.pixels(IMAGES)
    before = first.convolution(maps)
    after = nnx.relu(first.norm(before))
    normalised = second.norm(second.convolution(after))
    deep = network.twice(network.twice(nnx.relu(normalised))).reshape(len(IMAGES), -1)
    values = before, after, normalised, nnx.relu(normalised), jnp.tanh(network.head.layers[0](deep))
    return dict(zip(network.taps, values, strict=True))


@pytest.fixture(scope="module")
def network():
    """In training mode, as modules are made, with running statistics of their own."""
    model = Convolutional()
    model(IMAGES)
    return model


@pytest.mark.parametrize("call", [lambda tap, images: tap(images), jax.jit(lambda tap, images: tap(images))])
def test_a_tap_gives_what_is_inside_in_evaluation_mode(network, call):
    graphdef, before = nnx.split(nnx.clone(network))
    found = {name: call(tap, IMAGES) for name, tap in taps_of(network).items()}
    expected = by_hand(network)
    assert list(found) == list(expected)
    # Fused and unfused programs may round a sum of some dozen products differently.
    jax.tree.map(lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6), found, expected)
    assert nnx.graphdef(network) == graphdef  # nor is anything added or changed
    for one, other in zip(jax.tree.leaves(nnx.state(network)), jax.tree.leaves(before), strict=True):
        assert jnp.array_equal(one, other)


def test_a_network_of_one_hidden_layer_lists_its_own():
    network = Network(SIDE * SIDE, 6, CLASSES, power=2.0, batch_norm=True, rngs=nnx.Rngs(0))
    found = taps_of(network)
    assert list(found) == ["preactivation", "activation"]
    for name, tap in found.items():
        np.testing.assert_array_equal(tap(IMAGES), getattr(network, name)(IMAGES))
    np.testing.assert_array_equal(taps_of(network, "encoder")["encoder"](IMAGES), network.preactivation(IMAGES))


def test_methods_of_the_network_are_given_images(network):
    np.testing.assert_array_equal(taps_of(network, ["pixels"])["pixels"](IMAGES), network.pixels(IMAGES))


def test_a_tap_keeps_its_weights_whatever_becomes_of_the_network():
    network = Convolutional()
    tap = taps_of(network)["stages.0"]
    before = tap(IMAGES)
    network.stages[0].convolution.kernel[...] *= 2.0
    np.testing.assert_array_equal(tap(IMAGES), before)
    assert not np.array_equal(taps_of(network)["stages.0"](IMAGES), before)


def test_networks_of_one_shape_share_a_trace_and_the_taps_of_one_do_not():
    traces = []

    @jax.jit
    def summed(tap, images):
        traces.append(tap)
        return jnp.sum(tap(images))

    networks = [Convolutional(seed) for seed in range(3)]
    assert len({float(summed(taps_of(network)["stages.0"], IMAGES)) for network in networks}) == 3
    assert len(traces) == 1
    summed(taps_of(networks[0])["stages.1"], IMAGES)
    assert len(traces) == 2


def test_a_tap_is_differentiated_and_mapped_over_networks(network):
    tap = taps_of(network)["head.layers.1"]
    jacobians = jax.jit(jax.vmap(jax.jacrev(lambda image: tap(image[None])[0])))(IMAGES)
    np.testing.assert_allclose(
        jacobian_norms(on_one_image(tap), IMAGES), jnp.linalg.norm(jacobians, axis=(1, 2)), rtol=1e-4
    )
    taps = [taps_of(Convolutional(seed))["stages.1"] for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *taps)
    together = jax.jit(jax.vmap(lambda tap: tap(IMAGES)))(stacked)
    for found, tap in zip(together, taps, strict=True):
        np.testing.assert_allclose(found, tap(IMAGES), rtol=1e-4, atol=1e-6)


def test_a_tap_has_a_gradient_in_the_weights_of_the_network_before_it_and_none_after(network):
    graphdef, parameters, rest = nnx.split(network, nnx.Param, ...)

    def size(parameters):
        return jnp.sum(taps_of(nnx.merge(graphdef, parameters, rest))["stages.0"](IMAGES) ** 2)

    gradient = jax.jit(jax.grad(size))(parameters)
    assert np.any(gradient["stages"][0]["convolution"]["kernel"][...])
    assert not np.any(gradient["stages"][1]["convolution"]["kernel"][...])


@pytest.mark.parametrize(
    "name", ["stages", "stages.2", "stages.first", "stages.0.convolution.kernel", "hidden", "taps", "eval", ""]
)
def test_unknown_names_are_refused_with_those_there_are(network, name):
    with pytest.raises(ValueError, match=rf"no '{name}'; there are stages\.0\.convolution, .*head\.layers\.1, .*twice"):
        taps_of(network, ["stages.0", name])


def test_what_is_available_can_be_tapped(network):
    names = available_taps(network)
    assert {"stages.1.norm", "head", "head.layers.1", "head.layers.2"} < set(names)
    assert len(names) == len(set(names))
    for name in set(names) - {"twice", "never"}:
        jax.eval_shape(taps_of(network, name)[name], IMAGES)


@pytest.mark.parametrize(
    ("name", "message"),
    [("twice", "called 2 times"), ("never", "called 0 times"), ("pair", "not a tuple")],
)
def test_what_is_no_representation_is_refused(network, name, message):
    with pytest.raises(ValueError, match=message):
        taps_of(network, name)[name](IMAGES)


def test_a_network_without_a_list_says_what_could_be_listed():
    tower = nnx.Sequential(nnx.Linear(16, 2, rngs=nnx.Rngs(0)), nnx.relu)
    with pytest.raises(ValueError, match=r"lists no taps: name some, there are layers\.0, layers\.1"):
        taps_of(tower)


def test_a_plain_function_has_no_inside():
    with pytest.raises(TypeError, match=r"a function gives logits .*nnx\.Module"):
        taps_of(lambda images: images)
