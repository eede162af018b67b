"""Render the report of a finished run again: ``python -m experiments.report DIRECTORY``."""

from pathlib import Path

import tyro

from experiments.report import write_report


def main(directory: tyro.conf.Positional[Path]) -> None:
    """Render report.html from results.json and figures/.

    Args:
        directory: the run's directory.
    """
    print(write_report(directory))


if __name__ == "__main__":
    tyro.cli(main)
