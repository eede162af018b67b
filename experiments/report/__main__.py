"""Render the report of a finished run again: ``python -m experiments.report DIRECTORY``."""

import sys
from pathlib import Path

import tyro

from experiments.report import write_report
from experiments.results.schema import whole_results
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.user_folders import user_path


def render(directory: tyro.conf.Positional[Path]) -> None:
    """Render report.html from results.json and figures/.

    Args:
        directory: the run's directory.

    Raises:
        ValueError: it is no directory of a run, or its results are not whole.
    """
    directory = user_path(directory)
    with whole_results(directory):
        print(write_report(directory))


def main(arguments: list[str] | None = None) -> int:
    words = sys.argv[1:] if arguments is None else arguments
    return exit_code(lambda: tyro.cli(render, args=words, prog="python -m experiments.report"))


if __name__ == "__main__":
    start(main)
