"""What the commands of the experiments refuse before any work, and what they keep after it."""

import dataclasses
import os
import pwd
import subprocess
import sys

import pytest

from experiments import reproduce, sweep
from experiments.engine import job
from experiments.report import closing
from jax_bioadv import data

COMMANDS = {"reproduce": reproduce, "sweep": sweep}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("twice", [["--preset", "smoke", "--preset", "paper"], ["--preset=smoke", "--preset=smoke"]])
def test_two_presets_are_refused(command, twice, tmp_path, refused):
    assert "--preset stands 2 times" in refused(command.main([*twice, "--out", str(tmp_path / "run")]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["out", "data-dir", "compiled"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_tilde_is_the_home_folder_in_every_path(command, option, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    parsed = command.parse([f"--{option}=~/x"])
    parsed = parsed if command is reproduce else parsed[0]
    assert getattr(parsed, option.replace("-", "_")) == tmp_path / "x"


@pytest.mark.parametrize("option", [["--out", ""], ["--out="], ["--compiled", ""]])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_path_that_is_nothing_is_refused(command, option):
    """As where a variable of the shell is not set."""
    with pytest.raises(ValueError, match=f"{option[0].rstrip('=')} is given nothing"):
        command.parse(option)


def test_a_tilde_is_the_home_folder_in_the_name_of_a_sweep_file(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "sweep.toml").write_text('preset = "smoke"\n[grid]\nlayer.delta = [0.1, 0.2]\n')
    command, grid = sweep.parse(["--file=~/sweep.toml"])
    assert command.file == tmp_path / "sweep.toml"
    assert grid == {"layer.delta": (0.1, 0.2)}


@pytest.fixture
def homeless(monkeypatch):
    """As in a container whose user has neither HOME nor an entry in the list of users."""

    def unknown(user):
        raise KeyError(user)

    for name in ("HOME", "XDG_CACHE_HOME", "JAX_BIOADV_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_without_a_home_a_tilde_is_refused(command, homeless, refused):
    assert "home folder is not known" in refused(command.main(["--preset", "smoke", "--out", "~/run"]))


@pytest.fixture
def worked_on(monkeypatch):
    """Nothing is computed: the data sets that commands would have worked on."""
    found = []
    monkeypatch.setattr(job, "complete_all", lambda *arguments, **options: None)
    monkeypatch.setattr(closing, "close_run", lambda plan, *more: found.append(plan.images.dataset) or [])
    monkeypatch.setattr(sweep, "complete_sweep", lambda *arguments: None)
    monkeypatch.setattr(closing, "close_sweep", lambda sweep, settings, dataset, preset: found.append(dataset) or [])
    return found


def test_without_a_home_the_data_need_a_folder_and_the_digits_none(homeless, tmp_path, refused, worked_on):
    assert "--data-dir" in refused(reproduce.main(["--preset", "quick", "--out", str(tmp_path / "quick")]))
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path / "smoke")]) == 0


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_blank_image_is_refused_before_any_work_or_left_out(command, tmp_path, digits, refused, worked_on):
    images = digits.train_images.copy()
    images[20] = 0
    data.export(dataclasses.replace(digits, name="blank", train_images=images), tmp_path / "data" / "blank")
    words = ["--preset", "smoke", "--dataset", "blank", "--data-dir", str(tmp_path / "data"), "--out"]
    said = refused(command.main([*words, str(tmp_path / "refused")]))
    assert "image 20 of train_images is all zero" in said
    assert "--drop-blank-images" in said
    assert not worked_on
    assert command.main([*words, str(tmp_path / "run"), "--drop-blank-images", "--resize", "4"]) == 0
    assert worked_on[0].image_shape == (4, 4, 1)
    assert len(worked_on[0].train_images) == len(images) - 1
    assert "without 1 train images" in worked_on[0].source


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_one_class_is_refused_before_any_work(command, tmp_path, digits, refused):
    zeros = [digits.train_labels == 0, digits.test_labels == 0]
    one = data.Dataset(
        *("one", digits.train_images[zeros[0]], digits.train_labels[zeros[0]]),
        *(digits.test_images[zeros[1]], digits.test_labels[zeros[1]], ("0",), "digits"),
    )
    data.export(one, tmp_path / "one")
    words = ["--preset", "smoke", "--dataset", "one", "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]
    assert "one has one class" in refused(command.main(words))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_is_told_in_one_line(command, tmp_path):
    words = ["-m", f"experiments.{command}", "--preset", "smoke", "--out", str(tmp_path / "run")]
    variables = {**os.environ, "JAX_PLATFORMS": "abacus"}
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: JAX finds no device: Unable to initialize backend 'abacus'")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


COUNTED = """
import collections, sys
import jax
from experiments import reproduce
from experiments.report import closing

seen = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: seen.update([event]))
closing.drawing.draw_all = lambda directory: closing.drawing.Undrawn([], [])
code = reproduce.main(sys.argv[1:])
print(*(seen["/jax/compilation_cache/" + name] for name in ("compile_requests_use_cache", "cache_hits")))
sys.exit(code)
"""


def test_a_second_run_on_this_machine_compiles_nothing(tmp_path):
    """Two processes and two folders; they have the kept programs in common."""

    def needed_and_found(out):
        words = ["--stages", "layer", "--models", "bp", "--noise-start.epochs", "1"]
        command = [sys.executable, "-c", COUNTED, "--preset", "smoke", *words, "--out", str(out)]
        variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMPILATION", "JAX_PERSIST"))
        }
        variables["JAX_BIOADV_COMPILED"] = str(tmp_path / "compiled")
        ended = subprocess.run(
            command, check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=variables
        )
        return tuple(int(count) for count in ended.stdout.split())

    needed, found = needed_and_found(tmp_path / "one")
    assert found < needed
    assert needed > 10
    needed, found = needed_and_found(tmp_path / "other")
    assert found == needed > 10
