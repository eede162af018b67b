"""Closed forms hold for one dense layer: of any other network they are refused, never silently wrong."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jax_bioadv import jacobian, models
from jax_bioadv.analysis import boundaries, boundary_geometry, certified, smoothness
from jax_bioadv.learning import regularizers, supervised
from jax_bioadv.models import Network

SIDE, INPUTS, HIDDEN, CLASSES = 4, 16, 5, 3
KEY = jax.random.key(0)
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(size=(2, INPUTS)), jnp.float32)
LABELS = jnp.array([0, 1])


class Convolution(nnx.Module):
    """An encoder in the place of the dense one."""

    def __init__(self):
        self.kernel = nnx.Conv(1, 2, (3, 3), use_bias=False, rngs=nnx.Rngs(0)).kernel

    def __call__(self, images):
        pixels = images.reshape(-1, SIDE, SIDE, 1)
        convolved = jax.lax.conv_general_dilated(
            pixels, self.kernel[...], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return convolved.reshape(len(images), -1)


class TwoLayers(Network):
    """A second hidden layer behind the encoder."""

    def preactivation(self, images):
        return jnp.tanh(self.encoder(images)) ** 2


def network(cls=Network, **parts):
    model = cls(INPUTS, HIDDEN, CLASSES, rngs=nnx.Rngs(0))
    for name, part in parts.items():
        setattr(model, name, part)
    return model


OTHERS = {
    "convolution": lambda: network(encoder=Convolution()),
    "second hidden layer": lambda: network(TwoLayers),
    "biased encoder": lambda: network(encoder=nnx.Linear(INPUTS, HIDDEN, rngs=nnx.Rngs(0))),
    "deeper decoder": lambda: network(decoder=nnx.Sequential(nnx.Linear(HIDDEN, CLASSES, rngs=nnx.Rngs(0)))),
}


def penalty(target):
    def of(model):
        batch = regularizers.Batch(IMAGES, LABELS, model.preactivation(IMAGES))
        return regularizers.jacobian(1.0, target).penalty(model, batch, None, KEY)

    return of


CLOSED_FORMS = {
    "jacobian of the pre-activation": penalty("preactivation"),
    "jacobian of the activation": penalty("activation"),
    "spectral": lambda model: regularizers.spectral().refresh(
        model, regularizers.TrainingData(IMAGES, LABELS, jnp.eye(INPUTS))
    ),
    "fold_batch_norm": models.fold_batch_norm,
    "lipschitz_bound": lambda model: certified.lipschitz_bound(model, IMAGES, LABELS),
    "relaxation_bound": lambda model: certified.relaxation_bound(model, IMAGES, LABELS),
    "smoothness_measures": lambda model: smoothness.smoothness_measures(model, IMAGES, LABELS, KEY),
    "landscape": lambda model: boundaries.landscape(model, IMAGES[0], jnp.eye(INPUTS)[:2]),
    "boundary_geometry": lambda model: boundary_geometry.boundary_geometry(model, IMAGES, KEY),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("form", CLOSED_FORMS)
def test_a_closed_form_refuses_every_other_network(form, other):
    with pytest.raises(TypeError, match=r"not for .*\. \S"):  # what it is, and what to do about it
        CLOSED_FORMS[form](OTHERS[other]())


def test_a_module_that_is_no_network_is_refused_by_its_name():
    decoder = supervised.FrozenFeatures(nnx.Linear(INPUTS, CLASSES, rngs=nnx.Rngs(0)))
    with pytest.raises(TypeError, match="not for a FrozenFeatures"):
        models.check_one_hidden_layer(decoder, "")


@pytest.mark.parametrize(
    ("form", "arguments"),
    [
        (jacobian.preactivation_jacobian_norm, ()),
        (jacobian.activation_jacobian_norms, (1.0, IMAGES)),
        (jacobian.activation_jacobian_norms_squared, (1.0, IMAGES)),
    ],
)
def test_the_kernel_of_a_convolution_is_refused(form, arguments):
    without_checked_annotations = inspect.unwrap(form)
    with pytest.raises(ValueError, match="dense layer"):
        without_checked_annotations(jnp.ones((3, 3, 1, 2)), *arguments)
