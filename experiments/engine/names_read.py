"""Which names a piece of code takes from outside of itself, read off its syntax tree."""

import ast
from collections.abc import Iterable
from typing import Any

Function = ast.FunctionDef | ast.AsyncFunctionDef
Chain = tuple[str, ...]
"""A dotted name, such as ``("analysis", "robustness", "epsilon_grid")``."""


class NamesRead(ast.NodeVisitor):
    """The chains of names that code takes from outside of itself, and every attribute that it may ask for."""

    def __init__(self) -> None:
        self.chains: set[Chain] = set()
        self.attributes: set[str] = set()
        self.bound: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        self._take((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain: list[str] = []
        inner: ast.expr = node
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        self.attributes.update(chain)
        if isinstance(inner, ast.Name):
            self._take((inner.id, *chain))
        else:
            self.visit(inner)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value.isidentifier():
            self.attributes.add(node.value)  # for getattr

    def _take(self, chain: Chain) -> None:
        if not any(chain[0] in names for names in self.bound):
            self.chains.add(chain)

    def _function(self, node: Any) -> None:
        arguments = node.args
        every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        every = [one for one in every if one is not None]
        outside = [*getattr(node, "decorator_list", []), getattr(node, "returns", None)]
        outside += [*arguments.defaults, *arguments.kw_defaults, *(one.annotation for one in every)]
        for one in outside:
            if one is not None:
                self.visit(one)
        body = node.body if isinstance(node.body, list) else [node.body]
        self._inside({one.arg for one in every} | _bound_in(body), body)

    visitFunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def _comprehension(self, node: Any) -> None:
        self.visit(node.generators[0].iter)
        targets = [name for one in node.generators for name in ast.walk(one.target)]
        parts = [getattr(node, name) for name in node._fields if name != "generators"]
        self._inside({one.id for one in targets if isinstance(one, ast.Name)}, [*parts, *node.generators])

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _inside(self, bound: set[str], nodes: Iterable[ast.AST]) -> None:
        self.bound.append(bound)
        for node in nodes:
            self.visit(node)
        self.bound.pop()


def is_bound(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)


def _bound_in(body: Iterable[ast.AST]) -> set[str]:
    """Names that are local to a function with this body."""
    bound: set[str] = set()
    left = list(body)
    while left:
        node = left.pop()
        if isinstance(node, Function | ast.ClassDef):
            bound.add(node.name)
        elif is_bound(node):
            bound.add(node.id)  # type: ignore[attr-defined]
        elif not isinstance(node, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            left += ast.iter_child_nodes(node)
    return bound
