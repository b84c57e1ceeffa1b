"""The public classes of a module, as its source has them: for pages that people read."""

import ast
import importlib
import inspect
import textwrap
from collections.abc import Iterator, Mapping
from functools import lru_cache

from attrs import frozen

__all__ = ["Attribute", "Described", "Function", "described", "public"]

_WIDTH = 100


@frozen
class Attribute:
    """A field, a constant, or an enum's member."""

    name: str
    type: str
    """Empty for a constant."""
    default: str = ""
    doc: str = ""


@frozen
class Function:
    """A method."""

    name: str
    signature: str
    """Without `self`, over several lines where it is long."""
    doc: str = ""
    repeatable: bool = False


@frozen
class Described:
    """A class, in its source's order."""

    name: str
    module: str
    doc: str
    bases: tuple[str, ...]
    attributes: tuple[Attribute, ...]
    methods: tuple[Function, ...]
    names: frozenset[str]
    """That its fields' and methods' types are written with."""


def public(module: str) -> tuple[str, ...]:
    """Return the names that a module's `__all__` lists."""
    return tuple(importlib.import_module(module).__all__)


def described(module: str, name: str) -> Described | None:
    """Return a class that a module has, though another one may define it; None where that name is no class."""
    found = getattr(importlib.import_module(module), name)
    if not isinstance(found, type):
        return None
    node = _classes(found.__module__).get(found.__name__)
    return None if node is None else _read(node, found.__module__)


@lru_cache
def _classes(module: str) -> Mapping[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(importlib.import_module(module)))
    return {each.name: each for each in tree.body if isinstance(each, ast.ClassDef)}


def _read(node: ast.ClassDef, module: str) -> Described:
    functions = [each for each in node.body if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")]
    attributes = tuple(_attributes(node))
    types = [ast.parse(each.type or "None", mode="eval") for each in attributes]
    written = {each.id for tree in [*types, *(each.args for each in functions)] for each in _names(tree)}
    written |= {each.id for function in functions if function.returns for each in _names(function.returns)}
    return Described(
        node.name,
        module,
        inspect.cleandoc(ast.get_docstring(node) or ""),
        tuple(ast.unparse(each) for each in node.bases),
        attributes,
        tuple(_function(each) for each in functions),
        frozenset(written),
    )


def _names(tree: ast.AST) -> Iterator[ast.Name]:
    return (each for each in ast.walk(tree) if isinstance(each, ast.Name))


def _attributes(node: ast.ClassDef) -> Iterator[Attribute]:
    """Yield each with the text below it, which is its docstring."""
    for each, below in zip(node.body, [*node.body[1:], ast.Pass()], strict=True):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        doc = inspect.cleandoc(str(ast.literal_eval(below.value))) if is_text else ""  # type: ignore[attr-defined]
        match each:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if name[0] != "_":
                yield Attribute(name, ast.unparse(annotation).strip("'"), _default(value), doc)
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name[0] != "_":
                yield Attribute(name, "", ast.unparse(value), doc)


def _default(value: ast.expr | None) -> str:
    """Return a default as people write it: what `field(factory=dict)` makes."""
    if value is None:
        return ""
    if isinstance(value, ast.Call) and ast.unparse(value.func) == "field":
        given = {each.arg: ast.unparse(each.value) for each in value.keywords}
        return f"{given['factory']}()" if "factory" in given else given.get("default", "")
    return ast.unparse(value)


def _function(node: ast.FunctionDef) -> Function:
    arguments = ast.arguments(
        posonlyargs=node.args.posonlyargs,
        args=[each for each in node.args.args if each.arg not in ("self", "cls")],
        vararg=node.args.vararg,
        kwonlyargs=node.args.kwonlyargs,
        kw_defaults=node.args.kw_defaults,
        kwarg=node.args.kwarg,
        defaults=node.args.defaults,
    )
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    signature = f"{node.name}({ast.unparse(arguments)}){returns}"
    if len(signature) > _WIDTH:
        signature = f"{node.name}(\n{textwrap.indent(_by_lines(arguments), '    ')}\n){returns}"
    marks = {ast.unparse(each) for each in node.decorator_list}
    doc = inspect.cleandoc(ast.get_docstring(node) or "")
    return Function(node.name, signature, doc, "repeatable" in marks)


def _by_lines(arguments: ast.arguments) -> str:
    """Return arguments, a line each: commas at the top level alone end a line."""
    lines, depth, line = [], 0, ""
    for sign in f"{ast.unparse(arguments)}, ":
        depth += (sign in "([{") - (sign in ")]}")
        line += sign
        if sign == "," and depth == 0:
            lines.append(line.strip())
            line = ""
    return "\n".join(lines)
