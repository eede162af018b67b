"""What a person sees of a command: its log file has everything, the terminal what is worth reading while it works."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from jax_bioadv.command_line import IncompleteError

logger = logging.getLogger("experiments")

EACH_TASK = "experiments.tasks"
"""The logger of the lines of single tasks: some hundreds, too many where no progress bar stands below them."""


class _MessageAlone(logging.Formatter):
    """No traceback on the terminal: it stands in the log file."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


def _worth_a_line(record: logging.LogRecord) -> bool:
    return record.name != EACH_TASK or record.levelno > logging.INFO


class _LogFile(logging.FileHandler):
    """What a full disk does not take is lost without a word: the error that ends the run says why."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def logging_to(directory: Path) -> Iterator[None]:
    """What the experiment and the library have to say goes to the log file and to the terminal.

    Off a terminal, in a pipe or a batch job, the lines of single tasks go to the file alone.
    """
    file = _LogFile(directory / "log.txt", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(_MessageAlone())
    loggers = [logging.getLogger(name) for name in ("experiments", "jax_bioadv")]
    on_a_terminal = sys.stderr.isatty()
    if not on_a_terminal:
        terminal.addFilter(_worth_a_line)
    before = [(one.level, one.handlers, one.propagate) for one in loggers]
    for one in loggers:
        one.setLevel(logging.INFO)
        one.handlers, one.propagate = [file, terminal], False
    try:
        with logging_redirect_tqdm(loggers) if on_a_terminal else contextlib.nullcontext():  # above the progress bars
            yield
    except KeyboardInterrupt:
        terminal.setLevel(logging.CRITICAL)  # the terminal gets the message alone, from main
        logger.info("stopped by a signal")
        raise
    except IncompleteError:  # what failed is in the log
        raise
    except Exception:
        terminal.setLevel(logging.CRITICAL)
        logger.exception("stopped by an error")
        raise
    finally:
        for one, (level, handlers, propagate) in zip(loggers, before, strict=True):
            one.setLevel(level)
            one.handlers, one.propagate = handlers, propagate
        file.close()
