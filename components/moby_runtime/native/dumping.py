"""Images of processes: what of a container can be written into one, and having CRIU write it."""

from __future__ import annotations

import os
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

from moby.errors import Conflict, HostUnfit, Unavailable, Unsupported
from moby.host import processes
from moby.host.blocks import Undo
from moby.host.lean import signals
from moby.values import frozen
from moby_runtime.images import folders
from moby_runtime.native import criu, outside
from moby_runtime.native.members import group_of, pids_of
from moby_runtime.native.placement import is_root_of_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from moby.contracts.runtime_values import CheckpointOptions
    from moby_runtime.native.records import Record
    from moby_runtime.native.values import Spec

__all__ = ["EXTERNAL", "Wishes", "common", "dump", "failed", "fit", "log_folder", "message_of", "refuse", "switches_of"]

EXTERNAL = {"network": "net", "pid": "pid"}
"""Namespaces that CRIU leaves out where a path names them; others it joins by their paths."""
_LACKING = ("mount", "user", "cgroup", "time")
_SOFT, _SKIP = 3, 3
"""criu_cg_mode, criu_network_lock_method."""
_NET = 0x40000000
_END_S = 10.0
_STOPPING_S = 120
"""Until all processes have stopped; CRIU's own 10 are too few for a busy machine."""
_LOG = "log"


@frozen
class Wishes:
    """What an image may hold, and where CRIU writes its log: a folder, or nothing for one of ours."""

    switches: Mapping[str, bool]
    """Of criu_opts."""
    work: str = ""
    leave_running: bool = False


def switches_of(options: CheckpointOptions) -> dict[str, bool]:
    """Return what a call of the contract wishes, as CRIU calls it."""
    return {
        "tcp_established": options.tcp_established,
        "ext_unix_sk": options.external_unix_sockets,
        "file_locks": options.file_locks,
    }


def fit() -> None:
    """See that images can be written and read here; HostUnfit."""
    folders.find_criu()
    if not is_root_of_host():
        raise HostUnfit("an ordinary user can neither make nor restore checkpoints", hint="run as root")


def log_folder(wishes: Wishes, folder: str) -> Path:
    """Make the folder for CRIU's log: the one that is named, or one in the folder of the container's record."""
    found = wishes.work or f"{folder}/{_LOG}"
    os.makedirs(found, 0o700, exist_ok=True)
    return Path(found)


def refuse(spec: Spec) -> None:
    """See that an image can hold what a bundle asks for; Unsupported names the field."""
    for name in _LACKING:
        if spec.namespaces.get(name) or (name == "mount" and name not in spec.namespaces):
            raise Unsupported(
                f"a checkpoint can't hold a {name} namespace of other processes (config.json: linux.namespaces)"
            )
    if spec.seccomp is not None and spec.seccomp.notifies:
        raise Unsupported("a checkpoint can't hold a seccomp listener (config.json: linux.seccomp.listenerPath)")
    for point in spec.mounts:
        if point.mapped:
            raise Unsupported(f"a checkpoint can't hold an idmapped mount (config.json: {point.where})")


def common(spec: Spec, wishes: Wishes) -> dict[str, Any]:
    """Return what CRIU is told of writing as of reading."""
    return {
        "notify_scripts": True,
        "orphan_pts_master": True,
        "log_level": 4,
        "manage_cgroups": True,
        "manage_cgroups_mode": _SOFT,
        # Network devices are their maker's, who plugs them in again; the kernel's own are there by themselves.
        "empty_ns": _NET if spec.new("network") else 0,
        # A connection that must not see packets meanwhile is the one thing that has to be locked.
        **({} if wishes.switches.get("tcp_established") else {"network_lock": _SKIP}),
        **wishes.switches,
    }


def message_of(key: str, value: str | int) -> bytes:
    """Return a pair as CRIU takes it."""
    return criu.message((1, key), (2, value))


def dump(record: Record, spec: Spec, image: Path, wishes: Wishes, folder: str) -> None:
    """Have the processes of a running container written into a new folder; `folder` is that of its record."""
    group, work = group_of(record), log_folder(wishes, folder)
    _alone(record)
    with folders.writing(image), Undo() as undo, record.first() as (pidfd, _):
        image.mkdir(parents=True, exist_ok=True)
        left_out = outside.look(record.pid, spec, record.cgroups)
        outside.write(left_out, image)
        freezer = (group.file("freezer.state") or "").rpartition("/")[0] or group.unified
        wanted = criu.options(
            images_dir_fd=_opened(image, undo),
            work_dir_fd=_opened(work, undo),
            pid=record.pid,
            log_file="dump.log",
            timeout=_STOPPING_S,
            leave_running=wishes.leave_running,
            ext_mnt=[message_of(path, name) for path, name in left_out.mounts.items()],
            external=[*left_out.files, *_namespaces(spec)],
            ext_masters=True,
            ext_sharing=True,
            **({"freeze_cgroup": freezer} if freezer else {}),
            **common(spec, wishes),
        )
        try:
            _ask(wanted)
        except criu.Refused as error:
            raise failed(f"write the container {record.id!r} into {image}", work, error) from error
        except criu.Endless as error:
            with suppress(OSError):
                group.thaw()  # which CRIU has frozen, and was killed
            raise endless(f"write the container {record.id!r} into {image}") from error
        if not wishes.leave_running:
            with suppress(ProcessLookupError):
                processes.send_signal(pidfd, signals.SIGKILL)
            processes.wait_ended(pidfd, _END_S)


def _alone(record: Record) -> None:
    """See that the container has no processes but its first one's: others' are in no image, and would be lost."""
    pids = set(pids_of(record))
    for stat in map(processes.process_stat, pids - {record.pid}):
        if stat is not None and stat.parent not in pids and not stat.ended:
            raise Conflict(
                f"process {stat.pid} was started in container {record.id!r} by exec, so a checkpoint can't hold it",
                hint="end it first",
            )


def _opened(folder: Path, undo: Undo) -> int:
    """Open a folder, which CRIU finds by its number at the other end of the socket."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    undo.callback(os.close, fd)
    return fd


def _namespaces(spec: Spec) -> list[str]:
    """Return the keys of namespaces that a path names."""
    named = {kind: spec.namespaces.get(name, "") for name, kind in EXTERNAL.items()}
    return [f"{kind}[{os.stat(path).st_ino}]:{kind}" for kind, path in named.items() if path]


def _ask(wanted: bytes) -> None:
    """Have CRIU do it, in a process of its own."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        worker = subprocess.Popen(
            [folders.find_criu(), "swrk", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(theirs.fileno(),),
        )
        with worker:
            theirs.close()
            try:
                criu.Conversation(ours).ask(criu.DUMP, wanted, lambda name, pid, fd: None)
            except criu.Endless:
                worker.kill()
                raise
            finally:
                ours.close()


def endless(what: str) -> Unavailable:
    """Return the error of a CRIU that was ended."""
    return Unavailable(
        f"cannot {what}: criu said nothing for {criu.LIMIT_S:g} s, and was killed",
        hint="see that the container still does its work, since criu was at work in its processes; then try again",
    )


def failed(what: str, work: Path, error: criu.Refused) -> HostUnfit:
    """Return the error of what CRIU couldn't do, with the last one of its log."""
    reason = folders.reason(work) or str(error) or "criu doesn't say why"
    return HostUnfit(f"cannot {what}: {reason}", hint="`criu check` tells what this kernel lacks")
