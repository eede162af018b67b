"""Networks that users bring: which are refused, before long work and with what to do; what tells one from another."""

import sys
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from brought_cases import Convolutional

from experiments.brought import Brought, Loaded, check, fingerprint, loaded, suspicion
from experiments.engine.command import Place, following_in_pixels
from experiments.engine.tasks import Outcome
from experiments.images import Images, RawImages
from experiments.measuring.brought import has_bounds
from experiments.networks import network_again
from experiments.settings.evaluation import evaluation_preset, in_pixels
from experiments.settings.paths import with_settings
from jax_bioadv.weights import save_state

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def images(digits):
    return RawImages(digits, 3.0)


def brought(name, **options):
    return Brought(f"brought_cases:{name}", SHAPE, **options)


@pytest.mark.parametrize("name", ["Convolutional", "one_hidden_layer", "plain_function"])
def test_a_network_that_can_be_measured_is_taken(name, images):
    network = loaded(brought(name), None)
    check(network, images)
    assert has_bounds(network) == (name == "one_hidden_layer")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nine_classes", r"gives an array of shape \(64, 9\) for 64 images of digits, which has 10 classes"),
        (
            "of_another_size",
            r"cannot take images of shape \(64, 64\), flattened from .*\(8, 8, 1\): reshape them inside",
        ),
        ("broken", "NaN or infinite logits: check its weights"),
        ("constant", "the same logits for all images: were its weights loaded"),
        ("Training", "changes its state when it is called.*use_running_average from the module"),
        ("Dropping", "other logits by itself than among others|changes its state"),
        ("of_its_batch", "other logits by itself than among others: it is in training mode"),
        ("Probable", "gives probabilities.*leave the softmax out"),
    ],
)
def test_one_that_cannot_is_refused(name, message, images):
    with pytest.raises(ValueError, match=message):
        check(loaded(brought(name), None), images)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("no_such_module:build", "there is no module 'no_such_module'; run the command in the folder that holds it"),
        ("brought_cases:absent", "has no function 'absent'; it has .*Convolutional"),
        ("brought_cases:NUMBER", "has no function 'NUMBER'"),
        ("brought_cases", "name a module and a function in it, my_module:build"),
        ("./brought_cases:Convolutional", "name a module and a function in it, my_module:build"),
        ("brought_cases.py:Convolutional", "no module 'brought_cases.py'; write its name without .py"),
        ("brought_cases:needs_arguments", r"needs_arguments\(\) fails, it is called without arguments"),
        ("brought_cases:nothing", r"nothing\(\) gives a NoneType, which maps no images"),
    ],
)
def test_what_makes_none_is_refused(build, message):
    with pytest.raises(ValueError, match=message):
        Brought(build, SHAPE).built()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mean": (0.5,)}, "--mean and --std belong together"),
        ({"mean": (0.5, 0.5), "std": (1.0,)}, "--mean: give one number, or one for each of 1 channels"),
        ({"mean": (0.5,), "std": (0.0,)}, "--std must be positive"),
    ],
)
def test_a_normalisation_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        brought("Convolutional", **options)


def test_pixels_are_normalised_before_the_network_and_its_taps(images):
    network = loaded(Brought("brought_cases:plain_function", (4, 8, 2), (0.1, 0.2), (0.5, 2.0)), None)
    some = images.test[:3]
    by_hand = (np.asarray(some).reshape(3, 32, 2) - [0.1, 0.2]) / [0.5, 2.0]
    expected = loaded(brought("plain_function"), None).logits(jnp.asarray(by_hand.reshape(3, 64), jnp.float32))
    np.testing.assert_allclose(network.logits(some), expected, rtol=1e-5, atol=1e-5)
    tapped = loaded(brought("Convolutional", mean=(0.5,), std=(2.0,)), None).tap("dense")
    plain = loaded(brought("Convolutional"), None).tap("dense")
    np.testing.assert_allclose(tapped(some), plain((some - 0.5) / 2), rtol=1e-5, atol=1e-6)


def test_the_network_of_an_outcome_is_the_one_that_was_kept(images):
    given = loaded(brought("Convolutional", mean=(0.5,), std=(2.0,)), None)
    given.network.dense.kernel[...] += 1.0
    values = {"build": "brought_cases:Convolutional", "image_shape": [8, 8, 1], "mean": [0.5], "std": [2.0]}
    outcome = Outcome({"network": values}, {f"weights/{name}": array for name, array in given.state.items()})
    some = images.test[:2]
    np.testing.assert_array_equal(network_again(outcome).logits(some), given.logits(some))


def test_weights_are_for_modules(tmp_path):
    save_state(Convolutional(), tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"--weights are for an nnx\.Module, and .*plain_function\(\) gives"):
        loaded(brought("plain_function"), tmp_path / "a.npz")


