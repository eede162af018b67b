"""Draw the figures and the page of a finished run or question, or the figure of a sweep, from its folder alone."""

import sys
from pathlib import Path

import tyro

from experiments.questions.question import draw, write_page
from experiments.questions.registry import QUESTIONS
from experiments.report import closing, write_report
from experiments.report.sweep_figure import draw_sweep
from experiments.results.schema import read_results, whole_results
from jax_bioadv.command_line import IncompleteError, exit_code, start
from jax_bioadv.user_folders import user_path


def render(directory: tyro.conf.Positional[Path]) -> None:
    """Draw again what the folder of a run or of a sweep holds; it needs results.json and figures.npz, or sweep.csv.

    Args:
        directory: of the run: figures/ and report.html are made; or of the sweep: sweep.png and sweep.pdf.

    Raises:
        ValueError: it is no directory of a run or of a sweep that has come to its end, or its results are not whole.
        IncompleteError: figures that could not be drawn; the others and the page are there.
    """
    directory = user_path(directory)
    if (directory / "sweep.json").is_file():
        try:
            print(*draw_sweep(directory), sep="\n")
        except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
            reason = error if isinstance(error, ValueError | OSError) else f"it holds something else: {error!r}"
            raise ValueError(f"name the folder of a sweep that has come to its end ({reason})") from error
        return
    with whole_results(directory):
        asked = read_results(directory).get("question")
        question = None if asked is None else QUESTIONS[asked]
        undrawn = closing.draw(directory) if question is None else draw(question, directory)
        print(write_report(directory) if question is None else write_page(question, directory))
    if undrawn.failed:
        raise IncompleteError("; ".join(undrawn.notes))


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: tyro.cli(render, args=words, prog="python -m experiments.report"))


if __name__ == "__main__":
    start(main)
