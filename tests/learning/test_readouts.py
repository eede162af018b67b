"""Readouts of frozen features: what they learn, standardised or not, and when their rate is halved."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jax_bioadv.convolutional import ConvolutionalNetwork, StageSettings
from jax_bioadv.learning.readouts import Standardised, halving_adam, mean_and_deviation, train_readout
from jax_bioadv.learning.stacks import features
from jax_bioadv.models import logits_function
from jax_bioadv.readout import Readout

NETWORK = ConvolutionalNetwork((4, 4, 1), [StageSettings(3, 3)], 2, dropout=0.2, rngs=nnx.Rngs(0, dropout=1))
LABELS = np.arange(40, dtype=np.int32) % 2
IMAGES = (
    np.random.default_rng(0).uniform(size=(40, 16)).astype(np.float32) + 2 * np.eye(2, 16, dtype=np.float32)[LABELS]
)
RATES = optax.adam(0.1)
logits_of = jax.jit(lambda classifier: classifier(jnp.asarray(IMAGES)))


@pytest.mark.parametrize("standardise", [False, True])
def test_the_readout_learns_and_the_stages_stay(standardise):
    seen = features(NETWORK, IMAGES, dtype=np.float16)
    arguments = (NETWORK, seen, LABELS, jax.random.key(0), RATES)
    options = {"epochs": 20, "batch_size": 20, "standardise": standardise}
    trained, history = train_readout(*arguments, **options)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    logits = logits_of(logits_function(trained))
    assert np.mean(np.argmax(logits, axis=1) == LABELS) > 0.95
    np.testing.assert_array_equal(trained.stages[0].convolution.kernel[...], NETWORK.stages[0].convolution.kernel[...])
    again, _ = train_readout(*arguments, **options)
    np.testing.assert_array_equal(logits_of(logits_function(again)), logits)
    assert (NETWORK.readout.linear.bias[...] == 0).all()  # a copy


def test_labels_that_name_no_logit_are_refused():
    seen = features(NETWORK, IMAGES)
    with pytest.raises(ValueError, match="labels must lie in 0 … 1, got 1 … 2"):
        train_readout(NETWORK, seen, LABELS + 1, jax.random.key(0), RATES, epochs=1, batch_size=20)


def test_standardising_folds_into_the_weights():
    given = np.random.default_rng(0).normal(3.0, 2.0, (50, 4)).astype(np.float32)
    given[:, 2] = 5.0  # never varies, and so must not count
    mean, deviation = mean_and_deviation(given)
    np.testing.assert_allclose(mean, given.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(deviation, given.std(axis=0), rtol=1e-5)
    model = Standardised(Readout(4, 3, rngs=nnx.Rngs(0)), mean, deviation)
    seen = model.preactivation(jnp.asarray(given))
    np.testing.assert_allclose(jnp.std(seen, axis=0), [1, 1, 0, 1], rtol=1e-5)
    np.testing.assert_allclose(model.folded().decode(jnp.asarray(given)), model.decode(seen), rtol=0, atol=1e-5)


def test_features_that_vary_by_no_more_than_rounding_have_no_deviation():
    given = np.full((3000, 4), [0.1, 1.7, -51.23, 1e-20], np.float32)
    given[7, 2] = np.nextafter(given[7, 2], np.float32(0))
    np.testing.assert_array_equal(mean_and_deviation(given)[1], 0)
    given[7] *= 1.01
    np.testing.assert_allclose(mean_and_deviation(given)[1], given.astype(float).std(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("epochs", "halvings"),
    [
        (50, [10, 17, 25, 30, 35, 40, 45]),
        (180, [36, 63, 90, 108, 126, 144, 162]),
        (3, [1, 1, 1, 1, 2, 2, 2]),
        (2, [1] * 7),
    ],
)
def test_the_published_rate_is_halved_seven_times(epochs, halvings):
    sgd = halving_adam(1.0, epochs=epochs, steps_per_epoch=1)
    state, steps = sgd.init(jnp.zeros(())), []
    for _ in range(epochs):
        update, state = sgd.update(jnp.ones(()), state)
        steps.append(-float(update))  # Adam moves by its rate where the gradient never changes
    expected = 0.5 ** np.searchsorted(halvings, np.arange(epochs), side="right")
    np.testing.assert_allclose(steps, expected, rtol=1e-4)
