"""How a container becomes a task: its root, its networks and its mounts, a bundle, and back."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from moby.contracts.containers import Container, ContainerConfig
from moby.contracts.log_driver import LogConfig
from moby.contracts.networks import Sandbox
from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import Streams, TaskConfig
from moby.contracts.types import Mount, Window
from moby.errors import Conflict, HostUnfit, Invalid, MobyError, NotFound
from moby.host import mounts as kernel
from moby.host.overlay import mount_root
from moby.oci.programs import telling
from moby.oci.user import User, resolve_groups, resolve_user
from moby_containers.engine import bundle, etc, placing
from moby_containers.engine.entries import Entry, Phase
from moby_containers.engine.merge import effective_health
from moby_containers.engine.networking import Networking, called_as, joins, linked_of
from moby_containers.engine.parts import Parts
from moby_containers.engine.views import make_folders

__all__ = ["Starting", "log_config"]

_INITS = ("tini-static", "catatonit", "docker-init")
_SHM_FLAGS = ("nosuid", "noexec", "nodev")


def log_config(parts: Parts, container: Container) -> LogConfig:
    """Return where a container's output goes."""
    config = container.config
    return LogConfig(
        container.id, parts.folder(container.id), config.log.driver, config.log.options, container.name, config.image,
        container.image_id, bundle.program(config), container.created, config.labels, config.environment,
        config.terminal,
    )  # fmt: skip


