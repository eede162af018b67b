"""From results to verdicts and Markdown."""

import copy
from pathlib import Path

import pytest

from benchmarks.table import COLUMNS, main, markdown, seconds_in_words, table_lines
from benchmarks.targets import TARGETS, Target, verdict
from jax_bioadv.storage import read_json, write_json


def contestant(median, label="someone", timed="whole stage"):
    return {"label": label, "timed": timed, "median": median, "compile_seconds": 0.5}


@pytest.fixture
def results():
    entry = {
        "title": "first stage",
        "command": "python -m benchmarks",
        "note": "A note.",
        "agreement": [{"compared": "weights", "difference": 1e-6, "tolerance": 1e-3, "passed": True}],
        "agrees": True,
        "failures": {},
        "contestants": {
            "eager": contestant(6.0, timed="10 of 50 batches"),
            "lean": contestant(3.0),
            "ours": contestant(2.0),
            "bystander": contestant(0.25, "a bystander"),
        },
        "floor": {"operations": 1.0, "bytes": 1.0, "dtype": "float32", "seconds": 1.0, "share_reached": 0.5},
        "target": {"ratio": 2.0, "versus": "eager", "reached": 3.0, "met": True},
    }
    return {
        "environment": {
            "device": "a processor",
            "backend": "cpu",
            "processors": 2,
            "torch_threads": 2,
            "python": "3.11",
            "versions": {"jax": "1", "torch": "2"},
        },
        "settings": {"precision": "highest", "source": "images", "hidden": 2, "inputs": 3, "batch_size": 4},
        "device": {"best": {"operations_per_second": {"float32": 1e9, "float64": 5e8}, "bytes_per_second": 2e9}},
        "stages": {"first": entry},
    }


def row(page, title):
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {title} ")]
    return dict(zip(COLUMNS, [cell.strip() for cell in line.strip("|").split("|")], strict=True))


def test_a_row_gives_times_ratios_target_and_share(results):
    assert row(markdown(results), "first stage") == {
        "stage": "first stage",
        "eager PyTorch": "6 s",
        "lean PyTorch": "3 s",
        "torch.compile": "–",
        "ours": "2 s",
        "eager / ours": "3×",
        "best PyTorch / ours": "1.5×",
        "target": "≥ 2× eager: met",
        "floor reached": "50 %",
    }


def test_notes_hold_what_is_not_in_the_columns(results):
    page = markdown(results)
    for text in ("A note.", "10 of 50 batches (eager), extrapolated", "a bystander: 250 ms", "1e-06 ≤ 0.001"):
        assert text in page


def test_a_missed_target_stands_out(results):
    results["stages"]["first"]["target"] |= {"reached": 1.5, "met": False}
    assert row(markdown(results), "first stage")["target"] == "≥ 2× eager: **missed**"


def test_contestants_that_disagree_have_no_times(results):
    wrong = copy.deepcopy(results["stages"]["first"])
    wrong |= {"title": "wrong stage", "agrees": False, "contestants": {}, "target": None}
    wrong["agreement"].append({"compared": "losses", "difference": None, "tolerance": 0.1, "passed": False})
    results["stages"]["second"] = wrong
    page = markdown(results)
    assert "not timed" in row(page, "wrong stage")["eager PyTorch"]
    assert "**Disagreement**: losses" in page


def test_the_command_prints_a_file(results, tmp_path, capsys):
    write_json(tmp_path / "results.json", results)
    assert main([str(tmp_path / "results.json")]) == 0
    assert capsys.readouterr().out.strip() == markdown(results).strip()


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.00123, "1.23 ms"), (1.0, "1 s"), (119.0, "119 s"), (180.0, "3 min"), (7200.0, "2 h")],
)
def test_seconds_in_words(seconds, words):
    assert seconds_in_words(seconds) == words


def test_a_verdict_compares_whole_seconds_with_the_target():
    ratio = TARGETS["kh_epoch"].ratio
    met, missed = (verdict("kh_epoch", {"eager": seconds, "ours": 1.0}) for seconds in (ratio, 0.99 * ratio))
    assert met == {"ratio": ratio, "versus": "eager", "reached": ratio, "met": True}
    assert not missed["met"]


def test_the_step_is_judged_by_the_faster_bare_product():
    medians = {"eager": 9.0, "ours": 1.4, "bare product, JAX": 2.0, "bare product, PyTorch": 1.0}
    assert verdict("kh_step", medians)["met"]
    assert not verdict("kh_step", medians | {"ours": 1.41})["met"]
    assert TARGETS["kh_step"].words() == "≤ 1.4× bare product"


def test_no_target_no_verdict():
    assert verdict("gaussian_sweep", {"eager": 1.0, "ours": 1.0}) is None
    assert verdict("kh_epoch", {"ours": 1.0}) is None
    assert Target(20.0).words() == "≥ 20× eager"


def test_the_readme_and_the_page_show_what_was_measured():
    root = Path(__file__).parents[2]
    measured = read_json(root / "benchmarks" / "results" / "cpu.json")
    assert "\n".join(table_lines(measured)) in (root / "README.md").read_text(encoding="utf-8")
    assert (root / "benchmarks" / "results" / "cpu.md").read_text(encoding="utf-8") == markdown(measured)
