"""What is mounted in a container: HostConfig's Binds, Tmpfs and Mounts."""

from collections.abc import Iterable, Mapping
from typing import Any

from moby.contracts.containers import MountedVolume, MountRequest
from moby.errors import Invalid
from moby_frontend.docker.call import Version
from moby_frontend.docker.parts import HIGHEST
from moby_frontend.docker.translate.forms import (
    FLAG,
    NUMBER,
    TEXT,
    TEXT_MAP,
    TEXTS,
    Field,
    Form,
    items,
    object_of,
    read,
    show,
)

__all__ = ["read_mounts", "show_mounted", "show_mounts"]

_NO_OPTIONS = ","
"""How a tmpfs without options in the short form is kept, so that it isn't taken for one in the long form."""
_PROPAGATION = frozenset({"rprivate", "private", "rshared", "shared", "rslave", "slave"})
_CONSISTENCY = frozenset({"consistent", "cached", "delegated"})
_MODES = frozenset({"ro", "rw", "z", "Z", "nocopy", "rro", *_CONSISTENCY})
_ALONE = (frozenset({"ro", "rw", "rro"}), frozenset({"z", "Z"}), _CONSISTENCY, _PROPAGATION)
"""Of each of these at most one goes."""
_TYPES = frozenset({"bind", "volume", "tmpfs"})


def read_mounts(host: Mapping[str, Any], version: Version = HIGHEST) -> tuple[MountRequest, ...]:
    """Return all mounts that a HostConfig (names in lower case) asks for, by that version of the API."""
    binds = [_bind(text) for text in TEXTS.read(host.get("binds") or [], "HostConfig.Binds")]
    tmpfs = TEXT_MAP.read(host.get("tmpfs") or {}, "HostConfig.Tmpfs")
    where = "HostConfig.Mounts"
    asked = [_long(object_of(each, where), version) for each in items(host.get("mounts"), where)]
    return (*binds, *(_tmpfs(target, text) for target, text in tmpfs.items()), *asked)


def show_mounts(mounts: Iterable[MountRequest]) -> dict[str, Any]:
    """Return Binds, Tmpfs and Mounts; the latter two only where there are any, as dockerd."""
    mounts = tuple(mounts)
    binds = [each.spelled for each in mounts if each.spelled and each.type != "tmpfs"]
    tmpfs = {each.target: each.spelled.removeprefix(_NO_OPTIONS) for each in mounts if _is_short_tmpfs(each)}
    asked = [_shown(each) for each in mounts if not each.spelled]
    return {"Binds": binds or None} | ({"Tmpfs": tmpfs} if tmpfs else {}) | ({"Mounts": asked} if asked else {})


def _is_short_tmpfs(mount: MountRequest) -> bool:
    return mount.type == "tmpfs" and bool(mount.spelled)


# The short forms ----------------------------------------------------------------------------------------------------


def _bind(text: str) -> MountRequest:
    """Read `SOURCE:TARGET[:MODE]`, or the target alone."""
    parts = text.split(":")
    if not 1 <= len(parts) <= 3 or not all(parts):
        raise Invalid(f"invalid volume specification: '{text}'")
    source, target = ("", parts[0]) if len(parts) == 1 else (parts[0], parts[1])
    if len(parts) == 2 and target.split(",")[0] in _MODES | _PROPAGATION:  # a place alone has no mode
        raise Invalid(f"invalid volume specification: '{text}'")
    bind = source.startswith("/")
    where = f"invalid volume specification: '{text}': invalid mount config for type \"{'bind' if bind else 'volume'}\""
    if not target.startswith("/"):
        raise Invalid(f"{where}: invalid mount path: '{target}' mount path must be absolute")
    if target.rstrip("/") == "":
        raise Invalid(f"{where}: invalid specification: destination can't be '/'")
    modes = parts[2].split(",") if len(parts) == 3 else []
    _check_modes(modes, where, bind=bind)
    return MountRequest(
        type="bind" if bind else "volume",
        target=target,
        source=source,
        read_only="ro" in modes or "rro" in modes,
        propagation=next((each for each in modes if each in _PROPAGATION), ""),
        create_source=bind,
        read_only_force_recursive="rro" in modes,
        relabel=next((each for each in modes if each in {"z", "Z"}), ""),
        no_copy="nocopy" in modes,
        spelled=text,
    )


def _check_modes(modes: list[str], where: str, *, bind: bool) -> None:
    asked = set(modes)
    if len(asked) != len(modes) or asked - _MODES - _PROPAGATION or any(len(asked & each) > 1 for each in _ALONE):
        raise Invalid(f"invalid mode: {','.join(modes)}")
    others, field = ({"nocopy"}, "VolumeOptions") if bind else (_PROPAGATION, "BindOptions")
    if asked & others:
        raise Invalid(f"{where}: field {field} must not be specified")


