"""The estimate of a run's duration: exact products where they can be counted, and what it learns from done tasks."""

import dataclasses

import pytest

from experiments.engine.estimate import OVERHEAD_SECONDS, Estimate, in_words, products
from experiments.plan import STAGES, Plan
from experiments.settings.presets import PRESETS
from experiments.study import Study


@pytest.fixture
def study_of(digits, tmp_path):
    def make(preset="smoke", **changes):
        return Study(preset, dataclasses.replace(PRESETS[preset], **changes), digits, tmp_path)

    return make


def test_a_training_is_its_products_with_every_image(study_of):
    study = study_of()
    plan, train = Plan(study), len(study.dataset.train_images)
    assert products(plan.layer(0), study) == train * study.settings.layer.epochs
    assert products(plan.model("bp", 0), study) == train * 2 * study.settings.backprop.epochs
    assert products(plan.model("spectral", 0), study) > products(plan.model("l2", 0), study)
    attacked = dataclasses.replace(study.settings.adversarial, steps=3, epochs=4)
    study = study_of(models="adversarial", adversarial=attacked)
    assert products(Plan(study).model("adversarial", 0), study) == train * (2 + 2 * 3) * 4


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_counts_and_more_of_it_counts_more(stage, study_of):
    study = study_of(models="kh,bp,kmeans,bp_matched,adversarial")
    tasks = [task for task in Plan(study).all_tasks() if task.stage == stage]
    assert tasks
    estimate = Estimate(study, product_seconds=1e-6)
    slower = Estimate(study, product_seconds=2e-6)
    small = stage in ("landscape", "boundaries")
    assert (estimate.seconds(tasks) == len(tasks) * OVERHEAD_SECONDS) == small
    assert (slower.seconds(tasks) > estimate.seconds(tasks)) != small


def test_it_learns_how_much_longer_the_tasks_of_a_stage_take(study_of):
    study = study_of()
    plan, estimate = Plan(study), Estimate(study, product_seconds=1e-6)
    first, second, other = plan.model("bp", 0), plan.model("l2", 0), plan.layer(0)
    before = estimate.seconds([second])
    estimate.learn(first, 3 * estimate.seconds([first]))
    assert estimate.seconds([second]) == pytest.approx(3 * before)
    alone = Estimate(study, product_seconds=1e-6).seconds([other])
    assert estimate.seconds([other]) == pytest.approx(3 * alone), "nothing better is known of this stage"
    estimate.learn(other, 1.0)
    assert estimate.seconds([other]) == pytest.approx(1.0)
    assert estimate.seconds([second]) == pytest.approx(3 * before)


def test_the_speed_is_measured_on_this_device(study_of):
    assert 0 < Estimate(study_of()).product_seconds < 1.0


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (61, "61 s"), (600, "10 min"), (36_000, "10.0 h")])
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


def test_the_log_of_a_run_begins_with_its_estimate(smoke):
    lines = smoke.log.splitlines()
    told = [place for place, line in enumerate(lines) if "it will take about" in line]
    assert told
    assert told[0] < next(place for place, line in enumerate(lines) if "layer-0 " in line)
