"""FGSM and PGD against the Adversarial Robustness Toolbox on the same weights, with a gradient written out in NumPy.

The reference shares nothing with ours but the weights: its gradient is the chain rule by hand in float64, its attack is
the library's.
"""

import logging
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy import special

from jax_bioadv import models
from jax_bioadv.attacks import fgsm, pgd
from jax_bioadv.attacks.lp_ball import project

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", "PyTorch not found", UserWarning)
    from art import utils as art_utils
    from art.attacks.evasion import FastGradientMethod, ProjectedGradientDescent
    from art.estimators.classification import ClassifierMixin
    from art.estimators.estimator import BaseEstimator, LossGradientsMixin

INPUTS, HIDDEN, CLASSES = 30, 24, 5
# Two roundings of pixels below 2 at every one of at most 10 steps.
ROUNDING = 10 * 2 * 1.2e-7


class HandWritten(LossGradientsMixin, ClassifierMixin, BaseEstimator):
    """logits = D ReLU(V x)^n + b and the gradient of its cross-entropy."""

    def __init__(self, encoder, decoder, bias, power, clip_values):
        super().__init__(model=None, clip_values=clip_values)
        self.encoder, self.decoder, self.bias, self.power = encoder, decoder, bias, power
        self.nb_classes = CLASSES

    @property
    def input_shape(self):
        return (INPUTS,)

    def predict(self, x, batch_size=128, **kwargs):
        return np.maximum(x.astype(np.float64) @ self.encoder, 0) ** self.power @ self.decoder + self.bias

    def loss_gradient(self, x, y, **kwargs):
        hidden = x.astype(np.float64) @ self.encoder
        slope = self.power * np.where(hidden > 0, np.maximum(hidden, 1e-300) ** (self.power - 1), 0)
        by_logits = special.softmax(self.predict(x), axis=1) - y
        return (((by_logits @ self.decoder.T) * slope) @ self.encoder.T).astype(np.float32)

    def fit(self, x, y, **kwargs):
        raise NotImplementedError


@pytest.fixture(params=[1.0, 4.5], ids=["relu", "relu^4.5"])
def power(request):
    return request.param


@pytest.fixture
def network(power):
    network = models.Network(INPUTS, HIDDEN, CLASSES, power=power, rngs=nnx.Rngs(2))
    # Logits of a few nats: the reference's softmax − 1 loses the gradient of a network that is surer.
    network.encoder.kernel.set_value((3 if power == 1 else 1.2) * network.encoder.kernel.get_value())
    return network


@pytest.fixture
def reference(network, power):
    def build(clip_values):
        weights = (network.encoder.kernel, network.decoder.kernel, network.decoder.bias)
        return HandWritten(*(np.asarray(weight.get_value(), np.float64) for weight in weights), power, clip_values)

    return build


@pytest.fixture
def images():
    return np.random.default_rng(0).uniform(0, 1, (40, INPUTS)).astype(np.float32)


@pytest.fixture
def labels(network, images):
    return np.asarray(jnp.argmax(network(jnp.asarray(images)), axis=1))


def _ours(attack, network, images, labels, epsilon):
    return jax.jit(attack.__call__)(
        jax.random.key(0), models.logits_function(network), images, labels, np.float32(epsilon)
    )


@pytest.fixture(autouse=True)
def _quiet():
    logging.getLogger("art").setLevel(logging.ERROR)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("epsilon", [0.01, 0.3])
def test_fast_gradient_sign_method(targeted, epsilon, network, reference, images, labels):
    goal = (labels + 1) % CLASSES if targeted else labels
    theirs = FastGradientMethod(reference((0.0, 1.0)), eps=epsilon, eps_step=epsilon, targeted=targeted)
    ours = _ours(fgsm(targeted=targeted), network, images, goal, epsilon)
    np.testing.assert_allclose(ours.images, theirs.generate(images, y=goal), atol=ROUNDING)


@pytest.mark.parametrize(
    ("norm", "targeted"), [(1, False), (2, False), (2, True), (3, False), (np.inf, False), (np.inf, True)]
)
def test_projected_gradient_descent(norm, targeted, network, reference, images, labels):
    """From the image, without bounds; the library scales for every finite norm, so for p = 1 only before the sphere."""
    goal = (labels + 1) % CLASSES if targeted else labels
    epsilon, step, steps = (0.5, 0.05, 10) if norm == 1 else (0.2, 0.05, 10)
    theirs = ProjectedGradientDescent(
        reference(None), norm, epsilon, step, max_iter=steps, targeted=targeted, batch_size=len(images), verbose=False
    )
    ours = _ours(pgd(norm, steps, step, None, targeted=targeted), network, images, goal, epsilon)
    np.testing.assert_allclose(ours.images, theirs.generate(images, y=goal), atol=ROUNDING)
    assert ours.success.any()


def test_projected_gradient_descent_clipped_at_every_step(network, reference, images, labels):
    theirs = ProjectedGradientDescent(
        reference((0.0, 1.0)), np.inf, 0.2, 0.05, max_iter=10, batch_size=len(images), verbose=False
    )
    ours = _ours(pgd(np.inf, 10, 0.05, clip_each_step=True), network, images, labels, 0.2)
    np.testing.assert_allclose(ours.images, theirs.generate(images, y=labels), atol=ROUNDING)


@pytest.mark.parametrize("norm", [1.0, 2.0, np.inf])
def test_euclidean_projection_in_many_dimensions(norm):
    points = np.random.default_rng(3).normal(size=(5, 300)).astype(np.float32)
    theirs = art_utils.projection(points.astype(np.float64), 2.5, norm, suboptimal=False)
    ours = jax.jit(project, static_argnums=1)(points, norm, np.float32(2.5))
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
