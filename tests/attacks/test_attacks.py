"""What every attack must do, and what Gaussian noise and the fast gradient sign method must do besides."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv import models
from jax_bioadv.attacks import apgd, autoattack, fgsm, gaussian, minimum_norm, pgd, square, transfer, worst_case

ATTACKS = {
    "gaussian": gaussian(),
    "gaussian_published": gaussian(bounds=(0.0, 1.0), protocol="published"),
    "fgsm": fgsm(),
    "pgd": pgd(),
    "pgd_l1": pgd(norm=1, steps=5),
    "pgd_l2": pgd(norm=2, steps=5),
    "pgd_l3": pgd(norm=3, steps=5, clip_each_step=True),
    "pgd_random": pgd(steps=4, random_start=True, restarts=3),
    "pgd_targeted": pgd(steps=5, step_size=0.1, targeted=True),
    "apgd_l2": apgd(2, 8),
    "apgd_l2_dlr": apgd(2, 8, "dlr", restarts=2),
    "apgd_dlr": apgd(math.inf, 8, "dlr"),
    "apgd_targeted_dlr": apgd(math.inf, 8, "targeted_dlr", restarts=2, targets=2),
    "minimum_norm_l2": minimum_norm(2),
    "minimum_norm": minimum_norm(math.inf),
    "square": square(queries=20, image_shape=(2, 2, 3)),
    "square_l2": square(2, 20, (2, 2, 3)),
    "transfer": transfer(fgsm(), models.logits_function(models.Network(12, 16, 4, rngs=nnx.Rngs(5)))),
    "worst_case": worst_case([fgsm(), square(queries=3, image_shape=(2, 2, 3))]),
}
# One rounding of x + δ for |x| < 1, and one of the measured difference.
ROUNDING = 2e-7
attack_names = pytest.mark.parametrize("name", ATTACKS)
run = jax.jit(lambda attack, *arguments: attack(*arguments))


def _answers(network, clean, breaks, poison, images):
    """A network's logits or, if it breaks, poison for every other image as soon as it moves: one compilation."""
    moved = jnp.any(images != clean[: len(images)], axis=1) & (jnp.arange(len(images)) % 2 == 0)
    return jnp.where((breaks & moved)[:, None], poison, network(images))


@pytest.fixture(scope="module")
def classifier(network, images):
    return Partial(_answers, network, images, False, 0.0)


def _goal(attack, labels):
    """The label to leave, or for a targeted attack another one to reach."""
    return (labels + 1) % 4 if attack.targeted else labels


@attack_names
def test_success_is_what_the_classifier_says_of_the_returned_images(name, classifier, network, images, labels, key):
    attack, goal, expected = ATTACKS[name], _goal(ATTACKS[name], labels), []
    for epsilon in (0.02, 0.5):
        result = run(attack, key, classifier, images, goal, epsilon)
        predicted = np.argmax(network(result.images), axis=1)
        expected.append(predicted == goal if attack.targeted else predicted != goal)
        np.testing.assert_array_equal(result.success, expected[-1])
    assert 0 < np.mean(expected) < 1


@attack_names
def test_epsilon_zero_leaves_the_images(name, classifier, images, labels, key):
    result = run(ATTACKS[name], key, classifier, images, _goal(ATTACKS[name], labels), 0.0)
    np.testing.assert_array_equal(result.images, images)
    assert not result.success.any()


@pytest.mark.parametrize("name", [name for name in ATTACKS if not name.startswith("gaussian")])
def test_perturbed_images_stay_in_the_ball_and_in_the_bounds(name, classifier, images, labels, key):
    order = re.search(r"_l(\d)", name)
    norm = int(order[1]) if order else math.inf
    for epsilon in (0.02, 0.4):
        perturbed = run(ATTACKS[name], key, classifier, images, _goal(ATTACKS[name], labels), epsilon).images
        lengths = np.linalg.norm(np.asarray(perturbed - images, np.float64), ord=norm, axis=1)
        # Roundings of x + δ near 1, in 12 pixels.
        assert 0.01 < lengths.max() <= epsilon + 12 * 1.2e-7
        assert perturbed.min() >= 0
        assert perturbed.max() <= 1


@attack_names
def test_an_image_is_attacked_the_same_whatever_its_neighbours(name, classifier, images, labels, key):
    whole = run(ATTACKS[name], key, classifier, images, labels, 0.3)
    others = jnp.concatenate([images[:4], 1 - images[4:]])
    mixed = run(ATTACKS[name], key, classifier, others, jnp.concatenate([labels[:4], labels[4:][::-1]]), 0.3)
    np.testing.assert_array_equal(mixed.images[:4], whole.images[:4])
    np.testing.assert_array_equal(mixed.success[:4], whole.success[:4])


