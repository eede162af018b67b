"""The diagnosis on outcomes written by hand, and on models that hide their gradient or do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax
from jax.tree_util import Partial

from jax_bioadv import models
from jax_bioadv.analysis.masking import Outcomes, diagnose_masking, masking_outcomes, masking_verdict

SHAPE = (4, 4, 1)
INPUTS, IMAGES, CLASSES, EPSILON = 16, 150, 2, 0.03
KEY = jax.random.key(2)


def _outcomes(images=100, **changed):
    """Of an honest model: the first half falls to every attack, and all images do without a bound."""
    fallen = np.arange(images) < images // 2
    names = ("single_step", "iterative", "twice_the_steps", "random_starts", "black_box")
    never, always = np.zeros(images, bool), np.ones(images, bool)
    honest = {
        "correct": always,
        "gradient_vanished": never,
        "iterates_vanished": never,
        "unbounded": always,
        **dict.fromkeys(names, fallen),
    }
    return Outcomes(**(honest | changed))


def _also(count, images=100):
    """The fallen half, and so many images more."""
    return np.arange(images) < images // 2 + count


# --- the judgement ---


def test_an_honest_outcome_shows_no_sign():
    checks = diagnose_masking(_outcomes())
    assert masking_verdict(checks) == "no sign of masking"
    assert {check.value for check in checks.values()} == {0.0}
    assert "transfer" not in checks


@pytest.mark.parametrize(
    ("name", "outcome", "made"),
    [
        ("vanished_gradients", "gradient_vanished", lambda count: np.arange(100) < count),
        ("vanished_iterates", "iterates_vanished", _also),
        ("single_step", "single_step", _also),
        ("more_steps", "twice_the_steps", _also),
        ("random_starts", "random_starts", _also),
        ("black_box", "black_box", _also),
        ("transfer", "transferred", _also),
        ("unbounded", "unbounded", lambda count: np.arange(100) >= count),
    ],
)
def test_more_than_four_images_are_suspect(name, outcome, made):
    """Two standard errors of McNemar's test, where all images differ in one direction."""
    for count, suspect in ((4, False), (5, True)):
        checks = diagnose_masking(_outcomes(**{outcome: made(count)}))
        assert checks[name].value == count / 100
        assert checks[name].suspect == suspect
        assert masking_verdict(checks) == (f"suspect: {name}" if suspect else "no sign of masking")
        assert f"{count}.0% of 100 images" in checks[name].explanation


def test_slack_counts_where_there_are_many_images():
    checks = diagnose_masking(_outcomes(1000, black_box=_also(8, 1000)))
    assert not checks["black_box"].suspect
    assert diagnose_masking(_outcomes(1000, black_box=_also(8, 1000)), slack=0.005)["black_box"].suspect


def test_images_that_fare_differently_both_ways_cancel():
    """Ten more and eight fewer are two more of eighteen."""
    single = _also(10) & (np.arange(100) >= 8)
    check = diagnose_masking(_outcomes(single_step=single))["single_step"]
    assert check.value == pytest.approx(0.02)
    assert not check.suspect
    # But an image that falls to no gradient is a sign whatever happens to the others.
    scores = diagnose_masking(_outcomes(black_box=single))["black_box"]
    assert scores.value == pytest.approx(0.1)
    assert scores.suspect


def test_what_any_gradient_attack_finds_is_not_held_against_the_gradient():
    found_later = _outcomes(black_box=_also(20), random_starts=_also(20))
    assert not diagnose_masking(found_later)["black_box"].suspect


def test_images_that_were_wrong_anyway_do_not_count():
    correct = np.arange(100) % 2 == 0
    wrong_only = _outcomes(correct=correct, gradient_vanished=~correct, unbounded=correct)
    assert masking_verdict(diagnose_masking(wrong_only)) == "no sign of masking"
    half = diagnose_masking(_outcomes(correct=correct, gradient_vanished=np.arange(100) < 20))
    assert half["vanished_gradients"].value == 10 / 50


