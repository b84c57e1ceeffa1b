"""Which error the command's last words come to.

It tells nothing but a sentence. What can be asked of the kernel is asked before and after a call; here the sentence's
end is read, where the C library's and Go's text for an error number stands, and which of the bundle's values it names.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from moby.errors import HostUnfit, Invalid, MobyError, Unavailable

__all__ = ["error_of", "not_run", "number_in", "program_error"]

_TEXTS = {os.strerror(number).lower(): number for number in errno.errorcode}
_AT_CREATE = ("prestart", "createRuntime", "createContainer")
_MORE = {"executable file not found in $path": errno.ENOENT}
_CONFIG_AT_FAULT = frozenset(
    {0, errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ERANGE}
)
_BUSY = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EINTR, errno.EBUSY})


def number_in(told: str) -> int:
    """Return the error number whose text a sentence ends with; 0 where there is none."""
    tail = told.rpartition(": ")[2].strip().rstrip(".").lower()
    return _TEXTS.get(tail) or _MORE.get(tail, 0)


def error_of(tool: str, verb: str, told: str, config: Mapping[str, Any] = {}) -> MobyError:
    """Return the error of a call that failed for reasons of the bundle or of the host."""
    number, field = number_in(told), field_in(told, config)
    message = f"{tool} can't {verb} the container{f' (config.json: {field})' if field else ''}: {told}"
    if number in _BUSY:
        return Unavailable(message, hint="free memory, processes or descriptors, then try again")
    if number in _CONFIG_AT_FAULT:
        return Invalid(message)
    return HostUnfit(message, hint="run as root" if os.geteuid() else "")


def field_in(told: str, config: Mapping[str, Any]) -> str:
    """Return the field whose value a sentence has in it, the longest where there are several; empty where none.

    Several fields of the same value are all named.
    """
    found = [(len(value), path) for path, value in _telling(config) if len(value) > 1 and _names(told, value)]
    if found:
        longest = max(found)[0]
        return " or ".join(path for length, path in found if length == longest)
    if "current working directory" in told:
        return "process.cwd"
    number = re.search(r"\bhook #(\d+)\b", told)
    if number is None:
        return ""
    kinds = [name for name, each in (config.get("hooks") or {}).items() if name in _AT_CREATE and each]
    return " or ".join(f"hooks.{name}[{number[1]}]" for name in kinds)


def _names(told: str, value: str) -> bool:
    return re.search(rf"(?<![\w.-]){re.escape(value)}(?![\w-])", told) is not None


def _telling(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the values by which a sentence may be known to be about a field."""
    process, linux = config.get("process") or {}, config.get("linux") or {}
    yield "process.cwd", process.get("cwd", "")
    for index, each in enumerate(process.get("rlimits") or ()):
        yield f"process.rlimits[{index}].type", str(each.get("type", ""))
    for index, each in enumerate(config.get("mounts") or ()):
        yield f"mounts[{index}]", str(each.get("destination", ""))
        if str(each.get("source", "")).startswith("/"):
            yield f"mounts[{index}].source", each["source"]
    for name, each in (config.get("hooks") or {}).items():
        for index, hook in enumerate(each or () if name in _AT_CREATE else ()):
            yield f"hooks.{name}[{index}]", str(hook.get("path", ""))
    for key in linux.get("sysctl") or {}:
        yield f"linux.sysctl.{key}", key
        yield f"linux.sysctl.{key}", key.replace(".", "/")
    for index, each in enumerate(linux.get("namespaces") or ()):
        yield f"linux.namespaces[{index}].path", str(each.get("path", ""))
    for index, each in enumerate(linux.get("devices") or ()):
        yield f"linux.devices[{index}]", str(each.get("path", ""))
    seccomp = linux.get("seccomp") or {}
    yield "linux.seccomp.defaultAction", str(seccomp.get("defaultAction", ""))
    for index, each in enumerate(seccomp.get("syscalls") or ()):
        yield f"linux.seccomp.syscalls[{index}].action", str(each.get("action", ""))


def program_error(program: str, told: str) -> Invalid | None:
    """Return the error of a program that the command found it can't run, caused by the kernel's answer.

    Both commands then name it first, in quotes of their own.
    """
    if not any(f"{before}{quote}{program}{after}" in told for before, quote, after in _NAMED):
        return None
    number = number_in(told) or errno.EACCES
    # One of them says EPERM of whatever it doesn't want to run.
    number = errno.EACCES if number == errno.EPERM else number
    error = Invalid(f"cannot run {program!r} (config.json: process.args): {told}")
    error.__cause__ = OSError(number, os.strerror(number), program)
    return error


def not_run(program: str, *, hooked: bool) -> Invalid:
    """Return the error of a process that ended without having become a program, which the command tells nobody."""
    if hooked:
        return Invalid(
            f"{program!r} isn't run: a hook fails, or the kernel doesn't take it (config.json: hooks.startContainer,"
            " process.args)",
            hint="what the command said of it is in the program's standard error",
        )
    error = Invalid(
        f"cannot run {program!r} (config.json: process.args): the kernel takes neither it nor an interpreter that it"
        " names",
        hint="what the command said of it is in the program's standard error",
    )
    error.__cause__ = OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), program)
    return error


_NAMED = (("exec: ", '"', '": '), ("executable file ", "`", "`"), ("the path ", "`", "`"), ("open executable ", "", ""))
