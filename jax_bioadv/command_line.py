"""How every command of this project starts and ends.

A command ends in 0 when all went well; 1 when its work was done but not all of it came out well; 2 and one line when
its input was wrong, a file fails or a package is missing; 130 after Ctrl-C, 143 after SIGTERM, with one line, whatever
it was doing.
"""

import gc
import logging
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from jax_bioadv.extras import MissingExtraError

STOPPED = "stopped; the same command goes on from here"
PACKAGES = ("benchmarks", "experiments", "jax_bioadv")

_log = logging.getLogger("experiments.tasks")
"""By which an experiment tells of single tasks: its lines go to the log file, and off a terminal nowhere else."""
_stopped_by: int | None = None


class IncompleteError(Exception):
    """The work came to its end and left its results, but not all of it succeeded; the message names what did not."""


def exit_code(work: Callable[[], object]) -> int:
    """Do the work of a command, say in one line why it ended early, and return the exit code."""
    try:
        work()
    except KeyboardInterrupt:
        if _stopped_by is None:
            print(STOPPED, file=sys.stderr)
        return 130
    except (IncompleteError, MissingExtraError, ValueError, OSError) as error:
        if _stopped_by is None:  # else the signal, caught by a library, came out as an error
            print(f"error: {error}", file=sys.stderr)
        return 1 if isinstance(error, IncompleteError) else 2
    except RuntimeError as error:
        if type(error).__name__ not in ("JaxRuntimeError", "XlaRuntimeError"):  # of a device: most often its memory
            raise
        if _stopped_by is None:
            print(f"error: {' '.join(str(error).split())[:500]}", file=sys.stderr)
        return 2
    return 0


def stop_if_told() -> None:
    """Raise KeyboardInterrupt once a signal has come; for whoever goes on after any error, which it may be behind."""
    if _stopped_by is not None:
        raise KeyboardInterrupt


def prepare_imports() -> None:
    """Where this process runs a command of ours, let nothing of its surroundings spoil the imports.

    Signals end it in one line until :func:`start` takes over: imports take seconds, and there is nothing to put in
    order before they end. Figures go to files, so that Matplotlib needs no backend, least of all one that is not there.
    The packages call this first of all.
    """
    module = next((after for one, after in zip(sys.orig_argv, sys.orig_argv[1:], strict=False) if one == "-m"), "")
    if sys.argv[:1] == ["-m"] and module.partition(".")[0] in PACKAGES:  # so Python has it until the module is found
        os.environ["MPLBACKEND"] = "agg"
        gc.disable()  # what is imported stays, and looking for garbage in it takes time
        _on_signals(_leave)


def start(main: Callable[[], int]) -> NoReturn:
    """Run a command and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal may lack Greek letters
    sys.unraisablehook = _unraisable
    gc.freeze()
    gc.enable()
    code: Any = 0
    try:
        _on_signals(_stop)
        try:
            code = main()
        except SystemExit as ending:  # after --help, or an option that does not exist
            code = ending.code
        finally:
            _on_signals(_leave)
    except BaseException:
        if _stopped_by is None:
            raise
    if _stopped_by is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        _leave(_stopped_by)
    sys.exit(code)


def _on_signals(handler: Callable[[int, Any], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and a shell's & want it
            signal.signal(number, handler)


def _stop(number: int, frame: Any) -> None:
    """The first signal lets everything be put in order; a second one does not wait for that."""
    global _stopped_by
    if _stopped_by is not None:
        _leave(number)
    _stopped_by = number
    raise KeyboardInterrupt


def _unraisable(unraisable: Any) -> None:
    """A signal that arrives in a destructor or a callback is one as well; Python would print it and go on."""
    if _stopped_by is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
        _log.info("stopped by a signal")
        _leave(_stopped_by)
    sys.__unraisablehook__(unraisable)


def _leave(number: int, frame: Any = None) -> NoReturn:
    """End without Python's own shutdown, in which threads that still compute have crashed."""
    os.write(2, f"{STOPPED}\n".encode())
    os._exit(128 + number)
