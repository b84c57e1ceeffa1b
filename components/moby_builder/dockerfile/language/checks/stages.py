"""Rules about the instructions of a stage, which depend on those before."""

import posixpath
import re
from collections.abc import Iterable, Mapping

from moby.context.patterns import Patterns
from moby.contracts.builder import BuildFailed
from moby_builder.dockerfile.language import mounts
from moby_builder.dockerfile.language.checks.report import Report
from moby_builder.dockerfile.language.expansion import expanded
from moby_builder.dockerfile.language.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    HealthCheck,
    Instruction,
    Label,
    Run,
    Shell,
    Workdir,
    Written,
)
from moby_builder.dockerfile.language.spelling import quoted, suggestion
from moby_builder.dockerfile.language.words import expand

__all__ = ["StageChecks"]

_SECRET = re.compile(
    r"(?:_|^)(?:apikey|auth|credential|credentials|key|password|pword|passwd|secret|token)(?:_|$)", re.IGNORECASE
)
_HARMLESS = re.compile(r"(?:_|^)(?:public|file|version)(?:_|$)", re.IGNORECASE)
_QUIET = frozenset({"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"})
"""Arguments that are no variables."""
_PROTOCOLS = ("tcp", "udp", "sctp")
_EVERYTHING = frozenset({"*", "**", "**/*"})