class Starting:
    """Makes tasks of containers, and gives back what they held. Every call wants the entry's lock held."""

    def __init__(self, parts: Parts, networking: Networking) -> None:
        self._parts = parts
        self._networking = networking

    def prepare(
        self,
        entry: Entry,
        window: Window | None = None,
        *,
        attach: bool = False,
        certain: Callable[[], object] | None = None,
    ) -> Streams | None:
        """Make the task, up to the user's program; an error leaves nothing.

        Where its caller is to `attach`, its streams may be returned. `certain` is called before the supervisor's part,
        which takes the longest: whom it lets go on would only slow down what comes before.
        """
        if entry.doubtful:
            self.clear(entry)
        entry.mounted = True
        entry.begun_ns = self._parts.clock.now_ns()
        try:
            config = entry.container.config
            self._write_bundle(entry)
            task = TaskConfig(
                entry.id,
                self._parts.bundle(entry.id),
                config.runtime,
                config.terminal,
                config.open_stdin,
                stdin_once=config.stdin_once,
                window=window or config.window,
                log=log_config(self._parts, entry.container) if self._parts.logged else None,
                health=effective_health(config.health),
                attach=attach,
            )
            if certain is not None:
                certain()
            with telling(bundle.program(config)[0]):
                state = self._parts.supervisor.create(task)
        except BaseException:
            self.give_back(entry)
            raise
        entry.phase = Phase.CREATED
        entry.pid = state.pid
        return state.streams

    def clear(self, entry: Entry) -> None:
        """Remove a task that isn't to run any more, and give back what it held; repeating is fine."""
        if entry.phase != Phase.NONE or entry.doubtful:
            with suppress(NotFound):
                self._parts.supervisor.delete(entry.id, force=True)
            entry.phase, entry.pid, entry.doubtful = Phase.NONE, 0, False
        if entry.mounted:
            self.give_back(entry)

    def give_back(self, entry: Entry) -> None:
        """Undo what `prepare` did but for the task, as far as it came; what fails is logged, since all else goes."""
        import shutil  # which a start needn't wait for

        parts = self._parts
        folder = parts.bundle(entry.id)
        failed = placing.unplace(entry.keeping.points, entry.id, parts, folder)
        self.leave_networks(entry)
        for name in ("shm", "rootfs"):
            _unmount_all(folder / name)
        if not os.path.ismount(folder / "rootfs"):
            shutil.rmtree(folder, ignore_errors=True)
        entry.mounted = False
        for each in failed:
            parts.log.warning("what a container held can't be given back", container=entry.id, error=str(each))

    def leave_networks(self, entry: Entry) -> None:
        """Give back its places on networks, its addresses and ports; what fails is logged."""
        if joins(entry.container.config):
            try:
                self._parts.networks.leave(entry.id)
            except (MobyError, OSError) as error:
                self._parts.log.warning("a container's networks can't be left", container=entry.id, error=str(error))

    def _write_bundle(self, entry: Entry) -> None:
        parts = self._parts
        if entry.container.config.network.startswith("container:"):
            self._be_called_as_who_has_its_network(entry)
        config = entry.container.config
        folder, rootfs, lasting = parts.bundle(entry.id), parts.rootfs(entry.id), parts.folder(entry.id)
        for each in (folder, rootfs, lasting):
            each.mkdir(mode=0o700, exist_ok=True)
        _unmount_all(rootfs)  # which an engine that was killed has left
        mount_root(entry.root or parts.images.mounts(entry.id), str(rootfs))
        if config.working_directory:
            _make_working_folder(rootfs, config.working_directory)
        sandbox, files = self._sandbox(entry)
        hostname = etc.host_name(config, entry.id, sandbox)
        if not config.network.startswith("container:"):
            etc.write(lasting, config, hostname, sandbox)
        placed = placing.place(entry.keeping.points, entry.id, parts, folder)
        taken = [each.destination for each in placed]
        user, groups = _user(rootfs, config)
        init = self._init(config)
        settled = bundle.Settled(
            rootfs=rootfs,
            user=user,
            groups=groups,
            hostname=hostname,
            mounts=(*placed, *etc.mounts(files, read_only=config.read_only_root, taken=taken), *_init_mount(init)),
            namespaces=self._namespaces(config, sandbox),
            own_network=joins(config) and sandbox.namespace != "host",
            cgroup=f"{config.resources.cgroup_parent.rstrip('/')}/{entry.id}" if config.resources.cgroup_parent else "",
            init=init,
            shm=self._shm(entry),
            filters=RuntimeFeature.SECCOMP in parts.features(config.runtime),
            propagation=placing.propagation_of(entry.keeping.points),
            linked=linked_of(entry, parts, sandbox),
        )
        spec = bundle.spec_of(entry.container, settled)
        with open(folder / "config.json", "w", encoding="utf-8") as file:  # noqa: PTH123
            file.write(json.dumps(spec, separators=(",", ":")))
        entry.keep(placed=True)
        seen = etc.seen(files, placed)
        entry.show(
            endpoints=sandbox.endpoints,
            ports=sandbox.ports,
            sandbox=sandbox.namespace if sandbox.namespace not in ("", "host") else "",
            resolv_conf_path=seen["resolv.conf"],
            hostname_path=seen["hostname"],
            hosts_path=seen["hosts"],
        )

    def _sandbox(self, entry: Entry) -> tuple[Sandbox, Mapping[str, str]]:
        """Return a container's sandbox on its networks, and the files that go with it."""
        config, own = entry.container.config, etc.files_in(self._parts.folder(entry.id))
        if config.network.startswith("container:"):
            other = self._who_has_the_network_of(entry)
            return Sandbox(f"/proc/{other.state.pid}/ns/net"), {**own, **etc.files_of(other.container)}
        if config.network_disabled:
            return Sandbox(""), own
        return self._networking.join(entry), own

    def _who_has_the_network_of(self, entry: Entry) -> Entry:
        """Return who has the network that a container is to be on; it is looked for as late as with docker."""
        name = entry.container.config.network.partition(":")[2]
        other = self._parts.shelf.get(name)
        if other is entry:
            raise Conflict("cannot join own network")
        if not other.alive:
            raise Conflict(f"cannot join network of a non running container: {name}")
        return other

    def _be_called_as_who_has_its_network(self, entry: Entry) -> None:
        """Take over the names of one that may not have been there yet when this one was made."""
        config = entry.container.config
        hostname, domainname = called_as(config, self._who_has_the_network_of(entry).container)
        if (hostname, domainname) != (config.hostname, config.domainname):
            entry.reconfigure(hostname=hostname, domainname=domainname)

    def _running(self, mode: str, kind: str) -> Entry:
        name = mode.partition(":")[2]
        other = self._parts.shelf.get(name)
        if not other.alive:
            raise Conflict(f"cannot join {kind} namespace of a non running container: {other.id}")
        return other

    def _namespaces(self, config: ContainerConfig, sandbox: Sandbox) -> Mapping[str, str]:
        found = {}
        for kind, proc, mode in (("pid", "pid", config.pid_mode), ("ipc", "ipc", config.ipc_mode)):
            if mode.startswith("container:"):
                found[kind] = f"/proc/{self._running(mode, kind.upper()).state.pid}/ns/{proc}"
            elif mode != "host":
                found[kind] = ""
        if config.uts_mode != "host":
            found["uts"] = ""
        if sandbox.namespace != "host":
            found["network"] = sandbox.namespace
        if config.cgroupns_mode != "host":
            found["cgroup"] = ""
        return found

    def _shm(self, entry: Entry) -> Mount | None:
        config = entry.container.config
        mode = config.ipc_mode
        binding = ("rbind",)  # with the flags of what is shared
        if mode == "none":
            return None
        if mode == "host":
            return Mount("/dev/shm", "/dev/shm", "bind", binding)  # noqa: S108
        if mode.startswith("container:"):
            other = self._running(mode, "IPC")
            theirs = self._parts.bundle(other.id) / "shm"
            if other.container.config.ipc_mode != "shareable":
                raise Invalid(
                    f"cannot join IPC namespace of container {other.id}: non-shareable IPC (hint: use "
                    "IpcMode:shareable for the donor container)"
                )
            return Mount("/dev/shm", str(theirs), "bind", binding)  # noqa: S108
        own = bundle.shm_mount(config)
        if mode != "shareable":
            return own
        path = self._parts.bundle(entry.id) / "shm"
        path.mkdir(mode=0o700, exist_ok=True)
        flags = sum(kernel.FLAGS[each] for each in _SHM_FLAGS)
        kernel.mount("shm", str(path), "tmpfs", flags, ",".join(each for each in own.options if "=" in each))
        return Mount("/dev/shm", str(path), "bind", binding)  # noqa: S108

    def _init(self, config: ContainerConfig) -> str:
        if not config.init:
            return ""
        import shutil

        for each in _INITS:
            found = shutil.which(each, path="/usr/bin:/usr/sbin:/bin:/sbin:/usr/local/bin:/usr/libexec/podman")
            if found:
                return found
        raise HostUnfit(
            "--init needs a program for process 1, and this host has none of " + ", ".join(_INITS),
            hint="install the package tini or catatonit",
        )


