"""Transfer: made on one model, judged on another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv import models
from jax_bioadv.analysis.robustness import epsilon_sweep
from jax_bioadv.attacks import fgsm, pgd, transfer

EPSILON = 0.1
run = jax.jit(lambda attack, *arguments: attack(*arguments))


def _source(seed):
    return models.logits_function(models.Network(12, 16, 4, rngs=nnx.Rngs(seed)))


@pytest.mark.parametrize("attack", [fgsm(), pgd(steps=5, random_start=True)], ids=["fgsm", "pgd_random"])
def test_from_a_model_to_itself_it_is_the_attack(attack, network, images, labels, key):
    itself = run(transfer(attack, network), key, network, images, labels, EPSILON)
    for ours, theirs in zip(itself, run(attack, key, network, images, labels, EPSILON), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert 0 < itself.success.mean() < 1


def test_images_are_the_sources_and_success_is_the_targets(network, images, labels, key):
    moved = run(transfer(fgsm(), _source(5)), key, network, images, labels, EPSILON)
    made = run(fgsm(), key, _source(5), images, labels, EPSILON)
    np.testing.assert_array_equal(moved.images, made.images)
    np.testing.assert_array_equal(moved.success, jnp.argmax(network(made.images), axis=1) != labels)
    assert (moved.success != made.success).any()


def test_it_needs_no_gradient_of_the_attacked_model(network, images, labels, key):
    """Pixels rounded to bytes hide the gradient from the attack itself, and not from one on the smooth twin."""
    rounded = Partial(lambda network, x: network(jnp.round(x * 255) / 255), network)
    hidden, found = (run(each, key, rounded, images, labels, EPSILON) for each in (fgsm(), transfer(fgsm(), network)))
    assert hidden.gradient_vanished.all()
    assert not hidden.success.any()
    assert not found.gradient_vanished.any()
    assert found.success.any()


def test_it_can_be_swept_with_plain_functions(network, images, labels, key):
    def plain(batch):
        return network(batch)

    arguments = (key, plain, images, labels, [0.01, EPSILON])
    sweeps = [epsilon_sweep(attack, *arguments) for attack in (transfer(fgsm(), plain), fgsm())]
    np.testing.assert_array_equal(sweeps[0].success, sweeps[1].success)
    assert sweeps[0].success.any()
