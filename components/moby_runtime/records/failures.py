"""What went wrong in a step, on its way from the container's side to the caller's, and which error it becomes."""

from __future__ import annotations

import errno
import os

from moby.errors import HostUnfit, Invalid, MobyError, Unavailable
from moby.values import frozen
from moby_runtime.records.json_text import decoded, encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

__all__ = ["Failed", "Failure", "cause_of", "doing", "error_of", "fail", "guarded", "not_run", "shortened", "telling"]


@frozen
class Failure:
    """A step that failed: what was done, for which field of config.json, and the kernel's answer."""

    step: str
    field: str
    number: int
    detail: str = ""

    def encode(self) -> bytes:
        """Return the bytes that cross the pipe."""
        return encoded([self.step, self.field, self.number, self.detail]).encode()

    @classmethod
    def decode(cls, data: bytes) -> Failure:
        """Read what `encode` wrote."""
        step, field, number, detail = decoded(data.decode())
        return cls(step, field, number, detail)


_LONGEST = 1000


class Failed(Exception):
    """A step failed; for use inside this runtime."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure)
        self.failure = failure


class doing:  # noqa: N801 - read as what the block does
    """Say what the block does, so that an OSError in it becomes a Failed that tells it."""

    __slots__ = ("_field", "_step")

    def __init__(self, step: str, field: str = "") -> None:
        self._step = step
        self._field = field

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise Failed(_failure(self._step, self._field, error)) from error


class telling:  # noqa: N801
    """Turn an OSError of the block, which no part of it has an answer to, into the error that tells the step.

    But for ProcessLookupError, by which callers know that a container has ended.
    """

    __slots__ = ("_step",)

    def __init__(self, step: str) -> None:
        self._step = step

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, ProcessLookupError):
            raise error_of(_failure(self._step, "", error)) from error


def guarded(report: Callable[[bytes], object], steps: Callable[[], None]) -> NoReturn:
    """Do the steps of a process that becomes a program; tell a failure, and end with 127 or 126 as a shell would."""
    try:
        steps()
    except BaseException as error:
        fail(report, error)
    os._exit(70)


def fail(report: Callable[[bytes], object], error: BaseException) -> NoReturn:
    """Tell what has failed in a process that should have become a program, and end as `guarded` does."""
    code = 70
    try:
        if isinstance(error, Failed):
            code = 126
            report(error.failure.encode())
        elif isinstance(error, OSError):
            code = 127 if isinstance(error, FileNotFoundError) else 126
            name = str(error.filename or "")
            report(Failure("run the program", "process.args", error.errno or 0, name).encode())
        else:  # a bug of ours: the caller shall see it
            report(Failure("make the container", "", 0, f"{type(error).__name__}: {error}").encode())
    finally:
        os._exit(code)


def _failure(step: str, field: str, error: OSError) -> Failure:
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    return Failure(step, field, error.errno or 0, name)


_CONFIG_AT_FAULT = frozenset({errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
_OTHER_KIND = (
    "Are you trying to mount a directory onto a file (or vice-versa)? Check if the specified host path exists and is"
    " the expected type"
)
"""Docker's words, which people know, and look for."""
_BUSY = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT, errno.EINTR})


def shortened(text: str) -> str:
    """Return a message without the middle of what is endless in it, such as a value that fills a megabyte."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"


def error_of(failure: Failure, *, user_namespace: bool = False) -> MobyError:
    """Return the error that a failed step is to its caller."""
    reason = os.strerror(failure.number) if failure.number else failure.detail
    place = f" (config.json: {failure.field})" if failure.field else ""
    detail = f": {failure.detail}" if failure.detail and failure.number else ""
    if _is_of_another_kind(failure):
        reason, detail = os.strerror(errno.ENOTDIR), f": {_OTHER_KIND}"
    message = f"cannot {shortened(failure.step)}{place}: {shortened(f'{reason}{detail}')}"
    from moby.host.settings import confinement, in_bare_chroot

    if failure.number == errno.EINVAL and failure.detail == "/" and in_bare_chroot():
        return HostUnfit(message, hint=confinement())  # no propagation can be set where / is no mount
    if failure.field == "linux.resources.memory.limit" and not failure.number:  # for which the kernel killed a start
        return Invalid(message, hint="raise it, or leave it out")
    if failure.field.startswith("hooks."):
        return Invalid(message, hint="look at what the hook does, or leave it out")
    if failure.field and failure.number in _CONFIG_AT_FAULT:
        return Invalid(message, hint=_hint(failure, user_namespace))
    if failure.number in _BUSY:
        return Unavailable(message, hint="free memory, processes or descriptors, then try again")
    return HostUnfit(message, hint=_hint(failure, user_namespace))


def _is_of_another_kind(failure: Failure) -> bool:
    """Whether a folder is mounted on what is none, or the other way: to which the kernel says just EINVAL."""
    mismatch = failure.number == errno.EINVAL and failure.detail == "move_mount"
    return failure.field.startswith("mounts[") and (mismatch or failure.number == errno.ENOTDIR)


def not_run(failure: Failure) -> MobyError:
    """Return the error of a program that the kernel doesn't take."""
    if failure.number in (0, errno.ENOMEM, errno.EAGAIN):
        return error_of(failure)
    reason = os.strerror(failure.number)
    if failure.number == errno.ENOENT:
        reason = "it, or the interpreter that it names, isn't there"
    return Invalid(shortened(f"cannot run {failure.detail!r} (config.json: process.args): {reason}"))


def cause_of(failure: Failure) -> OSError:
    """Return the kernel's answer, by which a caller tells what isn't there from what can't run."""
    return OSError(failure.number, os.strerror(failure.number), failure.detail)


def _hint(failure: Failure, user_namespace: bool) -> str:
    """Name the setting that most likely stands in the way."""
    from moby.host import capabilities
    from moby.host.settings import confinement, forbidding_setting, namespace_limit

    if failure.number == errno.ENOSPC and "namespace" in failure.step:
        return namespace_limit()
    if failure.number in (errno.ENOSPC, errno.EDQUOT) and not failure.field and "keyring" not in failure.step:
        return "make room on the disk of the folder that the runtime keeps containers in"
    if failure.number == errno.EDQUOT and "keyring" in failure.step:
        return "raise the limits kernel.keys.maxkeys and kernel.keys.maxbytes with sysctl"
    if failure.number in (errno.EPERM, errno.EACCES) and user_namespace:
        return forbidding_setting() or _denied(failure) or (confinement() if "namespace" in failure.step else "")
    if failure.number == errno.EPERM:
        if os.geteuid() == 0 and not capabilities.numbers(["CAP_SYS_ADMIN"]) <= capabilities.effective():
            return "this root lacks the capability CAP_SYS_ADMIN; run as the host's root, or as an ordinary user"
        return "run as root, or with a user namespace in linux.namespaces"
    if failure.number == errno.EACCES:
        return _denied(failure)
    if failure.number == errno.ENOSYS:
        return "this needs Linux 5.12 or newer, and a sandbox that lets its system calls through"
    if failure.number == errno.ENODEV:
        return "the kernel has no such file system or device; load its module"
    return ""


def _denied(failure: Failure) -> str:
    if failure.step.startswith(("set the propagation", "bind the root", "change the root")):
        return "every folder above the bundle must be open (o+x) to the user that root inside is mapped to"
    if failure.step.startswith("mount"):
        return "where this machine is a container itself, its /proc and /sys must not be masked"
    return ""
