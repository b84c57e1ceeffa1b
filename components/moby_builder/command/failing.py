"""Why a build failed, with the lines of the file and the last words of the step."""

from collections.abc import Iterable, Iterator, Sequence

from moby.contracts.builder import BuildFailed, Finding, Range
from moby_builder.command.telling import Told, printable

__all__ = ["excerpt", "failure", "warnings"]

_AROUND = 3
_RULE = "-" * 20


def failure(error: Exception, told: Told) -> Iterator[str]:
    """Yield what is shown before an error's own words."""
    failed = [each for each in told.steps.values() if each.vertex.error and "cancel" not in each.vertex.error]
    wanted = getattr(error, "vertex", None)
    step = told.steps.get(wanted) if wanted else failed[0] if failed else None
    if step is not None and step.tail:
        yield "------"
        yield f" > {step.vertex.name}:"
        yield from map(printable, step.tail)
        yield "------"
    if isinstance(error, BuildFailed):
        yield from excerpt(error.file, error.source, error.ranges)


def excerpt(file: str, source: str, ranges: Sequence[Range]) -> Iterator[str]:
    """Yield lines of a file with some around them, and those that are meant marked."""
    if not ranges or not source:
        return
    lines = source.split("\n")
    first = max(1, min(each.first for each in ranges) - _AROUND)
    last = min(len(lines), max(each.last for each in ranges) + _AROUND)
    yield f"{file}:{ranges[0].first}"
    yield _RULE
    for number in range(first, last + 1):
        mark = ">>>" if any(each.first <= number <= each.last for each in ranges) else "   "
        yield f"{number:4} | {mark} {printable(lines[number - 1])}".rstrip()
    yield _RULE


def warnings(findings: Iterable[Finding]) -> Iterator[str]:
    """Yield what is most likely not what was meant."""
    every = list(dict.fromkeys((each.rule, each.message, each.ranges) for each in findings))
    if every:
        yield f" {len(every)} warning{'s' * (len(every) > 1)} found:"
    for rule, message, ranges in every:
        yield f" - {rule}: {message}" + (f" (line {ranges[0].first})" if ranges else "")
