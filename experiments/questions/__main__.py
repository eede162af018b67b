"""``python -m experiments.questions``: see :mod:`experiments.questions.command`.

What workers are sent has to have another home than this file, which none of them can import.
"""

from experiments.questions.command import main
from jax_bioadv.command_line import start

if __name__ == "__main__":
    start(main)
