"""The shell commands that README and site show are understood: every target, module and option is there."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from experiments import depth, evaluate, reproduce, stream, sweep
from experiments.questions import command as questions
from jax_bioadv.data import __main__ as data

ROOT = Path(__file__).parents[1]
PARSERS = {
    "experiments.reproduce": reproduce.parse,
    "experiments.sweep": sweep.parse,
    "experiments.evaluate": evaluate.parse,
    "experiments.depth": depth.parse,
    "experiments.questions": questions.parse,
    "experiments.stream": stream.parse,
    "jax_bioadv.data": data.parse,
}
MAKEFILE = (ROOT / "Makefile").read_text()
SCRIPTS = {"jax-bioadv-data": "jax_bioadv.data", "jax-bioadv-evaluate": "experiments.evaluate"}


def shown():
    """Every command of every page, with its page."""
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))):
        for language, block in re.findall(r"```(\w+)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            assert language in ("sh", "python", "diff", "toml"), f"{page.name}: nothing tests a block in {language}"
            for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
                if words := shlex.split(line, comments=True):
                    yield pytest.param(words, id=f"{page.name}: {' '.join(words)[:60]}")


def understand(words):
    program, *arguments = words[1:] if words[0] == "srun" else words
    if program == "make":
        for name in (word.partition("=")[0] for word in arguments if "=" in word):
            assert re.search(rf"^{name} \?=", MAKEFILE, re.MULTILINE), f"make has no {name}"
        command = ["make", "-n", *arguments]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for line in said.splitlines():
            if "python -m experiments." in line:  # the benchmark's options need PyTorch to be parsed
                understand(shlex.split(line))
        return
    name = Path(program).name
    module, arguments = (SCRIPTS[name], arguments) if name in SCRIPTS else (arguments[1], arguments[2:])
    try:
        PARSERS[module](arguments)
    except SystemExit as ended:
        if ended.code:
            raise AssertionError(f"not understood: {words}") from ended


@pytest.mark.parametrize("words", list(shown()))
def test_a_command_is_understood(words, tmp_path, monkeypatch):
    shutil.copytree(ROOT / "experiments" / "sweeps", tmp_path / "experiments" / "sweeps")
    shutil.copy(ROOT / "experiments" / "sweeps" / "push-and-power.toml", tmp_path / "mine.toml")
    monkeypatch.chdir(tmp_path)
    understand(words)


@pytest.mark.parametrize(
    "wrong",
    ["python -m experiments.reproduce --sedes 5", "make reproduce PRESETT=paper", "make reproduce ARGS=--sedes"],
)
def test_a_misspelt_one_is_not(wrong):
    with pytest.raises(AssertionError):
        understand(wrong.split())
