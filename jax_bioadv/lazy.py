"""Names of a package that are imported when they are first asked for, so that importing the package costs nothing."""

import importlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any


def lazily(
    package: str, submodules: Iterable[str], places: Mapping[str, str] = MappingProxyType({})
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` (PEP 562) of a package.

    Args:
        package: its name.
        submodules: what it offers of its own modules and packages.
        places: the module, by name, of everything else that it offers.

    Returns:
        Both functions, which know these names and those that are there already.
    """
    offered = {name: f"{package}.{name}" for name in submodules}

    def get(name: str) -> Any:
        if name in offered:
            return importlib.import_module(offered[name])
        if name in places:
            return getattr(importlib.import_module(places[name]), name)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *offered, *places})

    return get, names
