"""A digest of the code that a task's run uses: it changes when a computation may have changed, and only then.

From the function that runs, every definition of this project that it can reach is followed: functions, classes,
constants, and of a class those methods whose names are used anywhere on the way. Syntax trees are digested, so that
comments, docstrings, the layout, annotations, what an error says and what is logged change nothing. A name that is put
together while the program runs is not seen.
"""

import ast
import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax_bioadv
from experiments.engine.names_read import Chain, Function, NamesRead, is_bound

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path(jax_bioadv.__file__).resolve().parents[1]  # elsewhere where the package is installed
PACKAGES = ("jax_bioadv", "experiments")


def _read_below(folder: Path) -> dict[Path, str]:
    """Every module's source; a name with a dot before it is what an editor or a file system keeps beside a module."""
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.py") if not path.name.startswith(".")}


# As this process has it, whoever edits it meanwhile: read at once, and not when a digest is first asked for.
AT_START = {
    path: source
    for package in PACKAGES
    for path, source in _read_below((ROOT if (ROOT / package).is_dir() else LIBRARY) / package).items()
}
# Not followed, because no outcome depends on them: what keeps outcomes and states, and what refuses settings or names
# a package that is missing.
WITHOUT_INFLUENCE = (
    "experiments.engine.sources",
    "experiments.engine.tasks",
    "jax_bioadv.command_line",
    "jax_bioadv.extras",
    "jax_bioadv.storage",
    "jax_bioadv.processes",
)
# Folders of packages that are no part of what uses them.
INSTALLED = ("site-packages", "dist-packages")
# A fingerprint holds the values of settings that a task reads: the defaults of those here are nothing to it.
HOLD_SETTINGS = "experiments.settings."
_NOT_DIGESTED = ("annotation", "returns", "type_comment", "ctx", "kind")


def code_digest(*functions: Callable[..., Any]) -> str:
    """SHA-256 of all that the functions may run of this project's code.

    Of a partial application, an object and a tuple, all that they hold count, numbers too; of words only those that are
    bound by name: a word by its place, or in a field, is a name that the task's own tells.
    """
    parts = [one for function in functions for one in _parts(function)]
    digest = _digest(frozenset((one.__module__, one.__qualname__) for one in parts if callable(one)), ROOT)
    bound = [one for one in parts if not callable(one)]
    return digest_of([digest, bound]) if bound else digest


def code_digest_below(module: str, name: str, folder: Path) -> str:
    """SHA-256 of all that a function from elsewhere may run of this project's code, and of the modules in a folder.

    Args:
        module: that it is in.
        name: of the function there.
        folder: of installed packages the function's own alone counts.
    """
    package = module.split(".")[0]
    reached = _Reached(ROOT, {package: folder} if folder.name in INSTALLED else folder)
    reached.follow(module, tuple(name.split(".")[:1]))
    return reached.digest


def _parts(function: Any) -> Iterator[Any]:
    """The functions and classes that a callable is put together from, and what is bound in it, as lists."""
    if isinstance(function, int | float):
        yield [function]
    elif isinstance(function, partial):
        bound = dict(sorted(function.keywords.items()))
        yield from ([name, one if isinstance(one, str) else None] for name, one in bound.items())
        for one in (function.func, *function.args, *bound.values()):
            yield from _parts(one)
    elif dataclasses.is_dataclass(function) and not isinstance(function, type):
        yield type(function)
        for one in vars(function).values():
            yield from _parts(one)
    elif isinstance(function, tuple):
        yield type(function)
        for one in function:
            yield from _parts(one)
    elif callable(function):
        yield function


@cache
def _digest(starts: frozenset[tuple[str, str]], root: Path) -> str:
    reached = _Reached(root)
    for module, name in sorted(starts):
        reached.follow(module, tuple(name.split(".")[:1]))
    return reached.digest


