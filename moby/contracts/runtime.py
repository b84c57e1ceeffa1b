"""The kind `runtime`: turns a bundle into a container.

A runtime sees one bundle (a folder with a config.json, runtime-spec) and descriptors; it never makes pipes, never
reads a container's output, never waits for one, and keeps what later calls need on disk, so that any process with
the same state folder may make them. All methods are thread-safe for different containers; calls for one container
are the caller's to order. None blocks for longer than its work needs, which is milliseconds (and for a runtime that
is a command a program's start more), plus the time of hooks.

It may be code in the caller's process or a command that is run for each call. So that a command's containers have
a parent once it has ended, who calls `create`, `exec` or `restore` is a child subreaper (PR_SET_CHILD_SUBREAPER,
prctl(2)), or a descendant of one that tells it how they end. In a process that acts for its parent
(`moby.host.processes.act_for_parent`) a runtime best makes that one's children; one left with its own ends for them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from moby.contracts import runtime_values
from moby.contracts.kind import contract
from moby.contracts.runtime_values import (
    DIE_WITH_PARENT,
    CheckpointOptions,
    ContainerState,
    DeviceIo,
    HugePages,
    Process,
    RuntimeFeature,
    Stall,
    Stats,
)
from moby.contracts.types import Stdio, TaskStatus

__all__ = [
    "DIE_WITH_PARENT", "CheckpointOptions", "ContainerState", "DeviceIo", "HugePages", "Process", "Runtime",
    "RuntimeFeature", "Stall", "Stats",
]  # fmt: skip


# What the annotations of these values name, for typing.get_type_hints.
vars(runtime_values).update(Mapping=Mapping, Path=Path, TaskStatus=TaskStatus)


@contract("runtime", version=1, many=True)
class Runtime(Protocol):
    """Turns a bundle into a container: a process tree with a root of its own, and most often namespaces and limits."""

    features: frozenset[str]
    """Which of RuntimeFeature this one has; the same as its component offers."""

    def programs(self) -> Mapping[str, tuple[str, str]]:
        """Return the version, and the commit or ``, of each program and library of others that makes its containers.

        By name, as far as they are there: none for one that makes them itself. It may start the programs.
        """
        ...

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make the container up to, not including, its user's program.

        That will have the environment of `process.env` and nothing else, but for a PWD that is `process.cwd`, and a
        HOME where none is given, which some runtimes add; some make a working folder that isn't there, others refuse.

        Hooks `prestart`, `createRuntime` and `createContainer` have run when it returns. With `stdio.terminal`, which
        must be as `process.terminal` says, the result has the terminal's other end.

        Raises Conflict where the id is taken, Invalid where the bundle's config.json is (the problem names the
        field) or a hook fails, or as `start` does where the program is looked at this early, NotFound where bundle
        or rootfs are missing, Unsupported for a field or feature that it lacks, HostUnfit where the host forbids a
        step (the message names the setting). After an error nothing is left, and hooks `poststop` of what had been
        made have run.
        """
        ...

    def start(self, container_id: str) -> None:
        """Run the user's program. Conflict unless created; Invalid where the program isn't there or isn't runnable.

        That Invalid's `__cause__` is the kernel's OSError, where there is one; without one the program isn't there.
        Returns once the kernel has accepted the program, and after hooks `startContainer` (before it, in the
        container) and `poststart`. Where one of these fails Invalid names it, and the container is gone, as by a forced
        `delete`; its processes are the caller's to reap all the same.
        """
        ...

    def state(self, container_id: str) -> ContainerState:
        """Return the state as the kernel has it now; NotFound where there is no such container."""
        ...

    def list(self) -> tuple[ContainerState, ...]:
        """Return all containers of this runtime's state folder, sorted by id."""
        ...

    def kill(self, container_id: str, signal: int, *, everyone: bool = False) -> None:
        """Send a signal to the first process, or to all; Conflict where it is stopped already."""
        ...

    def delete(self, container_id: str, *, force: bool = False) -> None:
        """Remove every trace of a stopped container, then run its `poststop` hooks. NotFound where there is none.

        Conflict where it isn't stopped, unless `force`, which kills it first (and is fine where there is none). A
        hook that fails is passed over. Processes that came by `exec` and have ended are the caller's to reap first,
        since the kernel keeps the container for them: Unavailable where it waits for one in vain.
        """
        ...

    def exec(self, container_id: str, process: Mapping[str, Any], stdio: Stdio) -> Process:
        """Run another program inside (`process` as in config.json). Feature `exec`; Conflict unless running.

        Errors and terminals are as with `create` and `start` together. It ends with the container at the latest, and
        is among its `pids`; signals go to its own descriptor.
        """
        ...

    def pause(self, container_id: str) -> None:
        """Freeze all processes. Feature `pause`; Conflict unless running."""
        ...

    def resume(self, container_id: str) -> None:
        """Thaw all processes. Feature `pause`; Conflict unless paused."""
        ...

    def update(self, container_id: str, resources: Mapping[str, Any]) -> None:
        """Change limits (`resources` as in config.json's linux.resources). Feature `update`.

        What isn't named stays as it is; device rules, where there are any, replace all before. Conflict where it is
        stopped; other errors as `create`. What was changed before an error stays changed; doing it again is fine.
        """
        ...

    def pids(self, container_id: str) -> tuple[int, ...]:
        """Return the pids of all processes inside, as the caller sees them; empty when stopped."""
        ...

    def stats(self, container_id: str) -> Stats:
        """Return what it uses now. Feature `stats`; HostUnfit where it has no control group.

        Of a stopped one, until it is deleted, what it had used at its end (`oom_kills` tells why it ended); Conflict
        from a runtime that can't say any more. Reads files only, and never the container's memory.
        """
        ...

    def watch_oom(self, container_id: str) -> int:
        """Return a descriptor that becomes readable when the kernel kills a process inside for want of memory.

        Feature `oom`; Conflict where it is stopped, HostUnfit where it has no control group of memory. Each call
        gives a new one, which the caller closes; it keeps nothing of the container alive and may outlive it. It also
        becomes readable for lesser reasons, when the container is deleted at the latest; one read of 4096 bytes makes
        it quiet again, and `Stats.oom_kills` says how many there were. It never blocks.
        """
        ...

    def checkpoint(
        self, container_id: str, image: Path, options: CheckpointOptions, *, leave_running: bool = False
    ) -> None:
        """Write a running container's processes into a new folder `image` (criu(8)), for `restore`.

        Feature `checkpoint`; Conflict unless running, or where `image` has something in it. Unless `leave_running`
        it has been stopped, by SIGKILL, when this returns, and wants `delete`. May take seconds: as long as writing
        its memory does. After an error it runs on, and the folder is as it was.
        """
        ...

    def restore(
        self, container_id: str, bundle: Path, image: Path, stdio: Stdio, options: CheckpointOptions
    ) -> Process:
        """Make a running container from what `checkpoint` wrote; the bundle is the one that it was made of.

        Feature `checkpoint`; errors as `create`, and Corrupt where the image can't be read. The image stays, and may
        be restored again.
        """
        ...
