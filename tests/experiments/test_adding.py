"""The documentation's diffs that add a rule, a regularizer, an attack, a model, a claim, a data set: all of them apply
to the code as it is, and everything has what they add."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from idx_cases import write_idx

from experiments.results.schema import read_results
from jax_bioadv.data import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
DIFFS = dict(re.findall(r"## ([\w ]+)\n[^#]*?```diff\n(.*?)```", PAGE, re.DOTALL))
SMALL = (
    "--hidden 12 --layer.epochs 1 --noise-start.epochs 1 --decoder.epochs 2 --decoder.power 1 --backprop.epochs 2 "
    "--spectra.first 2 --attacks.images 20 --attacks.epsilons 10 --attacks.pgd-steps 2 --attacks.published-images 2 "
    "--attacks.published-epsilons 5"
)
UNPRINTED = """
import sys
from figure_cases import built_but_not_printed
from experiments import reproduce
from experiments.report import closing

closing.drawing.figures.save_figure = built_but_not_printed
sys.exit(reproduce.main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the code, changed as the page says."""
    copy = tmp_path_factory.mktemp("extended")
    for package in ("experiments", "jax_bioadv"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for diff in DIFFS.values():
        subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=copy, check=True)
    return copy


def test_there_is_a_diff_of_each_kind():
    kinds = ["A learning rule", "A regularizer", "An attack", "A model", "A claim", "A data set"]
    assert list(DIFFS) == kinds
    assert PAGE.count("```diff") == len(kinds)
    assert len(DIFFS["A model"].splitlines()) < 40


def test_what_is_added_is_formatted_as_the_rest(extended):
    for check in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *check, "--config", str(ROOT / "pyproject.toml"), "."]
        ended = subprocess.run(command, cwd=extended, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout


def test_what_is_added_is_trained_measured_judged_and_shown(extended, tmp_path):
    write_idx(load("digits"), tmp_path / "data" / "kmnist")
    command = [
        *(sys.executable, "-c", UNPRINTED, "--preset", "smoke", "--out", str(tmp_path / "run")),
        *("--dataset", "kmnist", "--data-dir", str(tmp_path / "data"), "--stages", "train,spectra,attacks"),
        *("--models", "kh,bp,sparse,kh_start,kmeans,random,oja,shuffled", *SMALL.split()),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    ended = subprocess.run(command, cwd=extended, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    results, report = read_results(tmp_path / "run"), (tmp_path / "run" / "report.html").read_text()
    assert results["dataset"]["name"] == "kmnist"
    for model, without in (("shuffled", "kh_start"), ("oja", "random"), ("sparse", "bp")):
        found = results["models"][model]
        assert found["control"] is True
        assert found["spectrum"]["images"]["alpha"][0] > 0
        assert found["critical_l2"]["uniform"]["median"][0] > 0
        assert found["spectrum"] != results["models"][without]["spectrum"]
    for words in ("shuffled images as rows", "Oja&#x27;s rule", "sparse activation", "uniform noise"):
        assert words in report
    assert re.search(
        r"Centroids make the network more robust than images as rows.*Critical distances under PGD: ", report
    )
