"""What README and site show: examples run as they stand, tables and sentences are those of committed files."""

import csv
import json
import math
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.report.claims.comparing import robuster
from experiments.report.markdown import depth_table, depth_verdicts, evidence_table, markdown_table, question_verdicts
from experiments.report.words import CAPTIONS
from experiments.results.schema import read_results

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(page for folder in ("docs", "docs/notebooks") for page in (ROOT / folder).glob("*.md")),
]


def text_of(page):
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/your-network.md", "docs/pieces.md"])
def test_examples_run_and_say_something(page, capsys):
    """One after another, each page by itself."""
    namespace: dict[str, object] = {}
    examples = re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)
    for example in examples:
        exec(compile(example, page, "exec"), namespace)
        assert capsys.readouterr().out.strip()
    assert examples
    assert page != "docs/pieces.md" or namespace["fit"].alpha > 0


@pytest.mark.parametrize("notebook", sorted(path.name for path in (ROOT / "docs" / "notebooks").glob("*.md")))
def test_notebooks_run(notebook):
    """In this process, which has what they import; that a kernel runs one is in test_site.py."""
    cells = re.findall(r"```{code-cell}\n(.*?)```", text_of(f"docs/notebooks/{notebook}"), re.DOTALL)
    with plt.ioff():
        exec(compile("\n".join(cells), notebook, "exec"), {"__name__": "__main__"})
    plt.close("all")
    assert cells


def test_examples_stand_nowhere_else():
    with_examples = {"README.md", "docs/your-network.md", "docs/pieces.md"}
    assert {str(page.relative_to(ROOT)) for page in PAGES if "```python" in page.read_text()} == with_examples


def test_the_tables_are_those_of_the_committed_run():
    results, text = read_results(ROOT / "results" / "quick"), text_of("docs/findings.md")
    assert markdown_table(results) in text
    assert evidence_table(results) in text


@pytest.mark.parametrize("folder", sorted(path.name for path in (ROOT / "results").glob("question-*")))
def test_the_page_on_questions_has_the_verdicts_of_the_committed_runs(folder):
    assert question_verdicts(read_results(ROOT / "results" / folder)) in text_of("docs/questions.md")


def test_the_page_on_depth_is_that_of_the_committed_run():
    results, text = read_results(ROOT / "results" / "depth"), text_of("docs/depth.md")
    assert depth_table(results) in text
    assert depth_verdicts(results) in text
    assert f"seeds of `quick`: {len(results['seeds'])};" in text


def test_three_seeds_tell_no_two_of_these_apart():
    results = read_results(ROOT / "results" / "depth")
    for other in ("kmeans-1", "kmeans_whitened-1", "pca-1", "patches-1"):
        found = robuster(results, "minimum_norm", "kh-1", other)
        assert math.exp(found.log_ratio) < 0.5
        assert found.interval[1] < 0
        assert found.outcome == 0
    for other in ("soft_hebb-1", "pca-1"):
        found = robuster(results, "minimum_norm", other, "random-1")
        assert found.log_ratio > 0
        assert found.outcome == 0


def test_what_the_page_says_of_the_published_width_is_of_its_run():
    results, text = read_results(ROOT / "results" / "depth-published-width"), text_of("docs/depth.md")
    assert depth_table(results) in text
    assert all(line in text for line in depth_verdicts(results).splitlines() if "cannot tell" not in line)
    stack, models = results["settings"]["stack"], results["models"]
    assert f"of {stack['filters'][0]} filters at stride {stack['stride']}" in text
    assert f"on all {stack['images'] // 1000} 000 images" in text
    shares = {name: model["test_accuracy"][0] for name, model in models.items()}
    lengths = {name: model["critical_l2"]["minimum_norm"]["median"][0] for name, model in models.items()}
    assert min(shares["kh-1"], shares["soft_hebb-1"]) > shares["random-1"]
    assert {*sorted(lengths, key=lengths.get)[:4]} == {"kh-1", "kh_noise-1", "kh_pruned-1", "pca-1"}
    told = {one: robuster(results, "minimum_norm", "kh-1", one) for one in ("bp_matched-1", "pca-1")}
    assert told["bp_matched-1"].outcome == -1
    assert 4.75 < 1 / math.exp(told["bp_matched-1"].log_ratio) < 5
    assert told["pca-1"].outcome == 0
    for pair in (("soft_hebb-1", "random-1"), ("pca-1", "random-1")):
        assert robuster(results, "minimum_norm", *pair).outcome == -1


