"""Tasks side by side: each after what it needs, two at a time on a CPU, and their times add up to what has passed."""

import threading
from collections import Counter

import jax
import pytest

from experiments.engine.ledger import Ledger
from experiments.engine.running import complete_side_by_side
from experiments.engine.shared_time import SharedTime
from experiments.engine.tasks import Outcome, Task
from experiments.images import Images
from jax_bioadv import data
from jax_bioadv.storage import StorageError

IMAGES = Images(data.load("digits"), 3.0)


def task(name, run, **needs):
    return Task(name, "train", run, IMAGES, "highest", {}, needs)


def names_what_it_needs(work):
    return Outcome({"order": [*(name for one in work.needed.values() for name in one.values["order"]), work.name]})


def test_two_that_need_nothing_of_each_other_run_at_the_same_time(tmp_path):
    meeting = threading.Barrier(2)

    def meets(work):
        meeting.wait(timeout=30)
        return Outcome({"precision": jax.config.jax_default_matmul_precision})

    ledger, tasks = Ledger(tmp_path), [task(name, meets) for name in ("one", "other")]
    complete_side_by_side(ledger, tasks)
    assert [ledger.find(each) for each in tasks] == [Outcome({"precision": "highest"})] * 2, "alone each waits in vain"


def test_each_runs_once_and_after_what_it_needs(tmp_path):
    runs = Counter()

    def run(work):
        runs[work.name] += 1
        return names_what_it_needs(work)

    first = task("first", run)
    left, right = task("left", run, before=first), task("right", run, before=first)
    last = task("last", run, left=left, right=right)
    beside = [task(f"beside {number}", run) for number in range(5)]
    ledger, tasks = Ledger(tmp_path), [first, left, right, last, *beside]
    complete_side_by_side(ledger, tasks)
    assert ledger.find(last).values["order"] == ["first", "left", "first", "right", "last"]
    assert runs == Counter(each.name for each in tasks)


def test_one_that_fails_takes_along_what_needs_it_alone(tmp_path):
    def fails(work):
        raise MemoryError

    failing, good = task("failing", fails), task("good", names_what_it_needs)
    ledger = Ledger(tmp_path)
    complete_side_by_side(ledger, [failing, task("needing", fails, before=failing), good])
    assert {name for name, _ in ledger.failures.values()} == {"failing", "needing"}
    assert ledger.find(good) is not None


@pytest.mark.parametrize("error", [StorageError("the disk is full"), KeyboardInterrupt()])
def test_a_full_disk_or_a_signal_begins_no_further_task(tmp_path, error):
    def stops(work):
        raise error

    ledger, after = Ledger(tmp_path), [task(f"after {number}", names_what_it_needs) for number in range(20)]
    needing = task("needing", names_what_it_needs, before=after[0])
    with pytest.raises(type(error)):
        complete_side_by_side(ledger, [task("stops", stops), *after, needing])
    assert any(ledger.find(each) is None for each in after)


def test_what_passes_is_shared_among_those_that_run():
    now = 100.0
    time = SharedTime(lambda: now)
    with time.running() as one:
        now += 4
        with time.running() as other:
            now += 6
            assert (one(), other()) == (7.0, 3.0)
        now += 1
        assert one() == 8.0
    now += 50
    with time.running() as later:
        now += 2
        assert later() == 2.0
