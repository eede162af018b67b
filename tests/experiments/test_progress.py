"""How far a run is told to be: counts of the stage at work, times that add up, and a sign of life in long tasks."""

import io
import re
import time
from types import SimpleNamespace

import pytest

from experiments.engine import progress, running, tasks
from experiments.engine.estimate import Estimate
from experiments.engine.ledger import Ledger
from experiments.engine.progress import Progress
from experiments.engine.tasks import Outcome, Task
from experiments.images import Images
from experiments.plan import Plan
from experiments.settings.presets import PRESETS


@pytest.fixture
def plan(digits):
    return Plan(PRESETS["smoke"], Images(digits, 3.0))


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 1000.0

    monkeypatch.setattr(progress.time, "monotonic", lambda: Clock.now)
    return Clock


@pytest.fixture
def begun(plan, clock):
    """The layer and the networks of the smoke preset, of which nothing is done."""
    tasks = [plan.layer(0), plan.model("bp", 0), plan.model("l2", 0), plan.jacobian("bp", 0)]
    return Progress(tasks, tasks, Estimate(plan.settings, plan.images, product_seconds=1e-6)), tasks


def test_a_line_says_the_stage_at_work_and_the_times_of_the_run(begun, clock):
    progress, tasks = begun
    whole = progress.left()
    clock.now += 60
    progress.done(tasks[0], 60.0)
    clock.now += 120
    progress.done(tasks[1], 120.0)
    assert re.fullmatch(r"train: 1 of 2 tasks, 3 min spent, about \d+ (s|min) left", progress.line())
    assert progress.left() > whole, "they took longer than was thought"
    for task in tasks[2:]:
        progress.done(task, 1.0)
    assert progress.left() == 0
    assert progress.line() == "all tasks done, 3 min spent"


def test_tasks_side_by_side_leave_a_share_of_the_time(begun, clock):
    alone, tasks = begun
    beside = Progress(tasks, tasks, alone.estimate, side_by_side=4)
    assert beside.left() == pytest.approx(alone.left() / 4)
    assert beside.line().startswith(f"0 of {len(tasks)} tasks, ")
    beside.done(tasks[-1], None)
    assert beside.line().startswith(f"1 of {len(tasks)} tasks, ")


def test_time_left_falls_while_a_task_works_but_not_below_the_tasks_behind_it(begun, clock):
    progress, tasks = begun
    for task in tasks[:2]:
        progress.done(task, 100.0)
    before, behind = progress.left(), progress.estimate.seconds(tasks[3:])
    clock.now += 10
    assert progress.left() == pytest.approx(before - 10)
    clock.now += 10_000
    assert progress.left() == pytest.approx(behind)


def test_a_task_at_work_says_how_far_it_is_and_how_long_that_will_take(begun, clock):
    """Also where it takes longer than was thought, and where an earlier run has made a part of it."""
    progress, _ = begun
    thought = progress.left()
    with tasks.progress("train layer-0", 1000, "epoch") as advance:
        assert progress.left() == thought
        advance(600)
        clock.now += 10 * thought
        advance(100)
        assert progress.left() == pytest.approx(30 * thought)
        assert progress.line().startswith("layer: 0 of 1 tasks (train layer-0: epoch 700 of 1000), ")
    assert progress.left() < thought
    assert "epoch" not in progress.line()


def test_what_was_done_before_or_is_not_of_the_run_is_not_counted(plan, clock):
    tasks = [plan.model(model, 0) for model in ("bp", "l2", "jacobian")]
    progress = Progress(tasks, tasks[1:], Estimate(plan.settings, plan.images, product_seconds=1e-6))
    assert progress.line().startswith("train: 1 of 3 tasks")
    progress.done(plan.layer(0), 1e6)
    assert progress.line().startswith("train: 1 of 3 tasks")
    assert progress.left() < 1e3


def test_what_failed_or_diverged_says_nothing_of_how_long_tasks_take(plan, clock, tmp_path):
    def fails(work):
        raise MemoryError

    def blocked(work):
        pytest.fail("it needs one that failed")

    failing = Task("failing", "train", fails, plan.images, "highest", {})
    needing = Task("needing", "train", blocked, plan.images, "highest", {}, {"model": failing})
    last = plan.model("bp", 0)
    tasks, ledger = [failing, needing, last], Ledger(tmp_path)
    progress = Progress(tasks, tasks, Estimate(plan.settings, plan.images, product_seconds=1e-6))
    before, ledger.listener = progress.estimate.seconds([last]), progress.done
    ledger.complete(needing)
    assert progress.line().startswith("train: 2 of 3 tasks")
    assert progress.estimate.seconds([last]) == before


def test_what_diverged_in_an_earlier_run_says_nothing_either(plan, clock, tmp_path):
    def diverges(work):
        return Outcome({"diverged": "broken: loss is nan"})

    broken = Task("broken", "train", diverges, plan.images, "highest", {})
    last, ledger = plan.model("bp", 0), Ledger(tmp_path)
    ledger.complete(broken)
    estimate = Estimate(plan.settings, plan.images, product_seconds=1e-6)
    before = estimate.seconds([last])
    with running.telling(ledger, [broken, last], [last], lambda: estimate) as learned:
        assert learned.seconds([last]) == before


@pytest.fixture
def slow_task(plan):
    """A task that shows for so many seconds what it prints meanwhile."""

    def make(seconds):
        def run(work):
            time.sleep(seconds)
            return Outcome({"slept": seconds})

        return Task("slow", "jacobian", run, plan.images, "highest", {})

    return make


def test_a_long_task_gives_signs_of_life_and_not_too_many(plan, slow_task, monkeypatch, tmp_path):
    seconds, every = 1.0, 0.2
    errors = io.StringIO()
    monkeypatch.setattr(progress, "EVERY_SECONDS", every)
    monkeypatch.setattr("sys.stderr", errors)
    task = slow_task(seconds)
    started = time.monotonic()
    running.complete_all(Ledger(tmp_path), [task], "smoke", lambda: Estimate(plan.settings, task.images))
    spent = time.monotonic() - started
    lines = errors.getvalue().splitlines()
    assert lines, "a sign of life"
    assert len(lines) <= spent / every
    for line in lines:
        assert re.fullmatch(r"jacobian: 0 of 1 tasks, \d+ s spent, about \d+ s left", line)


def test_side_by_side_the_whole_takes_its_share_of_the_time_too(slow_task, caplog, tmp_path):
    caplog.set_level("INFO")
    task, estimate = slow_task(0.0), SimpleNamespace(seconds=lambda tasks: 40.0)
    with running.telling(Ledger(tmp_path), [task], [task], lambda: estimate, side_by_side=8):
        pass
    assert "it will take about 5 s" in caplog.text


def test_nothing_is_told_of_a_run_in_which_nothing_is_missing(slow_task, tmp_path):
    ledger, task = Ledger(tmp_path), slow_task(0.0)
    ledger.complete(task)
    running.complete_all(ledger, [task], "smoke", lambda: pytest.fail("a product was timed for nothing"))


def test_on_a_terminal_a_bar_moves_instead(plan, slow_task, monkeypatch, tmp_path):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    errors = Terminal()
    monkeypatch.setattr("sys.stderr", errors)
    task = slow_task(0.0)
    running.complete_all(Ledger(tmp_path), [task], "smoke", lambda: Estimate(plan.settings, task.images))
    assert re.search(r"all tasks .*1/1 tasks \[00:00 spent, about 1 s left", errors.getvalue())
