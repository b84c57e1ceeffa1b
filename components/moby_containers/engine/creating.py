"""How a container is made: of its image and of what was asked for."""

import secrets
import socket
from contextlib import ExitStack, suppress

from moby.contracts.containers import Container, ContainerConfig, Created, RestartPolicy, State
from moby.contracts.images import Image
from moby.contracts.networks import Endpoint
from moby.contracts.types import Platform
from moby.errors import Invalid, NotFound
from moby.host import apparmor
from moby.host.overlay import mount_root, unmount_root
from moby.oci import spec
from moby.values import evolve
from moby_containers.engine import bundle, placing, points
from moby_containers.engine.checks import check, check_asked
from moby_containers.engine.devices import rules_of
from moby_containers.engine.entries import Entry, Keeping, Point, config_text
from moby_containers.engine.fixtures import FIXTURES
from moby_containers.engine.merge import merged
from moby_containers.engine.networking import DEFAULTS, called_as, first_endpoints, link_of, port_requests
from moby_containers.engine.parts import Parts, rfc3339
from moby_containers.engine.warnings import foreign, warnings_of

__all__ = ["Creating"]

_SHM_BYTES = 64 << 20
_MOST_BYTES = 2**63 - 1
"""Of a limit: clients in Go can't read a greater one."""
_NO_BRIDGE = (
    "This engine has no bridge network: without a network's name a container gets loopback alone, as with network none."
)


def fresh_id() -> str:
    """Return an id whose short form can't be taken for a number."""
    while (found := secrets.token_hex(32))[:12].isdigit():
        pass
    return found