def test_an_image_meets_the_same_noise_in_a_batch_of_any_length(classifier, images, labels, key):
    whole, part = (run(gaussian(), key, classifier, images[:n], labels[:n], 0.3).images for n in (20, 3))
    np.testing.assert_array_equal(part, whole[:3])


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("transfer", "pgd_targeted")])
def test_a_vanished_gradient_is_flagged_and_moves_nothing(name, dead_network, images, key):
    labels = jnp.argmax(dead_network(images), axis=1)
    dead = Partial(_answers, dead_network, images, False, 0.0)
    result = run(ATTACKS[name], key, dead, images, _goal(ATTACKS[name], labels), 0.1)
    assert not result.success.any()
    assert np.isfinite(result.images).all()
    if name.startswith(("gaussian", "square")):
        assert not result.gradient_vanished.any()
        return
    assert result.gradient_vanished.all()
    if name not in ("pgd_random", "worst_case"):
        np.testing.assert_array_equal(result.images, images)


@pytest.mark.parametrize("name", [name for name in ATTACKS if name not in ("transfer", "pgd_targeted")])
def test_logits_that_are_not_finite_are_never_a_success(name, classifier, network, images, labels, key):
    healthy = run(ATTACKS[name], key, classifier, images, labels, 0.5)
    for poison in (np.nan, np.inf, -np.inf):
        broken = Partial(_answers, network, images, True, poison)
        result = run(ATTACKS[name], key, broken, images, labels, 0.5)
        assert not result.success[::2].any()
        assert np.isfinite(result.images).all()
        np.testing.assert_array_equal(result.success[1::2], healthy.success[1::2])
    assert healthy.success.any()


def test_certainty_does_not_mask_the_gradient(images, key):
    """Scaling the logits scales the log odds: at 1000 nats of certainty the attack is what it is at 1."""
    weights = np.random.default_rng(5).normal(size=(12, 2)).astype(np.float32)
    labels = jnp.argmax(images @ weights, axis=1)
    sure = [
        run(fgsm(), key, Partial(lambda w, x: x @ w, scale * weights), images, labels, 0.1) for scale in (1.0, 1000.0)
    ]
    np.testing.assert_array_equal(sure[0].images, sure[1].images)
    assert not sure[1].gradient_vanished.any()


def test_a_gradient_that_is_not_finite_is_flagged(network, images, labels, key):
    def square_root_at_zero(moved):
        return network(moved) + jnp.sqrt(jnp.abs(moved - images)).sum(axis=1, keepdims=True) * jnp.arange(4)

    result = run(fgsm(), key, Partial(square_root_at_zero), images, labels, 0.1)
    assert result.gradient_vanished.all()
    np.testing.assert_array_equal(result.images, images)


def test_gaussian_direction_is_fixed_over_epsilon(classifier, images, labels, key):
    directions = [
        (run(gaussian(), key, classifier, images, labels, epsilon, index).images - images) / epsilon
        for index, epsilon in enumerate((0.5, 1.0, 4.0))
    ]
    for direction in directions[1:]:
        # Rounding of x + ε N and of the difference, with values up to 4 · 4.
        np.testing.assert_allclose(direction, directions[0], atol=4e-6)
    other = run(gaussian(), jax.random.key(8), classifier, images, labels, 0.5).images
    assert not np.allclose(other, images + 0.5 * directions[0], atol=0.1)


def test_published_gaussian_draws_anew_at_every_epsilon(classifier, images, labels, key):
    attack = gaussian(protocol="published")
    draws = [np.ravel(run(attack, key, classifier, images, labels, 1.0, i).images - images) for i in range(3)]
    correlation = np.corrcoef(draws)
    # 240 normal numbers each: five standard errors of a correlation.
    assert np.abs(correlation[np.triu_indices(3, 1)]).max() < 5 / np.sqrt(draws[0].size)


def test_gaussian_noise_is_standard_normal_and_differs_between_images(key):
    blank = jnp.zeros((200, 50))
    attack = gaussian()
    noise = np.asarray(run(attack, key, Partial(lambda x: x), blank, jnp.zeros(200, int), 2.0).images) / 2
    # Mean and variance of 10 000 draws, five standard errors each.
    assert abs(noise.mean()) < 5 / 100
    assert abs(noise.var() - 1) < 5 * np.sqrt(2) / 100
    assert np.abs(np.corrcoef(noise)[np.triu_indices(200, 1)]).max() < 6 / np.sqrt(50)


@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_on_a_linear_model_moves_by_the_sign_of_the_weights(targeted, key):
    """Two classes, logits (w·x, 0): the loss of class 0 falls along w, whatever the image."""
    weights = jnp.array([0.5, -2.0, 0.0, 1.0])

    def linear(images):
        return jnp.stack([images @ weights, jnp.zeros(len(images))], axis=1)

    images = jnp.array([[0.5, 0.5, 0.5, 0.95], [0.05, 0.5, 0.0, 0.5]])
    result = fgsm(targeted=targeted)(key, linear, images, jnp.zeros(2, int), 0.1)
    sign = 1 if targeted else -1
    expected = np.clip(images + sign * 0.1 * np.sign(weights), 0, 1)
    np.testing.assert_allclose(result.images, expected, atol=ROUNDING)
    np.testing.assert_array_equal(result.images[:, 2], images[:, 2])


