"""Which PyTorch module is which of ours: by name, else by the shapes of its tensors, else by numbers in its name."""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping

Shapes = Mapping[str, tuple[int, ...]]


def matched(
    ours: Mapping[str, Shapes], theirs: Mapping[str, Shapes], names: Mapping[str, str], plain: Mapping[str, str]
) -> dict[str, str]:
    """The PyTorch module of each of our modules.

    Modules of one name belong together, if of those whose names differ from it in numbers alone there are the same on
    both sides: one more function in a ``Sequential`` moves all the numbers. Of the others, those that alone have
    tensors of their shapes belong together; and where several have the same shapes, they do in the order of the numbers
    in their names, if their names differ in numbers alone.

    Args:
        ours: by the path of a module, the shapes of the tensors that it needs, by PyTorch's names for them.
        theirs: by name, the shapes of the tensors that there are.
        names: PyTorch's names by paths, for these modules and for what is within them.
        plain: by the path of every module, those that only hold others among them, the name that it has in PyTorch if
            it is built alike.

    Returns:
        Names by paths.

    Raises:
        ValueError: the names given do not fit, what belongs together cannot be told, or modules are missing or
            superfluous; it says what to do.
    """
    if unknown := [path for path in names if path not in plain]:
        raise ValueError(f"names: the network has no module {unknown[0]!r}; it has {_listed(ours)}")
    found = {path: name for path in ours if (name := _given(path, names, plain)) is not None}
    for path, name in found.items():
        if name not in theirs:
            raise ValueError(f"names: {name!r} for {path!r} is not in the file; it has {_listed(theirs)}")
    if len(set(found.values())) < len(found):
        raise ValueError("names: two modules of the network have one name; give each its own")

    def left() -> tuple[list[str], list[str]]:
        taken = set(found.values())
        return [path for path in ours if path not in found], [name for name in theirs if name not in taken]

    for mine, others in _both(left(), lambda path: _unnumbered(plain[path]), _unnumbered):
        if {plain[path] for path in mine} == set(others):
            found |= {path: plain[path] for path in mine}
    unsettled = []
    for mine, others in _both(left(), lambda path: _kind(ours[path]), lambda name: _kind(theirs[name])):
        if len(mine) == len(others) and (len(mine) == 1 or (_numbered_alike(mine) and _numbered_alike(others))):
            found |= dict(zip(sorted(mine, key=_numbers), sorted(others, key=_numbers), strict=True))
        else:
            unsettled.append((mine, others))
    if unsettled:
        raise ValueError(_unsettled(unsettled, ours, theirs))
    return found


def _given(path: str, names: Mapping[str, str], plain: Mapping[str, str]) -> str | None:
    """The name that follows from the one given for the module, or for the innermost around it."""
    around = max((one for one in names if path == one or path.startswith(f"{one}.")), key=len, default=None)
    return None if around is None else names[around] + plain[path].removeprefix(plain[around])


def _both(
    sides: tuple[list[str], list[str]], our_key: Callable[[str], Hashable], their_key: Callable[[str], Hashable]
) -> list[tuple[list[str], list[str]]]:
    """Modules of both sides that have the same key."""
    groups: dict[Hashable, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for side, key in enumerate((our_key, their_key)):
        for name in sides[side]:
            groups[key(name)][side].append(name)
    return list(groups.values())


def _kind(shapes: Shapes) -> Hashable:
    return frozenset(shapes.items())


def _unnumbered(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _numbers(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _numbered_alike(names: Iterable[str]) -> bool:
    return len(set(map(_unnumbered, names))) == 1


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _unsettled(
    groups: list[tuple[list[str], list[str]]], ours: Mapping[str, Shapes], theirs: Mapping[str, Shapes]
) -> str:
    missing = [f"{one} ({_shapes(ours[one])})" for mine, others in groups if not others for one in mine]
    superfluous = [f"{one} ({_shapes(theirs[one])})" for mine, others in groups if not mine for one in others]
    open_ = [f"{', '.join(mine)} among {', '.join(others)}" for mine, others in groups if mine and others]
    said = [f"the network needs, and the file lacks, {'; '.join(missing)}"] if missing else []
    said += [f"the file has, and the network does not, {'; '.join(superfluous)}"] if superfluous else []
    said += [f"it cannot be told which is which of {'; and of '.join(open_)}"] if open_ else []
    example = next((mine[0] for mine, _ in groups if mine), next(iter(ours), "module"))
    return (
        f"{'. Besides, '.join(said)}. Build the network as the file's, or say which is which: "
        f"names={{{example!r}: 'its name in the file', …}}"
    )


def _shapes(shapes: Shapes) -> str:
    return ", ".join(f"{tensor} {tuple(shape)}" for tensor, shape in shapes.items())
