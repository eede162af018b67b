"""Presets that work, bad values refused by name before any work, and a command line that reaches every setting."""

import contextlib
import dataclasses
import io
import math
import re

import pytest

from experiments import reproduce
from experiments.engine import command, job, terminal
from experiments.engine.tasks import exclusive
from experiments.models import CONTROLS, PAPER_MODELS
from experiments.plan import STAGES
from experiments.settings.presets import PRESETS
from experiments.settings.reproduction import MAY_BE_ZERO, Settings
from jax_bioadv.storage import StorageError

CIFAR10 = (50_000, 10_000, 3072)
DIGITS = (1500, 297, 64)


def numeric_settings() -> list[str]:
    """Paths such as ``layer.epochs`` of all settings that are a number, or several."""
    found = []
    for field in dataclasses.fields(Settings):
        value = getattr(PRESETS["paper"], field.name)
        if dataclasses.is_dataclass(value):
            inner = [(f"{field.name}.{one.name}", getattr(value, one.name)) for one in dataclasses.fields(value)]
        else:
            inner = [(field.name, value)]
        for path, number in inner:
            first = number[0] if isinstance(number, tuple) and number else number
            if isinstance(first, int | float) and not isinstance(first, bool):
                found.append(path)
    return found


def flag(path: str) -> str:
    return path.replace("_", "-")


@pytest.mark.parametrize(("preset", "sizes"), [("smoke", DIGITS), ("quick", CIFAR10), ("paper", CIFAR10)])
def test_every_preset_suits_its_data(preset, sizes):
    PRESETS[preset].check(*sizes)


def test_the_paper_preset_has_the_published_sizes():
    settings = PRESETS["paper"]
    assert (settings.dataset, settings.hidden, settings.norm, settings.decoder.power) == ("cifar10", 2000, 3.0, 4.5)
    assert (settings.layer.p, settings.layer.k, settings.layer.delta, settings.layer.radius) == (3.0, 2, 0.4, 1.0)
    assert (settings.layer.start, settings.layer.scale, settings.layer.learning_rate) == ("normal", 1.0, 0.02)
    for part in (settings.layer, settings.decoder, settings.backprop):
        assert (part.epochs, part.batch_size) == (1000, 1000)
    assert settings.backprop.learning_rates == (1e-3, 5e-4, 2e-4, 1e-4, 1e-5)
    assert settings.backprop.boundaries == (31, 91, 121, 161)
    assert (settings.l2.weight, settings.jacobian.weight, settings.spectral.weight) == (5e-4, 1e-3, 1.0)
    assert (settings.spectra.first, settings.spectra.last_on_images, settings.spectra.last_on_noise) == (11, 500, 100)
    assert (settings.attacks.epsilons, settings.attacks.images, settings.attacks.pgd_steps) == (400, 10_000, 20)
    assert settings.attacks.gradient_high == pytest.approx(0.0316, abs=1e-4)
    assert settings.model_names == PAPER_MODELS + CONTROLS
    assert (settings.threats.raw_linf, settings.threats.raw_l2) == (8 / 255, 0.5)


def test_the_numbers_are_found():
    assert {"hidden", "layer.epochs", "backprop.learning_rates", "attacks.gaussian_low"} <= set(numeric_settings())
    assert set(numeric_settings()) >= MAY_BE_ZERO


