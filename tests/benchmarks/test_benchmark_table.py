"""From results to verdicts and Markdown."""

import copy
import re
from pathlib import Path

import pytest

from benchmarks.table import COLUMNS, main, markdown, seconds_in_words, table_lines
from benchmarks.targets import TARGETS, Target, verdict
from benchmarks.workload import Sizes
from jax_bioadv.storage import read_json, write_json

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def contestant(median, label="someone", timed="whole stage"):
    quartiles = [0.9 * median, 1.25 * median]
    return {"label": label, "timed": timed, "median": median, "quartiles": quartiles, "compile_seconds": 0.5}


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
            "lean": contestant(5.0),
            "same": contestant(3.0),
            "compiled": contestant(4.0),
            "ours": contestant(2.0),
            "bystander": contestant(0.25, "a bystander"),
        },
        "compile_mode": "the-best",
        "floor": {"seconds": 1.0, "share_reached": 0.5},
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
        "device": {
            "best": {"operations_per_second": {"float32": 1e9, "float64": 5e8}, "bytes_per_second": 2e9},
            "torch_compile": {"the-best": 0.25, "another": "torch.compile failed: no compiler"},
        },
        "stages": {"first": entry},
    }


def row(page, title):
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {title} ")]
    return dict(zip(COLUMNS, [cell.strip() for cell in line.strip("|").split("|")], strict=True))


def test_a_row_gives_times_ratios_target_and_share(results):
    assert row(markdown(results), "first stage") == {
        "stage": "first stage",
        "PyTorch, as published": "6 s [5.4, 7.5]",
        "lean, published algorithm": "5 s [4.5, 6.25]",
        "lean, our algorithm": "3 s [2.7, 3.75]",
        "the same, compiled": "4 s [3.6, 5]",
        "ours": "2 s [1.8, 2.5]",
        "published / ours": "3×",
        "same algorithm / ours": "1.5×",
        "target": "≥ 2× published: met",
        "floor reached": "50 %",
    }


def test_notes_hold_what_is_not_in_the_columns(results):
    page = markdown(results)
    for text in (
        "A note.",
        "10 of 50 batches (eager), extrapolated",
        "a bystander: 250 ms [225, 312]",
        "1e-06 ≤ 0.001",
        "mode the-best",
    ):
        assert text in page


def test_the_page_says_why_torch_compile_runs_in_its_mode(results):
    assert "the fastest: the-best 250 ms, another torch.compile failed: no compiler." in markdown(results)
    del results["device"]["torch_compile"]
    assert "the fastest:" not in markdown(results)


def test_a_contestant_that_does_not_run_is_in_no_ratio(results):
    for name in ("eager", "same", "compiled"):
        del results["stages"]["first"]["contestants"][name]
    cells = row(markdown(results), "first stage")
    assert [cells[name] for name in ("the same, compiled", "published / ours", "same algorithm / ours")] == ["–"] * 3


def test_a_missed_target_stands_out(results):
    results["stages"]["first"]["target"] |= {"reached": 1.5, "met": False}
    assert row(markdown(results), "first stage")["target"] == "≥ 2× published: **missed**"


def test_contestants_that_disagree_have_no_times(results):
    wrong = copy.deepcopy(results["stages"]["first"])
    wrong |= {"title": "wrong stage", "agrees": False, "contestants": {}, "target": None}
    wrong["agreement"].append({"compared": "losses", "difference": None, "tolerance": 0.1, "passed": False})
    results["stages"]["second"] = wrong
    page = markdown(results)
    assert "not timed" in row(page, "wrong stage")["PyTorch, as published"]
    assert "**Disagreement**: losses" in page


def test_the_command_prints_a_file(results, tmp_path, capsys):
    write_json(tmp_path / "results.json", results)
    assert main([str(tmp_path / "results.json")]) == 0
    assert capsys.readouterr().out.strip() == markdown(results).strip()