def digest_of(content: Any) -> str:
    """SHA-256 of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class _Module:
    """The definitions of a module by name, what it imports, and its other statements."""

    def __init__(self, name: str, is_package: bool, source: str):
        self.name = name
        self.tree = _Silence().visit(ast.parse(source))
        self.imports: dict[str, set[Chain]] = {}
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.loose: list[ast.stmt] = []
        package = name if is_package else name.rpartition(".")[0]
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    bound = alias.asname or alias.name.partition(".")[0]
                    self.imports.setdefault(bound, set()).add((alias.name if alias.asname else bound,))
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                for alias in node.names:
                    self.imports.setdefault(alias.asname or alias.name, set()).add((source, alias.name))
        for statement in self.tree.body:
            names = _defined(statement)
            for defined in names:
                self.definitions.setdefault(defined, []).append(statement)
            for changed in _changed_by_decorators(statement) & set(self.definitions):
                self.definitions[changed].append(statement)
            if not names and not isinstance(statement, ast.Import | ast.ImportFrom) and not _for_types(statement):
                self.loose.append(statement)


@cache
def _module(name: str, is_package: bool, source: str) -> _Module:
    """Digests of many functions lead to the same modules."""
    return _Module(name, is_package, source)


@cache
def _names_read(node: ast.AST) -> NamesRead:
    reader = NamesRead()
    reader.visit(node)
    return reader


@cache
def _without_methods(definition: ast.ClassDef, holds_settings: bool) -> ast.ClassDef:
    """The head of a class and what stands in it beside its methods: of settings without their fields."""
    left_out = Function | ast.AnnAssign if holds_settings else Function
    body = [one for one in definition.body if not isinstance(one, left_out)]
    return ast.ClassDef(**{**dict(ast.iter_fields(definition)), "body": body})


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, Function | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        names = [node for target in targets for node in ast.walk(target)]
        return [node.id for node in names if isinstance(node, ast.Name) and is_bound(node)]
    return []


def _changed_by_decorators(statement: ast.stmt) -> set[str]:
    """What a method of it makes a function a part of, as ``@power.defjvp`` does to ``power``."""
    decorators = statement.decorator_list if isinstance(statement, Function) else []
    methods = [one.func if isinstance(one, ast.Call) else one for one in decorators]
    return {one.value.id for one in methods if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name)}


def _for_types(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test)


class _Silence(ast.NodeTransformer):
    """Drops what changes no outcome: strings that stand alone, logging, and what an error says."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        call = node.value
        logs = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)
        if isinstance(call, ast.Constant) or (logs and ast.unparse(call.func.value) == "logger"):  # type: ignore[attr-defined]
            return None
        return self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        if isinstance(node.exc, ast.Call):
            node.exc = node.exc.func
        return self.generic_visit(node)


def _has_source(path: Path) -> bool:
    return path in AT_START or path.is_file()


def _source(path: Path) -> str:
    return AT_START[path] if path in AT_START else path.read_text(encoding="utf-8")


