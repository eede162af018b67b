"""What the tests of questions share."""

import contextlib
import io

from experiments.questions import __main__ as questions


def answer(numbers, folder, *arguments):
    """The exit code of the command at smoke size, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = questions.main([*numbers, "--preset", "smoke", "--out", str(folder), *arguments])
    return code, said.getvalue()


def built_but_not_printed(figure, folder, name):
    """In place of saving a figure: printing all would take as long as the run."""
    folder.mkdir(parents=True, exist_ok=True)
    figure.draw_without_rendering()
    (folder / f"{name}.png").touch()
