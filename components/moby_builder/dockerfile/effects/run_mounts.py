"""What a RUN sees besides its root (`RUN --mount`): made for the time of the step, as mounts of its bundle."""

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from moby.contracts.builder import BuildFailed, Session
from moby.contracts.types import Mount
from moby.errors import NotFound
from moby.host.mounts import open_in_root
from moby_builder.dockerfile.effects.agents import Agent
from moby_builder.dockerfile.effects.cache_mounts import CacheMounts
from moby_builder.dockerfile.effects.workspace import Workspace
from moby_builder.dockerfile.operations import MountKind, RunMount
from moby_builder.dockerfile.solver.effects import Cancel, Tree

__all__ = ["RunMounts"]

_BIND = ("rbind", "rprivate")
_MOST_SECRET_BYTES = 500 << 10


class RunMounts:
    """The mounts of one step; they go as `stack` is closed. `memory` is a folder that is never on disk."""

    def __init__(
        self,
        stack: ExitStack,
        memory: Path,
        *,
        workspace: Workspace,
        caches: CacheMounts,
        session: Session,
        cancel: Cancel,
        description: str,
    ) -> None:
        self._stack = stack
        self._memory = memory
        self._workspace = workspace
        self._caches = caches
        self._session = session
        self._cancel = cancel
        self._description = description
        self._count = 0
        self.environment: list[str] = []
        """Secrets that are wanted as variables."""

    def make(self, mounts: Sequence[RunMount], inputs: Sequence[Tree]) -> list[Mount]:
        """Return the mounts, in order; NotFound, as BuildFailed, for what is required and isn't there."""
        return [made for each in mounts if (made := self._make(each, inputs)) is not None]

    def _make(self, mount: RunMount, inputs: Sequence[Tree]) -> Mount | None:
        match mount.kind:
            case MountKind.BIND:
                return self._bind(mount, inputs[mount.input])
            case MountKind.CACHE:
                return self._cache(mount, inputs[mount.input] if mount.input >= 0 else Tree())
            case MountKind.TMPFS:
                size = (f"size={mount.size_bytes}",) if mount.size_bytes else ()
                return Mount(mount.target, "tmpfs", "tmpfs", ("nosuid", "nodev", *size))
            case MountKind.SECRET:
                return self._secret(mount)
            case MountKind.SSH:
                return self._ssh(mount)

    def _bind(self, mount: RunMount, tree: Tree) -> Mount:
        lent = _scratch(self._workspace, tree) if mount.writable else self._workspace.reading(tree)
        root = self._stack.enter_context(lent)
        return Mount(mount.target, self._inside(root, mount), "bind", (*_BIND, "rw" if mount.writable else "ro"))

    def _cache(self, mount: RunMount, begin: Tree) -> Mount:
        described = f"cached mount {mount.target} from exec {self._description}"
        root = self._stack.enter_context(self._caches.lend(mount.id, mount.sharing, begin, described, self._cancel))
        if not os.listdir(root):  # noqa: PTH208
            os.chown(root, mount.uid, mount.gid)
            root.chmod(mount.mode)
        return Mount(mount.target, self._inside(root, mount), "bind", (*_BIND, "rw" if mount.writable else "ro"))

    def _secret(self, mount: RunMount) -> Mount | None:
        try:
            value = self._session.secret(mount.id)
        except NotFound as error:
            if mount.required:
                raise BuildFailed(f"secret {mount.id}: not found", hint=error.hint) from error
            return None
        if len(value) > _MOST_SECRET_BYTES:
            raise BuildFailed(f"secret {mount.id} is larger than {_MOST_SECRET_BYTES} bytes")
        if mount.variable:
            self.environment.append(f"{mount.variable}={value.decode(errors='surrogateescape')}")
        if not mount.target:
            return None
        path = self._name()
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:  # noqa: PTH123
            file.write(value)
        os.chown(path, mount.uid, mount.gid)
        path.chmod(mount.mode)
        return Mount(mount.target, str(path), "bind", (*_BIND, "ro", "nosuid", "nodev", "noexec"))

    def _ssh(self, mount: RunMount) -> Mount | None:
        try:
            os.close(self._session.ssh(mount.id))
        except NotFound as error:
            if mount.required:
                raise BuildFailed(f"unset ssh forward key {mount.id}", hint=error.hint) from error
            return None
        path = self._name()
        self._stack.enter_context(Agent(path, lambda: self._session.ssh(mount.id)))
        os.chown(path, mount.uid, mount.gid)
        path.chmod(mount.mode)
        return Mount(mount.target, str(path), "bind", (*_BIND, "nosuid", "nodev", "noexec"))

    def _name(self) -> Path:
        self._count += 1
        return self._memory / f"lent-{self._count}"

    def _inside(self, root: Path, mount: RunMount) -> str:
        """Return the path of what is wanted of a tree; no link in it leads out."""
        if mount.source in ("", "/"):
            return str(root)
        fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            found = open_in_root(fd, mount.source)
        except OSError as error:
            raise BuildFailed(
                f"failed to mount {mount.target}: {mount.source}: {(error.strerror or '').lower()}",
                hint="name a path that is there, by source=",
            ) from error
        finally:
            os.close(fd)
        self._stack.callback(os.close, found)
        return str(Path(f"/proc/self/fd/{found}").readlink())


@contextmanager
def _scratch(workspace: Workspace, tree: Tree) -> Iterator[Path]:
    """Lend a tree's files so that they may be written, though nothing of that stays."""
    with ExitStack() as stack:
        if tree.folder is None:
            yield stack.enter_context(workspace.writing(tree.snapshot)).path
        else:
            memory = stack.enter_context(workspace.memory())
            yield stack.enter_context(workspace.covered(tree.folder, memory))
