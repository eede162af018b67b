"""Whatever classifier a public function is given, and whatever happened to it since, the answer is today's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv import attacks, models
from jax_bioadv.analysis import boundaries, boundary_geometry, certified, critical, masking, robustness, smoothness
from jax_bioadv.jacobian import jacobian_norms, on_one_image
from jax_bioadv.raw_pixels import raw_pixel_logits

INPUTS, IMAGES = 12, 8
KEY = jax.random.key(5)


def _network(seed=3, **options):
    network = models.Network(INPUTS, 16, 4, rngs=nnx.Rngs(seed), **options)
    network.encoder.kernel[...] *= 5
    return network


X = np.random.default_rng(1).uniform(0.2, 0.8, (IMAGES, INPUTS)).astype(np.float32)
Y = np.asarray(_network()(jnp.asarray(X))).argmax(axis=1)
OTHER = models.logits_function(_network(4))
PLANE = boundaries.random_plane(KEY, INPUTS)


def _masking(classifier, **options):
    return masking.masking_outcomes(
        KEY, classifier, X, Y, 0.1, steps=1, queries=2, image_shape=(2, 2, 3), **options
    ).single_step


def _sweep(attack, classifier):
    return robustness.epsilon_sweep(attack, KEY, classifier, X, Y, [0.05, 0.1]).l2


def _transferred(classifier):
    return attacks.transfer(attacks.fgsm(), classifier)(KEY, OTHER, X, Y, 0.1).images


OF_CLASSIFIERS = {
    "attack": lambda classifier: attacks.fgsm()(KEY, classifier, X, Y, 0.1).images,
    "correctly_classified": lambda classifier: robustness.correctly_classified(classifier, X, Y),
    "critical_search": lambda classifier: (
        critical.critical_search(
            attacks.fgsm(), KEY, classifier, X, Y, critical.epsilon_lattice(0.01, 1.0, 0.1)
        ).critical_epsilon
    ),
    "epsilon_sweep": functools.partial(_sweep, attacks.minimum_norm(steps=2)),
    "generic_boundary_geometry": lambda classifier: (
        boundary_geometry.generic_boundary_geometry(classifier, X[:1], PLANE[None], radius=2.0, resolution=8).length
    ),
    "generic_landscape": lambda classifier: (
        boundaries.generic_landscape(classifier, classifier, jnp.asarray(X[0]), PLANE, resolution=3).confidence
    ),
    "jacobian_norms": lambda classifier: jacobian_norms(on_one_image(classifier), jnp.asarray(X)),
    "masking_outcomes": _masking,
    "minimum_norm_perturbations": lambda classifier: (
        attacks.minimum_norm_perturbations(attacks.minimum_norm(steps=2), KEY, classifier, X, Y).length
    ),
    "raw_pixel_logits": lambda classifier: attacks.fgsm()(KEY, raw_pixel_logits(classifier), X, Y, 0.1).images,
    "transfer": _transferred,
    "worst_case": lambda classifier: attacks.worst_case([attacks.fgsm()])(KEY, classifier, X, Y, 0.1).images,
}
OF_NETWORKS = {
    "boundary_geometry": lambda network: (
        boundary_geometry.boundary_geometry(network, X[:1], KEY, radius=2.0, resolution=8).length
    ),
    "landscape": lambda network: boundaries.landscape(network, jnp.asarray(X[0]), PLANE, resolution=3).confidence,
    "lipschitz_bound": lambda network: certified.lipschitz_bound(network, X, Y),
    "smoothness_measures": lambda network: smoothness.smoothness_measures(network, X, Y, KEY)["lipschitz_local"],
}


def _change(network):
    """Decoders of other signs and columns: other classes, gradients and distances."""
    network.decoder.kernel[...] = -1.5 * network.decoder.kernel[...][:, ::-1]


def _applied(function, images):
    return function(images)


def _of_list(functions):
    return lambda images: functions[0](images)


KINDS = {
    "module": lambda network: network,
    "bound method": lambda network: network.__call__,
    "partial of a module": lambda network: functools.partial(network, train=False),
    "closure": lambda network: lambda images: network(images),
    "jitted closure": lambda network: jax.jit(lambda images: network(images)),
    "closure jitted by nnx": lambda network: nnx.jit(lambda images: network(images)),
    "Partial of a jitted closure": lambda network: Partial(jax.jit(lambda images: network(images))),
    "Partial of a closure": lambda network: Partial(lambda images: network(images)),
    "Partial of a default": lambda network: Partial(lambda images, network=network: network(images)),
    "Partial of a module": lambda network: Partial(_applied, network),
    "Partial of a module as the function": lambda network: Partial(network),
    "Partial of a method": lambda network: Partial(_applied, network.__call__),
    "Partial of a functools.partial": lambda network: Partial(functools.partial(_applied, network)),
    "Partial of a Partial": lambda network: Partial(Partial(_applied, network)),
    "Partial of a closure over a list": lambda network: Partial(_of_list([network])),
    "Partial of a closure over a closure": lambda network: Partial(_of_list([lambda images: network(images)])),
}


@pytest.mark.parametrize("kind", ["module", "closure"])
@pytest.mark.parametrize("name", OF_CLASSIFIERS)
def test_changed_weights_change_every_answer(name, kind):
    ask, network = OF_CLASSIFIERS[name], _network()
    classifier = KINDS[kind](network)
    before = np.asarray(ask(classifier))
    _change(network)
    after = np.asarray(ask(classifier))
    np.testing.assert_array_equal(after, ask(models.logits_function(network)))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("name", OF_NETWORKS)
def test_changed_weights_change_the_answers_about_networks(name):
    network = _network()
    before = OF_NETWORKS[name](network)
    _change(network)
    after = OF_NETWORKS[name](network)
    np.testing.assert_array_equal(after, OF_NETWORKS[name](nnx.clone(network)))
    assert not np.array_equal(before, after)


@pytest.mark.parametrize("wrapped", [lambda function: function, raw_pixel_logits], ids=["bare", "raw pixels"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_classifier_gives_todays_answer(kind, wrapped):
    network = _network()
    classifier = KINDS[kind](network)
    for _ in range(2):
        found = robustness.correctly_classified(wrapped(classifier), X, Y)
        np.testing.assert_array_equal(
            found,
            np.flatnonzero(np.asarray(wrapped(models.logits_function(network))(jnp.asarray(X))).argmax(axis=1) == Y),
        )
        _change(network)


def test_a_wrapped_function_is_asked_anew_however_deep_it_sits():
    network = _network()
    classifier = raw_pixel_logits(raw_pixel_logits(lambda images: network(images)))
    before = robustness.correctly_classified(classifier, X, Y)
    _change(network)
    assert not np.array_equal(robustness.correctly_classified(classifier, X, Y), before)


def test_a_function_of_variables_is_asked_anew():
    weights = jnp.eye(INPUTS)

    def classifier(images):
        return images @ weights

    for shift in range(2):
        weights = jnp.roll(jnp.eye(INPUTS), shift, axis=1)
        found = robustness.correctly_classified(classifier, X, (X.argmax(axis=1) + shift) % INPUTS)
        np.testing.assert_array_equal(found, np.arange(IMAGES))


@pytest.mark.parametrize("kind", ["module", "bound method", "Partial of a module", "Partial of a method"])
def test_models_of_one_shape_share_compilations_whatever_they_come_as(kind):
    traces = []

    class Counted(models.Network):
        def __call__(self, images, train=False):
            traces.append(images.shape)
            return super().__call__(images, train)

    @jax.jit
    def logits(classifier, images):
        return classifier(images)

    for seed in range(3):
        network = Counted(INPUTS, 16, 4, rngs=nnx.Rngs(seed))
        np.testing.assert_allclose(
            logits(models.as_pytree(KINDS[kind](network)), jnp.asarray(X)),
            network(jnp.asarray(X)),
            rtol=1e-5,
            atol=1e-6,
        )
    assert len([shape for shape in traces if shape]) == 1 + 3  # once traced, and thrice called here


def _in_training():
    parts = [nnx.Linear(INPUTS, 4, rngs=nnx.Rngs(0)), nnx.BatchNorm(4, rngs=nnx.Rngs(0))]
    model = nnx.Sequential(*parts, nnx.Dropout(0.5, rngs=nnx.Rngs(1)))
    model.train()
    return model


@pytest.mark.parametrize("kind", ["module", "bound method", "Partial of a module"])
def test_a_model_in_training_is_evaluated_and_left_alone(kind):
    model = _in_training()
    before = jax.tree.map(np.asarray, nnx.to_pure_dict(nnx.state(model, nnx.BatchStat)))
    found = robustness.correctly_classified(KINDS[kind](model), X, Y)
    np.testing.assert_array_equal(found, robustness.correctly_classified(models.logits_function(model), X, Y))
    after = nnx.to_pure_dict(nnx.state(model, nnx.BatchStat))
    jax.tree.map(np.testing.assert_array_equal, before, after)
    assert not model.layers[1].use_running_average


def test_a_function_that_changes_a_model_is_refused():
    model = _in_training()
    with pytest.raises(ValueError, match="logits_function"):
        robustness.correctly_classified(lambda images: model(images), X, Y)


def test_what_gives_no_logits_is_refused():
    with pytest.raises(ValueError, match="logits of shape"):
        robustness.correctly_classified(lambda images: images.sum(axis=1), X, Y)
