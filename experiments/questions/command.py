"""Run experiments on the paper's open questions: ``python -m experiments.questions 1 --preset quick``.

Each question has a folder, below ``--out``, with results.json, figures/ and report.html; run again, it goes on.
"""

import dataclasses
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments.engine.command import SideBySide, following, parsed
from experiments.engine.estimate import Estimate
from experiments.engine.job import Job, complete
from experiments.engine.ledger import Ledger
from experiments.images import Images
from experiments.questions.question import Question
from experiments.questions.question import close as end
from experiments.questions.registry import QUESTIONS
from experiments.settings.questions import QUESTION_PRESETS, QuestionSettings
from experiments.settings.questions_read import UNREAD, check_read
from jax_bioadv.command_line import IncompleteError, exit_code


@dataclasses.dataclass(frozen=True)
class Command(SideBySide):
    """Answer open questions of "Exploring Biologically Inspired Mechanisms of Adversarial Robustness" by experiments.

    1: why does the rule give power laws, and which property of image-like rows gives robustness?
    2: how does the exponent follow the data's intrinsic dimension?
    3: why does spectral regularization fail on white noise, and does robustness follow the spectrum?
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
    """See :func:`experiments.engine.command.parsed`."""
    return parsed(Command, QUESTION_PRESETS.__getitem__, arguments, "python -m experiments.questions", UNREAD)


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
    check_read(command.settings, command.preset, command.questions)
    folder = command.out or Path("runs") / f"questions-{command.preset}"
    folders = [folder / str(number) for number in command.questions]
    complaints = []
    for number, directory in zip(command.questions, folders, strict=True):
        try:
            _answer(command, QUESTIONS[number], directory)
        except IncompleteError as error:  # the next question can be answered all the same
            complaints.append(str(error))
    if complaints:
        raise IncompleteError("; ".join(complaints))
    return folders


def _answer(command: Command, question: Question, directory: Path) -> None:
    def what(plan: Any) -> str:
        return f"question {question.number}, {command.preset} on {plan.images.dataset.name}"

    def close(plan: Any, ledger: Ledger) -> list[str]:
        return end(question, plan, ledger, command.preset, directory)

    def estimated(plan: Any) -> Estimate:
        return Estimate(plan.settings, plan.images, counted=partial(question.counted, units=plan.settings.hidden))

    outcomes = directory.parent / str(question.outcomes_of or question.number)
    job = Job(outcomes, command, command.settings, partial(_planned, command, question.number))
    complete(job, what, close, estimated=estimated)


def _planned(command: Command, number: int, images: Images) -> Any:
    """The plan of a question; those of all that are asked for are made, so that none is refused after hours of work."""
    settings = following(command, command.settings, images)
    plans = {asked: QUESTIONS[asked].plan(settings, images) for asked in command.questions}
    return plans[number]


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: run(parse(sys.argv[1:] if arguments is None else arguments)))
