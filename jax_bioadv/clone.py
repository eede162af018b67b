"""Where the experiments lie, and what was published: in a wheel below the library, in a clone beside it."""

from pathlib import Path

LIBRARY = Path(__file__).parent
_PLACES = (LIBRARY / "_clone", LIBRARY.parent)


def clone_folder() -> Path:
    """The folder that holds ``experiments`` and ``results``."""
    return next(place for place in _PLACES if (place / "experiments").is_dir())
