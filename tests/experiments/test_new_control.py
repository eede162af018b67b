"""The documentation's diff that adds a control: it applies, and everything has the control."""

import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

from experiments.results.schema import read_results

ROOT = Path(__file__).parents[2]


def test_the_control_of_the_readme_is_trained_measured_and_shown(tmp_path):
    [block] = re.findall(r"```diff\n(.*?) *```", (ROOT / "docs" / "extend.md").read_text(encoding="utf-8"), re.DOTALL)
    diff = textwrap.dedent(block)
    assert len(diff.splitlines()) < 40
    for package in ("experiments", "jax_bioadv"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["git", "apply", "-"], input=diff, text=True, cwd=tmp_path, check=True)
    small = ("--hidden", "12", "--layer.epochs", "1", "--noise-start.epochs", "1", "--decoder.epochs", "2")
    command = [sys.executable, "-m", "experiments.reproduce", "--preset", "smoke", "--out", str(tmp_path / "run")]
    ended = subprocess.run(
        [*command, "--models", "kh,shuffled", "--stages", "train,spectra", *small, "--spectra.first", "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = read_results(tmp_path / "run")["models"]["shuffled"]
    assert found["control"] is True
    assert found["test_accuracy"][0] > 0
    assert found["spectrum"]["images"]["alpha"][0] > 0
    assert "shuffled images as rows" in ended.stderr
    assert "shuffled images as rows" in (tmp_path / "run" / "report.html").read_text()
