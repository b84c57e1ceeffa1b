"""Forms: what each instruction takes, and what it says with it."""

import re
from collections.abc import Callable

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid
from moby_builder.dockerfile.language import heredocs, mounts
from moby_builder.dockerfile.language.flags import Flags, Sort
from moby_builder.dockerfile.language.go_values import duration_ns
from moby_builder.dockerfile.language.instructions import (
    Add,
    Arg,
    Argument,
    Cmd,
    Command,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    HealthCheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from moby_builder.dockerfile.language.spelling import SPACES, quoted, suggestion
from moby_builder.dockerfile.language.statements import Statement

__all__ = ["KEYWORDS", "instruction"]

_STAGE = re.compile(r"[a-z][a-z0-9-_.]*")
_ONBUILD = re.compile(r"ONBUILD[\t\n\f\r ]*", re.IGNORECASE)
_LEAST_NS = 1_000_000
_COPY_FLAGS = {
    "chown": Sort.TEXT, "from": Sort.TEXT, "chmod": Sort.TEXT, "link": Sort.BOOLEAN, "exclude": Sort.TEXTS,
    "parents": Sort.BOOLEAN,
}  # fmt: skip
_ADD_FLAGS = {
    "chown": Sort.TEXT, "chmod": Sort.TEXT, "link": Sort.BOOLEAN, "keep-git-dir": Sort.BOOLEAN, "checksum": Sort.TEXT,
    "unpack": Sort.BOOLEAN, "exclude": Sort.TEXTS,
}  # fmt: skip
_RUN_FLAGS = {"mount": Sort.TEXTS, "network": Sort.TEXT, "security": Sort.TEXT, "device": Sort.TEXTS}
_HEALTH_FLAGS = dict.fromkeys(("interval", "timeout", "start-period", "start-interval", "retries"), Sort.TEXT)


def instruction(statement: Statement) -> Instruction:
    """Return what a statement says; BuildFailed where it doesn't have the form of its instruction."""
    form = _FORMS.get(statement.keyword)
    if form is None:
        hint = suggestion(statement.written.keyword, KEYWORDS, case=False)
        raise BuildFailed(f"unknown instruction: {statement.written.keyword}{hint}")
    return form(statement)


def _some(statement: Statement) -> None:
    if not (statement.arguments or statement.pairs or statement.inner):
        raise BuildFailed(f"{statement.keyword} requires at least one argument")


def _one(statement: Statement) -> str:
    if len(statement.arguments) != 1:
        raise BuildFailed(f"{statement.keyword} requires exactly one argument")
    return statement.arguments[0]


def _no_flags(statement: Statement) -> None:
    Flags(statement.flags, {})


def _from(statement: Statement) -> From:
    match statement.arguments:
        case (base,):
            name = ""
        case (base, word, given) if word.lower() == "as":
            name = given.lower()
            if not _STAGE.fullmatch(name):
                raise BuildFailed(
                    f"invalid name for build stage: {quoted(given)}, name can't start with a number or contain symbols"
                )
        case _:
            raise BuildFailed("FROM requires either one or three arguments")
    flags = Flags(statement.flags, {"platform": Sort.TEXT})
    written = statement.written
    return From(base, name, flags.text("platform"), _described(written.comments, name), written=written)


def _described(comments: tuple[str, ...], name: str) -> str:
    """Return what a comment says of a name that it begins with."""
    return next((each.removeprefix(f"{name} ") for each in comments if name and each.startswith(f"{name} ")), "")


def _run(statement: Statement) -> Run:
    flags = Flags(statement.flags, _RUN_FLAGS)
    network, security = flags.text("network", "default"), flags.text("security", "sandbox")
    given = tuple(mounts.split(each) for each in flags.texts("mount"))
    if network not in ("default", "none", "host"):
        raise BuildFailed(f"invalid network mode {quoted(network)}")
    if security not in ("sandbox", "insecure"):
        raise BuildFailed(f"security {quoted(security)} is not valid")
    devices = tuple(mounts.device(each) for each in flags.texts("device"))
    return Run(_command(statement), given, network, security, devices, written=statement.written)


def _command(statement: Statement) -> Command:
    return Command(statement.arguments, not statement.json, statement.heredocs)


def _cmd(statement: Statement) -> Cmd:
    _no_flags(statement)
    return Cmd(_command(statement), written=statement.written)


def _entrypoint(statement: Statement) -> Entrypoint:
    _no_flags(statement)
    return Entrypoint(_command(statement), written=statement.written)


def _pairs(statement: Statement) -> tuple[Pair, ...]:
    _no_flags(statement)
    _some(statement)
    if not all(each.key for each in statement.pairs):
        raise BuildFailed(f"{statement.keyword} names can not be blank")
    return statement.pairs


def _env(statement: Statement) -> Env:
    return Env(_pairs(statement), written=statement.written)


def _label(statement: Statement) -> Label:
    return Label(_pairs(statement), written=statement.written)


def _maintainer(statement: Statement) -> Maintainer:
    name = _one(statement)
    _no_flags(statement)
    return Maintainer(name, written=statement.written)


def _expose(statement: Statement) -> Expose:
    _some(statement)
    _no_flags(statement)
    return Expose(tuple(sorted(statement.arguments)), written=statement.written)


def _copy(statement: Statement) -> Copy:
    flags = _file_flags(statement, _COPY_FLAGS)
    sources, files, target = _files(statement)
    return Copy(
        sources,
        target,
        files,
        origin=flags.text("from"),
        owner=flags.text("chown"),
        mode=flags.text("chmod"),
        link=bool(flags.boolean("link")),
        exclude=flags.texts("exclude"),
        parents=bool(flags.boolean("parents")),
        written=statement.written,
    )


def _add(statement: Statement) -> Add:
    flags = _file_flags(statement, _ADD_FLAGS)
    sources, files, target = _files(statement)
    return Add(
        sources,
        target,
        files,
        owner=flags.text("chown"),
        mode=flags.text("chmod"),
        link=bool(flags.boolean("link")),
        exclude=flags.texts("exclude"),
        checksum=flags.text("checksum"),
        keep_git=flags.boolean("keep-git-dir"),
        unpack=flags.boolean("unpack"),
        written=statement.written,
    )


def _file_flags(statement: Statement, known: dict[str, Sort]) -> Flags:
    if len(statement.arguments) < 2:
        raise BuildFailed(
            f"{statement.keyword} requires at least two arguments, but only one was provided. "
            "Destination could not be determined"
        )
    return Flags(statement.flags, known)


def _files(statement: Statement) -> tuple[tuple[str, ...], tuple[Heredoc, ...], str]:
    """Return paths, here-documents and target of COPY and ADD."""
    *sources, target = statement.arguments
    if _heredoc(target):
        raise BuildFailed(f"{statement.keyword} cannot accept a heredoc as a destination")
    there = {each.name: each for each in statement.heredocs}
    paths: list[str] = []
    files: list[Heredoc] = []
    for source in sources:
        if named := _heredoc(source):
            files.append(there.get(named.name, named))
        else:
            paths.append(source)
    return tuple(paths), tuple(files), target


def _heredoc(word: str) -> Heredoc | None:
    try:
        return heredocs.named(word)
    except BuildFailed:
        return None


def _volume(statement: Statement) -> Volume:
    _some(statement)
    _no_flags(statement)
    paths = tuple(each.strip(SPACES) for each in statement.arguments)
    if not all(paths):
        raise BuildFailed("VOLUME specified can not be an empty string")
    return Volume(paths, written=statement.written)


def _user(statement: Statement) -> User:
    user = _one(statement)
    _no_flags(statement)
    return User(user, written=statement.written)


def _workdir(statement: Statement) -> Workdir:
    path = _one(statement)
    _no_flags(statement)
    return Workdir(path, written=statement.written)


def _arg(statement: Statement) -> Arg:
    _some(statement)
    found = []
    for each in statement.arguments:
        name, sign, value = each.partition("=")
        if not name:
            raise BuildFailed("ARG names can not be blank")
        found.append(Argument(name, value if sign else None, _described(statement.written.comments, name)))
    return Arg(tuple(found), written=statement.written)


def _onbuild(statement: Statement) -> OnBuild:
    _some(statement)
    _no_flags(statement)
    keyword = statement.inner.keyword if statement.inner else ""
    if keyword == "ONBUILD":
        raise BuildFailed("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if keyword in ("MAINTAINER", "FROM"):
        raise BuildFailed(f"{keyword} isn't allowed as an ONBUILD trigger")
    trigger = _ONBUILD.sub("", statement.written.text, count=1)
    contents = (f"\n{each.content}{each.name}" for each in statement.heredocs)
    return OnBuild(trigger + "".join(contents), written=statement.written)


def _stop_signal(statement: Statement) -> StopSignal:
    return StopSignal(_one(statement), written=statement.written)


def _shell(statement: Statement) -> Shell:
    _no_flags(statement)
    _some(statement)
    if not statement.json:
        raise BuildFailed("SHELL requires the arguments to be in JSON form")
    return Shell(statement.arguments, written=statement.written)


def _health_check(statement: Statement) -> HealthCheck:
    _some(statement)
    kind, *test = statement.arguments
    if kind.upper() == "NONE":
        if test:
            raise BuildFailed("HEALTHCHECK NONE takes no arguments")
        return HealthCheck(("NONE",), written=statement.written)
    flags = Flags(statement.flags, _HEALTH_FLAGS)
    if kind.upper() != "CMD":
        raise BuildFailed(f"Unknown type {quoted(kind.upper())} in HEALTHCHECK (try CMD)")
    if not test:
        raise BuildFailed("Missing command after HEALTHCHECK CMD")
    times = {name: _interval(flags, name) for name in ("interval", "timeout", "start-period", "start-interval")}
    return HealthCheck(
        ("CMD" if statement.json else "CMD-SHELL", *test),
        times["interval"],
        times["timeout"],
        times["start-period"],
        times["start-interval"],
        _retries(flags.text("retries")),
        written=statement.written,
    )


def _interval(flags: Flags, name: str) -> int:
    text = flags.text(name)
    try:
        found = duration_ns(text) if text else 0
    except Invalid as error:
        raise BuildFailed(error.message) from None
    if found and found < _LEAST_NS:
        raise BuildFailed(f"Interval {quoted(name)} cannot be less than 1ms")
    return found


def _retries(text: str) -> int:
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,30}", text) or not -(2**31) <= int(text) < 2**31:
        what = "value out of range" if re.fullmatch(r"[+-]?[0-9]+", text) else "invalid syntax"
        raise BuildFailed(f"strconv.ParseInt: parsing {quoted(text)}: {what}")
    if int(text) < 0:
        raise BuildFailed(f"--retries cannot be negative ({int(text)})")
    return int(text)


_FORMS: dict[str, Callable[[Statement], Instruction]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": _cmd,
    "COPY": _copy,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": _health_check,
    "LABEL": _label,
    "MAINTAINER": _maintainer,
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": _stop_signal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
KEYWORDS = tuple(_FORMS)
