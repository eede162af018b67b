"""Run experiments on the paper's open questions: ``python -m experiments.questions 1 --preset quick``.

Each question has a folder, below ``--out``, with results.json, figures/ and report.html; run again, it goes on.
"""

import dataclasses
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import tyro

from experiments.engine.command import Place, check_devices, following, preset_of, with_user_paths, working_in
from experiments.engine.estimate import Estimate
from experiments.engine.ledger import Ledger
from experiments.engine.running import complete_all
from experiments.images import Images
from experiments.questions.question import Question, close
from experiments.questions.registry import QUESTIONS
from experiments.settings.questions import QUESTION_PRESETS, QuestionSettings
from experiments.settings.reproduction import Settings
from jax_bioadv.command_line import IncompleteError, exit_code, start

logger = logging.getLogger("experiments")


@dataclasses.dataclass(frozen=True)
class Command(Place):
    """Answer open questions of "Exploring Biologically Inspired Mechanisms of Adversarial Robustness" by experiments.

    1: why does the rule give power laws, and which property of image-like rows gives robustness?
    4: which mix of smoothness and spectrum is most robust at a given accuracy?
    5: how does boundary geometry follow the spectrum?

    Stop it whenever you like: run again on the same folder, it goes on where it was.
    """

    questions: tyro.conf.Positional[tuple[int, ...]] = tuple(QUESTIONS)
    """Numbers of the questions; all of them if none is given."""
    out: Path | None = None
    """Folder in which each question has one; runs/questions-PRESET if not given."""
    settings: Annotated[QuestionSettings, tyro.conf.arg(name="")] = dataclasses.field(
        default_factory=lambda: QUESTION_PRESETS["quick"]
    )


def parse(arguments: list[str]) -> Command:
    """The command line, with the settings of the preset that it names as defaults.

    Raises:
        ValueError: two presets, or a home folder that is not known.
    """
    chosen = preset_of(arguments)
    default = Command(preset=chosen, settings=QUESTION_PRESETS[chosen])
    return with_user_paths(tyro.cli(Command, args=arguments, default=default, prog="python -m experiments.questions"))


def run(command: Command) -> list[Path]:
    """Do what the command says and return the folders of the questions.

    Raises:
        ValueError: a question that there is none of, or a setting that cannot work, before any work.
        OSError: a folder cannot be written.
        IncompleteError: tasks that failed or figures that could not be drawn; all else is written, and says so.
    """
    for number in command.questions:
        if number not in QUESTIONS:
            raise ValueError(f"there is no question {number}; choose among {', '.join(map(str, QUESTIONS))}")
    command.settings.check_values()
    check_devices()
    folder = command.out or Path("runs") / f"questions-{command.preset}"
    folders = [folder / str(number) for number in command.questions]
    complaints: list[str] = []
    for number, directory in zip(command.questions, folders, strict=True):
        complaints += _answer(command, QUESTIONS[number], directory)
    if complaints:
        raise IncompleteError("; ".join(complaints))
    return folders


def _answer(command: Command, question: Question, directory: Path) -> list[str]:
    outcomes = directory.parent / str(question.outcomes_of or question.number)
    with working_in(outcomes, command, command.settings) as images:
        settings = following(command, command.settings, images)
        plan, ledger = question.plan(settings, images), Ledger(outcomes)
        what = f"question {question.number}, {command.preset} on {images.dataset.name}"

        def estimated(settings: Settings, images: Images) -> Estimate:
            return Estimate(settings, images, counted=partial(question.counted, units=settings.hidden))

        complete_all(settings, ledger, plan.all_tasks(), what, estimated)
        ledger.clear_up(plan.all_tasks())
        return [*ledger.complaints(), *close(question, plan, ledger, command.preset, directory)]


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    start(main)
