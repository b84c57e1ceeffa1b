"""Rules about FROM, and what it does with the arguments before it."""

from collections.abc import Mapping

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid
from moby.oci import reference
from moby_builder.dockerfile.language.checks.report import Report
from moby_builder.dockerfile.language.expansion import file_arguments
from moby_builder.dockerfile.language.instructions import Dockerfile, From
from moby_builder.dockerfile.language.spelling import quoted, suggestion
from moby_builder.dockerfile.language.words import Expanded, expand

__all__ = ["check"]

_TARGET = "TARGETPLATFORM"


def check(dockerfile: Dockerfile, report: Report, arguments: Mapping[str, str], predefined: Mapping[str, str]) -> None:
    """Check all FROM lines, where `arguments` have these values."""
    origins = [stage.origin for stage in dockerfile.stages]
    _defaults(dockerfile, origins, report, predefined)
    declared = {each.name for instruction in dockerfile.arguments for each in instruction.arguments}
    for origin in origins:
        for text in (origin.base, origin.platform):
            found = _expanded(text, arguments, dockerfile.escape)
            for name in sorted(found.missing - declared) if found else ():
                hint = suggestion(name, declared | set(arguments))
                report.tell("UndefinedArgInFrom", f"FROM argument '{name}' is not declared{hint}", origin.written)
        platform = _expanded(origin.platform, arguments, dockerfile.escape)
        if origin.platform and platform:
            _platform(origin, platform, arguments, report)


def _defaults(dockerfile: Dockerfile, origins: list[From], report: Report, predefined: Mapping[str, str]) -> None:
    """Check that names of images make sense where no argument is given."""
    try:
        arguments = file_arguments(dockerfile, {}, predefined)
    except BuildFailed:
        return
    for origin in origins:
        found = _expanded(origin.base, arguments, dockerfile.escape)
        if found is None:
            return
        try:
            reference.parse(found.text)
        except Invalid:
            message = f"Default value for ARG {origin.base} results in empty or invalid base image name"
            report.tell("InvalidDefaultArgInFrom", message, origin.written)


def _platform(origin: From, found: Expanded, arguments: Mapping[str, str], report: Report) -> None:
    if found.used == {_TARGET} and not found.missing and found.text == arguments[_TARGET]:
        message = (
            f"Setting platform to predefined {origin.platform} in FROM is redundant as this is the default behavior"
        )
        report.tell("RedundantTargetPlatform", message, origin.written)
    if not found.used and not found.missing:
        parts = found.text.lower().split("/")
        named = ["linux", *parts] if len(parts) == 1 else parts[:2]
        if all(parts) and not any(each in origin.name for each in named):
            message = f"FROM --platform flag should not use constant value {quoted(found.text)}"
            report.tell("FromPlatformFlagConstDisallowed", message, origin.written)


def _expanded(text: str, variables: Mapping[str, str], escape: str) -> Expanded | None:
    try:
        return expand(text, variables, escape=escape)
    except BuildFailed:
        # Whoever builds it says why.
        return None