class _Reached:
    """The definitions that a start leads to, as syntax trees by dotted name."""

    def __init__(self, root: Path, others: Mapping[str, Path] | Path = MappingProxyType({})):
        self.root, self.others = root, others
        self.units: dict[str, list[ast.AST]] = {}
        self.attributes: set[str] = set()
        self.methods: dict[str, list[tuple[_Module, str, ast.stmt]]] = {}
        self.modules: dict[str, _Module | None] = {}

    def module(self, name: str) -> _Module | None:
        if name not in self.modules:
            folder = self._folder(name.split(".")[0])
            base = None if folder is None else folder.joinpath(*name.split("."))
            files = () if base is None else (base / "__init__.py", base.with_suffix(".py"))
            found = None if name in WITHOUT_INFLUENCE else next(filter(_has_source, files), None)
            self.modules[name] = None if found is None else _module(name, found.name == "__init__.py", _source(found))
        return self.modules[name]

    def _folder(self, package: str) -> Path | None:
        """Where a package or module is looked for; None if it is not followed."""
        if package in PACKAGES:
            return self.root if (self.root / package).is_dir() else LIBRARY
        return self.others.get(package) if isinstance(self.others, Mapping) else self.others

    @property
    def digest(self) -> str:
        """As :func:`digest_of` of all units, each of which is written out once for all digests."""
        units = [
            f"[{json.dumps(unit)}, [{', '.join(map(_written, nodes))}]]" for unit, nodes in sorted(self.units.items())
        ]
        return hashlib.sha256(f"[{', '.join(units)}]".encode()).hexdigest()

    def follow(self, name: str, chain: Chain) -> None:
        """Reach what a chain of names, such as ``("analysis", "robustness", "epsilon_grid")``, means in a module."""
        module = self.module(name)
        if module is None:
            return
        if not chain:  # the module itself is handed on: anything of it may be used
            for defined in module.definitions:
                self.follow(name, (defined,))
        elif chain[0] in module.definitions:
            self._reach(module, chain[0])
        elif chain[0] in module.imports:
            for target, *attribute in module.imports[chain[0]]:
                self.follow(target, (*attribute, *chain[1:]))
        elif chain[0] == "<lambda>":
            self.follow(name, ())
        else:
            self.follow(f"{name}.{chain[0]}", chain[1:])

    def _reach(self, module: _Module, name: str) -> None:
        unit = f"{module.name}.{name}"
        if unit in self.units:
            return
        self.units[unit] = []
        for parent in _parents(module.name):
            if (importing := self.module(parent)) is not None and parent not in self.units:
                self.units[parent] = list(importing.loose)
                self._read(importing, importing.loose)
        for statement in module.definitions[name]:
            if isinstance(statement, ast.ClassDef):
                self._reach_class(module, statement, unit)
            else:
                self._add(module, unit, statement)

    def _reach_class(self, module: _Module, definition: ast.ClassDef, unit: str) -> None:
        holds_settings = module.name.startswith(HOLD_SETTINGS)
        if holds_settings:
            self._read(module, [one.annotation for one in definition.body if isinstance(one, ast.AnnAssign)])
        self._add(module, unit, _without_methods(definition, holds_settings))
        for method in (one for one in definition.body if isinstance(one, Function)):
            own = f"{unit}.{method.name}"
            if own in WITHOUT_INFLUENCE:
                continue
            if method.name in self.attributes or method.name.startswith("__"):
                self._add(module, own, method)
            else:
                self.methods.setdefault(method.name, []).append((module, own, method))

    def _add(self, module: _Module, unit: str, node: ast.AST) -> None:
        self.units.setdefault(unit, []).append(node)
        self._read(module, [node])

    def _read(self, module: _Module, nodes: Iterable[ast.AST]) -> None:
        readers = [_names_read(node) for node in nodes]
        for attribute in sorted(set().union(*(reader.attributes for reader in readers)) - self.attributes):
            self.attributes.add(attribute)
            for waiting in self.methods.pop(attribute, []):
                self._add(*waiting)
        for chain in sorted(set().union(*(reader.chains for reader in readers))):
            if chain[0] in module.definitions or chain[0] in module.imports:
                self.follow(module.name, chain)


def _parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _canonical(node: Any) -> Any:
    """A syntax tree as JSON that is the same for every version of Python: what a version lacks is empty in others."""
    if isinstance(node, list):
        return [_canonical(one) for one in node]
    if not isinstance(node, ast.AST):
        return [type(node).__name__, repr(node) if not isinstance(node, str) else node]
    fields = {name: getattr(node, name, None) for name in node._fields if name not in _NOT_DIGESTED}
    filled = {name: _canonical(value) for name, value in fields.items() if value is not None and value != []}
    return [type(node).__name__, filled]


@cache
def _written(unit: ast.AST) -> str:
    return json.dumps(_canonical(unit), sort_keys=True)