class StageChecks:
    """Goes through a stage's instructions with what they make of its variables."""

    def __init__(
        self, report: Report, escape: str, ignore: Patterns | None, environment: Mapping[str, str] | None
    ) -> None:
        self._report = report
        self._escape = escape
        self._ignore = ignore
        self._variables = dict(environment or {})
        self._whole = environment is not None
        """Whether all variables are known."""
        self._declared: set[str] = set()
        self._absolute = False
        """Whether a WORKDIR of this file was met."""
        self._shell = False
        self._last: dict[type[Instruction], Written] = {}

    def next_stage(self) -> "StageChecks":
        """Return the checks of a stage that begins with this one's result."""
        made = StageChecks(self._report, self._escape, self._ignore, self._variables)
        made._whole = self._whole
        made._declared = set(self._declared)
        made._absolute, made._shell = self._absolute, self._shell
        return made

    def check(self, instruction: Instruction, arguments: Mapping[str, str], given: Mapping[str, str]) -> None:
        """Check the next instruction; what can't be expanded is left to whoever builds it."""
        missing: set[str] = set()
        before = tuple(self._variables)
        try:
            if isinstance(instruction, Arg):
                self._arg(instruction, arguments, given, missing)
            else:
                self._check(self._expanded(instruction, missing))
        except BuildFailed:
            return
        finally:
            self._tell_missing(missing, before, instruction.written)

    def _expanded(self, instruction: Instruction, missing: set[str]) -> Instruction:
        """Return an instruction with variables put in, and note those that aren't there."""
        if isinstance(instruction, Run):
            for each in instruction.mounts:
                mounts.read(each, lambda text: self._expand(text, missing))
        return expanded(
            instruction, lambda text: self._expand(text, missing), lambda text: self._document(text, missing)
        )

    def _expand(self, text: str, missing: set[str]) -> str:
        found = expand(text, self._variables, escape=self._escape)
        missing |= found.missing
        return found.text

    def _document(self, text: str, missing: set[str]) -> str:
        found = expand(text, self._variables, quotes=False)
        missing |= found.missing
        return found.text

    def _tell_missing(self, missing: set[str], known: Iterable[str], written: Written) -> None:
        if not self._whole:
            return
        for name in sorted(missing - self._declared - _QUIET):
            hint = suggestion(f"${name}", [f"${each}" for each in known])
            self._report.tell("UndefinedVar", f"Usage of undefined variable '${name}'{hint}", written)

    def _arg(self, instruction: Arg, arguments: Mapping[str, str], given: Mapping[str, str], missing: set[str]) -> None:
        for each in instruction.arguments:
            self._secret("ARG", each.name, instruction.written)
            value = given.get(each.name)
            if value is None and each.default is not None:
                value = self._expand(each.default, missing)
            if value is None:
                value = arguments.get(each.name)
            if value is not None and each.name not in _QUIET:
                self._variables[each.name] = value
            self._declared.add(each.name)

    def _check(self, instruction: Instruction) -> None:
        match instruction:
            case Env() | Label():
                self._pairs(instruction)
            case Cmd() | Entrypoint():
                self._once(instruction)
                self._command(instruction)
            case HealthCheck():
                self._once(instruction)
            case Shell():
                self._shell = True
            case Workdir():
                self._workdir(instruction)
            case Expose():
                for port in instruction.ports:
                    self._ports(port, instruction.written)
            case Copy() if not instruction.origin:
                self._sources("Copy", instruction)
            case Add():
                self._sources("Add", instruction)

    def _pairs(self, instruction: Env | Label) -> None:
        keyword = instruction.written.keyword
        for each in instruction.pairs:
            if each.spaced:
                message = f'"{keyword} key=value" should be used instead of legacy "{keyword} key value" format'
                self._report.tell("LegacyKeyValueFormat", message, instruction.written)
            if isinstance(instruction, Env):
                self._secret("ENV", each.key, instruction.written)
                self._variables[each.key] = each.value

    def _secret(self, keyword: str, name: str, written: Written) -> None:
        if _SECRET.search(name) and not _HARMLESS.search(name):
            message = f"Do not use ARG or ENV instructions for sensitive data ({keyword} {quoted(name)})"
            self._report.tell("SecretsUsedInArgOrEnv", message, written)

    def _once(self, instruction: Instruction) -> None:
        """Check that there is one; of several, the earlier are told of, which do nothing."""
        earlier = self._last.get(type(instruction))
        if earlier is not None:
            message = (
                f"Multiple {instruction.written.keyword} instructions should not be used in the same stage "
                "because only the last one will be used"
            )
            self._report.tell("MultipleInstructionsDisallowed", message, earlier)
        self._last[type(instruction)] = instruction.written

    def _command(self, instruction: Cmd | Entrypoint) -> None:
        if instruction.command.shell and not self._shell:
            message = (
                f"JSON arguments recommended for {instruction.written.keyword} "
                "to prevent unintended behavior related to OS signals"
            )
            self._report.tell("JSONArgsRecommended", message, instruction.written)

    def _workdir(self, instruction: Workdir) -> None:
        if not self._absolute and not instruction.path.startswith("/"):
            message = (
                f"Relative workdir {quoted(instruction.path)} can have unexpected results if the base image changes"
            )
            self._report.tell("WorkdirRelativePath", message, instruction.written)
        self._absolute = True

    def _ports(self, text: str, written: Written) -> None:
        for port in expand(text, self._variables, escape=self._escape).words:
            *host, inside = port.split(":")
            protocol = inside.partition("/")[2]
            if protocol and protocol.lower() not in _PROTOCOLS:
                continue
            if protocol != protocol.lower():
                message = f"Defined protocol '{port}' in EXPOSE instruction should be lowercase"
                self._report.tell("ExposeProtoCasing", message, written)
            if any(host):
                message = f"EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'"
                self._report.tell("ExposeInvalidFormat", message, written)

    def _sources(self, verb: str, instruction: Copy | Add) -> None:
        """Check that files aren't left out of the context; a pattern with `!` makes that too hard to tell."""
        if self._ignore is None or self._ignore.inverts:
            return
        for source in instruction.sources:
            if isinstance(instruction, Add) and ("://" in source or source.startswith("git@")):
                continue
            path = posixpath.normpath(source)
            whole = path.strip("/") in ("", ".")
            if _EVERYTHING & set(self._ignore.texts) if whole else self._ignore.matches(path.lstrip("/")):
                message = f"Attempting to {verb} file {quoted(path)} that is excluded by .dockerignore"
                self._report.tell("CopyIgnoredFile", message, instruction.written)