MODULE = """
from flax import nnx
from beside_it import WIDTH

def build():
    '''A doc.'''
    return nnx.Linear(64, 10, rngs=nnx.Rngs(WIDTH))

def other():
    return 1
"""


@pytest.fixture
def code_of(tmp_path, monkeypatch):
    """The digest of the code of a module and of one beside it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def digest(module=MODULE, beside="WIDTH = 3", unused="1"):
        for name, text in (("user_module", module), ("beside_it", beside), ("not_used", unused)):
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        return Brought("user_module:build", SHAPE).code

    yield digest
    for name in ("user_module", "beside_it"):
        sys.modules.pop(name, None)


def test_its_code_is_that_of_its_module_and_of_those_beside_it_that_it_uses(code_of):
    first = code_of()
    assert code_of(MODULE.replace("A doc", "Another")) == first
    assert code_of(MODULE.replace("return 1", "return 2")) == first
    assert code_of(unused="2") == first
    assert code_of(MODULE.replace("64, 10", "64, 11")) != first
    assert code_of(beside="WIDTH = 4") != first


PARTIAL = """
from functools import partial
from beside_it import WIDTH

def make(depth):
    return WIDTH

build = partial(make, depth=3)
"""


def test_a_partial_application_counts_with_what_it_is_made_of(code_of):
    first = code_of(PARTIAL)
    assert code_of(PARTIAL) == first
    assert len({first, code_of(PARTIAL.replace("=3", "=4")), code_of(PARTIAL, beside="WIDTH = 4")}) == 3


def test_a_module_that_is_a_link_counts_as_it_is_written(tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "linked").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "linked"))
    (tmp_path / "linked" / "linked_module.py").symlink_to(tmp_path / "elsewhere" / "version_1.py")
    digests = []
    for width in (3, 4):
        (tmp_path / "elsewhere" / "version_1.py").write_text(f"def build():\n    return {width}")
        sys.modules.pop("linked_module", None)
        digests.append(Brought("linked_module:build", SHAPE).code)
    sys.modules.pop("linked_module")
    assert digests[0] != digests[1]


def test_one_that_guesses_is_suspected(images):
    network = loaded(brought("Convolutional"), None)
    assert "about as many as guessing: does it take --input unit, pixels normalised" in suspicion(network, images)
    clusters = np.stack([np.asarray(images.test)[images.test_labels == label].mean(0) for label in range(10)])

    def nearest(some):
        return some @ clusters.T - (clusters**2).sum(1) / 2

    assert suspicion(Loaded(brought("plain_function"), nearest), images) is None


@pytest.mark.parametrize(("right", "suspected"), [(0.51, True), (0.7, False)])
def test_of_two_classes_guessing_is_one_half(right, suspected):
    labels = (np.arange(100) >= 100 * right).astype(int)
    images = SimpleNamespace(test=np.zeros((100, 2), np.float32), test_labels=labels, classes=2, space="raw")

    def first_class(some):
        return jnp.tile(jnp.array([1.0, 0.0]), (len(some), 1))

    assert (suspicion(Loaded(brought("plain_function"), first_class), images) is not None) == suspected


def test_weights_and_answers_tell_networks_apart(images):
    first, second = (loaded(brought("Convolutional"), None) for _ in range(2))
    assert fingerprint(first, images) == fingerprint(second, images)
    second.network.head.bias[...] += 1.0
    other = fingerprint(second, images)
    assert all(other[key] != fingerprint(first, images)[key] for key in ("weights", "answers"))


def test_lengths_of_raw_pixels_are_those_of_unit_norm_images_times_the_norm(images, digits):
    unit = Images(digits, 3.0)
    np.testing.assert_allclose(
        np.asarray(unit.test) * images.test_norms[:, None], np.asarray(images.test), rtol=1e-5, atol=1e-6
    )
    plain = evaluation_preset("smoke")
    scaled = in_pixels(plain, 2.0, plain, plain)
    assert scaled.attacks.gradient_high == 2 * plain.attacks.gradient_high
    assert scaled.boundaries.radii == tuple(2 * radius for radius in plain.boundaries.radii)
    assert scaled.threats == plain.threats
    given = with_settings(plain, {"smoothness.radius": 0.3})
    assert in_pixels(given, 2.0, given, plain).smoothness.radius == 0.3
    assert in_pixels(given, 2.0, given, plain).boundaries == scaled.boundaries
    assert following_in_pixels(Place("smoke", as_given=True), plain, images, plain) is plain
    followed = following_in_pixels(Place("smoke"), given, images, plain)
    assert followed == in_pixels(given, images.typical_norm, given, plain) != given
    assert images.identity != unit.identity
    noise = images.noise(50)
    assert abs(noise.mean() - np.asarray(images.test).mean()) < 0.05  # 3 200 numbers of variance 0.14: error 0.007
