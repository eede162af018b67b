"""Settings by dotted path, such as ``layer.delta``."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any


def paths_of(settings: Any) -> Iterator[str]:
    """The dotted paths of all settings, those of groups in their places."""
    for one in dataclasses.fields(settings):
        value = getattr(settings, one.name)
        if dataclasses.is_dataclass(value):
            yield from (f"{one.name}.{path}" for path in paths_of(value))
        else:
            yield one.name


def is_within(path: str, groups: Collection[str]) -> bool:
    """Whether a path is among these, or lies in one of them that is a group."""
    return any(path == one or path.startswith(f"{one}.") for one in groups)


def setting(settings: Any, path: str) -> Any:
    """The value at a dotted path such as ``layer.delta``, in settings or a map of them; ValueError if there is none."""
    value = settings
    for name in path.split("."):
        if name not in (value if isinstance(value, Mapping) else getattr(value, "__dataclass_fields__", {})):
            raise ValueError(f"there is no setting {path!r}; --help lists all of them")
        value = value[name] if isinstance(value, Mapping) else getattr(value, name)
    return value


def with_settings(settings: Any, values: Mapping[str, Any]) -> Any:
    """Settings, or a map of them, with other values at some dotted paths."""
    for path, value in values.items():
        name, _, rest = path.partition(".")
        inner = with_settings(setting(settings, name), {rest: value}) if rest else value
        if isinstance(settings, Mapping):
            settings = {**settings, name: inner}
        else:
            settings = dataclasses.replace(settings, **{name: inner})
    return settings