def _make_working_folder(rootfs: Path, path: str) -> None:
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.close(make_folders(root, path))
    except OSError as error:
        raise Invalid(f"Cannot mkdir: {path}: {(error.strerror or '').lower()}") from error
    finally:
        os.close(root)


def _init_mount(path: str) -> tuple[Mount, ...]:
    return (Mount(bundle.INIT, path, "bind", ("bind", "ro")),) if path else ()


def _user(rootfs: Path, config: ContainerConfig) -> tuple[User, tuple[int, ...]]:
    return user_of(rootfs, config.user, config.group_add)


def user_of(rootfs: Path, user: str, groups: tuple[str, ...]) -> tuple[User, tuple[int, ...]]:
    """Return a user and further groups, by a container's own files; Invalid in docker's words."""
    try:
        found = resolve_user(rootfs, user)
    except NotFound as error:
        name, _, group = user.partition(":")
        if "group" in error.message.split("'")[0]:
            raise Invalid(f"unable to find group {group}: no matching entries in group file") from error
        raise Invalid(f"unable to find user {name}: no matching entries in passwd file") from error
    try:
        return found, resolve_groups(rootfs, groups)
    except NotFound as error:
        raise Invalid(f"Unable to find group {', '.join(groups)}: no matching entries in group file") from error


def _unmount_all(path: Path) -> None:
    """Unmount all that is mounted at a place."""
    for _ in range(64):
        try:
            kernel.unmount(str(path), detach=True)
        except OSError:
            return
