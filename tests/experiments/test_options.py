"""Options of commands that read some settings alone: each is read by a task, and what no task reads is no option."""

import contextlib
import dataclasses
import io
import re
import types

import pytest
from brought_cases import one_hidden_layer

from experiments import depth, evaluate, stream, sweep
from experiments.brought import Brought, Loaded
from experiments.evaluation_plan import EvaluationPlan
from experiments.images import Images, RawImages
from experiments.members import MEASUREMENTS, members_of
from experiments.models import KNOWN, MODELS, ROWS, SWEPT
from experiments.questions import command as questions
from experiments.settings.depth import UNREAD
from experiments.settings.evaluation import UNREAD as UNREAD_BY_EVALUATIONS
from experiments.settings.grid import UNREAD as UNREAD_BY_SWEEPS
from experiments.settings.paths import is_within, paths_of, setting, with_settings
from experiments.settings.questions_read import READ
from experiments.settings.questions_read import UNREAD as UNREAD_BY_ALL
from experiments.settings.streams import UNREAD as UNREAD_ON_STREAMS
from experiments.settings.streams import StreamSettings
from experiments.stream_plan import StreamPlan
from jax_bioadv import data

DIGITS = data.load("digits")
NETWORK = Loaded(Brought("brought_cases:one_hidden_layer", DIGITS.image_shape), one_hidden_layer())
ALL = ",".join((*MODELS, *ROWS))
TRAINED = ",".join(name for name in MODELS if not KNOWN[name].matches)
OTHERS = {
    "models": ["kh", f"{ALL},mix"],
    "why.attacked": ["kh"],
    "dimension.models": ["kh"],
    "shape.compared": ["kh,bp"],
    "shape.strengths": [("weak",)],
    "mixing.frozen": ["kh"],
    "precision": ["high"],
    "layer.start": ["samples"],
    "noise_start.start": ["samples"],
    "pruning.method": ["none"],
    "jacobian.target": ["activation"],
    "attacks.method": ["search"],
    "threats.names": [("raw_linf",)],
    "corruptions.names": [("blur",)],
}
"""Of settings that are no numbers."""
DATA = "dataset", "corruptions.cifar10_c"
"""Read where the images come from: of these tests the digits."""


def of_depth(chosen):
    return depth._planned(depth.Command(preset="smoke", settings=chosen), RawImages(DIGITS, chosen.norm))


def of_evaluation(chosen):
    """Of a network of images of unit norm and of one of raw pixels, which read strengths of their own."""
    tasks = []
    for kind in (Images, RawImages):
        plan = EvaluationPlan("mine", NETWORK, (), chosen, "smoke", kind(DIGITS, chosen.norm))
        tasks += [dataclasses.replace(task, name=f"{kind.__name__} {task.name}") for task in plan.all_tasks()]
    return types.SimpleNamespace(all_tasks=lambda: tasks)


def of_stream(chosen):
    return StreamPlan(chosen, StreamSettings(chunk=5), Images(DIGITS, chosen.norm))


def of_sweep(chosen):
    members = members_of(chosen, Images(DIGITS, chosen.norm), {})
    tasks = [task for member in members for task in member.stages(MEASUREMENTS).values()]
    return types.SimpleNamespace(all_tasks=lambda: tasks)


def of_question(number):
    def plan(chosen):
        command = questions.Command(preset="smoke", questions=(number,), settings=chosen)
        return questions._planned(command, number, Images(DIGITS, chosen.norm))

    return plan


def read_of(settings, unread):
    return [path for path in paths_of(settings) if not is_within(path, unread)]


# With models and starts that read whatever can be read.
MODELS_OF_DEPTH = "l2,jacobian,spectral,adversarial,random"
DEPTH = depth.parse(["--preset", "smoke", "--models", MODELS_OF_DEPTH, "--depths", "1"]).settings
ASKED = questions.parse(
    f"--preset smoke --models {ALL} --why.attacked {ALL} --dimension.models {TRAINED} --shape.compared "
    f"{','.join(MODELS)} --shape.strengths weak middle strong --mixing.frozen kh,kmeans --layer.start normal "
    "--noise-start.epochs 7 --pruning.method threshold --backprop.learning-rates 1e-3 1e-4 --backprop.boundaries 2 "
    "--shape.backprop.learning-rates 1e-3 1e-4 --shape.backprop.boundaries 2 --why.deltas 0.1 --why.ks 3 --why.ps 4 "
    "--mixing.mixes 2 --mixing.spectral-mixes 2 --mixing.powers 2 4".split()
).settings
THREATS = ["--threats.names", "unit_linf", "unit_l2", "raw_linf", "raw_l2"]
EVALUATED = evaluate.parse(["--preset", "smoke", *THREATS]).settings
STREAMED = stream.parse(["--preset", "smoke", "--pruning.method", "threshold", *THREATS]).settings
SWEPT_AT_ALL = (
    f"--preset smoke --models {','.join(SWEPT)} --layer.start normal --pruning.method threshold "
    "--backprop.learning-rates 1e-3 1e-4 --backprop.boundaries 2"
)
SETTINGS_SWEPT = sweep.parse(SWEPT_AT_ALL.split())[0].settings
COMMANDS = {
    "sweep": (of_sweep, SETTINGS_SWEPT, read_of(SETTINGS_SWEPT, UNREAD_BY_SWEEPS)),
    "evaluate": (of_evaluation, EVALUATED, read_of(EVALUATED, UNREAD_BY_EVALUATIONS)),
    "stream": (of_stream, STREAMED, read_of(STREAMED, UNREAD_ON_STREAMS)),
    "depth": (of_depth, DEPTH, read_of(DEPTH, UNREAD)),
    **{
        str(number): (of_question(number), ASKED, [path for path in paths_of(ASKED) if is_within(path, READ[number])])
        for number in (1, 2, 3, 4)
    },
}


