"""The estimate of a run's duration: exact products where they can be counted, and what it learns from done tasks."""

import dataclasses

import pytest

from experiments.engine import estimate as estimating
from experiments.engine.estimate import OVERHEAD_SECONDS, Estimate, in_words, measure_product, products
from experiments.plan import STAGES
from experiments.settings.presets import PRESETS


@pytest.fixture
def smoke_plan(plan_of):
    return lambda **changes: plan_of(dataclasses.replace(PRESETS["smoke"], **changes))


def test_a_training_is_its_products_with_every_image(smoke_plan):
    plan = smoke_plan()
    settings, train = plan.settings, len(plan.images.dataset.train_images)
    assert products(plan.layer(0), settings.hidden) == train * settings.layer.epochs
    backprop, l2, spectral = (products(plan.model(name, 0), settings.hidden) for name in ("bp", "l2", "spectral"))
    assert backprop == train * 2 * settings.backprop.epochs
    assert spectral > l2
    attacked = dataclasses.replace(settings.adversarial, steps=3, epochs=4)
    plan = smoke_plan(models="adversarial", adversarial=attacked)
    assert products(plan.model("adversarial", 0), settings.hidden) == train * (2 + 2 * 3) * 4


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_counts_and_more_of_it_counts_more(stage, smoke_plan):
    plan = smoke_plan(models="kh,bp,kmeans,bp_matched,adversarial")
    tasks = [task for task in plan.all_tasks() if task.stage == stage]
    assert tasks
    estimate = Estimate(plan.settings, plan.images, product_seconds=1e-6)
    slower = Estimate(plan.settings, plan.images, product_seconds=2e-6)
    small = stage in ("landscape", "boundaries")
    assert (estimate.seconds(tasks) == len(tasks) * OVERHEAD_SECONDS) == small
    assert (slower.seconds(tasks) > estimate.seconds(tasks)) != small


def test_it_learns_how_much_longer_the_tasks_of_a_stage_take(smoke_plan):
    plan = smoke_plan()
    estimate = Estimate(plan.settings, plan.images, product_seconds=1.0)
    first, second, other = plan.model("bp", 0), plan.model("l2", 0), plan.layer(0)
    before = estimate.seconds([second])
    estimate.learn(first, 3 * estimate.seconds([first]))
    assert estimate.seconds([second]) == pytest.approx(3 * before)
    alone = Estimate(plan.settings, plan.images, product_seconds=1.0).seconds([other])
    assert estimate.seconds([other]) == pytest.approx(3 * alone, rel=1e-2), "nothing better is known of this stage"
    estimate.learn(other, 1.0)
    assert estimate.seconds([other]) == pytest.approx(1.0)
    assert estimate.seconds([second]) == pytest.approx(3 * before)


def test_one_short_task_says_little_of_other_stages(smoke_plan):
    """The spectra of the data come first and take many times their few products."""
    plan = smoke_plan()
    estimate, other = Estimate(plan.settings, plan.images, product_seconds=1e-6), [plan.layer(0)]
    before = estimate.seconds(other)
    estimate.learn(plan.data_spectra(), 20.0)
    assert before < estimate.seconds(other) < 1.5 * before


def test_the_speed_is_measured_on_this_device(smoke_plan, monkeypatch):
    plan, clock = smoke_plan(), iter((0.0, 3.0, 10.0, 12.0, 20.0, 25.0))
    monkeypatch.setattr(estimating.time, "perf_counter", lambda: next(clock))
    assert measure_product(plan.settings, plan.images) == 2.0 / plan.settings.backprop.batch_size


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (61, "61 s"), (600, "10 min"), (36_000, "10.0 h")])
def test_durations_in_words(seconds, words):
    assert in_words(seconds) == words


def test_the_log_of_a_run_begins_with_its_estimate(smoke):
    lines = smoke.log.splitlines()
    told = [place for place, line in enumerate(lines) if "it will take about" in line]
    assert told
    assert told[0] < next(place for place, line in enumerate(lines) if "layer-0 " in line)
