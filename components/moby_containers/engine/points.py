"""Which mounts a container has: settled at its creation, in docker's order of who wins, and shown."""

import posixpath
from collections.abc import Iterable, Mapping
from pathlib import Path

from moby.contracts.containers import ContainerConfig, MountedVolume, MountRequest
from moby.contracts.volumes import Volume, Volumes
from moby.errors import Invalid
from moby.values import evolve
from moby_containers.engine.entries import Point
from moby_containers.engine.shelf import Shelf
from moby_containers.engine.tmpfs_options import check_options

__all__ = ["check_mount", "settle", "shown"]

_LOCAL = "local"
_PROPAGATION = ("", "private", "rprivate", "shared", "rshared", "slave", "rslave")


def check_mount(asked: MountRequest) -> MountRequest:
    """Return a mount as it is kept; Invalid in docker's words."""

    def wrong(text: str) -> Invalid:
        return Invalid(f'invalid mount config for type "{asked.type}": {text}')

    if asked.type not in ("bind", "volume", "tmpfs"):
        raise Invalid(f'invalid mount config for type "{asked.type}": mount type unknown')
    target = posixpath.normpath(asked.target) if asked.target else ""
    if not target:
        raise wrong("field Target must not be empty")
    if not target.startswith("/"):
        raise wrong(f"invalid mount path: '{asked.target}' mount path must be absolute")
    if target in ("/", "//"):
        raise wrong("invalid specification: destination can't be '/'")
    text = _wrong_source(asked)
    if text:
        raise wrong(text)
    if asked.type == "tmpfs":
        check_options(asked.options)
    return evolve(asked, target=target)


def _wrong_source(asked: MountRequest) -> str:
    """Return what is wrong with where a mount comes from; nothing where it is fine."""
    if asked.type == "bind":
        if not asked.source:
            return "field Source must not be empty"
        if not asked.source.startswith("/"):
            return f"invalid mount path: '{asked.source}' mount path must be absolute"
        if asked.propagation not in _PROPAGATION:
            return f"invalid propagation mode: {asked.propagation}"
        if not asked.create_source and not Path(asked.source).exists():
            return f"bind source path does not exist: {asked.source}"
        return ""
    if asked.type == "tmpfs":
        if asked.source:
            return "field Source must not be specified"
        return f"invalid tmpfs size: {asked.size_bytes}" if asked.size_bytes < 0 else ""
    if asked.subpath and (asked.subpath.startswith("/") or ".." in asked.subpath.split("/")):
        return f"subpath must be a relative path within the volume: {asked.subpath}"
    if asked.read_only and not asked.source:
        return "must not set ReadOnly mode when using anonymous volumes"
    if asked.subpath and not asked.source:
        return "must not set Subpath when using anonymous volumes"
    return ""


def settle(config: ContainerConfig, container_id: str, volumes: Volumes, shelf: Shelf) -> tuple[Point, ...]:
    """Return the mounts of a container, whose volumes are made and held for it.

    What fails undoes what it held. Later ones win over those `volumes_from`; image's volumes come last.
    """
    found: dict[str, Point] = {}
    for other in config.volumes_from:
        found.update(_inherited(other, shelf))
    own: set[str] = set()
    for asked in config.mounts:
        mount = check_mount(asked)
        if mount.target in own:
            raise Invalid(f"Duplicate mount point: {mount.target}")
        own.add(mount.target)
        found[mount.target] = Point(mount)
    for target in config.volumes:
        clean = posixpath.normpath("/" + target.lstrip("/"))  # from the root, as `VOLUME data` is
        if clean == "/":
            raise Invalid(f"invalid volume specification: '{target}'")
        found.setdefault(clean, Point(MountRequest("volume", clean, driver=config.volume_driver), bare=True))
    held: list[Point] = []
    try:
        for each in found.values():
            held.append(_held(each, config, container_id, volumes))
    except BaseException:
        release(held, container_id, volumes, with_anonymous=True)
        raise
    return tuple(held)


def _inherited(text: str, shelf: Shelf) -> Mapping[str, Point]:
    name, _, mode = text.partition(":")
    if mode not in ("", "ro", "rw", "z", "Z"):
        raise Invalid(f'invalid mode for volumes-from: "{mode}"')
    points = shelf.get(name).keeping.points
    # What a volume holds was copied up for the one that it was made for.
    return {
        each.request.target: Point(
            evolve(each.request, no_copy=True, read_only=each.request.read_only or mode == "ro"),
            each.volume,
            bare=True,
        )
        for each in points
        if each.request.type != "tmpfs"
    }


def _held(point: Point, config: ContainerConfig, container_id: str, volumes: Volumes) -> Point:
    """Return a point whose volume is made and held."""
    asked = point.request
    if asked.type != "volume":
        return point
    name = point.volume or asked.source
    if point.volume:
        volume = volumes.get(name)
        volumes.hold(volume.name, container_id)
    else:
        driver = asked.driver or config.volume_driver
        volume = volumes.create(name, driver, asked.driver_options or None, asked.labels or None, container_id)
    return evolve(point, volume=volume.name, anonymous=not name)


def release(points: Iterable[Point], container_id: str, volumes: Volumes, *, with_anonymous: bool) -> list[Exception]:
    """Let go of a container's volumes, with the anonymous ones that were made for it removed; return what failed."""
    from moby.errors import Conflict, MobyError, NotFound

    failed: list[Exception] = []
    for each in points:
        if not each.volume:
            continue
        try:
            volumes.release(each.volume, container_id)
            if with_anonymous and each.anonymous:
                volumes.remove(each.volume)
        except (NotFound, Conflict):
            continue  # gone already, or another container has it by volumes-from
        except (MobyError, OSError) as error:
            failed.append(error)
    return failed


def shown(points: Iterable[Point], volumes: Volumes) -> tuple[MountedVolume, ...]:
    """Return mounts as docker shows them, sorted by where they are."""
    found = []
    for each in points:
        asked = each.request
        if each.volume:
            found.append(_shown_volume(each, volumes.get(each.volume)))
        elif asked.type == "bind":
            propagation = asked.propagation or "rprivate"
            found.append(
                MountedVolume("bind", asked.source, asked.target, _mode(each), not asked.read_only, propagation)
            )
        elif not asked.spelled:
            found.append(MountedVolume("tmpfs", "", asked.target, "", read_write=not asked.read_only))
    return tuple(sorted(found, key=lambda each: each.destination))


def _mode(point: Point) -> str:
    """Return what the short form says of a mount, word for word."""
    return "" if point.bare else ":".join(point.request.spelled.split(":")[2:])


def _shown_volume(point: Point, volume: Volume) -> MountedVolume:
    asked = point.request
    mode = _mode(point)
    if not mode and not point.bare and volume.driver == _LOCAL:
        mode = "z"  # as docker has it
    source = str(volume.mountpoint or "")
    return MountedVolume(
        "volume", source, asked.target, mode, not asked.read_only, "", volume.name, volume.driver
    )  # fmt: skip
