"""A config.json read, and its process (runtime-spec, config.md) as values."""

from __future__ import annotations

import errno
import os
import stat

from moby.errors import Invalid, NotFound, Problem
from moby.host import capabilities
from moby_runtime.programs.values import ProcessSpec
from moby_runtime.records.failures import Failure, error_of, shortened
from moby_runtime.records.json_text import decoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

__all__ = ["MAX_ID", "config_of", "process_of", "process_problems", "refuse", "without_null", "wrong"]

CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
MAX_ID = 2**32 - 2
_MOST_BYTES = 32 << 20
_NULL = tuple(f"{before}null" for before in ":,[ \t\n\r")
"""One of these is in each JSON text with a null in an object or a list."""
_MOST_PROBLEMS = 50


def wrong(path: str, message: str) -> Problem:
    """Return what is wrong with a field."""
    return Problem(f"config.json: {path} {message}")


def config_of(bundle: str) -> dict[str, Any]:
    """Read a bundle's config.json, without what is null; NotFound, or Invalid where it can't be read."""
    path = f"{bundle}/config.json"
    try:
        text = _text(path)
        data = decoded(text)
        return without_null(data) if any(word in text for word in _NULL) else data  # type: ignore[no-any-return]
    except (FileNotFoundError, NotADirectoryError):
        if not os.path.isdir(bundle):
            hint = "a bundle is a folder with a config.json and a root"
            raise NotFound(f"there is no bundle at {bundle}", hint=hint) from None
        raise NotFound(f"the bundle {bundle} has no config.json") from None
    except (ValueError, RecursionError) as error:
        raise Invalid(f"{path} is no JSON: {error}") from error
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
            raise error_of(Failure("read config.json", "", error.errno)) from error
        raise Invalid(f"{path} can't be read: {error.strerror}") from error


def _text(path: str) -> str:
    """Read a file of others: no pipe or device, which would block or never end; ValueError where it isn't UTF-8."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Invalid(f"{path} is no file")
    try:
        data = b""
        while len(data) <= _MOST_BYTES and (chunk := os.read(fd, _MOST_BYTES + 1 - len(data))):
            data += chunk
    finally:
        os.close(fd)
    if len(data) > _MOST_BYTES:
        raise Invalid(f"{path} is bigger than {_MOST_BYTES} bytes")
    return data.decode()


def without_null(data: Any) -> Any:
    """Take away keys whose value is null, which says the same as no key."""
    if isinstance(data, dict):
        return {key: without_null(value) for key, value in data.items() if value is not None}
    return [without_null(each) for each in data] if isinstance(data, list) else data


def refuse(problems: list[Problem]) -> None:
    """Raise what is wrong, where something is."""
    if problems:
        more = len(problems) - _MOST_PROBLEMS
        told = [*problems[:_MOST_PROBLEMS], *([Problem(f"config.json: and {more} more problems")] if more > 0 else [])]
        told = [Problem(shortened(each.message)) for each in told]
        raise Invalid("; ".join(each.message for each in told), problems=tuple(told))


def process_problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with a process."""
    if not data.get("args") or not data["args"][0]:
        yield wrong("process.args", "is missing")
    if not data.get("cwd", "").startswith("/"):
        yield wrong("process.cwd", f"must be an absolute path, not {data.get('cwd')!r}")
    for index, each in enumerate(data.get("rlimits", ())):
        if not {"type", "soft", "hard"} <= each.keys() or _number_of(each["type"]) is None:
            yield wrong(f"process.rlimits[{index}]", f"is no limit of this kernel: {each!r}")
        elif any(each["type"] == other.get("type") for other in data["rlimits"][:index]):
            yield wrong(f"process.rlimits[{index}]", f"sets {each['type']} twice")
    user = data.get("user", {})
    numbers = {name: user.get(name, 0) for name in ("uid", "gid")}
    numbers |= {f"additionalGids[{index}]": each for index, each in enumerate(user.get("additionalGids", ()))}
    for name, number in numbers.items():
        if not 0 <= number <= MAX_ID:
            yield wrong(f"process.user.{name}", f"is out of range: {number}")
    if not 0 <= user.get("umask", 0) <= 0o777:
        yield wrong("process.user.umask", f"is out of range: {user['umask']}")
    for name in ("height", "width") if data.get("terminal") else ():
        if not 0 <= data.get("consoleSize", {}).get(name, 0) <= 0xFFFF:
            yield wrong(f"process.consoleSize.{name}", "is out of range")


def _number_of(limit: str) -> int | None:
    """Return the number of a resource limit; None where this kernel has no such limit."""
    import resource

    return getattr(resource, limit, None) if limit.startswith("RLIMIT_") else None


def _variables(given: Iterable[str]) -> tuple[str, ...]:
    """Return each variable once, as it was said last: programs take the first that they find."""
    return tuple({each.partition("=")[0]: each for each in given}.values())


def process_of(data: Mapping[str, Any]) -> ProcessSpec:
    """Return a process that was checked, but for what of it is rarely set."""
    user = data.get("user") or {}
    console = data.get("consoleSize")
    limits = data.get("rlimits") or ()
    sets = data.get("capabilities") or {}
    known = set(capabilities.NAMES)
    return ProcessSpec(
        args=tuple(data.get("args") or ()),
        cwd=data.get("cwd", ""),
        env=_variables(data.get("env") or ()),
        terminal=bool(data.get("terminal")),
        window=(console.get("height", 0), console.get("width", 0)) if console else None,
        uid=user.get("uid", 0),
        gid=user.get("gid", 0),
        groups=tuple(user.get("additionalGids") or ()),
        umask=user.get("umask"),
        rlimits=tuple([(_number_of(each["type"]) or 0, each["soft"], each["hard"]) for each in limits]),
        # A name that this kernel doesn't know can't be granted, and the specification says not to fail over it.
        capabilities={
            name: capabilities.numbers(set(sets.get(name) or ()) & known) for name in CAPABILITY_SETS
        },
        no_new_privileges=bool(data.get("noNewPrivileges")),
        oom_score_adj=data.get("oomScoreAdj"),
        apparmor=data.get("apparmorProfile") or "",
        selinux=data.get("selinuxLabel") or "",
    )  # fmt: skip
