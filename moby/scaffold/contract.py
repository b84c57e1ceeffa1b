"""A part that keeps a contract's form: every method of its Protocol, each refusing by name until it is written."""

import ast
import builtins
import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from itertools import groupby
from textwrap import dedent

from attrs import frozen

from moby import contracts
from moby.contracts.kind import kind_of

__all__ = ["Contract", "contract_of", "has_suite", "import_block", "kinds", "module_text", "protocol_of"]

Import = tuple[str, str]
"""Module, and a name in it."""
WIDTH = 120
_EMPTY = {"frozenset[str]": "frozenset()", "bool": "False", "str": '""', "Mapping[str, str]": "{}"}
_NEEDS: Mapping[str, tuple[tuple[str, str, tuple[Import, ...]], ...]] = {
    "supervisor": (
        (
            "runtimes",
            "Mapping[str, Runtime]",
            (("collections.abc", "Mapping"), ("moby.contracts.runtime", "Runtime")),
        ),
    )
}
"""What a part of a kind can't do without, besides its place: parameter, type, and what the type is written with."""


@frozen
class Contract:
    """A kind's contract, as its source has it."""

    kind: str
    module: str
    protocol: str
    summary: str
    attributes: Mapping[str, tuple[str, str]]
    """Type and docstring of each, the latter in its quotes; empty where there is none."""
    methods: Sequence[str]
    """`def` lines with the docstring's first line, as a formatter leaves them, without a body."""
    names: Sequence[str]
    """Of the methods."""
    imports: frozenset[Import]
    """What the methods are written with."""

    @property
    def needs(self) -> tuple[tuple[str, str, tuple[Import, ...]], ...]:
        """Parameters of a part's class."""
        return (*_NEEDS.get(self.kind, ()), ("place", "Place", (("moby.contracts.ambient", "Place"),)))


@lru_cache(maxsize=1)
def _protocols() -> Mapping[str, type]:
    found: dict[str, type] = {}
    for each in pkgutil.iter_modules(contracts.__path__):
        members = vars(importlib.import_module(f"{contracts.__name__}.{each.name}")).values()
        found.update({kind.id: member for member in members if (kind := kind_of(member))})
    return dict(sorted(found.items()))


def kinds() -> tuple[str, ...]:
    """Return the kinds of which the framework has a contract, sorted."""
    return tuple(_protocols())


@lru_cache(maxsize=1)
def _suites() -> frozenset[str]:
    """Return the kinds whose suites can be filled with a part; read, since importing them imports pytest."""
    source = resources.files("moby").joinpath("testing", "conformance.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if (
            isinstance(node, ast.AnnAssign)
            and ast.unparse(node.target) == "FIXTURES"
            and isinstance(node.value, ast.Dict)
        ):
            return frozenset(ast.literal_eval(key) for key in node.value.keys if key is not None)
    raise AssertionError("moby.testing.conformance lists no suites")


def has_suite(kind: str) -> bool:
    """Tell whether the framework has a conformance suite for a kind."""
    return kind in _suites()


def protocol_of(kind: str) -> type:
    """Return the Protocol of a kind's contract; KeyError where there is none."""
    return _protocols()[kind]


def contract_of(kind: str) -> Contract:
    """Return the contract of a kind; KeyError where there is none."""
    protocol = protocol_of(kind)
    module = sys.modules[protocol.__module__]
    source = dedent(inspect.getsource(protocol))
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    methods = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
    return Contract(
        kind,
        protocol.__module__,
        protocol.__name__,
        _first_line(tree),
        dict(_attributes(tree, source)),
        [_method(each, source) for each in methods],
        [each.name for each in methods],
        frozenset(_imports(methods, ast.parse(inspect.getsource(module)), protocol.__module__)),
    )