def test_what_it_says_of_the_attack_check_is_in_its_file():
    checked = json.loads((ROOT / "benchmarks" / "results" / "attack_check.json").read_text())
    attacks = [one["attacks"] for model in checked["models"].values() for one in model.values()]
    worst = max(one["difference_points"] for each in attacks for one in each.values())
    together = max(one["all together"]["difference_points"] for one in attacks)
    text = text_of("docs/findings.md")
    assert (
        f"none of ours leaves more than {worst:.1f} points of accuracy above theirs, all together {together:.1f}"
        in text
    )


def test_what_it_says_of_autoattack_is_in_its_file():
    compared = json.loads((ROOT / "benchmarks" / "results" / "autoattack.json").read_text())
    entries = [one for threats in compared["networks"].values() for one in threats.values()]
    points = [one["difference_points"] for one in entries]
    faster = [one["times_less"]["processor_seconds"] for one in entries]
    text = " ".join(text_of("docs/pieces.md").split())
    assert f"between {-min(points):.1f} points less and {max(points):.1f} points more of the accuracy" in text
    assert f"takes {min(faster):.1f} to {max(faster):.1f} times less processor time" in text


def test_what_it_says_of_weights_in_16_bits_is_in_their_file():
    about = json.loads((ROOT / "results" / "quick" / "weights" / "weights.json").read_text())
    networks = about["networks"].values()
    changed = max(one["decisions_changed"] for one in networks)
    whole, half = ([one[bits]["median_critical_l2"] for one in networks] for bits in ("in_32_bits", "in_16_bits"))
    moved = max(abs(after / before - 1) for before, after in zip(whole, half, strict=True))
    text = " ".join(text_of("docs/pieces.md").split())
    assert f"changes at most {changed} of the 10 000 decisions" in text
    assert f"by {100 * moved:.3f} % at most" in text


def test_what_it_says_of_streams_is_in_its_file():
    found = json.loads((ROOT / "benchmarks" / "results" / "streams.json").read_text())
    share = f"{100 * found['throughput_share']:.0f} %"
    assert (
        f"From {found['stored_gb']:.1f} GB on the disk a layer of 2 000 units learns at {share} of the "
        f"throughput that it has in memory, with at most {found['peak_gib']:.2f} GiB in use"
    ) in " ".join(text_of("docs/pieces.md").split())


def test_what_it_says_of_the_sweep_is_in_the_table():
    with (ROOT / "results" / "sweep-push-and-power" / "sweep.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def mean(stage, column, delta, power):
        point = [row for row in rows if (row["layer.delta"], row["decoder.power"]) == (delta, power)]
        return np.mean([float(row[column]) for row in point if row["stage"] == stage])

    text = text_of("docs/sweeps.md")
    for stage, column, digits, (delta, power) in (
        ("spectra", "alpha_noise", 2, ("0.0", "4.5")),
        ("spectra", "alpha_noise", 2, ("0.4", "4.5")),
        ("spectra", "r2_noise", 2, ("0.0", "4.5")),
        ("spectra", "r2_noise", 2, ("0.4", "4.5")),
        ("train", "test_accuracy", 3, ("0.4", "1.0")),
        ("train", "test_accuracy", 3, ("0.4", "4.5")),
        ("pgd", "median_critical_l2", 3, ("0.4", "1.0")),
        ("pgd", "median_critical_l2", 3, ("0.4", "4.5")),
    ):
        assert f"{mean(stage, column, delta, power):.{digits}f}" in text, (stage, column, delta, power)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pictures_pages_and_files_that_a_page_names_exist(page):
    text = page.read_text(encoding="utf-8")
    for place in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert place.startswith("https://") or (page.parent / place).exists(), place
    for place in re.findall(r"`((?:benchmarks|experiments|jax_bioadv|results|tests)/[\w./-]+)`", text):
        assert (ROOT / place).exists(), place


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_line_is_lost_as_a_comment(page):
    """A line that begins with a percent sign is one, and the site leaves it out."""
    assert not re.search(r"^\s*%(?!%)", page.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_page_of_the_site_is_in_its_contents():
    docs = ROOT / "docs"
    pages = {str(page.relative_to(docs).with_suffix("")) for page in docs.rglob("*.md")} - {"index"}
    pages = {page for page in pages if not page.startswith(("_build", "reference/"))}
    contents = "\n".join(re.findall(r"```{toctree}(.*?)```", text_of("docs/index.md"), re.DOTALL))
    assert pages == {line for line in contents.splitlines() if line in pages}


def test_what_each_figure_shows_is_what_the_report_says():
    text = " ".join(text_of("docs/reproduce.md").split())
    for title, caption in CAPTIONS.values():
        assert f"{title} : {caption}" in text


def test_the_readme_is_short():
    assert len(text_of("README.md").splitlines()) < 150
