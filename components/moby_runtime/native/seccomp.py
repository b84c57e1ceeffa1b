"""The seccomp filter of a container: read from its bundle, kept for programs that come later, and installed.

It is the last thing before the program: what a profile must let through for the start itself is execveat(2) or
execve(2), and read(2) where the profile leaves calls to another process. Without no_new_privs only CAP_SYS_ADMIN may
install one, so the process keeps it that long; exec takes it back, since the bounding set is the container's.
"""

from __future__ import annotations

import errno
import marshal
import os
import time

from moby.errors import Corrupt, HostUnfit, Invalid, Problem
from moby.host import capabilities, seccomp
from moby.host.lean import send_descriptor, sockets
from moby.oci.seccomp.filter import Filter
from moby.values import asdict
from moby_runtime.native.messages import LISTENER
from moby_runtime.native.values import OCI_VERSION, ProcessSpec
from moby_runtime.records.failures import Failed, Failure, doing
from moby_runtime.records.json_text import encoded
from moby_runtime.records.remembered import remembered

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from moby_runtime.native.records import Record

__all__ = [
    "by_path", "filter_of", "install", "kept", "need", "pass_listener", "pass_listener_of", "problems", "restored",
    "stored",
]  # fmt: skip

_DEFAULT_FLAGS = ("SPEC_ALLOW",)
"""As runc has it: filters are no sandbox for code that runs in one process with its keeper, and mitigations cost."""
_FIELD = "linux.seccomp"
_PATIENCE_S = 60.0


def filter_of(data: Any) -> Filter | None:
    """Return the filter of a `linux.seccomp`; None where that is empty. Invalid names its fields."""
    if data in (None, {}):
        return None
    from moby.oci.seccomp.architectures import current

    native = current()

    def compiled() -> dict[str, Any]:
        from moby.oci.seccomp import compiler

        return asdict(compiler.compiled(data, native))

    try:
        key = marshal.dumps(("seccomp", native.name, data), 2)
    except ValueError:  # nothing that JSON has
        return Filter(**compiled())
    return Filter(**remembered(key, compiled))


def problems(data: Any) -> Iterator[Problem]:
    """Yield what is wrong with a `linux.seccomp`."""
    try:
        filter_of(data)
    except Invalid as error:
        yield from error.problems


def need(wanted: Filter | None) -> None:
    """Raise Invalid where a filter lets no program start, and HostUnfit where the kernel can't do what it needs."""
    if wanted is None:
        return
    needed = ("execveat" if by_path(wanted) and "execve" in wanted.refused else "", "read" if wanted.notifies else "")
    for name in wanted.refused.intersection(needed):
        raise Invalid(
            f"config.json: {_FIELD}.syscalls refuse {name}, by which the program is started",
            hint=f"let {name} through, as Docker's default profile does",
        )
    if not seccomp.actions():
        raise HostUnfit(
            f"the kernel has no seccomp filters (config.json: {_FIELD})",
            hint="run a kernel with CONFIG_SECCOMP_FILTER, or the container without a profile",
        )
    lacking = sorted(set(wanted.flags or ()) - seccomp.flags())
    if lacking:
        raise HostUnfit(
            f"the kernel has no SECCOMP_FILTER_FLAG_{lacking[0]} (config.json: {_FIELD}.flags)",
            hint="leave it out, or run a newer kernel",
        )


def kept(process: ProcessSpec, wanted: Filter | None) -> frozenset[int]:
    """Return the capabilities that a process needs until its filter is installed."""
    if wanted is None or process.no_new_privileges:
        return frozenset()
    return capabilities.numbers(["CAP_SYS_ADMIN"])


def by_path(wanted: Filter | None) -> bool:
    """Whether a program must be started without execveat(2)."""
    return wanted is not None and "execveat" in wanted.refused


def install(process: ProcessSpec, wanted: Filter | None, tell: Callable[[bytes], object], answers: int) -> None:
    """Install a filter, right before the program; `tell` and the descriptor `answers` lead to the caller."""
    if wanted is None:
        return
    with doing("install the seccomp filter", _FIELD):
        capabilities.raise_effective(kept(process, wanted))
        flags = _DEFAULT_FLAGS if wanted.flags is None else wanted.flags
        if not wanted.notifies:
            seccomp.install(wanted.program, flags)
            return
        # From here on any call may wait for somebody who hasn't the descriptor yet, so nothing is left to say.
        number = os.dup(0)
        os.close(number)
        tell(LISTENER + b"%d\n" % number)
        seccomp.install(wanted.program, flags, listen=True)
    if not os.read(answers, 1):
        os._exit(70)  # the caller has died, and with it the listener


def pass_listener_of(wanted: Filter | None, record: Record, status: str, process: tuple[int, int], number: int) -> None:
    """Send a process's listener to who listens to a container; `process` is its pid and a pidfd."""
    if wanted is not None:
        from moby_runtime.native.hooks import state_of

        pass_listener(
            wanted, process, number, state_of(record.id, status, record.pid, record.bundle, record.annotations)
        )


def pass_listener(wanted: Filter, process: tuple[int, int], number: int, state: Mapping[str, Any]) -> None:
    """Send the descriptor that answers a process's calls to the profile's listener (config-linux.md); Failed.

    `process` is its pid and a pidfd, and `state` the container's.
    """
    pid, pidfd = process
    with doing(f"take the seccomp listener of process {pid}", f"{_FIELD}.listenerPath"):
        listener = _take(pidfd, number)
    try:
        about = {
            "ociVersion": OCI_VERSION, "fds": ["seccompFd"], "pid": pid,
            "metadata": wanted.listener_metadata, "state": dict(state),
        }  # fmt: skip
        connection = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        try:
            with doing(f"send the seccomp listener to {wanted.listener_path}", f"{_FIELD}.listenerPath"):
                connection.settimeout(_PATIENCE_S)
                connection.connect(wanted.listener_path)
                data = encoded(about).encode()
                sent = send_descriptor(connection, data, listener)
                if sent < len(data):  # even of nothing a send fails, where the agent has all and hung up
                    connection.sendall(data[sent:])
        finally:
            connection.close()
    finally:
        os.close(listener)


def _take(pidfd: int, number: int) -> int:
    """Copy the descriptor once it is there."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return seccomp.take_descriptor(pidfd, number)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
        if time.monotonic() > deadline:
            raise Failed(Failure("install the seccomp filter: something delays it", _FIELD, errno.ETIMEDOUT))
        time.sleep(0.001)


def stored(wanted: Filter | None) -> dict[str, Any]:
    """Return what a container's record keeps of its filter."""
    if wanted is None:
        return {}
    import binascii

    return {
        "program": binascii.b2a_base64(wanted.program, newline=False).decode(),
        "flags": wanted.flags, "notifies": wanted.notifies,
        "listener_path": wanted.listener_path, "listener_metadata": wanted.listener_metadata,
        "refused": sorted(wanted.refused),
    }  # fmt: skip


def restored(record: Record) -> Filter | None:
    """Return the filter that a record has kept; Corrupt where it can't be read."""
    if not record.seccomp:
        return None
    import binascii

    try:
        data = dict(record.seccomp)
        flags = None if data["flags"] is None else tuple(data["flags"])
        kept = {"program": binascii.a2b_base64(data["program"]), "flags": flags, "refused": frozenset(data["refused"])}
        return Filter(**{**data, **kept})
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(
            f"the record of container {record.id!r} has no seccomp filter that can be read: {error}",
            hint="delete the container by force",
        ) from error
