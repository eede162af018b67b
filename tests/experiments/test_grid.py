"""What a sweep varies: the grid, from text and from files."""

from pathlib import Path

import pytest

from experiments import sweep
from experiments.settings.grid import parse_grid, points, read_file
from experiments.settings.paths import setting, with_settings
from experiments.settings.presets import PRESETS

SMOKE = PRESETS["smoke"]


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("layer.delta=0,0.2,4e-1", "layer.delta", (0.0, 0.2, 0.4)),
        (" layer.p = 2, 3 ", "layer.p", (2.0, 3.0)),
        ("layer.learning-rate=0.1", "layer.learning_rate", (0.1,)),
        ("hidden=12,24", "hidden", (12, 24)),
        ("layer.start=normal,samples", "layer.start", ("normal", "samples")),
        ("spectral.anchored=true,False", "spectral.anchored", (True, False)),
        ("backprop.learning-rates=1e-3:3e-4,1e-2", "backprop.learning_rates", ((1e-3, 3e-4), (1e-2,))),
        ("backprop.boundaries=3:5,4", "backprop.boundaries", ((3, 5), (4,))),
    ],
)
def test_values_have_the_type_of_their_setting(text, path, values):
    """Also where the preset's list is empty, as the smoke preset's boundaries are."""
    grid = parse_grid([text], SMOKE)
    assert grid == {path: values}
    assert [type(value) for value in grid[path]] == [type(value) for value in values]


