"""What the tests of questions share."""

import contextlib
import io

from experiments.questions import command as questions


def answer(numbers, folder, *arguments):
    """The exit code of the command at smoke size, and what it said."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        code = questions.main([*numbers, "--preset", "smoke", "--out", str(folder), *arguments])
    return code, said.getvalue()
