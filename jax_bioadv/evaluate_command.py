"""``jax-bioadv-evaluate``: the command ``experiments.evaluate``, of an installed package or of a clone."""

import os
import sys
from typing import NoReturn

from jax_bioadv.clone import clone_folder
from jax_bioadv.command_line import exit_code, start
from jax_bioadv.extras import extra


def main() -> NoReturn:
    """Run the command and end the process with its exit code."""
    os.environ["MPLBACKEND"] = "agg"  # figures go to files
    sys.path[:0] = [str(clone_folder()), os.getcwd()]  # the latter for the network, as python -m does
    start(lambda: exit_code(_evaluate))


def _evaluate() -> None:
    with extra("experiments"):
        from experiments import evaluate
    evaluate.run(evaluate.parse(sys.argv[1:], prog="jax-bioadv-evaluate"))
