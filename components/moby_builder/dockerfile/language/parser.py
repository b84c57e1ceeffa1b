"""The parser: a Dockerfile's bytes, turned into values."""

from itertools import takewhile

from attrs import evolve

from moby.contracts.builder import BuildFailed, Range
from moby.errors import Invalid
from moby_builder.dockerfile.language import forms, statements
from moby_builder.dockerfile.language.failures import located, place
from moby_builder.dockerfile.language.instructions import Arg, Dockerfile, From, Instruction, Stage
from moby_builder.dockerfile.language.statements import Statement, Statements

__all__ = ["MOST_BYTES", "parse", "parse_beginning", "parse_trigger"]

MOST_BYTES = 16 << 20
"""A file that is bigger is refused."""


def parse(data: bytes, file: str = "Dockerfile") -> Dockerfile:
    """Return what a Dockerfile says; BuildFailed for what isn't one, with the place."""
    source = _text(data, file)
    read = statements.read(source, file)
    found = _dockerfile(read, file, source)
    if not found.stages:
        raise BuildFailed("dockerfile contains no stages to build", file=file, source=source)
    return found


def parse_beginning(data: bytes, file: str = "Dockerfile") -> Dockerfile:
    """Return what a Dockerfile says before the first instruction that is refused, for whoever tells what else is wrong.

    BuildFailed where there is none, or a line that can't be a statement.
    """
    source = _text(data, file)
    read = statements.read(source, file)
    good = tuple(takewhile(_has_form, read.statements))
    return _dockerfile(evolve(read, statements=good), file, source)


def _text(data: bytes, file: str) -> str:
    if len(data) > MOST_BYTES:
        raise BuildFailed(f"{file} is bigger than {MOST_BYTES} bytes", file=file)
    source = data.decode("utf-8", "replace").removeprefix("\ufeff")
    if not source:
        raise BuildFailed("the Dockerfile cannot be empty", file=file)
    return source


def _has_form(statement: Statement) -> bool:
    try:
        forms.instruction(statement)
    except (BuildFailed, Invalid):
        return False
    return True


def _dockerfile(read: Statements, file: str, source: str) -> Dockerfile:
    arguments, stages = _stages(read.statements, file, source)
    return Dockerfile(file, source, stages, arguments, read.escape, read.directives, read.empty_continuations)


def _stages(found: tuple[Statement, ...], file: str, source: str) -> tuple[tuple[Arg, ...], tuple[Stage, ...]]:
    """Return the ARGs before the first FROM, and the stages."""
    arguments: list[Arg] = []
    stages: list[tuple[From, list[Instruction]]] = []
    for statement in found:
        lines = statement.written.range
        with place(file, source, lines, f"dockerfile parse error on line {lines.first}: "):
            instruction = forms.instruction(statement)
        if isinstance(instruction, From):
            stages.append((instruction, []))
        elif stages:
            stages[-1][1].append(instruction)
        elif isinstance(instruction, Arg):
            arguments.append(instruction)
        else:
            raise located(BuildFailed("no build stage in current context"), file, source, lines)
    return tuple(arguments), tuple(Stage(origin, tuple(instructions)) for origin, instructions in stages)


def parse_trigger(trigger: str, origin: From) -> Instruction:
    """Return the instruction that an image put off by ONBUILD, as if it stood where a FROM takes that image."""
    read = statements.read(trigger, "")
    if len(read.statements) != 1:
        raise BuildFailed("onbuild trigger should be a single expression")
    statement = read.statements[0]
    if statement.keyword == "FROM":
        raise BuildFailed("FROM isn't allowed as an ONBUILD trigger")
    written = evolve(statement.written, range=Range(origin.written.range.first, origin.written.range.last))
    return forms.instruction(evolve(statement, written=written))