class Creating:
    """Makes containers."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._logs: set[tuple[str, tuple[tuple[str, str], ...]]] = set()
        self._runtimes: tuple[str, ...] = ()

    def create(self, config: ContainerConfig, name: str) -> Created:
        """Make a container; what fails leaves nothing."""
        parts = self._parts
        check_asked(config)
        image = parts.images.get(config.image)
        whole = merged(config, image.config)
        check(whole)
        endpoints = first_endpoints(whole, parts.networks)
        self._check_parts(whole, endpoints)
        container_id = fresh_id()
        whole, warnings = self._completed(whole, container_id)
        warnings = (*foreign(config.platform, image.platform, Platform.host()), *warnings)
        with parts.shelf.naming(name, container_id) as bare, ExitStack() as undo:
            # The folder comes first and goes last: by it a killed engine's successor finds what else there is.
            parts.folder(container_id).mkdir(mode=0o710)
            undo.callback(parts.remove_folders, container_id)
            root = parts.images.prepare(container_id, image, skeleton=FIXTURES)
            undo.callback(parts.images.release, container_id)
            settled = points.settle(whole, container_id, parts.volumes, parts.shelf)
            undo.callback(points.release, settled, container_id, parts.volumes, with_anonymous=True)
            self._copy_up(container_id, settled)
            entry = self._entry(container_id, bare, whole, image, settled, endpoints)
            entry.root = root
            parts.shelf.add(entry)
            undo.pop_all()
        parts.tell(entry.container, "create")
        return Created(container_id, warnings)

    def _entry(
        self,
        container_id: str,
        name: str,
        config: ContainerConfig,
        image: Image,
        settled: tuple[Point, ...],
        endpoints: tuple[Endpoint, ...],
    ) -> Entry:
        program, *arguments = bundle.program(config)
        container = Container(
            id=container_id,
            name=name,
            created=rfc3339(self._parts.clock.now_ns()),
            config=config,
            image_id=str(image.id),
            path=program,
            arguments=tuple(arguments),
            state=State(),
            mounts=points.shown(settled, self._parts.volumes),
            endpoints=endpoints,
            log_path=str(self._parts.folder(container_id) / f"{container_id}-json.log")
            if config.log.driver == "json-file"
            else "",
            platform=image.platform.os,
            rootfs=self._parts.rootfs(container_id),
            apparmor_profile=bundle.security(config, "apparmor") or "",
        )
        return Entry(container, Keeping(points=settled, placed=True), config_text(config))

    def _check_parts(self, config: ContainerConfig, endpoints: tuple[Endpoint, ...]) -> None:
        """Ask the other parts what only they know."""
        supervisor = self._parts.supervisor
        if config.runtime and config.runtime not in self._runtimes:
            self._runtimes = supervisor.runtimes()
            if config.runtime not in self._runtimes:
                raise Invalid(f"unknown or invalid runtime name: {config.runtime}")
        if self._parts.logged:
            key = (config.log.driver, tuple(sorted(config.log.options.items())))
            if key not in self._logs:
                supervisor.check_log(config.log.driver, config.log.options)
                self._logs.add(key)
        elif config.log.driver not in ("", "none") or config.log.options:
            raise NotFound(f"logger: no log driver named '{config.log.driver}' is registered")
        rules_of(config.resources.device_cgroup_rules)
        profile = bundle.security(config, "seccomp")
        if profile not in (None, "", spec.UNCONFINED, spec.BUILTIN):
            bundle.check_profile(profile or "", bundle.capabilities_of(config))
        for mode in (config.pid_mode, config.ipc_mode):
            if mode.startswith("container:"):
                self._parts.shelf.get(mode.partition(":")[2])
        for link in config.links:
            name, _ = link_of(link)
            try:
                self._parts.shelf.get(name)
            except NotFound as error:
                raise Invalid(f"could not get container for {name}: {error.message}") from error
        port_requests(config)
        self._parts.networks.check({each.network: each.config for each in endpoints})

    def _completed(self, config: ContainerConfig, container_id: str) -> tuple[ContainerConfig, tuple[str, ...]]:
        """Return the config with the defaults of what nobody asked for, and warnings."""
        parts = self._parts
        limits, warnings = warnings_of(config.resources, parts.support)
        if limits.memory_bytes and not limits.memory_swap_bytes and parts.support.swap:
            limits = evolve(limits, memory_swap_bytes=min(2 * limits.memory_bytes, _MOST_BYTES))
        unnamed = config.network in DEFAULTS and not config.network_disabled
        if unnamed and parts.networks.default() == "none" and "null" in parts.networks.drivers():
            warnings = (*warnings, _NO_BRIDGE)
        profile = bundle.security(config, "apparmor")
        if profile and profile != "unconfined" and not apparmor.is_enabled():
            warnings = (*warnings, f"This host has no AppArmor: the profile {profile[:80]} is not applied.")
        if config.network == "host" and config.ports:
            warnings = (*warnings, "Published ports are discarded when using host network mode")
        hidden = not config.privileged and bundle.security(config, "systempaths") != "unconfined"
        masked, read_only = (spec.MASKED_PATHS, spec.READONLY_PATHS) if hidden else ((), ())
        log = config.log
        if parts.logged and not log.driver:
            log = evolve(log, driver=parts.default_log)
        hostname, domainname = self._called(config, container_id)
        return evolve(
            config,
            hostname=hostname,
            domainname=domainname,
            network=self._network(config),
            resources=limits,
            restart=config.restart if config.restart.name else RestartPolicy(),
            log=log,
            shm_size_bytes=config.shm_size_bytes or _SHM_BYTES,
            ipc_mode=config.ipc_mode or "private",
            cgroupns_mode=config.cgroupns_mode or "private",
            masked_paths=masked if config.masked_paths is None else config.masked_paths,
            read_only_paths=read_only if config.read_only_paths is None else config.read_only_paths,
        ), warnings

    def _network(self, config: ContainerConfig) -> str:
        """Return its network: the default one by name, another container's by its id, which stays when it is renamed.

        Who isn't there yet stays as it is named, and is looked for at each start.
        """
        if config.network.startswith("container:"):
            with suppress(NotFound):
                return f"container:{self._parts.shelf.get(config.network.partition(':')[2]).id}"
        return self._parts.networks.default() if config.network in DEFAULTS else config.network

    def _called(self, config: ContainerConfig, container_id: str) -> tuple[str, str]:
        """Return its names of host and domain: who is on another's network is called as that one is."""
        if config.network.startswith("container:"):
            with suppress(NotFound):
                other = self._parts.shelf.get(config.network.partition(":")[2]).container
                return called_as(config, other)
        return config.hostname or _hostname(config, container_id), config.domainname

    def _copy_up(self, container_id: str, settled: tuple[Point, ...]) -> None:
        """Fill new volumes with what the image has at their places."""
        wanted = [each for each in settled if each.volume and not each.request.no_copy and not each.request.subpath]
        if not wanted:
            return
        parts = self._parts
        rootfs = parts.rootfs(container_id)
        rootfs.mkdir(mode=0o700, parents=True)
        mounts = parts.images.mounts(container_id)
        try:
            mount_root(mounts, str(rootfs))
            for each in wanted:
                volume = parts.volumes.mount(each.volume, container_id)
                try:
                    placing.copy_up(rootfs, each.request.target, volume)
                finally:
                    parts.volumes.unmount(each.volume, container_id)
        finally:
            unmount_root(str(rootfs), mounts)
            with suppress(OSError):
                rootfs.rmdir()
                rootfs.parent.rmdir()


def _hostname(config: ContainerConfig, container_id: str) -> str:
    if config.network == "host" or config.uts_mode == "host":
        return socket.gethostname()
    return container_id[:12]
