"""Data sets of few classes: what they cannot have is left out and told, all else is measured."""

import dataclasses

import numpy as np
import pytest

from experiments.images import Images
from experiments.measuring import threats
from experiments.networks import network_outcome, untrained_network
from experiments.plan import Plan
from experiments.settings.presets import PRESETS
from experiments.threats import THREATS
from jax_bioadv.data import Dataset

SMOKE = PRESETS["smoke"]
EVERY = {"apgd_ce", "apgd_dlr", "apgd_targeted", "square", "minimum_norm"}


@pytest.fixture
def images_of(digits):
    """The digits of the first classes alone."""

    def make(classes):
        train, test = digits.train_labels < classes, digits.test_labels < classes
        few = Dataset(
            f"digits_{classes}",
            *(digits.train_images[train], digits.train_labels[train]),
            *(digits.test_images[test], digits.test_labels[test]),
            *(digits.class_names[:classes], "digits"),
        )
        return Images(few, SMOKE.norm)

    return make


@pytest.mark.parametrize(
    ("classes", "missing"), [(2, {"apgd_dlr", "apgd_targeted"}), (3, {"apgd_targeted"}), (4, set()), (10, set())]
)
def test_what_needs_more_classes_is_left_out_and_told(images_of, classes, missing):
    images = images_of(classes)
    assert set(threats.threat_attacks(images, THREATS["raw_linf"], SMOKE.threats)) == EVERY - missing
    told = threats.left_out(images)
    assert {why.split()[0] for why in told} == missing
    assert all(f"digits_{classes} has {classes}" in why for why in told)


def test_two_classes_are_attacked_by_all_the_others(images_of, tmp_path):
    images = images_of(2)
    few = dataclasses.replace(SMOKE.threats, images=10)
    plan = Plan(dataclasses.replace(SMOKE, hidden=8, models="bp", threats=few), images)
    untrained = network_outcome(untrained_network(images, 8, 0), {}, {})
    outcome = plan.threat("unit_linf", "bp", 0).compute({"model": untrained}, tmp_path)
    made = {name.removeprefix("success/") for name in outcome.arrays} - {"correct"}
    assert made == EVERY - {"apgd_dlr", "apgd_targeted"}


def test_images_that_are_no_pictures_are_not_corrupted_and_all_else_is_measured(digits):
    four = {part: np.repeat(getattr(digits, part), 4, axis=3) for part in ("train_images", "test_images")}
    images = Images(dataclasses.replace(digits, name="four", **four), SMOKE.norm)
    assert threats.left_out(images) == ["corruptions are left out: images have 4 channels, neither 1 nor 3"]
    stages, usual = (
        {task.stage for task in Plan(SMOKE, one).all_tasks()} for one in (images, Images(digits, SMOKE.norm))
    )
    assert usual - stages == {"corruptions"}


def test_one_class_is_refused(images_of):
    with pytest.raises(ValueError, match="has one class"):
        images_of(1)