@pytest.mark.parametrize("path", numeric_settings())
@pytest.mark.parametrize("number", [-1, 0, math.nan, math.inf])
def test_no_number_may_be_negative_or_not_finite(path, number, changed):
    group, _, name = path.rpartition(".")
    usual = getattr(getattr(PRESETS["smoke"], group) if group else PRESETS["smoke"], name)
    if number == 0 and path in MAY_BE_ZERO:
        changed(path, type(usual)(number)).check(*DIGITS)
        return
    several = isinstance(usual, tuple)
    with pytest.raises(ValueError, match=flag(path)):
        changed(path, (number,) if several else number).check_values()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("models", "kh,hopfield", "unknown model 'hopfield'; choose among kh, bp, l2, jacobian, spectral"),
        ("models", "", "unknown model ''"),
        ("models", "bp,bp", "a model is named twice"),
        ("norm", 0.5, "norm: an L_p norm needs p ≥ 1, got 0.5"),
        ("layer.p", 1.5, "layer: p must be"),
        ("layer.k", 1, "layer: k must be"),
        ("noise_start.p", 1.5, "noise-start: p must be"),
        ("noise_start_hidden", 1, "noise-start: rank k = 2 needs at least as many hidden units, got 1"),
        ("layer.k", 49, "layer: rank k = 49 needs"),
        ("decoder.power", 0.5, "decoder.power must be at least 1"),
        ("backprop.boundaries", (3,), "backprop.learning-rates must be one more than backprop.boundaries"),
        ("backprop.learning_rates", (), "backprop.learning-rates"),
        ("spectral.first", 49, "spectral.first lies beyond"),
        ("spectra.first", 100, "spectra.first must lie before"),
        ("spectra.last_on_noise", 11, "spectra.first must lie before"),
        ("spectra.last_on_data", 11, "spectra.first must lie before"),
        ("spectra.noise_images", 1, "spectra.noise-images must be at least 2"),
        ("attacks.epsilons", 1, "attacks.epsilons must be at least 2, got 1"),
        ("attacks.published_epsilons", 1, "attacks.published-epsilons must be at least 2, got 1"),
        ("attacks.gaussian_low", 9.0, "attacks.gaussian-low must be below"),
        ("attacks.gradient_high", 1e-3, "attacks.gradient-low must be below"),
        ("landscape.resolution", 1, "landscape.resolution must be at least 2"),
        (
            "threats.names",
            ("raw_l3",),
            "threats.names: unknown 'raw_l3'; choose among unit_linf, unit_l2, raw_linf, raw_l2",
        ),
        ("threats.names", (), "threats.names: none, or one twice"),
        ("corruptions.names", ("rain",), "corruptions.names: unknown 'rain'; choose among gaussian_noise, shot_noise"),
        ("corruptions.names", ("fog", "fog"), "corruptions.names: none, or one twice"),
        ("corruptions.cifar10_c", "there", "corruptions.cifar10-c holds images of cifar10, not of digits"),
        ("boundaries.resolution", 1, "boundaries.resolution must be at least 2"),
        ("boundaries.radii", (), "boundaries.radii needs at least one radius"),
        ("boundaries.radii", (4.0, 4.0), "boundaries.radii has one twice"),
        ("boundaries.radii", (4.0, 4.0000001), "boundaries.radii has one twice"),
        ("attacks.gradient_high", 1e300, "attacks.gradient-high must be finite in 32 bits too"),
    ],
)
def test_a_value_that_cannot_work_whatever_the_data_is_refused_before_they_are_fetched(path, value, message, changed):
    with pytest.raises(ValueError, match=message):
        changed(path, value).check_values()


def test_boundaries_must_increase(changed):
    for boundaries in ((3, 2), (3, 3)):
        settings = changed("backprop.learning_rates", (1e-2, 1e-3, 1e-4))
        settings = dataclasses.replace(settings, backprop=dataclasses.replace(settings.backprop, boundaries=boundaries))
        with pytest.raises(ValueError, match=r"backprop\.boundaries must increase"):
            settings.check_values()


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("hidden", 1501, "hidden: 1501 rows cannot start from 1500 training images"),
        ("layer.batch_size", 1501, "layer.batch-size: 1501 exceeds the 1500 training images"),
        ("noise_start.batch_size", 1501, "noise-start.batch-size"),
        ("decoder.batch_size", 1501, "decoder.batch-size"),
        ("backprop.batch_size", 1501, "backprop.batch-size"),
        ("landscape.image", 297, "landscape.image: there are 297 test images"),
    ],
)
def test_a_value_that_does_not_suit_the_data_is_refused(path, value, message, changed):
    settings = changed(path, value)
    settings.check_values()
    with pytest.raises(ValueError, match=message):
        settings.check(*DIGITS)


# The command line.


def test_a_preset_is_where_the_settings_start_from():
    for preset, settings in PRESETS.items():
        for arguments in (["--preset", preset], [f"--preset={preset}"]):
            command = reproduce.parse(arguments)
            assert (command.preset, command.settings) == (preset, settings)
            assert command.stages.split(",") == list(STAGES)


def test_single_settings_are_changed_and_no_others(changed):
    arguments = ["--preset", "smoke", "--models", "kh,bp", "--seeds", "2", "--layer.epochs", "3"]
    settings = reproduce.parse([*arguments, "--backprop.learning-rates", "1e-3", "1e-4"]).settings
    assert settings.model_names == ("kh", "bp")
    assert (settings.seeds, settings.layer.epochs, settings.backprop.learning_rates) == (2, 3, (1e-3, 1e-4))
    back = dataclasses.replace(settings, models=PRESETS["smoke"].models, seeds=1)
    back = dataclasses.replace(back, layer=PRESETS["smoke"].layer, backprop=PRESETS["smoke"].backprop)
    assert back == PRESETS["smoke"]


@pytest.mark.parametrize("path", numeric_settings())
def test_help_names_every_number(path, smoke_help):
    assert f"--{flag(path)} " in smoke_help


