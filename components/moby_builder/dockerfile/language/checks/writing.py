"""Rules about how a file is written: cases, names, comments."""

from collections.abc import Iterable

from moby_builder.dockerfile.language.arguments import split_spaces
from moby_builder.dockerfile.language.checks.report import Report
from moby_builder.dockerfile.language.instructions import Arg, Dockerfile, From, Instruction, Maintainer, Written
from moby_builder.dockerfile.language.spelling import quoted

__all__ = ["check", "check_instructions"]

_RESERVED = ("context", "scratch")


def check(dockerfile: Dockerfile, report: Report) -> None:
    """Check a whole file."""
    check_instructions(dockerfile, report)
    _stage_names([stage.origin for stage in dockerfile.stages], report)
    _casing([each.written for each in _inside(dockerfile)], report)


def check_instructions(dockerfile: Dockerfile, report: Report) -> None:
    """Check what each instruction says of itself."""
    for line in dockerfile.empty_continuations:
        report.tell_line("NoEmptyContinuation", "Empty continuation line", line)
    for instruction in (*dockerfile.arguments, *_inside(dockerfile)):
        _instruction(instruction, report)


def _inside(dockerfile: Dockerfile) -> list[Instruction]:
    return [each for stage in dockerfile.stages for each in (stage.origin, *stage.instructions)]


def _instruction(instruction: Instruction, report: Report) -> None:
    match instruction:
        case Maintainer():
            message = "Maintainer instruction is deprecated in favor of using label"
            report.tell("MaintainerDeprecated", message, instruction.written)
        case From() if instruction.name:
            _as(instruction, report)
            _description("FROM", [instruction.name], instruction.written, report)
        case Arg():
            _description("ARG", [each.name for each in instruction.arguments], instruction.written, report)


def _as(origin: From, report: Report) -> None:
    """Check `AS NAME`."""
    *_, word, name = split_spaces(origin.written.text)
    keyword = origin.written.keyword
    if name != name.lower():
        report.tell("StageNameCasing", f"Stage name '{name}' should be lowercase", origin.written)
    lower = keyword == keyword.lower()
    if (lower or keyword == keyword.upper()) and word != (word.lower() if lower else word.upper()):
        report.tell("FromAsCasing", f"'{word}' and '{keyword}' keywords' casing do not match", origin.written)


def _description(keyword: str, names: list[str], written: Written, report: Report) -> None:
    """Check a comment that would describe what an instruction declares."""
    if written.comments and written.comments[-1].split(" ")[0] not in names:
        example = names[0] if len(names) == 1 else "<arg_key>"
        message = f"Comment for {keyword} should follow the format: `# {example} <description>`"
        report.tell("InvalidDefinitionDescription", message, written)


def _stage_names(origins: Iterable[From], report: Report) -> None:
    known: set[str] = set()
    for origin in origins:
        name = origin.name
        if name in _RESERVED:
            message = f"Stage name should not use the same name as reserved stage {quoted(name)}"
            report.tell("ReservedStageName", message, origin.written)
        if name and name in known:
            message = f"Duplicate stage name {quoted(name)}, stage names should be unique"
            report.tell("DuplicateStageName", message, origin.written)
        known.add(name)


def _casing(all: list[Written], report: Report) -> None:
    """Check that all keywords are written as most of them are."""
    lower = sum(each.keyword == each.keyword.lower() for each in all)
    upper = sum(each.keyword == each.keyword.upper() for each in all)
    wanted = "lowercase" if lower > upper else "uppercase"
    for written in all:
        keyword = written.keyword
        if keyword != (keyword.lower() if lower > upper else keyword.upper()):
            message = f"Command '{keyword}' should match the case of the command majority ({wanted})"
            report.tell("ConsistentInstructionCasing", message, written)
