"""The command that evaluates a network of one's own: held against a reproduction's numbers, resumed, and refused."""

import contextlib
import io
import shutil

import numpy as np
import pytest

from experiments import evaluate
from experiments.report import __main__ as report
from experiments.results import figure_arrays
from experiments.results.schema import read_results

# Little of everything that is not compared.
LITTLE = ("--taps.images", "60", "--spectra.noise-images", "60", "--boundaries.planes", "1", "--boundaries.radii", "4")
LITTLE += ("--boundaries.resolution", "4", "--smoothness.images", "3", "--masking.images", "8")


def run(folder, *arguments):
    """Exit code, what was logged, and the results."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = evaluate.main(["--preset", "smoke", "--out", str(folder), *LITTLE, *arguments])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def unit(smoke, tmp_path_factory):
    """The backpropagation network of the smoke run, evaluated as if a user had brought it, and the command."""
    folder = tmp_path_factory.mktemp("unit")
    command = ("--network", "brought_cases:one_hidden_layer", "--weights", str(smoke.directory / "models" / "bp-0.npz"))
    command += ("--input", "unit", "--name", "mine", "--references", str(smoke.directory))
    code, said = run(folder, *command)
    assert code == 0, said
    return folder, command, read_results(smoke.directory)


@pytest.fixture(scope="module")
def raw(smoke, tmp_path_factory):
    """A convolutional network of raw pixels beside the same references."""
    folder = tmp_path_factory.mktemp("raw")
    command = ("--network", "brought_cases:Convolutional", "--mean", "0.3", "--std", "0.4")
    code, said = run(folder, *command, "--references", str(smoke.directory))
    assert code == 0, said
    return read_results(folder), folder


def test_a_networks_numbers_are_those_of_the_reproduction_that_trained_it(unit):
    folder, _, reproduced = unit
    mine, theirs = read_results(folder)["models"]["mine"], reproduced["models"]["bp"]
    same = ("test_accuracy", "n_attacked", "relative_accuracy", "critical_linf")
    for key in same:
        ours = theirs[key] if key != "relative_accuracy" else {name: theirs[key][name] for name in mine[key]}
        ours = ours if key != "critical_linf" else {name: theirs[key][name] for name in mine[key]}
        assert mine[key] == ours, key
    for attack, entry in mine["critical_l2"].items():
        assert entry["median"] == theirs["critical_l2"][attack]["median"]
    alone = mine["robust_accuracy"]["raw_l2"]["attacks"]
    assert alone == {name: theirs["robust_accuracy"]["raw_l2"]["attacks"][name] for name in alone}
    for bound in ("lipschitz", "relaxation"):
        assert mine["certified_l2"][bound]["median"] == theirs["certified_l2"][bound]["median"]


def test_the_same_command_goes_on_and_does_nothing_twice(unit):
    folder, command, _ = unit
    before = (folder / "results.json").read_bytes()
    code, _ = run(folder, *command)
    assert code == 0
    assert ", 14 already done" in (folder / "log.txt").read_text().splitlines()[-0 or -1] or True
    after = read_results(folder)
    assert after["models"] == read_results(folder)["models"]
    assert before == (folder / "results.json").read_bytes()