def test_two_questions_have_the_same_tasks():
    assert questions.QUESTIONS[5].plan is questions.QUESTIONS[4].plan
    assert READ[5] == READ[4]


def others(path, value):
    """Other values, of which one can work."""
    if path.removeprefix("measured.") in OTHERS:
        return OTHERS[path.removeprefix("measured.")]
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, tuple):
        return [(*value[:-1], last) for last in others(path, value[-1])]
    return [value + 1, value - 1] if isinstance(value, int) else [value * 1.25, value * 0.8]


def given(plan):
    """What of a plan's fingerprints comes from settings."""
    return {task.name: task.settings for task in plan.all_tasks()}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_task_reads_every_option_and_no_other_setting(name):
    plan, usual, options = COMMANDS[name]
    before = given(plan(usual))
    one_value = {"layer.start"} if name == "stream" else set()
    told = set(options) - {*DATA, "measured.dataset"} - one_value

    def reads(path):
        for value in others(path, setting(usual, path)):
            with contextlib.suppress(ValueError):  # such as an exponent below the least
                if given(plan(with_settings(usual, {path: value}))) != before:
                    return True
        return False

    assert {path for path in told if reads(path)} == told
    for which in (0, -1):  # all others at once
        changed = usual
        for path in set(paths_of(usual)) - told - {*DATA, *(f"measured.{one}" for one in DATA)}:
            with contextlib.suppress(ValueError):
                one_more = with_settings(changed, {path: others(path, setting(usual, path))[which]})
                plan(one_more)
                changed = one_more
        assert given(plan(changed)) == before


@pytest.mark.parametrize(
    ("command", "chosen", "unread"),
    [
        (depth, DEPTH, UNREAD),
        (evaluate, EVALUATED, UNREAD_BY_EVALUATIONS),
        (questions, ASKED, UNREAD_BY_ALL),
        (stream, STREAMED, UNREAD_ON_STREAMS),
        (sweep, SETTINGS_SWEPT, UNREAD_BY_SWEEPS),
    ],
)
def test_help_has_every_setting_that_is_read_and_no_other(command, chosen, unread, capsys):
    with pytest.raises(SystemExit):
        command.parse(["--help"])
    told = set(re.findall(r"--([\w.-]+)", capsys.readouterr().out))
    for path in paths_of(chosen):
        option = path.removeprefix("measured.").replace("_", "-")
        assert (option in told) != is_within(path, unread), path


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (depth, ["--bounds.images", "3"], "Unrecognized options: --bounds.images"),
        (evaluate, ["--spectra.populations", "3"], "Unrecognized options: --spectra.populations"),
        (stream, ["--masking.images", "3"], "Unrecognized options: --masking.images"),
        (sweep, ["--threats.targets", "3"], "Unrecognized options: --threats.targets"),
        (sweep, ["--grid", "bounds.images=1,2"], "no task of a sweep reads 'bounds.images'; leave it"),
        (questions, ["--landscape.resolution", "3"], "Unrecognized options: --landscape.resolution"),
        (questions, ["2", "4", "--hidden", "9"], "--hidden is read by none of the questions asked (2, 4); leave it"),
        (questions, ["4", "--decoder.power", "2"], "--decoder.power is read by none of the questions asked (4)"),
    ],
)
def test_a_setting_that_no_task_reads_is_refused_before_any_work(command, arguments, message, tmp_path):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            code = command.main([*arguments, "--preset", "smoke", "--out", str(tmp_path / "run")])
        except SystemExit as end:
            code = end.code
    assert code == 2
    assert message in said.getvalue()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["stream", "sweep", "2", "3", "4"])
def test_a_setting_that_is_no_option_is_not_held_against_the_data(name):
    plan, usual, options = COMMANDS[name]
    numbers = {"noise_start.batch_size", "noise_start_hidden", "hidden"} - set(options)
    plan(with_settings(usual, {"noise_start.start": "samples", **dict.fromkeys(numbers, 1501)}))


def test_what_is_parsed_is_of_the_settings_own_classes():
    assert depth.parse([]) == depth.Command()
    assert questions.parse(["--shape.spectral.weight", "3"]).settings.shape.spectral.weight == 3
