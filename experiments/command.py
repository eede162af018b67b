"""What the commands of this package share: how they read options, where they log, how they end."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

logger = logging.getLogger("experiments")


class TasksFailed(RuntimeError):
    """Some tasks ended in an error; what does not build on them is done."""


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option that decides the defaults of all others."""
    for place, argument in enumerate(arguments):
        if argument == name and place + 1 < len(arguments):
            return arguments[place + 1]
        if argument.startswith(f"{name}="):
            return argument.removeprefix(f"{name}=")
    return None


@contextlib.contextmanager
def logging_to(directory: Path) -> Iterator[None]:
    """What the experiment and the library have to say goes to the log file and to the terminal."""
    file = logging.FileHandler(directory / "log.txt", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(logging.Formatter("%(message)s"))
    loggers = [logging.getLogger(name) for name in ("experiments", "jax_bioadv")]
    on_a_terminal = sys.stderr.isatty()
    terminal.setLevel(logging.INFO if on_a_terminal else logging.WARNING)
    before = [(one.level, one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.setLevel(logging.INFO)
        one.handlers, one.propagate = [file, terminal], False
    try:
        with logging_redirect_tqdm(loggers) if on_a_terminal else contextlib.nullcontext():  # above the progress bars
            yield
    except Exception:
        terminal.setLevel(logging.CRITICAL)  # the terminal gets the message alone, from main
        logger.exception("stopped by an error")
        raise
    finally:
        for one, (level, handlers, propagate) in zip(loggers, before, strict=True):
            one.setLevel(level)
            one.handlers, one.propagate = handlers, propagate
        file.close()


def exit_code(work: Callable[[], object]) -> int:
    """Do the work: 0 when it ends well, 1 when some tasks failed, 2 when its input was wrong or a file fails, 130 when
    stopped; one line says which."""
    try:
        work()
    except TasksFailed as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130
    return 0