def _attributes(tree: ast.ClassDef, source: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield names with types and docstrings, each of which is the text below."""
    for each, below in zip(tree.body, [*tree.body[1:], ast.Pass()], strict=True):
        if isinstance(each, ast.AnnAssign):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            doc = ast.get_source_segment(source, below) if is_text else ""
            yield ast.unparse(each.target), (ast.unparse(each.annotation), doc or "")


def _first_line(node: ast.ClassDef | ast.FunctionDef) -> str:
    """Return what a docstring says first; its first sentence where that is too long for a skeleton's line."""
    said = (ast.get_docstring(node) or node.name).partition("\n")[0]
    for end in (". ", "; "):
        if len(said) > WIDTH - 14:
            said = said.partition(end)[0].rstrip(".") + "."
    return said


def _imports(methods: Iterable[ast.FunctionDef], module: ast.Module, name: str) -> Iterator[Import]:
    """Yield where the names in signatures come from: the contract's own imports, or the contract."""
    origins = {
        alias.name: node.module
        for node in module.body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for method in methods:
        for node in [method.args, *filter(None, [method.returns])]:
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and not hasattr(builtins, each.id):
                    yield origins.get(each.id, name), each.id


def _method(method: ast.FunctionDef, source: str) -> str:
    """Return a method's head, wrapped as ruff would, and its docstring in one line."""
    returns = f" -> {ast.unparse(method.returns)}" if method.returns else ""
    given = _parameters(method.args, source)
    head = f"    def {method.name}({', '.join(given)}){returns}:"
    if len(head) > WIDTH:
        inside = f"        {', '.join(given)}"
        lines = [inside] if len(inside) <= WIDTH else [f"        {each}," for each in given]
        head = "\n".join([f"    def {method.name}(", *lines, f"    ){returns}:"])
    return f'{head}\n        """{_first_line(method)}"""'


def _parameters(arguments: ast.arguments, source: str) -> list[str]:
    def text(argument: ast.arg, default: ast.expr | None, prefix: str = "") -> str:
        kind = f": {ast.unparse(argument.annotation)}" if argument.annotation else ""
        # As written: unparse would choose its own quotes.
        value = f" = {ast.get_source_segment(source, default)}" if default else ""
        return f"{prefix}{argument.arg}{kind}{value}"

    plain = [*arguments.posonlyargs, *arguments.args]
    missing = [None] * (len(plain) - len(arguments.defaults))
    found = [text(each, default) for each, default in zip(plain, [*missing, *arguments.defaults], strict=True)]
    if arguments.posonlyargs:
        found.insert(len(arguments.posonlyargs), "/")
    if arguments.vararg:
        found.append(text(arguments.vararg, None, "*"))
    elif arguments.kwonlyargs:
        found.append("*")
    found += [text(each, default) for each, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    if arguments.kwarg:
        found.append(text(arguments.kwarg, None, "**"))
    return found


def import_block(wanted: Iterable[Import], *, apart: bool = False) -> str:
    """Return `from` lines for names, sorted as ruff does; Python's own come first, with an empty line between.

    There is one before the framework's too, if it is to be apart, as in its own tree.
    """
    lines: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for module, pairs in groupby(sorted(set(wanted)), key=lambda each: each[0]):
        names = sorted((name for _, name in pairs), key=lambda name: (not name.isupper(), name.islower(), name))
        top = module.partition(".")[0]
        group = 0 if top in sys.stdlib_module_names else 2 if apart and top == "moby" else 1
        line = f"from {module} import {', '.join(names)}\n"
        if len(line) > WIDTH + 1:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"
        lines[group].append(line)
    return "\n".join("".join(each) for each in lines.values() if each)


def module_text(contract: Contract, part: str, klass: str, *, apart: bool) -> str:
    """Return a module with a class that has every method of a contract, and does none of them yet."""
    needs = contract.needs
    used = {each for *_, imports in needs for each in imports}
    block = import_block({*contract.imports, *used, ("moby.errors", "Unsupported")}, apart=apart)
    attributes = [
        f"    {name}: {kind} = {_EMPTY[kind]}\n" + (f"    {doc}\n" if doc else "")
        for name, (kind, doc) in contract.attributes.items()
    ]
    parameters = ", ".join(f"{name}: {kind}" for name, kind, _ in needs)
    kept = "".join(f"        self._{name} = {name}\n" for name, *_ in needs)
    bodies = [
        f'{head}\n        raise _unwritten("{name}")\n'
        for head, name in zip(contract.methods, contract.names, strict=True)
    ]
    members = [*attributes, f"    def __init__(self, {parameters}) -> None:\n{kept}", *bodies]
    return (
        f'"""The part, which does nothing yet; what it is to do is in `{contract.module}`."""\n\n'
        f'{block}\n__all__ = ["{klass}"]\n\n\n'
        f"def _unwritten(method: str) -> Unsupported:\n"
        f'    hint = f"write {klass}.{{method}}"\n'
        f'    return Unsupported(f"{contract.kind}/{part} doesn\'t do {{method}} yet", hint=hint)\n'
        f'\n\nclass {klass}:\n    """{contract.summary}"""\n\n' + "\n".join(members)
    )