WRONG = {
    "layer.delta": "is written as SETTING=VALUE",
    "layer.delta=": "is written as SETTING=VALUE",
    "layer.nothing=1": "no setting 'layer.nothing'",
    "nothing=1": "no setting 'nothing'",
    "hidden.more=1": "no setting 'hidden.more'",
    "=1": "no setting",
    "layer=1": "'layer' is a group of settings",
    "hidden=1.5": "hidden: '1.5' is no int",
    "layer.p=two": "layer.p: 'two' is no float",
    "layer.p=2,": "layer.p: '' is no float",
    "layer.p=2,2.0": "the same value twice",
    "spectral.anchored=1": "neither true nor false",
    "layer.start=nowhere": "'nowhere' is none of normal, samples",
    "pruning.method=nowhere": "'nowhere' is none of mixture, threshold, none",
    "jacobian.target=preactivation,x": "'x' is none of preactivation, activation",
    "backprop.learning-rates=1e-3:x": "'x' is no float",
    "seeds=1,2": "cannot be part of a grid",
    "models=kh,bp": "cannot be part of a grid",
    "dataset=digits": "cannot be part of a grid",
    "precision=high": "cannot be part of a grid",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_grid_that_makes_no_sense_is_refused_and_says_why(text):
    with pytest.raises(ValueError, match=WRONG[text].replace("(", r"\(")):
        parse_grid([text], SMOKE)


def test_a_setting_stands_in_a_grid_once():
    with pytest.raises(ValueError, match=r"layer\.learning_rate stands in the grid twice"):
        parse_grid(["layer.learning-rate=1", "layer.learning_rate=2"], SMOKE)


def test_every_combination_is_a_point_and_the_last_setting_runs_fastest():
    grid = parse_grid(["layer.p=2,3", "hidden=12,24,36"], SMOKE)
    assert [tuple(point.values()) for point in points(grid)] == [(p, h) for p in (2.0, 3.0) for h in (12, 24, 36)]
    assert points({}) == [{}]


def test_settings_are_changed_where_the_path_says_and_nowhere_else():
    changed = with_settings(SMOKE, {"layer.p": 2.0, "hidden": 7})
    assert (setting(changed, "layer.p"), setting(changed, "hidden")) == (2.0, 7)
    assert with_settings(changed, {"layer.p": SMOKE.layer.p, "hidden": SMOKE.hidden}) == SMOKE


FILE = """
preset = "smoke"
seeds = 2
models = "kh,bp"
[settings]
hidden = 12
layer.epochs = 2
backprop.learning-rates = [1e-2, 1e-3]
backprop.boundaries = [1]
[grid]
layer.delta = [0, 0.4]
backprop.learning_rates = [[1e-2, 1e-3], [1e-3, 1e-4]]
[grid.decoder]
power = [1, 4.5]
"""


def written(folder, text):
    path = Path(folder) / "sweep.toml"
    path.write_text(text)
    return path


def test_a_file_says_what_the_command_line_can_say(tmp_path):
    options = "--preset smoke --seeds 2 --models kh,bp --hidden 12 --layer.epochs 2 --backprop.boundaries 1"
    options = [*options.split(), "--backprop.learning-rates", "1e-2", "1e-3", "--grid", "layer.delta=0,0.4"]
    by_options = sweep.parse([*options, "backprop.learning-rates=1e-2:1e-3,1e-3:1e-4", "decoder.power=1,4.5"])
    by_file = sweep.parse(["--file", str(written(tmp_path, FILE))])
    assert by_file[1] == by_options[1]
    assert list(by_file[1]) == list(by_options[1])
    assert by_file[0].settings == by_options[0].settings
    assert by_file[0].preset == by_options[0].preset


def test_the_command_line_comes_on_top_of_a_file(tmp_path):
    command, grid = sweep.parse(["--file", str(written(tmp_path, FILE)), "--seeds", "3", "--grid", "layer.delta=1,2"])
    assert command.settings.seeds == 3
    assert command.settings.hidden == 12
    assert grid["layer.delta"] == (1.0, 2.0)
    assert grid["decoder.power"] == (1.0, 4.5)


WRONG_FILES = {
    "preset = ": "cannot read the sweep",
    "preset = 'large'": "unknown preset 'large'",
    "preset = ['quick']": "unknown preset",
    "presets = 'quick'": "unknown 'presets'; a sweep's file has preset, seeds",
    "grid = 3": "grid is a table",
    "settings = 3": "settings is a table",
    "seeds = '4'": "seeds: '4' is no int",
    "seeds = true": "seeds: True is no int",
    "[settings]\nlayer.nothing = 1": "no setting 'layer.nothing'",
    "[settings]\nlayer = 1": "'layer' is a group",
    "[settings]\nlayer.start = 'nowhere'": "none of normal, samples",
    "[grid]\nlayer.delta = 1": "needs a list of values",
    "[grid]\nlayer.delta = []": "needs a list of values",
    "[grid]\nlayer.delta = ['a']": "'a' is no float",
    "[grid]\nhidden = [1.5]": "1.5 is no int",
    "[grid]\nlayer.p = [2, 2.0]": "the same value twice",
    "[grid]\nseeds = [1, 2]": "cannot be part of a grid",
}


@pytest.mark.parametrize("text", WRONG_FILES)
def test_a_file_that_makes_no_sense_is_refused_and_says_why(text, tmp_path):
    with pytest.raises(ValueError, match=WRONG_FILES[text]):
        read_file(written(tmp_path, text))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--grid", "layer.nothing=1"], "no setting 'layer.nothing'"),
        (["--grid", "layer.delta=0.1,-1"], "at layer.delta = -1.0: layer.delta must not be negative"),
        (["--grid", "hidden=12", "layer.k=2,30"], "at hidden = 12, layer.k = 30: layer: rank k = 30"),
        (["--grid", "backprop.learning-rates=1e-2,1e-2:1e-3"], "at backprop.learning_rates = 0.01:0.001:"),
        (["--grid", "hidden=12,5000"], "at hidden = 5000: hidden: 5000 rows cannot start from 1500"),
        (["--hidden", "20", "--grid", "hidden=12,16"], "hidden is given a value that the grid has not"),
        (["--measure", "speed"], "unknown measurement 'speed'"),
        (["--memory-gib", "-1"], "memory-gib must be positive"),
        (["--memory-gib", "1e300"], "memory-gib must be positive"),
        (["--data-devices", "3"], "cannot be split into groups of 3"),
        (["--processes", "2"], "go together"),
        (["--file", "nowhere.toml"], "cannot read the sweep nowhere.toml"),
    ],
)
def test_an_error_is_one_line_before_any_work(arguments, said, tmp_path, capsys):
    directory = tmp_path / "sweep"
    preset = [] if "--file" in arguments else ["--preset", "smoke"]
    assert sweep.main([*preset, "--out", str(directory), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert said in printed.err
    assert printed.err.count("\n") == 1
    assert not list(directory.rglob("*.json")), "nothing was computed"
