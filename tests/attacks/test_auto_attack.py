"""AutoAttack against its parts run one by one, closed forms, interruptions and classifiers that fool it."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from jax_bioadv.attacks import autoattack
from jax_bioadv.attacks.auto_attack_outcome import PartOutcome, classifier_flags, outcome_flags, same_logits
from jax_bioadv.storage import StorageError, read_json

SHAPE = (2, 2, 3)
EPSILON = 0.05
# All blocks are then of 20, a sixteenth, and all tests of one network share four programs.
BLOCK = 320
ATTACK = autoattack(math.inf, EPSILON, image_shape=SHAPE, steps=4, targets=2, queries=20)


def _as(found):
    """A record but for its seconds."""
    record = found.record()
    return {**record, "parts": {n: {k: v for k, v in p.items() if k != "seconds"} for n, p in record["parts"].items()}}


def _rounded(network, rounds, images):
    """If it rounds, steps at eighths: no gradient anywhere, and scores that move when a pixel crosses one."""
    return network(jnp.where(rounds, jnp.round(8 * images) / 8, images))


def _case(rounds, network, images):
    """A classifier, images and labels, three of them wrong; one that rounds falls to random changes alone."""
    logits = Partial(_rounded, network, rounds)
    labels = np.array(jnp.argmax(logits(images), axis=1))
    labels[:3] = (labels[:3] + 1) % 4
    return logits, images, labels


@pytest.fixture
def some_wrong(labels):
    return np.asarray(labels.at[:3].set((labels[:3] + 1) % 4))


@pytest.fixture
def attacked(network, images, some_wrong, key):
    smooth = Partial(_rounded, network, False)

    def run(attack=ATTACK, logits=smooth, images=images, labels=some_wrong, key=key, **options):
        return attack(key, logits, images, labels, **{"image_block": BLOCK, **options})

    return run


@pytest.mark.parametrize("rounds", [False, True])
def test_every_part_meets_what_the_parts_before_left(rounds, attacked, network, images, key):
    """The parts one by one, each on all images, with the same keys."""
    case = _case(rounds, network, images)
    found, standing = attacked(ATTACK, *case), np.arange(20) >= 3
    np.testing.assert_array_equal(found.correct, standing)
    for number, (name, part) in enumerate(ATTACK.parts(classes=4).items()):
        alone = part.attack(jax.random.fold_in(key, number), *case, EPSILON)
        flipped = standing & np.asarray(alone.success)
        np.testing.assert_array_equal(found.parts[name].attacked, standing)
        np.testing.assert_array_equal(found.parts[name].flipped, flipped)
        # Products of other shapes round otherwise.
        np.testing.assert_allclose(found.images[flipped], alone.images[flipped], atol=1e-6)
        standing = standing & ~flipped
    np.testing.assert_array_equal(found.robust, standing)
    assert 0 < found.robust_accuracy < found.clean_accuracy == 0.85
    assert set(found.flags) == ({"zero_gradients", "black_box"} if rounds else set())


def test_flipped_images_are_in_the_ball_and_wrong_and_the_others_untouched(attacked, network, images, some_wrong):
    found = attacked()
    flipped = found.correct & ~found.robust
    np.testing.assert_array_equal(found.images[~flipped], images[~flipped])
    assert np.abs(found.images - images).max() <= EPSILON * (1 + 1e-6)
    assert (np.argmax(network(jnp.asarray(found.images)), axis=1) != some_wrong)[flipped].all()


def test_the_record_is_json_and_adds_up(attacked):
    found = attacked(image_indices=np.arange(100, 120))
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    parts = record["parts"]
    assert list(parts) == ["apgd_ce", "apgd_targeted", "minimum_norm", "square"]
    flipped = [index for part in parts.values() for index in part["flipped"]]
    assert sorted(record["misclassified"] + flipped + record["robust"]) == list(range(100, 120))
    assert record["robust_accuracy"] == len(record["robust"]) / 20 == parts["square"]["robust_accuracy"]
    attacked_then = [part["attacked"] for part in parts.values()]
    left = [part["attacked"] - len(part["flipped"]) for part in parts.values()]
    assert attacked_then[1:] == left[:-1]
    assert [(part["gradients"], part["queries"]) for part in parts.values()] == [(4, 0), (8, 0), (12, 0), (0, 20)]
    budget = {"steps": 4, "targets": 2, "queries": 20}
    assert record["settings"] == {"norm": "linf", "epsilon": 0.05, "image_shape": [2, 2, 3], "bounds": [0, 1], **budget}


@pytest.mark.parametrize("rounds", [False, True])
def test_an_image_meets_the_same_attack_wherever_it_stands(rounds, attacked, network, images):
    order = np.random.default_rng(0).permutation(20)
    logits, images, labels = _case(rounds, network, images)
    here = attacked(ATTACK, logits, images, labels)
    moved = attacked(ATTACK, logits, images[order], labels[order], image_indices=order)
    np.testing.assert_array_equal(moved.robust, here.robust[order])
    np.testing.assert_allclose(moved.images, here.images[order], atol=1e-6)


def test_of_two_linear_classes_stands_what_is_farther_than_epsilon(key):
    random = np.random.default_rng(0)
    weights, images = (random.normal(size=size).astype(np.float32) for size in ((12, 2), (40, 12)))
    logits = images.astype(np.float64) @ weights
    distance = np.abs(logits[:, 0] - logits[:, 1]) / np.linalg.norm(weights[:, 0] - weights[:, 1])
    epsilon = float(np.median(distance))
    attack = autoattack(2, epsilon, image_shape=SHAPE, bounds=None, steps=3, queries=3)
    found = attack(key, Partial(_linear, weights), images, logits.argmax(axis=1), image_block=640)
    assert list(found.parts) == ["apgd_ce", "minimum_norm", "square"]
    clear = np.abs(distance / epsilon - 1) > 1e-5  # beyond the rounding of float32
    np.testing.assert_array_equal(found.robust[clear], (distance > epsilon)[clear])
    assert list(found.flags) == ["few_classes"]


def _linear(weights, images):
    return images @ weights


def test_fewer_classes_have_fewer_targets_and_another_ratio():
    attack = autoattack(2, 1.0)
    standard = {"apgd_ce": (100, 0), "apgd_targeted": (900, 0), "minimum_norm": (910, 0), "square": (0, 5000)}
    assert {name: part[1:] for name, part in attack.parts(classes=10).items()} == standard
    assert attack.parts(classes=1000)["apgd_targeted"].gradients == 900
    assert attack.parts(classes=5)["apgd_targeted"].gradients == 400
    assert [list(attack.parts(classes)) for classes in (2, 3)] == [
        ["apgd_ce", "minimum_norm", "square"],
        ["apgd_ce", "apgd_dlr", "minimum_norm", "square"],
    ]


# --- programs ---


def test_nothing_is_compiled_anew_for_other_survivors_epsilons_or_weights(attacked, images):
    """Every program asks for the logits while it is traced."""
    traced = []

    def counted(weights, images):
        traced.append(len(images))
        return images @ weights

    weights = np.random.default_rng(1).normal(size=(3, 12, 4)).astype(np.float32)
    attack, counts = ATTACK._replace(steps=1, targets=1, queries=2), []
    for each, epsilon, count in zip(weights, (0.01, 0.02, 0.3), (20, 17, 5), strict=True):
        labels = np.asarray(images[:count] @ each).argmax(axis=1)
        found = attacked(attack._replace(epsilon=epsilon), Partial(counted, each), images[:count], labels)
        assert found.parts["square"].attacked.any() == (epsilon < 0.3)
        counts.append(len(traced))
    assert set(traced) == {1, 20}  # one image only to know the classes
    assert counts[0] == counts[1] == counts[2]


# --- interruptions ---


def test_it_goes_on_after_the_last_part_that_was_done(attacked, tmp_path):
    def stopping(part, done, of):
        if part == "minimum_norm":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attacked(folder=tmp_path / "new", progress=stopping)
    seen = []
    found = attacked(folder=tmp_path / "new", progress=lambda *what: seen.append(what))
    assert [part for part, _, _ in seen] == ["minimum_norm", "square"]
    left = found.parts["minimum_norm"].attacked.sum()
    assert seen[0] == ("minimum_norm", left, left)
    assert read_json(tmp_path / "new" / "record.json") == found.record()
    assert _as(found) == _as(attacked())
    np.testing.assert_array_equal(found.images, attacked().images)
    again = attacked(folder=tmp_path / "new", progress=lambda *what: pytest.fail("it is done"))
    assert again.record() == found.record()


def test_a_folder_of_something_else_is_refused(attacked, network, images, some_wrong, tmp_path):
    attacked(folder=tmp_path, labels=(some_wrong + 1) % 4)  # hardly one is right, which is quick
    for what, changed in {
        "settings": {"attack": ATTACK._replace(epsilon=0.06)},
        "key": {"key": jax.random.key(8)},
        "images": {"images": images.at[3, 3].add(0.01)},
        "labels": {},
        "image indices": {"image_indices": np.arange(1, 21)},
        "classifier": {"logits": Partial(_shifted, network)},
    }.items():
        given = {} if what == "labels" else {"labels": (some_wrong + 1) % 4}
        with pytest.raises(ValueError, match=rf"other {what}; choose another folder"):
            attacked(folder=tmp_path, **given, **changed)


def _shifted(network, images):
    return network(images) + jnp.arange(4) / 100


def test_a_broken_file_is_named(attacked, tmp_path):
    attacked(folder=tmp_path)
    (tmp_path / "apgd_ce.npz").write_bytes(b"PK")
    with pytest.raises(StorageError, match=r"apgd_ce.npz.*Delete it"):
        attacked(folder=tmp_path)


# --- flags ---


def test_masked_gradients_are_flagged(attacked, network, images, caplog):
    found = attacked(ATTACK, *_case(True, network, images))
    assert set(found.flags) == {"zero_gradients", "black_box"}
    assert found.parts["square"].flipped.any()
    assert [entry.levelname for entry in caplog.records] == ["WARNING"] * 2


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        ("from outside", "randomised"),
        ("by place", "randomised"),
        ("neighbours", "randomised"),
        ("softmax", "probabilities"),
    ],
)
def test_a_classifier_that_is_none_is_flagged(kind, flag, network, attacked, images):
    random = np.random.default_rng(0)

    def logits(images):
        clean = network(images)
        return {
            "from outside": lambda: clean + random.normal(),
            "by place": lambda: clean + jax.random.normal(jax.random.key(0), clean.shape),
            "neighbours": lambda: clean - clean.mean(axis=0),
            "softmax": lambda: jax.nn.softmax(clean),
        }[kind]()

    never_right = np.asarray(logits(images)).argmin(axis=1)
    found = attacked(logits=logits, labels=never_right)
    assert list(found.flags) == [flag]
    assert found.clean_accuracy == found.robust_accuracy == 0


def test_rounding_and_scale_are_no_randomness():
    logits = np.random.default_rng(0).normal(size=(50, 10)) * 1e4
    assert same_logits(logits, logits * (1 + 1e-6))
    assert not same_logits(logits, logits * (1 + 1e-3 * (np.arange(10) == 3)))
    assert classifier_flags(logits, logits, logits) == {}


@pytest.mark.parametrize(("flipped", "images", "flagged"), [(2, 1000, False), (3, 1000, True), (0, 10, False)])
def test_more_than_two_in_a_thousand_by_scores_alone_are_flagged(flipped, images, flagged):
    never = np.zeros(images, bool)
    by_scores = PartOutcome(~never, np.arange(images) < flipped, never, 0.0, 0, 1)
    assert ("black_box" in outcome_flags({"square": by_scores})) == flagged


# --- bad input ---


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"norm": 1}, "norm must be 2 or infinity"),
        ({"epsilon": 0.0}, "epsilon must be finite and positive"),
        ({"epsilon": math.nan}, "epsilon must be finite and positive"),
        ({"steps": 0}, "steps"),
        ({"targets": 0}, "targets"),
        ({"queries": 0}, "queries"),
        ({"bounds": (1.0, 0.0)}, "bounds"),
        ({"image_shape": (3, 32, 32)}, "channels first"),
    ],
)
def test_settings_out_of_range_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        autoattack(**{"norm": 2, "epsilon": 0.5, **settings})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"images": np.zeros((20, 6), np.float32), "logits": Partial(lambda images: images[:, :4])},
            "cannot be of shape",
        ),
        ({"images": np.full((20, 12), 1.5, np.float32)}, "rescale"),
        ({"labels": np.full(20, 4)}, "labels must be in 0 … 3"),
        ({"image_indices": np.arange(19)}, "one integer per image"),
        ({"logits": Partial(lambda images: images[:, :1])}, "at least 2 classes"),
        ({"logits": Partial(lambda images: jnp.log(images[:, :4] - images[:, :1]))}, "not finite"),
    ],
)
def test_input_that_makes_no_sense_is_refused_before_anything_is_attacked(options, says, attacked, tmp_path):
    options = {"labels": np.zeros(20, int), **options}
    with pytest.raises(ValueError, match=says):
        attacked(**options, folder=tmp_path, progress=lambda *what: pytest.fail("it has begun"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("epsilon", [1e39, 1e-50])
def test_an_epsilon_that_is_none_in_the_images_precision_is_refused(epsilon, network, images, labels, key):
    with pytest.raises(ValueError, match="finite as float32 too"):
        ATTACK._replace(epsilon=epsilon)(key, network, images, labels)


def test_a_block_of_no_image_is_refused(network, images, labels, key):
    with pytest.raises(ValueError, match="image_block"):
        ATTACK(key, network, images, labels, image_block=0)