def test_nothing_to_judge_is_refused():
    with pytest.raises(ValueError, match="no image"):
        diagnose_masking(_outcomes(correct=np.zeros(100, bool)))
    for slack in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="slack"):
            diagnose_masking(_outcomes(), slack)


# --- models ---


def _network(seed):
    network = models.Network(INPUTS, 40, CLASSES, rngs=nnx.Rngs(seed))
    kernel = network.encoder.kernel.get_value()
    network.encoder.kernel.set_value(kernel - kernel.mean(axis=0))
    return models.logits_function(network)


def _masked(network, other, scale, rounds, misleads, images):
    """The decisions of one network, with its gradient hidden in ways that can be switched on: one compilation."""
    images = jnp.where(rounds, jnp.round(images * 255) / 255, images)
    guide = jnp.where(misleads, other(images), network(images))
    return scale * (lax.stop_gradient(network(images) - guide) + guide)


@pytest.fixture(scope="module")
def diagnosis():
    """Of one network and its masks, with the honest network as the source of transfer."""
    images = np.random.default_rng(0).uniform(0, 1, (IMAGES, INPUTS)).astype(np.float32)

    def diagnose(scale=1.0, rounds=False, misleads=False):
        model = Partial(_masked, _network(3), _network(9), scale, rounds, misleads)
        labels = jnp.argmax(model(jnp.asarray(images)), axis=1)
        settings = {"image_shape": SHAPE, "steps": 10, "queries": 60, "sources": [_network(3)]}
        return diagnose_masking(masking_outcomes(KEY, model, images, labels, EPSILON, **settings))

    return diagnose


@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_an_honest_network_shows_no_sign(scale, diagnosis):
    """Nor one so certain that its softmax saturates in float32: the attacks climb log odds."""
    assert masking_verdict(diagnosis(scale=scale)) == "no sign of masking"


def test_a_network_without_gradient_is_suspect(diagnosis):
    """Pixels rounded to bytes."""
    checks = diagnosis(rounds=True)
    assert checks["vanished_gradients"].value == 1
    suspects = {name for name, check in checks.items() if check.suspect}
    assert suspects >= {"vanished_gradients", "vanished_iterates", "black_box", "transfer", "unbounded"}


def test_a_network_with_another_ones_gradient_is_suspect(diagnosis):
    checks = diagnosis(misleads=True)
    assert checks["vanished_gradients"].value == 0
    assert {name for name, check in checks.items() if check.suspect} >= {"black_box", "transfer", "unbounded"}


def test_a_linear_classifier_masks_nothing_in_however_large_a_ball():
    generator = np.random.default_rng(0)
    images = generator.uniform(0.3, 0.7, (40, INPUTS)).astype(np.float32)
    weights = jnp.asarray(np.sign(generator.normal(size=INPUTS)), jnp.float32) / INPUTS
    linear = Partial(lambda weights, x: jnp.stack([x @ weights, -(x @ weights)], axis=1), weights)
    # The distance to the boundary is the lead: a few images are closer than 0.1, most are not, and all than 0.25.
    offset = jnp.where(jnp.arange(40) < 4, 0.05, 0.24)
    images += (offset - images @ weights)[:, None] * jnp.sign(weights)
    settings = {"bounds": (-1.0, 2.0), "image_shape": SHAPE, "queries": 60}
    outcomes = masking_outcomes(KEY, linear, images, np.zeros(40, int), 0.25, **settings)
    assert outcomes.iterative.all()
    assert masking_verdict(diagnose_masking(outcomes)) == "no sign of masking"


def test_without_bound_every_image_of_raw_pixels_falls():
    """The steps reach the far side of the box: bright images count until they are nearly black."""
    images = np.random.default_rng(0).uniform(0.9, 1, (20, INPUTS)).astype(np.float32)
    bright = Partial(lambda x: jnp.stack([x.mean(axis=1), jnp.full(len(x), 0.02)], axis=1))
    outcomes = masking_outcomes(KEY, bright, images, np.zeros(20, int), 0.1, image_shape=SHAPE, queries=2)
    assert outcomes.unbounded.all()
    assert not outcomes.iterative.any()