def test_the_command_puts_the_table_into_a_page_and_changes_nothing_else(results, tmp_path):
    write_json(tmp_path / "results.json", results)
    page = tmp_path / "page.md"
    page.write_text("before\n\n| other |\n| --- |\n\n| stage | old |\n| --- | --- |\n| gone | 1 |\n\nafter\n")
    arguments = [str(tmp_path / "results.json"), "--into", str(page)]
    assert main(arguments) == 0
    lines = table_lines(results)
    assert page.read_text() == "\n".join(["before", "", "| other |", "| --- |", "", *lines, "", "after", ""])
    assert main(arguments) == 0
    assert page.read_text().count(lines[-1]) == 1


def test_a_page_without_a_speed_table_is_refused_and_kept(results, tmp_path, capsys):
    write_json(tmp_path / "results.json", results)
    page = tmp_path / "page.md"
    page.write_text("no table\n")
    assert main([str(tmp_path / "results.json"), "--into", str(page)]) == 2
    assert "0 tables" in capsys.readouterr().err
    assert page.read_text() == "no table\n"


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


def test_the_spectral_schedule_is_judged_by_our_own_backpropagation():
    assert verdict("spectral_schedule", {"same": 9.0, "ours": 1.25, "backpropagation": 1.0})["met"]
    assert not verdict("spectral_schedule", {"same": 9.0, "ours": 1.35, "backpropagation": 1.0})["met"]


def test_no_target_no_verdict():
    assert verdict("gaussian_sweep", {"eager": 1.0, "ours": 1.0}) is None
    assert verdict("kh_epoch", {"ours": 1.0}) is None
    assert Target(20.0).words() == "≥ 20× published"


@pytest.mark.parametrize("device", ["cpu", "h100"])
def test_the_page_of_results_shows_what_was_measured(device):
    assert (RESULTS / f"{device}.md").read_text(encoding="utf-8") == markdown(read_json(RESULTS / f"{device}.json"))


def rows_of(device):
    """Cells by title."""
    lines = table_lines(read_json(RESULTS / f"{device}.json"))[2:]
    return {cells[1].strip(): [cell.strip() for cell in cells] for cells in (line.split("|") for line in lines)}


def test_the_page_on_speed_shows_what_was_measured():
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    assert "\n".join(table_lines(read_json(RESULTS / "cpu.json"))) in text
    for title, cells in rows_of("h100").items():
        if title.endswith("epoch") or title == "spectral epoch, a renewal every 5 batches":
            short = title.replace(" epoch", "")
            assert f"| {short} | {cells[6].split(' [')[0]} | {cells[7]} | {cells[8]} |" in text


def test_the_readme_shows_some_of_it():
    text = (DOCS.parent / "README.md").read_text(encoding="utf-8")
    cpu, h100 = rows_of("cpu"), rows_of("h100")
    for title in ("Krotov–Hopfield epoch", "backpropagation epoch", "Jacobian epoch"):
        times = [cells for row in (cpu, h100) for cells in row[title][6:9]]
        cells = " | ".join(cell.split(" [")[0] for cell in times)
        assert f"| {title.replace(' epoch', '')} | {cells} |" in text


def test_the_page_says_how_far_a_step_on_a_gpu_is_from_its_product():
    root = Path(__file__).parents[2]
    step = read_json(root / "benchmarks" / "results" / "h100.json")["stages"]["kh_step"]["contestants"]
    ours, product, fastest = (step[name]["median"] for name in ("ours", "bare product, JAX", "bare product, PyTorch"))
    text = " ".join((DOCS / "performance.md").read_text(encoding="utf-8").split())
    assert f"A step of the rule takes {ours / product:.3g} times its bare product in JAX and " in text
    assert f"{ours / fastest:.3g} times PyTorch's, which is faster" in text
    assert fastest < product


def test_the_page_says_what_the_profile_and_the_sizes_say():
    root = Path(__file__).parents[2]
    profile = (root / "benchmarks" / "results" / "profile.md").read_text(encoding="utf-8")
    product, step = (
        float(re.search(f"## {title}: (.*) ms", profile)[1]) for title in ("Bare product", "Backprop.* step")
    )
    text = " ".join((DOCS / "performance.md").read_text(encoding="utf-8").split())
    assert f"of the {step:.0f} ms of our step of backpropagation" in text
    assert f"{2 * product:.0f} are its two products" in text
    assert f"a step has {1 + Sizes().hidden / Sizes().inputs:.3g} times backpropagation's operations" in text
