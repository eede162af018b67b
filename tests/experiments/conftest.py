"""One finished smoke run for all tests of the experiment, and the means to go on from it."""

import contextlib
import dataclasses
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from figure_cases import built_but_not_printed
from sharing import made_once

from experiments import reproduce
from experiments.images import Images
from experiments.plan import Plan
from experiments.report import closing
from experiments.settings.presets import PRESETS
from experiments.settings.reproduction import Settings
from jax_bioadv import data
from jax_bioadv.storage import read_json, write_json


@dataclasses.dataclass(frozen=True)
class Run:
    """A command that came to its end."""

    directory: Path
    code: int
    output: str
    errors: str

    @property
    def log(self) -> str:
        return (self.directory / "log.txt").read_text()


def run_command(directory: Path, *arguments: str) -> Run:
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        code = reproduce.main(["--preset", "smoke", "--out", str(directory), *arguments])
    return Run(directory, code, output.getvalue(), errors.getvalue())


@pytest.fixture(scope="session")
def run_smoke():
    """Runs the smoke preset in a folder, with more arguments, inside this process."""
    return run_command


@pytest.fixture(scope="session")
def smoke(tmp_path_factory) -> Run:
    """The smoke preset, run once for all workers; copy the folder before changing anything in it."""

    def make(folder: Path) -> None:
        run = run_command(folder / "run")
        write_json(folder / "ended.json", [run.code, run.output, run.errors])

    folder = made_once(tmp_path_factory, "smoke", make)
    return Run(folder / "run", *read_json(folder / "ended.json"))


@pytest.fixture
def copied(smoke, tmp_path) -> Path:
    """A copy of the finished run's folder."""
    return Path(shutil.copytree(smoke.directory, tmp_path / "run"))


@pytest.fixture
def no_figures(monkeypatch):
    """Skips the drawing, which takes longer than the few tasks that a test lets run."""
    monkeypatch.setattr(closing.drawing, "draw_all", lambda directory: closing.drawing.Undrawn([], []))


@pytest.fixture
def no_figure(monkeypatch):
    """The same for a sweep."""
    monkeypatch.setattr(closing, "draw_sweep", lambda directory: [])


@pytest.fixture
def unprinted(monkeypatch):
    """Figures are built and laid out, and not printed, which takes as long again."""
    monkeypatch.setattr(closing.drawing.figures, "save_figure", built_but_not_printed)


@pytest.fixture(scope="session")
def digits() -> data.Dataset:
    return data.load("digits")


@pytest.fixture(scope="session")
def plan_of(digits):
    """The plan of some settings on the digits."""
    return lambda settings: Plan(settings, Images(digits, settings.norm))


def change(settings: Settings, path: str, value: Any) -> Settings:
    group, _, name = path.rpartition(".")
    if not group:
        return dataclasses.replace(settings, **{name: value})
    return dataclasses.replace(settings, **{group: dataclasses.replace(getattr(settings, group), **{name: value})})


@pytest.fixture(scope="session")
def changed():
    """The smoke preset with one setting, such as ``layer.epochs``, replaced."""
    return lambda path, value: change(PRESETS["smoke"], path, value)


@pytest.fixture
def refused(capsys) -> Callable[[int], str]:
    """What a command that ended in 2 said, in one line, if the data were not read before, which is told as well."""

    def said_of(code: int) -> str:
        printed = capsys.readouterr()
        *before, said = printed.err.splitlines()
        assert (code, printed.out) == (2, "")
        assert said.startswith("error: ")
        assert all(": using " in line for line in before)
        return said

    return said_of