def _tmpfs(target: str, text: str) -> MountRequest:
    if not target.startswith("/"):
        raise Invalid(f"invalid mount path: '{target}' mount path must be absolute")
    options = tuple(each for each in text.split(",") if each)
    return MountRequest(
        "tmpfs", target, read_only="ro" in options, options=options, spelled=text or _NO_OPTIONS
    )  # fmt: skip


# The long form ------------------------------------------------------------------------------------------------------


def _read_options(value: Any, where: str) -> tuple[str, ...]:
    found = []
    for each in items(value, where):
        words = TEXTS.read(each, where)
        if not 1 <= len(words) <= 2:
            raise Invalid(f"{where}: an option is a name, or a name and a value, not {len(words)} texts")
        found.append("=".join(words))
    return tuple(found)


_MAIN = (
    Field("Type", "type", TEXT),
    Field("Source", "source", TEXT, omit=True),
    Field("Target", "target", TEXT, omit=True),
    Field("ReadOnly", "read_only", FLAG, omit=True),
)
_BIND = (
    Field("Propagation", "propagation", TEXT, omit=True),
    Field("NonRecursive", "non_recursive", FLAG, omit=True),
    Field("CreateMountpoint", "create_source", FLAG, omit=True),
    Field("ReadOnlyNonRecursive", "read_only_non_recursive", FLAG, omit=True),
    Field("ReadOnlyForceRecursive", "read_only_force_recursive", FLAG, omit=True),
)
_VOLUME = (
    Field("NoCopy", "no_copy", FLAG, omit=True),
    Field("Labels", "labels", TEXT_MAP, omit=True),
    Field("Subpath", "subpath", TEXT, omit=True),
)
_DRIVER = (Field("Name", "driver", TEXT, omit=True), Field("Options", "driver_options", TEXT_MAP, omit=True))
_TMPFS = (
    Field("SizeBytes", "size_bytes", NUMBER, omit=True),
    Field("Mode", "mode", NUMBER, omit=True),
    Field("Options", "options", Form(_read_options, lambda value: [each.split("=", 1) for each in value]), omit=True),
)
_OPTIONS = {"bind": ("BindOptions", _BIND), "volume": ("VolumeOptions", _VOLUME), "tmpfs": ("TmpfsOptions", _TMPFS)}


def _long(value: Mapping[str, Any], version: Version) -> MountRequest:
    found = read(_MAIN, value, "HostConfig.Mounts")
    kind = found.get("type", "")
    if kind not in _TYPES:
        raise Invalid(f'invalid mount config for type "{kind}": mount type unknown')
    if not found.get("target"):
        raise Invalid(f'invalid mount config for type "{kind}": field Target must not be empty')
    lower = {key.lower(): each for key, each in value.items()}
    for other, (name, _) in _OPTIONS.items():
        if other != kind and lower.get(name.lower()) is not None:
            raise Invalid(f'{name} must not be specified on mount type "{kind}"')
    name, fields = _OPTIONS[kind]
    where = f"HostConfig.Mounts.{name}"
    options = object_of(lower.get(name.lower()), where)
    found |= read(fields, options, where)
    if kind == "volume":
        driver = {key.lower(): each for key, each in options.items()}.get("driverconfig")
        found |= read(_DRIVER, object_of(driver, f"{where}.DriverConfig"), f"{where}.DriverConfig")
    if lower.get(name.lower()) is not None:
        _age(found, version)
    return MountRequest(**found)


def _age(found: dict[str, Any], version: Version) -> None:
    """Refuse, or take away, options that an older version of the API doesn't have, as dockerd does."""
    for since, attribute, field in (
        ((1, 45), "subpath", "VolumeOptions.Subpath"),
        ((1, 44), "read_only_force_recursive", "BindOptions.ReadOnlyForceRecursive"),
    ):
        if version < since and found.get(attribute):
            raise Invalid(f"{field} needs API v{since[0]}.{since[1]} or newer")
    if version < (1, 44) and found["type"] == "bind" and found.get("read_only"):
        found["read_only_non_recursive"] = True  # what read-only meant then
    if version < (1, 42):
        found.pop("create_source", None)
    if version < (1, 40):
        found.pop("non_recursive", None)


def _shown(mount: MountRequest) -> dict[str, Any]:
    name, fields = _OPTIONS[mount.type]
    options = show(fields, mount)
    if mount.type == "volume" and (driver := show(_DRIVER, mount)):
        options["DriverConfig"] = driver
    return show(_MAIN, mount) | ({name: options} if options else {})


def show_mounted(mounts: Iterable[MountedVolume]) -> list[dict[str, Any]]:
    """Return what is mounted, as inspect and list show it (MountPoint)."""
    found = []
    for each in mounts:
        volume = {"Driver": each.driver} if each.driver else {}
        found.append(
            {"Type": each.type}
            | ({"Name": each.name} if each.name else {})
            | {"Source": each.source, "Destination": each.destination}
            | volume
            | {"Mode": each.mode, "RW": each.read_write, "Propagation": each.propagation}
        )
    return found
