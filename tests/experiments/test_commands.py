"""What the commands of the experiments do before and after the work: options, paths, other processes, wrong folders."""

import dataclasses
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from experiments import reproduce, sweep
from experiments.engine import hosts, job
from experiments.report import __main__ as report
from experiments.report import closing, markdown
from experiments.report.figures import draw_all
from jax_bioadv import data
from jax_bioadv.command_line import STOPPED

COMMANDS = {"reproduce": reproduce, "sweep": sweep}


def refused(capsys, code):
    """What a command that ended in 2 said, in one line, if the data were not read before, which is told as well."""
    printed = capsys.readouterr()
    *before, said = printed.err.splitlines()
    assert (code, printed.out) == (2, "")
    assert said.startswith("error: ")
    assert all(": using " in line for line in before)
    return said


# Options and paths.


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("twice", [["--preset", "smoke", "--preset", "paper"], ["--preset=smoke", "--preset=smoke"]])
def test_two_presets_are_refused(command, twice, tmp_path, capsys):
    assert "--preset stands 2 times" in refused(capsys, command.main([*twice, "--out", str(tmp_path / "run")]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["out", "data-dir", "compiled"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_tilde_is_the_home_folder_in_every_path(command, option, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    parsed = command.parse([f"--{option}=~/x"])
    parsed = parsed if command is reproduce else parsed[0]
    assert getattr(parsed, option.replace("-", "_")) == tmp_path / "x"


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
def test_without_a_home_a_tilde_is_refused(command, homeless, capsys):
    assert "home folder is not known" in refused(capsys, command.main(["--preset", "smoke", "--out", "~/run"]))


@pytest.fixture
def worked_on(monkeypatch):
    """Nothing is computed: the data sets that commands would have worked on."""
    found = []
    monkeypatch.setattr(job, "complete_all", lambda *arguments, **options: None)
    monkeypatch.setattr(closing, "close_run", lambda plan, *more: found.append(plan.images.dataset) or [])
    monkeypatch.setattr(sweep, "complete_sweep", lambda *arguments: None)
    monkeypatch.setattr(closing, "close_sweep", lambda sweep, settings, dataset, preset: found.append(dataset) or [])
    return found


def test_without_a_home_the_data_need_a_folder_and_the_digits_none(homeless, tmp_path, capsys, worked_on):
    assert "--data-dir" in refused(capsys, reproduce.main(["--preset", "quick", "--out", str(tmp_path / "quick")]))
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path / "smoke")]) == 0


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_blank_image_is_refused_before_any_work_or_left_out(command, tmp_path, digits, capsys, worked_on):
    images = digits.train_images.copy()
    images[20] = 0
    data.export(dataclasses.replace(digits, name="blank", train_images=images), tmp_path / "data" / "blank")
    words = ["--preset", "smoke", "--dataset", "blank", "--data-dir", str(tmp_path / "data"), "--out"]
    said = refused(capsys, command.main([*words, str(tmp_path / "refused")]))
    assert "image 20 of train_images is all zero" in said
    assert "--drop-blank-images" in said
    assert not worked_on
    assert command.main([*words, str(tmp_path / "run"), "--drop-blank-images", "--resize", "4"]) == 0
    assert worked_on[0].image_shape == (4, 4, 1)
    assert len(worked_on[0].train_images) == len(images) - 1
    assert "without 1 train images" in worked_on[0].source


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_one_class_is_refused_before_any_work(command, tmp_path, digits, capsys):
    zeros = [digits.train_labels == 0, digits.test_labels == 0]
    one = data.Dataset(
        *("one", digits.train_images[zeros[0]], digits.train_labels[zeros[0]]),
        *(digits.test_images[zeros[1]], digits.test_labels[zeros[1]], ("0",), "digits"),
    )
    data.export(one, tmp_path / "one")
    words = ["--preset", "smoke", "--dataset", "one", "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]
    assert "one has one class" in refused(capsys, command.main(words))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_device_that_is_not_there_is_told_in_one_line(command, tmp_path):
    words = ["-m", f"experiments.{command}", "--preset", "smoke", "--out", str(tmp_path / "run")]
    variables = {**os.environ, "JAX_PLATFORMS": "abacus"}
    ended = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False, env=variables)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: JAX finds no device: Unable to initialize backend 'abacus'")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


# Compiled programs.


def test_a_second_run_on_this_machine_compiles_nothing(tmp_path):
    """Two processes and two folders; they have the kept programs in common."""

    def kept(out):
        words = ["--stages", "layer", "--models", "bp", "--noise-start.epochs", "1"]
        command = [sys.executable, "-m", "experiments.reproduce", "--preset", "smoke", *words, "--out", str(out)]
        variables = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
        variables["JAX_BIOADV_COMPILED"] = str(tmp_path / "compiled")
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, env=variables)
        return {path.name for path in tmp_path.glob("compiled/*/*-cache")}

    first = kept(tmp_path / "one")
    assert len(first) > 10
    assert kept(tmp_path / "other") == first


