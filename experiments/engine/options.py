"""Which settings are options of a command: not those that no task of it reads."""

import dataclasses
from collections.abc import Collection
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro

Group = TypeVar("Group")


def without_options(group: Group, unread: Collection[str]) -> Group:
    """The same values in classes made for it, of which tyro makes no options of what stands at these dotted paths."""
    kind: Any = type(group)
    hints, made = get_type_hints(kind, include_extras=True), []
    for one in dataclasses.fields(kind):
        hint, value = hints[one.name], getattr(group, one.name)
        inner = [path.removeprefix(f"{one.name}.") for path in unread if path.startswith(f"{one.name}.")]
        if one.name in unread:
            hint = tyro.conf.Suppress[hint]  # type: ignore[misc, valid-type]
        elif inner:
            value = without_options(value, inner)
            hint = Annotated[(type(value), *getattr(hint, "__metadata__", ("",)))]
        made.append((one.name, hint, dataclasses.field(default=value)))
    namespace = {"__doc__": kind.__doc__}
    new: Group = dataclasses.make_dataclass(kind.__name__, made, bases=(kind,), namespace=namespace, frozen=True)()
    return new


def as_in(group: Group, values: Any) -> Group:
    """The group with the values of another, in its own classes."""
    names = [one.name for one in dataclasses.fields(group)]  # type: ignore[arg-type]
    found = {name: (getattr(group, name), getattr(values, name)) for name in names}
    inner = {name: as_in(own, new) if dataclasses.is_dataclass(own) else new for name, (own, new) in found.items()}
    return dataclasses.replace(group, **inner)  # type: ignore[type-var]
