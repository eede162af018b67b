"""The README's Python examples run as they stand, one after another."""

import csv
import json
import re
from pathlib import Path

import numpy as np

from experiments.report.markdown import evidence_table, markdown_table
from experiments.results.schema import read_results

README = Path(__file__).parents[1] / "README.md"


def test_examples_run_and_say_something(capsys):
    examples = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(examples) >= 2
    namespace: dict[str, object] = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), namespace)
        assert capsys.readouterr().out.strip()
    assert namespace["fit"].alpha > 0
    assert namespace["sweep"].success[-1].any()


def test_its_tables_are_those_of_the_committed_run():
    results, text = read_results(README.parent / "results" / "quick"), README.read_text(encoding="utf-8")
    assert markdown_table(results) in text
    assert evidence_table(results) in text


def test_what_it_says_of_the_attack_check_is_in_its_file():
    checked = json.loads((README.parent / "benchmarks" / "results" / "attack_check.json").read_text())
    attacks = [one["attacks"] for model in checked["models"].values() for one in model.values()]
    worst = max(one["difference_points"] for each in attacks for one in each.values())
    together = max(one["all together"]["difference_points"] for one in attacks)
    text = README.read_text(encoding="utf-8")
    assert (
        f"none of ours leaves more than {worst:.1f} points of accuracy above theirs, all together {together:.1f}"
        in text
    )


def test_what_it_says_of_autoattack_is_in_its_file():
    compared = json.loads((README.parent / "benchmarks" / "results" / "autoattack.json").read_text())
    entries = [one for threats in compared["networks"].values() for one in threats.values()]
    points = [one["difference_points"] for one in entries]
    faster = [one["times_less"]["seconds"] for one in entries]
    text = " ".join(README.read_text(encoding="utf-8").split())
    assert f"between {-min(points):.1f} points less and {max(points):.1f} points more of the accuracy" in text
    assert f"takes {min(faster):.1f} to {max(faster):.1f} times less time" in text


def test_what_it_says_of_the_sweep_is_in_the_table():
    with (README.parent / "results" / "sweep-push-and-power" / "sweep.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))

    def mean(stage, column, delta, power):
        point = [row for row in rows if (row["layer.delta"], row["decoder.power"]) == (delta, power)]
        return np.mean([float(row[column]) for row in point if row["stage"] == stage])

    text = README.read_text(encoding="utf-8")
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


def test_pictures_and_files_that_it_names_exist():
    text = README.read_text(encoding="utf-8")
    for place in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
        assert (README.parent / place).is_file(), place
    files = re.findall(r"`((?:benchmarks|experiments|jax_bioadv|results|tests)/[\w./-]+)`", text)
    assert len(files) > 10
    for place in files:
        assert (README.parent / place).exists(), place