@pytest.fixture(scope="module")
def smoke_help() -> str:
    """The smoke preset's help, without the frames around it."""
    text = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(text):
        patch.setenv("COLUMNS", "80")
        with pytest.raises(SystemExit) as end:
            reproduce.parse(["--preset", "smoke", "--help"])
    assert end.value.code == 0
    return " ".join(re.sub("[│╭╮╰╯─]", " ", text.getvalue()).split())


def test_help_tells_presets_units_and_what_may_be_chosen(smoke_help):
    for words in (
        "{smoke,quick,paper}",
        "a minute, scikit-learn's digits",
        "CIFAR-10 at reduced size",
        "the published sizes",
        "Passes over the training images",
        "Images per step",
        "in L2 distance",
        "Standard deviation of the normal start",
        "{normal,samples}",
        "on the same folder",
    ):
        assert words in smoke_help, words
    assert "--hidden INT Hidden units. (default: 48)" in smoke_help


@pytest.mark.parametrize(
    ("arguments", "choices"),
    [
        (["--preset", "fast"], ("fast", "smoke", "quick", "paper")),
        (["--preset=fast"], ("fast", "smoke", "quick", "paper")),
        (["--layer.start", "zeros"], ("zeros", "normal", "samples")),
        (["--jacobian.target", "logits"], ("logits", "preactivation", "activation")),
        (["--hidden", "many"], ("many", "--hidden")),
        (["--hiden", "3"], ("--hiden", "--hidden")),
    ],
)
def test_the_command_line_refuses_what_it_does_not_know_and_names_the_choices(arguments, choices, capsys):
    with pytest.raises(SystemExit) as end:
        reproduce.main(arguments)
    assert end.value.code == 2
    written = capsys.readouterr().err
    for word in choices:
        assert word in written


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--models", "kh,hopfield"], "unknown model 'hopfield'; choose among kh, bp, l2, jacobian, spectral"),
        (["--stages", "layer,attack"], "unknown stage 'attack'; choose among layer, train, spectra"),
        (["--stages", ""], "unknown stage ''"),
        (["--layer.epochs", "0"], "layer.epochs must be positive and finite, got 0"),
        (["--seeds", "0"], "seeds must be positive and finite, got 0"),
        (["--attacks.gaussian-high", "nan"], "attacks.gaussian-high must be positive and finite, got nan"),
    ],
)
@pytest.mark.parametrize("preset", ["smoke", "quick"])
def test_bad_settings_are_refused_before_any_data_or_folder(preset, arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command.data, "load", lambda *arguments: pytest.fail("data were fetched"))
    assert reproduce.main(["--preset", preset, "--out", str(tmp_path / "run"), *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "digit"], "unknown data set 'digit': known are digits, cifar10"),
        (["--layer.batch-size", "1501"], "layer.batch-size: 1501 exceeds the 1500 training images"),
    ],
)
def test_what_does_not_suit_the_data_is_refused_before_any_task(arguments, message, tmp_path, capsys):
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path), "--data-dir", str(tmp_path), *arguments]) == 2
    written = capsys.readouterr()
    assert f"error: {message}" in written.err
    assert "Traceback" not in written.err
    assert written.out == ""
    assert {path.name for path in tmp_path.iterdir()} == {".lock", "log.txt"}
    assert message in (tmp_path / "log.txt").read_text()


def test_a_folder_in_which_another_run_works_is_refused(tmp_path, capsys):
    with exclusive(tmp_path):
        assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path)]) == 2
    assert "another run is working in" in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {".lock"}


@pytest.mark.parametrize("out", ["file", "file/below"])
def test_a_folder_that_cannot_be_written_is_refused(tmp_path, capsys, out):
    (tmp_path / "file").write_text("no folder")
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path / out)]) == 2
    assert "cannot write into" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_is_told(tmp_path, capsys):
    (tmp_path / "log.txt").mkdir()
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path)]) == 2
    assert "log.txt" in capsys.readouterr().err


def test_a_full_disk_is_told_in_one_line(tmp_path, capsys, monkeypatch):
    def full(*arguments: object, **named: object) -> None:
        raise StorageError("cannot write the record: No space left on device. Free some space.")

    monkeypatch.setattr(job, "complete_all", full)
    monkeypatch.setattr(terminal._LogFile, "_open", lambda self: open("/dev/full", "w"))  # noqa: SIM115
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "error: cannot write the record: No space left on device. Free some space."
    assert "Traceback (most recent call last):" not in said


def test_stopping_by_hand_says_that_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    def stop(*arguments: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "complete_all", stop)
    assert reproduce.main(["--preset", "smoke", "--out", str(tmp_path)]) == 130
    assert "the same command goes on from here" in capsys.readouterr().err
