"""All checks of a file."""

from collections.abc import Callable, Mapping

from attrs import field, frozen

from moby.context.patterns import Patterns
from moby.contracts.builder import BuildFailed, Finding
from moby_builder.dockerfile.language import parser
from moby_builder.dockerfile.language.checks import origins, writing
from moby_builder.dockerfile.language.checks.report import Report, with_options
from moby_builder.dockerfile.language.checks.stages import StageChecks
from moby_builder.dockerfile.language.expansion import file_arguments
from moby_builder.dockerfile.language.instructions import Copy, Dockerfile, Run, Stage
from moby_builder.dockerfile.language.words import expand

__all__ = ["Known", "check", "check_beginning"]


def _unknown(stage: int) -> Mapping[str, str] | None:
    return None


@frozen
class Known:
    """What is known besides the file."""

    target: str | None = ""
    """The stage that is built, by name or number; empty is the last, None each of them."""
    given: Mapping[str, str] = field(factory=dict)
    """Arguments that the request gives."""
    predefined: Mapping[str, str] = field(factory=dict)
    """Arguments that are there by themselves: `TARGETPLATFORM` and the like."""
    environment: Callable[[int], Mapping[str, str] | None] = _unknown
    """The variables of the image that a stage of this number begins with; None where they aren't known."""
    ignore: Patterns | None = None
    """Of .dockerignore, where there is one."""


def check(dockerfile: Dockerfile, known: Known | None = None) -> tuple[Finding, ...]:
    """Return what is found in a file, and in those of its stages that the target needs.

    Variables that nobody sets are told of only where those of the image below are known.
    """
    known = known or Known()
    report = Report(dockerfile)
    writing.check(dockerfile, report)
    try:
        arguments = file_arguments(dockerfile, known.given, known.predefined)
    except BuildFailed:
        return tuple(report.findings)
    origins.check(dockerfile, report, arguments, known.predefined)
    bases = _bases(dockerfile, arguments)
    wanted = _needed(dockerfile, bases, known.target) if known.target is not None else range(len(bases))
    made: dict[int, StageChecks] = {}
    for number, stage in enumerate(dockerfile.stages):
        if number not in wanted:
            continue
        base = bases[number]
        if isinstance(base, int):
            checks = made[base].next_stage()
        else:
            environment = {"PATH": ""} if base == "scratch" else known.environment(number)
            checks = StageChecks(report, dockerfile.escape, known.ignore, environment)
        made[number] = checks
        for instruction in stage.instructions:
            checks.check(instruction, arguments, known.given)
    return tuple(report.findings)


def check_beginning(data: bytes, file: str = "Dockerfile", options: str | None = None) -> tuple[Finding, ...]:
    """Return what instructions say of themselves, of a file that is refused for a later one."""
    try:
        found = with_options(parser.parse_beginning(data, file), options)
        report = Report(found)
    except BuildFailed:
        return ()
    writing.check_instructions(found, report)
    return tuple(report.findings)


def _bases(dockerfile: Dockerfile, arguments: Mapping[str, str]) -> list[int | str]:
    """Return what each stage begins with: the number of another one, or a name."""
    names: dict[str, int] = {}
    bases: list[int | str] = []
    for number, stage in enumerate(dockerfile.stages):
        try:
            base = expand(stage.origin.base, arguments, escape=dockerfile.escape).text
        except BuildFailed:
            base = ""
        bases.append(names.get(base.lower(), base))
        if stage.origin.name:
            names[stage.origin.name] = number
    return bases


def _needed(dockerfile: Dockerfile, bases: list[int | str], target: str) -> set[int]:
    """Return the numbers of the stages that a target needs, itself included."""
    names = {stage.origin.name: number for number, stage in enumerate(dockerfile.stages) if stage.origin.name}
    names |= {str(number): number for number in range(len(dockerfile.stages)) if str(number) not in names}
    stack = [names.get(target.lower(), len(dockerfile.stages) - 1)]
    found: set[int] = set()
    while stack:
        number = stack.pop()
        if number in found:
            continue
        found.add(number)
        base = bases[number]
        stack += [base] if isinstance(base, int) else []
        stack += [names[each] for each in _takes_from(dockerfile.stages[number]) if each in names]
    return found


def _takes_from(stage: Stage) -> set[str]:
    """Return names of what a stage's instructions take files of."""
    found = {each.origin.lower() for each in stage.instructions if isinstance(each, Copy)}
    for each in stage.instructions:
        for mount in each.mounts if isinstance(each, Run) else ():
            found |= {text[5:].lower() for text in mount.fields if text.lower().startswith("from=")}
    return found
