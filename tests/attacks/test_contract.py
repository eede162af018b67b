"""What holds of every attack alike: its types, its input, how often it is compiled, JAX's strictest modes."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax.tree_util import Partial

from jax_bioadv import models
from jax_bioadv.analysis.critical import critical_search
from jax_bioadv.analysis.masking import masking_outcomes
from jax_bioadv.analysis.robustness import correctly_classified, epsilon_sweep
from jax_bioadv.attacks import (
    apgd,
    fgsm,
    gaussian,
    minimum_norm,
    minimum_norm_perturbations,
    pgd,
    square,
    transfer,
    worst_case,
)
from jax_bioadv.attacks.batch import checked_image_shape

SHAPE, INPUTS, CLASSES, EPSILON = (2, 2, 3), 12, 10, 0.2
KEY = jax.random.key(7)


@functools.cache
def _model(seed=3, power=1.0):
    return models.logits_function(models.Network(INPUTS, 16, CLASSES, power=power, rngs=nnx.Rngs(seed)))


MODEL = _model()
ATTACKS = {
    "gaussian": gaussian(bounds=(0.0, 1.0)),
    "gaussian_published": gaussian(bounds=(0.0, 1.0), protocol="published"),
    "fgsm": fgsm(),
    "fgsm_targeted": fgsm(targeted=True),
    "pgd": pgd(steps=2),
    "pgd_1": pgd(1, 2, clip_each_step=True),
    "pgd_2_random": pgd(2, 2, random_start=True, restarts=2),
    "pgd_3": pgd(3, 2),
    "apgd": apgd(steps=4),
    "apgd_2_dlr": apgd(2, 4, "dlr", restarts=2),
    "apgd_targeted": apgd(steps=4, loss="targeted_dlr", targets=2),
    "minimum_norm": minimum_norm(2, 3),
    "minimum_norm_inf": minimum_norm(math.inf, 3),
    "square": square(queries=4, image_shape=SHAPE),
    "square_2": square(2, 4, SHAPE, restarts=2),
    "transfer": transfer(pgd(steps=2), _model(4)),
    "worst_case": worst_case([fgsm(), square(queries=3, image_shape=SHAPE)]),
}
every_attack = pytest.mark.parametrize("name", ATTACKS)


@pytest.fixture
def images():
    """Sixteenths, which every floating type holds."""
    return np.random.default_rng(1).integers(3, 14, (16, INPUTS)) / 16


@pytest.fixture
def labels(images):
    return np.asarray(MODEL(jnp.asarray(images, jnp.float32))).argmax(axis=1)


def _same(found, expected):
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


@every_attack
def test_images_of_any_floating_type_are_attacked_in_float32(name, images, labels):
    expected = ATTACKS[name](KEY, MODEL, images.astype(np.float32), labels, EPSILON)
    assert expected.images.dtype == jnp.float32
    assert (expected.images != images.astype(np.float32)).any()
    for dtype in (jnp.float16, jnp.bfloat16, np.float64):
        _same(ATTACKS[name](KEY, MODEL, images.astype(dtype), labels.astype(np.uint8), EPSILON), expected)
    # Nor does a caller's jit change that.
    traced = jax.jit(lambda *arguments: ATTACKS[name](*arguments)).eval_shape(
        KEY, MODEL, jnp.asarray(images, jnp.bfloat16), labels, EPSILON
    )
    assert traced.images.dtype == jnp.float32


@every_attack
def test_64_bits_are_64_bits_and_32_stay_32(name, images, labels):
    attack = ATTACKS[name]
    with jax.enable_x64(True):
        found = attack(KEY, MODEL, images, labels, EPSILON)
        assert found.images.dtype == jnp.float64
        assert np.isfinite(found.images).all()
        assert not found.gradient_vanished.any()
        narrow = jax.jit(lambda *arguments: attack(*arguments)).eval_shape(
            KEY, MODEL, jnp.asarray(images, jnp.float32), labels, EPSILON
        )
        assert narrow.images.dtype == jnp.float32


@pytest.mark.parametrize("mode", [jax.enable_x64, jax.debug_nans])
def test_sweeps_and_searches_work_in_jaxs_strict_modes(mode, images, labels):
    def lengths():
        lattice, attack = [EPSILON / 2, EPSILON], minimum_norm(2, 3)
        chosen = correctly_classified(MODEL, images, labels)
        return (
            epsilon_sweep(pgd(2, 2), KEY, MODEL, images[chosen], labels[chosen], lattice).l2,
            critical_search(pgd(2, 2), KEY, MODEL, images[chosen], labels[chosen], lattice).l2,
            minimum_norm_perturbations(attack, KEY, MODEL, images[chosen], labels[chosen]).length,
        )

    expected = lengths()
    with mode(True):
        found = lengths()
    for strict, usual in zip(found, expected, strict=True):
        # What rounding to 32 bits does to lengths of order 0.1, and to the point where bisection ends.
        np.testing.assert_allclose(strict, usual, rtol=2e-3)


def test_weights_of_64_bits_make_images_so_and_half_a_models_logits_are_widened(images, labels):
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), MODEL)
        assert fgsm()(KEY, wide, images.astype(np.float32), labels, EPSILON).images.dtype == jnp.float64
    narrow = Partial(lambda model, images: model(images).astype(jnp.bfloat16), MODEL)
    for attack in (apgd(steps=4), worst_case([fgsm()]), transfer(apgd(steps=4), narrow)):
        assert attack(KEY, narrow, images, labels, EPSILON).images.dtype == jnp.float32


@every_attack
def test_it_finds_the_same_where_jax_stops_at_nan(name, images, labels):
    expected = ATTACKS[name](KEY, MODEL, images, labels, EPSILON)
    with jax.debug_nans(True):
        _same(ATTACKS[name](KEY, MODEL, images, labels, EPSILON), expected)


@every_attack
def test_it_is_compiled_once_for_a_shape_of_model_and_a_size_of_batch(name):
    def run(model, images, labels):
        found = ATTACKS[name](KEY, model, images, labels, 0.1)
        assert found.images.shape == images.shape
        assert found.success.shape == found.gradient_vanished.shape == labels.shape

    _once_per_size(run)


def _once_per_size(run):
    traces = []

    def counted(model, images):
        traces.append(images.shape)
        return model(images)

    for seed, count in enumerate((13, 14, 15, 16)):
        images = np.random.default_rng(seed).uniform(size=(count, INPUTS)).astype(np.float32)
        run(Partial(counted, _model(seed)), images, np.arange(count) % CLASSES)
        if seed == 0:
            first = len(traces)
    assert len(traces) == first > 0


@pytest.mark.parametrize(
    "run",
    [
        lambda *batch: correctly_classified(*batch),
        lambda *batch: epsilon_sweep(fgsm(), KEY, *batch, [0.1]),
        lambda *batch: critical_search(fgsm(), KEY, *batch, [0.1]),
        lambda *batch: minimum_norm_perturbations(minimum_norm(2, 2), KEY, *batch),
    ],
    ids=["correctly_classified", "epsilon_sweep", "critical_search", "minimum_norm_perturbations"],
)
def test_counts_of_images_that_are_near_share_a_compilation(run):
    _once_per_size(run)


@pytest.mark.parametrize("name", ["gaussian", "pgd_2_random", "minimum_norm"])
def test_filling_a_batch_up_changes_nothing_of_its_images(name):
    images = np.random.default_rng(0).uniform(size=(16, INPUTS)).astype(np.float32)
    whole, part = (ATTACKS[name](KEY, MODEL, images[:count], np.arange(count) % CLASSES, 0.1) for count in (16, 13))
    _same(part, [each[:13] for each in whole])


ENTRIES = {
    "attack": lambda attack, *batch: attack(KEY, *batch, EPSILON),
    "epsilon_sweep": lambda attack, *batch: epsilon_sweep(attack, KEY, *batch, [EPSILON]),
    "critical_search": lambda attack, *batch: critical_search(attack, KEY, *batch, [EPSILON]),
    "minimum_norm_perturbations": lambda attack, *batch: minimum_norm_perturbations(minimum_norm(), KEY, *batch),
    "worst_case": lambda attack, *batch: worst_case([attack])(KEY, *batch, EPSILON),
    "transfer": lambda attack, *batch: transfer(attack, _model(4))(KEY, *batch, EPSILON),
    "masking_outcomes": lambda attack, *batch: masking_outcomes(KEY, *batch, EPSILON, image_shape=SHAPE),
}
WRONG = {
    "labels below": (lambda images, labels: (images, labels - labels.max() - 1), "labels must be in"),
    "labels above": (lambda images, labels: (images, np.full_like(labels, CLASSES)), "labels must be in"),
    "labels far above": (lambda images, labels: (images, np.full_like(labels, 2**32)), "labels must be in"),
    "labels as numbers": (lambda images, labels: (images, labels.astype(float)), "labels must be integers"),
    "images as bytes": (lambda images, labels: ((255 * images).astype(np.uint8), labels), "must be floating"),
    "images to 255": (lambda images, labels: (255 * images, labels), "rescale the images"),
    "images from -1": (lambda images, labels: (2 * images - 1, labels), "rescale the images"),
    "images with NaN": (lambda images, labels: (np.where(images == images[0, 0], np.nan, images), labels), "finite"),
    "images too large": (lambda images, labels: (1e300 * images, labels), "finite"),
    "no image": (lambda images, labels: (images[:0], labels[:0]), "no image"),
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("entry", ENTRIES)
def test_what_would_spoil_an_attack_is_refused_at_every_entry(entry, wrong, images, labels):
    spoil, message = WRONG[wrong]
    for attack in (fgsm(), gaussian(bounds=(0.0, 1.0))):
        with pytest.raises(ValueError, match=message):
            ENTRIES[entry](attack, MODEL, *spoil(images, labels))


@every_attack
def test_every_attack_has_the_check(name, images, labels):
    for wrong_images, wrong_labels in ((255 * images, labels), (images, labels - CLASSES)):
        with pytest.raises(ValueError, match=r"rescale|labels must be in"):
            ATTACKS[name](KEY, MODEL, wrong_images, wrong_labels, EPSILON)


def test_labels_that_name_no_logit_are_no_classes_to_be_right_about(images, labels):
    for wrong in (labels - CLASSES, labels + CLASSES):
        with pytest.raises(ValueError, match="labels must be in"):
            correctly_classified(MODEL, images, wrong)
    assert len(correctly_classified(MODEL, images[:0], labels[:0])) == 0


@pytest.mark.parametrize("entry", [each for each in ENTRIES if each != "transfer"])
def test_one_class_is_nothing_to_attack(entry, images, labels):
    one = Partial(lambda model, images: model(images)[:, :1], MODEL)
    with pytest.raises(ValueError, match="at least 2 classes"):
        ENTRIES[entry](fgsm(), one, images, 0 * labels)
    assert len(correctly_classified(one, images, 0 * labels)) == len(images)


@pytest.mark.parametrize("far", [2**32, -(2**31) - 1, 2**32 - 1])
def test_images_whose_indices_would_share_randomness_are_refused(far, images, labels):
    indices = np.arange(-1, len(labels) - 1)
    indices[-1] = far
    with pytest.raises(ValueError, match="image_indices must be integers of 32 bits"):
        epsilon_sweep(fgsm(), KEY, MODEL, images, labels, [EPSILON], image_indices=indices)


def test_an_attack_without_bounds_takes_any_finite_image(images, labels):
    wide = (255 * images - 100).astype(np.float32)
    found = fgsm(bounds=None)(KEY, MODEL, wide, labels, EPSILON)
    # Half a unit in the last place of 255.
    np.testing.assert_allclose(abs(found.images - wide), EPSILON, atol=1e-5)
    with pytest.raises(ValueError, match="finite"):
        fgsm(bounds=None)(KEY, MODEL, images * np.inf, labels, EPSILON)


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (4, 8, 8)])
def test_channels_that_come_first_are_refused(shape):
    height, width, channels = shape[1], shape[2], shape[0]
    with pytest.raises(ValueError, match=rf"image_shape=\({height}, {width}, {channels}\)"):
        square(image_shape=shape)
    square(image_shape=(height, width, channels))


def test_images_have_no_half_rows():
    with pytest.raises(ValueError, match="each an integer"):
        checked_image_shape.__wrapped__((32, 32.5, 3))  # past the types that tests check


def test_a_source_of_other_classes_is_refused(images, labels):
    source = models.logits_function(models.Network(INPUTS, 16, 4, rngs=nnx.Rngs(0)))
    with pytest.raises(ValueError, match="source's logits"):
        transfer(fgsm(), source)(KEY, MODEL, images, labels, EPSILON)
