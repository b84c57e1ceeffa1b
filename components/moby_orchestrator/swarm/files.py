"""Secrets and configs as files: in memory, a folder for each task, which its container alone gets to see."""

import os
import posixpath
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

from moby.contracts.containers import MountRequest
from moby.contracts.orchestrator import FileReference, Node, Task
from moby.errors import HostUnfit, Invalid, NotFound
from moby.host import mounts
from moby_orchestrator.swarm.placeholders import context_of, expand
from moby_orchestrator.swarm.world import World

__all__ = ["Files"]

_SECRETS = "/run/secrets"
_Wanted = tuple[str, FileReference, tuple[bytes, str]]
"""A path in the container, what was asked for, and the data with how it is a template."""
_FLAGS = mounts.FLAGS["nosuid"] | mounts.FLAGS["nodev"] | mounts.FLAGS["noexec"]


class Files:
    """A tmpfs below a folder of this boot. Calls for different tasks go on side by side."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "files"
        self._lock = threading.Lock()

    def put(self, task: Task, node: Node | None, world: World) -> tuple[MountRequest, ...]:
        """Write what a task gets, and return how it comes into its container.

        NotFound for what is gone, Invalid for a target or a placeholder that can't be, HostUnfit where there is no
        memory for it.
        """
        spec = task.spec
        if not spec.secrets and not spec.configs:
            return ()
        wanted = [(_target(each, _SECRETS), each, _secret(each, world)) for each in spec.secrets]
        wanted += [(_target(each, "/"), each, _config(each, world)) for each in spec.configs]
        try:
            self._mount()
            self.drop(task.id)
            return self._written(task, node, world, wanted)
        except OSError as error:
            self.drop(task.id)
            raise HostUnfit(f"secrets can't be given to a task: {error.strerror}", hint=str(error)) from error

    def _written(
        self,
        task: Task,
        node: Node | None,
        world: World,
        wanted: Sequence[_Wanted],
    ) -> tuple[MountRequest, ...]:
        root = self._folder / task.id
        root.mkdir(mode=0o755)
        found = []
        together = [each for each in wanted if each[0].startswith(f"{_SECRETS}/")]
        for number, (target, reference, (data, templating)) in enumerate(wanted):
            below = target.startswith(f"{_SECRETS}/")
            path = root / "secrets" / target.removeprefix(f"{_SECRETS}/") if below else root / f"file{number}"
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            _write(path, reference, _filled(data, templating, task, node, world))
            if not below:
                found.append(MountRequest("bind", target, str(path), read_only=True))
        if together:
            found.append(MountRequest("bind", _SECRETS, str(root / "secrets"), read_only=True))
        return tuple(found)

    def _mount(self) -> None:
        with self._lock:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._folder.is_mount():
                return
            try:
                mounts.mount("moby-files", str(self._folder), "tmpfs", _FLAGS, "mode=700,noswap")
            except OSError:  # kernels before 6.4 have no `noswap`
                mounts.mount("moby-files", str(self._folder), "tmpfs", _FLAGS, "mode=700")

    def drop(self, task_id: str) -> None:
        """Remove what a task had; nothing where it had none."""
        shutil.rmtree(self._folder / task_id, ignore_errors=True)

    def keep(self, task_ids: frozenset[str]) -> None:
        """Remove what other tasks had."""
        if self._folder.is_dir():
            for each in self._folder.iterdir():
                if each.name not in task_ids:
                    self.drop(each.name)

    def close(self) -> None:
        """Remove all of it."""
        while self._folder.is_mount():
            mounts.unmount(str(self._folder), detach=True)
        if self._folder.is_dir():
            self._folder.rmdir()


def _target(reference: FileReference, below: str) -> str:
    target = posixpath.normpath(posixpath.join(below, reference.target or reference.source))
    if target == "/" or ".." in target.split("/") or not target.startswith("/"):
        raise Invalid(f"{reference.target!r} can't be the target of {reference.source}")
    if not reference.target.startswith("/") and below != "/" and not target.startswith(f"{below}/"):
        raise Invalid(f"the target {reference.target!r} of {reference.source} leads out of {below}")
    return target


def _secret(reference: FileReference, world: World) -> tuple[bytes, str]:
    for each in world.secrets.values():
        if each.secret.name == reference.source:
            return each.data, each.secret.templating
    raise NotFound(f"secret {reference.source} not found")


def _config(reference: FileReference, world: World) -> tuple[bytes, str]:
    for each in world.configs.values():
        if each.spec.name == reference.source:
            return each.spec.data, each.spec.templating
    raise NotFound(f"config {reference.source} not found")


def _filled(data: bytes, templating: str, task: Task, node: Node | None, world: World) -> bytes:
    if not templating:
        return data
    spec = task.spec
    environment = dict(each.partition("=")[::2] for each in spec.container.environment)

    def given(kind: str, name: str) -> str:
        """Return what another file has that the task gets too, by its target."""
        look, references = (_secret, spec.secrets) if kind == "secret" else (_config, spec.configs)
        for each in references:
            if name in (each.target, each.source):
                return look(each, world)[0].decode()
        raise KeyError(name)

    functions = {
        "env": lambda name: environment.get(name, ""),
        "secret": lambda name: given("secret", name),
        "config": lambda name: given("config", name),
    }
    return expand(data.decode(errors="surrogateescape"), context_of(task, node), functions).encode(
        errors="surrogateescape"
    )


def _write(path: Path, reference: FileReference, data: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        os.fchown(fd, reference.uid, reference.gid)
        os.fchmod(fd, reference.mode & 0o7777)
