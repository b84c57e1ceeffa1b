"""Which error a failed call of containerd's comes to: by its code, and by the text that its runtime had to say."""

import errno
import os
import re

from moby.errors import Conflict, HostUnfit, Invalid, MobyError, NotFound, Unavailable, Unsupported
from moby.grpc.client import Code, Failed

__all__ = ["error_of", "not_run"]

_TEXTS = {os.strerror(number).lower(): number for number in errno.errorcode}
_TEXTS["executable file not found in $path"] = errno.ENOENT
_PROGRAM = re.compile(r'(?:exec: |executable file )["`](.*?)["`]')
_BUSY = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EBUSY})
_CONFIG = frozenset({0, errno.EINVAL, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG})
_CODES: dict[int, type[MobyError]] = {
    Code.NOT_FOUND: NotFound,
    Code.ALREADY_EXISTS: Conflict,
    Code.FAILED_PRECONDITION: Conflict,
    Code.UNIMPLEMENTED: Unsupported,
    Code.UNAVAILABLE: Unavailable,
}


def error_of(what: str, failed: Failed, program: str = "") -> MobyError:
    """Return the error of a call; `program` is the one that was to be run by it."""
    told = failed.message
    for end in (": unknown", ": not found"):
        told = told.removesuffix(end)
    # runc's words come in the end, often several times over.
    number = _TEXTS.get(told.rpartition(": ")[2].strip().lower(), 0)
    named = _PROGRAM.search(told)
    if program and named is not None and named[1] == program:
        found = Invalid(f"cannot run {program!r} (config.json: process.args): {told}")
        number = errno.EACCES if number in {0, errno.EPERM} else number
        found.__cause__ = OSError(number, os.strerror(number), program)
        return found
    if program and number and "chdir to cwd" in told:
        found = Invalid(f"cannot change to the working folder (config.json: process.cwd): {told}")
        found.__cause__ = OSError(number, os.strerror(number))
        return found
    message = f"containerd can't {what}: {told}"
    if failed.code in _CODES and "OCI runtime" not in told:
        return _CODES[failed.code](message)
    if number in _BUSY:
        return Unavailable(message, hint="free memory, processes or descriptors, then try again")
    return Invalid(message) if number in _CONFIG else HostUnfit(message)


def not_run(program: str) -> Invalid:
    """Return the error of a process that ended without having become a program, which nobody tells otherwise."""
    found = Invalid(
        f"cannot run {program!r} (config.json: process.args): the kernel takes neither it nor an interpreter that it"
        " names"
    )
    found.__cause__ = OSError(errno.ENOEXEC, os.strerror(errno.ENOEXEC), program)
    return found