@pytest.mark.parametrize("epsilon", [-0.1, float("nan"), float("inf"), 1e300, [0.1, 0.2]])
def test_an_epsilon_out_of_range_is_refused(epsilon, network, images, labels, key):
    with pytest.raises(ValueError, match="epsilon"):
        fgsm()(key, network, images, labels, np.asarray(epsilon))


def test_batches_of_the_wrong_kind_are_refused(network, images, labels, key):
    for wrong_images in (images[0], images.reshape(20, 3, 4), jnp.ones((20, 12), int)):
        with pytest.raises(ValueError, match="images must be"):
            fgsm()(key, network, wrong_images, labels, 0.1)
    for wrong_labels in (labels[:-1], labels.astype(float), labels[:, None]):
        with pytest.raises(ValueError, match="labels must be"):
            fgsm()(key, network, images, wrong_labels, 0.1)


@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.0, 0.0), (0.0, math.nan), (0.0, math.inf)])
@pytest.mark.parametrize("build", [fgsm, gaussian, pgd, apgd, minimum_norm, square])
def test_bounds_that_are_not_a_range_are_refused(build, bounds):
    with pytest.raises(ValueError, match="bounds"):
        build(bounds=bounds)


@pytest.mark.parametrize(
    ("build", "name", "value"),
    [
        (gaussian, "protocol", "redrawn"),
        *((build, name, 0) for build in (pgd, apgd, minimum_norm) for name in ("steps", "norm")),
        *((build, "restarts", 0) for build in (apgd, square)),
        *((build, "targets", 0) for build in (apgd, minimum_norm)),
        *((build, "norm", 1) for build in (apgd, minimum_norm, square)),
        (pgd, "norm", 0.5),
        (pgd, "step_size", 0.0),
        (pgd, "step_size", math.nan),
        (apgd, "norm", math.nan),
        (apgd, "loss", "hinge"),
        (square, "queries", 0),
        (square, "p_init", 0.0),
        (square, "p_init", math.nan),
        (square, "image_shape", (32, 0, 3)),
    ],
)
def test_settings_out_of_range_are_refused(build, name, value):
    with pytest.raises(ValueError, match="hinge" if name == "loss" else name):
        build(**{name: value})


@pytest.mark.parametrize(
    ("build", "name", "value"),
    [
        (pgd, "step_size", np.float32(-0.01)),
        (pgd, "step_size", np.float32("nan")),
        *((build, "steps", 2.9) for build in (pgd, apgd, minimum_norm, autoattack)),
        *((build, "restarts", 1.5) for build in (apgd, square)),
        *((build, "targets", 1.5) for build in (apgd, minimum_norm)),
        (square, "queries", np.float64(9.5)),
    ],
)
def test_numbers_of_numpy_are_looked_at_and_counts_are_not_rounded(build, name, value):
    needed = {"norm": 2, "epsilon": 0.1} if build is autoattack else {}
    with pytest.raises(ValueError, match=name):
        build.__wrapped__(**needed, **{name: value})  # past the types that tests check


def test_counts_and_steps_of_numpy_are_those_of_python():
    of_numpy = pgd.__wrapped__(2, np.int64(5), np.float32(0.25))
    assert jax.tree.structure(of_numpy) == jax.tree.structure(pgd(2, 5, 0.25))  # what shares a compilation


@pytest.mark.parametrize(("random_start", "restarts", "named"), [(True, 0, "restarts"), (False, 2, "random_start")])
def test_restarts_of_descent_are_some_and_need_a_random_start(random_start, restarts, named):
    with pytest.raises(ValueError, match=named):
        pgd(random_start=random_start, restarts=restarts)


@pytest.mark.parametrize(
    "build",
    [
        lambda source: fgsm(),
        lambda source: pgd(norm=2, steps=2),
        lambda source: apgd(2, 3),
        lambda source: minimum_norm(2, 3),
        lambda source: square(queries=3, image_shape=(2, 2, 3)),
        lambda source: transfer(pgd(), source),
        lambda source: worst_case([fgsm(), pgd()]),
    ],
    ids=["fgsm", "pgd", "apgd", "minimum_norm", "square", "transfer", "worst_case"],
)
def test_equal_settings_share_one_trace_whatever_the_models_and_epsilons(build, images, labels, key):
    traces = []

    @jax.jit
    def counted(attack, *arguments):
        traces.append(attack)
        return attack(*arguments)

    several = [models.logits_function(models.Network(12, 16, 4, rngs=nnx.Rngs(seed))) for seed in range(3)]
    for source, target, epsilon in zip(several, several[::-1], (0.1, 0.2, 0.3), strict=True):
        counted.eval_shape(build(source), key, target, images, labels, epsilon)
    assert len(traces) == 1