# Other processes.

WAITING = """
import sys
from experiments import sweep
from experiments.engine import hosts
from jax_bioadv.command_line import start
hosts.WAIT_SECONDS = float(sys.argv[1])
print("waits", flush=True)
start(lambda: sweep.main(sys.argv[2:]))
"""


def waiting(process, seconds, out):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    words = ["--preset", "smoke", "--out", str(out), "--processes", "2", "--process", str(process)]
    return subprocess.Popen(
        [sys.executable, "-c", WAITING, str(seconds), *words, "--coordinator", address],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("process", [0, 1])
def test_a_partner_that_never_comes_is_told_in_one_line(process, tmp_path):
    alone = waiting(process, 0.5, tmp_path / "run")
    output, errors = alone.communicate()
    assert (alone.returncode, output) == (2, "waits\n")
    assert errors.startswith("error: waited 0.5 s in vain for all 2 processes at 127.0.0.1:")
    assert errors.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_waiting_for_a_partner_can_be_stopped(tmp_path):
    alone = waiting(1, 60.0, tmp_path / "run")
    assert alone.stdout is not None
    assert alone.stdout.readline() == "waits\n"
    time.sleep(1.0)  # it may not wait yet, and must end all the same
    alone.send_signal(signal.SIGTERM)
    _, errors = alone.communicate()
    assert (alone.returncode, errors) == (143, f"{STOPPED}\n")


@pytest.mark.parametrize(
    ("coordinator", "process", "said"),
    [
        ("localhost", 0, "must be HOST:PORT"),
        ("localhost:", 0, "must be HOST:PORT"),
        (":8476", 0, "must be HOST:PORT"),
        ("localhost:http", 0, "must be HOST:PORT"),
        ("localhost:99999", 0, "must be HOST:PORT"),
        ("localhost:8476", 2, "must be from 0"),
        ("localhost:8476", -1, "must be from 0"),
    ],
)
def test_a_coordinator_that_cannot_be_is_refused(coordinator, process, said):
    with pytest.raises(ValueError, match=said):
        hosts.join_hosts(coordinator, 2, process, False)


def test_a_port_that_is_taken_is_refused():
    with socket.create_server(("", 0)) as taken, pytest.raises(ValueError, match="cannot be used here"):
        hosts.join_hosts(f"localhost:{taken.getsockname()[1]}", 2, 0, False)


# Figures that cannot be drawn.


def test_a_figure_that_fails_fails_alone_and_is_named(copied, run_smoke, monkeypatch):
    """Whatever it raises, and whether it fails in building or in saving."""

    def fails(*arguments):
        raise RuntimeError("Failed to process string with tex")

    saved = []

    def save(figure, directory, name):
        if name == "figure5":
            raise ValueError("image size is too large")
        saved.append(name)
        (directory / f"{name}.png").touch()

    for name in ("threat_figure", "landscape_figure"):
        monkeypatch.setattr(closing.drawing.figures, name, fails)
    monkeypatch.setattr(closing.drawing.figures, "save_figure", save)
    for name in ("results.json", "report.html", "figures/figure3.png"):
        (copied / name).unlink()
    run = run_smoke(copied)
    assert run.code == 1
    assert run.errors.splitlines()[-1].startswith("error: figure4, figure5, figure6 could not be drawn")
    assert "Traceback" in run.log
    assert "Traceback" not in run.errors
    notes = json.loads((copied / "results.json").read_text())["notes"]
    assert "figure6 could not be drawn: RuntimeError: Failed to process string with tex" in notes
    assert "figure6 could not be drawn" in (copied / "report.html").read_text()
    others = {"figure1", "figure2", "figure3", "figure7", "figure8", "figure9", "figureA1", "figureA2"}
    assert set(saved) == others | {"training_curves"}
    assert (copied / "figures" / "figure3.png").exists()
    assert not list((copied / "figures").glob("figure6.*")), "an older one would pass for this one"


def test_results_are_written_before_the_figures(copied, run_smoke, monkeypatch):
    """Not even what ends the process while it draws takes them away."""

    written = json.loads((copied / "results.json").read_text())["models"]

    def draws(directory):
        assert json.loads((directory / "results.json").read_text())["models"] == written
        raise KeyboardInterrupt

    (copied / "results.json").unlink()
    monkeypatch.setattr(closing.drawing, "draw_all", draws)
    assert run_smoke(copied).code == 130
    assert (copied / "results.json").exists()


# Folders that hold no run.


@pytest.mark.parametrize("main", [report.main, markdown.main], ids=["report", "markdown"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is missing: finish the run first"),
        (b"", "no whole JSON file"),
        (b'{"schema": 1, "models"', "no whole JSON file"),
        (b"\xff\xfe", "no whole JSON file"),
        (b"[1, 2]", "no results file of schema 1"),
        (b'{"schema": 2}', "no results file of schema 1"),
        (b'{"schema": 1, "models": {"kh": 1}}', "lacks what"),
        (b'{"schema": 1, "models": [], "seeds": 3}', "lacks what"),
    ],
)
def test_a_wrong_folder_is_told_in_one_line(main, content, said, tmp_path, capsys):
    if content is not None:
        (tmp_path / "results.json").write_bytes(content)
    assert said in refused(capsys, main([str(tmp_path)]))


@pytest.mark.parametrize("main", [report.main, markdown.main], ids=["report", "markdown"])
@pytest.mark.parametrize("folder", ["nowhere", "file"])
def test_no_folder_at_all_is_told_in_one_line(main, folder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    refused(capsys, main([str(tmp_path / folder)]))


@pytest.mark.parametrize("content", ["[]", "{}", '{"grid": 3}', "no JSON"])
def test_a_sweep_that_is_none_is_told_in_one_line(content, tmp_path, capsys):
    (tmp_path / "sweep.json").write_text(content)
    (tmp_path / "sweep.csv").write_text("stage,model\ntrain,kh\n")
    assert "name the folder of a sweep" in refused(capsys, report.main([str(tmp_path)]))


def test_a_published_folder_is_drawn_again_to_the_same_bytes(smoke, tmp_path, monkeypatch):
    """By another process, from two files; without the arrays what is there stays, and is named."""
    for name in ("results.json", "figures.npz"):
        shutil.copy(smoke.directory / name, tmp_path)
    words = [sys.executable, "-m", "experiments.report", str(tmp_path)]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stdout == f"{tmp_path / 'report.html'}\n"

    def made(folder):
        files = [folder / "report.html", *(folder / "figures").iterdir()]
        return {path.relative_to(folder): path.read_bytes() for path in files}

    assert made(tmp_path) == made(smoke.directory)
    (tmp_path / "figures.npz").unlink()
    save, saved = closing.drawing.figures.save_figure, set()

    def save_one(figure, directory, name):
        saved.add(name)
        if name == "figure7":  # to save all would take as long again
            save(figure, directory, name)

    monkeypatch.setattr(closing.drawing.figures, "save_figure", save_one)
    undrawn = draw_all(tmp_path)
    assert undrawn.failed == []
    assert saved == {"figure5", "figure6", "figure7", "figure8", "figure9", "figureA2"}
    assert {note.split()[0] for note in undrawn.notes} == {
        "figure1", "figure2", "figure3", "figure4", "figureA1", "training_curves",
    }  # fmt: skip
    assert all("was not drawn again: there is no figures.npz" in note for note in undrawn.notes)
    assert made(tmp_path) == made(smoke.directory)
