"""What the commands of this package share: how they read options and where they log."""

import contextlib
import dataclasses
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
from tqdm.contrib.logging import logging_redirect_tqdm

from jax_bioadv import data
from jax_bioadv.command_line import IncompleteError
from jax_bioadv.user_folders import user_path

Command = TypeVar("Command")

logger = logging.getLogger("experiments")


def option(arguments: Sequence[str], name: str) -> str | None:
    """The value of an option that decides the defaults of all others.

    Raises:
        ValueError: it stands twice, so that no one value decides.
    """
    found: list[str | None] = []
    for place, argument in enumerate(arguments):
        if argument == name:
            found.append(arguments[place + 1] if place + 1 < len(arguments) else None)
        elif argument.startswith(f"{name}="):
            found.append(argument.removeprefix(f"{name}="))
    if len(found) > 1:
        raise ValueError(f"{name} stands {len(found)} times; give it once")
    return found[0] if found else None


def with_user_paths(command: Command) -> Command:
    """The command with ``~`` in its paths replaced by the home folder; ValueError if there is none."""
    fields: Any = vars(command)
    paths = {name: user_path(value) for name, value in fields.items() if isinstance(value, Path)}
    return dataclasses.replace(command, **paths)  # type: ignore[type-var]


def check_devices() -> None:
    """ValueError if JAX cannot use what it is asked to run on, before any work."""
    try:
        jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX finds no device: {str(error).splitlines()[0]} (JAX_PLATFORMS=cpu needs none)") from error


def load_images(name: str, data_dir: Path | None, drop_blank: bool) -> data.Dataset:
    """The data set, of which every image has a norm; DataError before any work if one has not."""
    dataset = data.load(name, data_dir)
    if drop_blank:
        return data.without_blank_images(dataset)
    data.refuse_blank_images(dataset)
    return dataset


class _MessageAlone(logging.Formatter):
    """No traceback on the terminal: it stands in the log file."""

    def format(self, record: logging.LogRecord) -> str:
        return record.getMessage()


@contextlib.contextmanager
def logging_to(directory: Path) -> Iterator[None]:
    """What the experiment and the library have to say goes to the log file and to the terminal."""
    file = logging.FileHandler(directory / "log.txt", encoding="utf-8")
    file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(_MessageAlone())
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
