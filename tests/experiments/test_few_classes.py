"""Data sets of few classes: what they cannot have is left out and told, all else is measured."""

import dataclasses

import pytest

from experiments.engine.tasks import Outcome
from experiments.measuring import threats
from experiments.settings.presets import PRESETS
from experiments.study import Study, weights
from jax_bioadv.data import Dataset

EVERY = {"apgd_ce", "apgd_dlr", "apgd_targeted", "square", "minimum_norm"}


@pytest.fixture
def study_of(digits, tmp_path):
    """The digits of the first classes alone."""

    def make(classes):
        train, test = digits.train_labels < classes, digits.test_labels < classes
        few = Dataset(
            f"digits_{classes}",
            *(digits.train_images[train], digits.train_labels[train]),
            *(digits.test_images[test], digits.test_labels[test]),
            *(digits.class_names[:classes], "digits"),
        )
        settings = dataclasses.replace(PRESETS["smoke"], hidden=8)
        settings = dataclasses.replace(
            settings, threats=dataclasses.replace(settings.threats, images=10, control_images=10)
        )
        return Study("smoke", settings, few, tmp_path)

    return make


@pytest.mark.parametrize(
    ("classes", "missing"), [(2, {"apgd_dlr", "apgd_targeted"}), (3, {"apgd_targeted"}), (4, set()), (10, set())]
)
def test_what_needs_more_classes_is_left_out_and_told(study_of, classes, missing):
    study = study_of(classes)
    assert set(threats.threat_attacks(study, threats.threat_of(study, "raw_linf"))) == EVERY - missing
    told = threats.left_out(study)
    assert {why.split()[0] for why in told} == missing
    assert all(f"digits_{classes} has {classes}" in why for why in told)


def test_two_classes_are_attacked_by_all_the_others(study_of):
    study = study_of(2)
    untrained = Outcome({}, weights(study.untrained_network("bp")))
    outcome = threats.run_threat(study, "unit_linf", "bp", 0, None, {"model": untrained})
    made = {name.removeprefix("success/") for name in outcome.arrays} - {"correct"}
    assert made == EVERY - {"apgd_dlr", "apgd_targeted"}
    threats.run_masking(study, "bp", 0, None, {"model": untrained})


def test_one_class_is_refused(study_of):
    with pytest.raises(ValueError, match="has one class"):
        study_of(1)
