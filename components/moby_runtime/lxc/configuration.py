"""A bundle as an LXC configuration (lxc.container.conf(5))."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from moby.errors import Invalid
from moby_runtime.lxc.bundle import RECURSIVE
from moby_runtime.lxc.places import Places

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from moby_runtime.lxc.bundle import Bundle

__all__ = ["COUNTED", "LAST", "MONITOR", "text_of"]

MONITOR = ".monitor"
"""Ends the name of the cgroup in which LXC itself is."""
LAST = ".last"
"""Ends the name of that into which it goes to remove that."""
COUNTED = "counted"
"""The folder, in the container's, to which goes what its cgroups had counted: LXC removes them at its end."""
_KEPT = ("memory.oom_control", "memory.events", "cpuacct.usage", "cpu.stat", "cgroup.type")
_NAMES = {"mount": "mnt", "network": "net"}


def text_of(bundle: Bundle, folder: str, group: str, groups: Iterable[str], home: str) -> str:
    """Return the configuration; `folder` is the container's, `group` the path of its cgroup.

    `groups` are the folders of that, one a tree.
    `home` is where the interpreter that becomes its first process finds its library.
    """
    lines = [
        *_root(bundle, folder),
        *_namespaces(bundle),
        *(f"lxc.mount.entry = {each}" for each in _entries(bundle)),
        *_automatic(bundle),
        f"lxc.cgroup.dir.container = {group.lstrip('/')}",
        f"lxc.cgroup.dir.monitor = {group.lstrip('/')}{MONITOR}",
        f"lxc.cgroup.dir.monitor.pivot = {group.lstrip('/')}{LAST}",
        *(f"lxc.sysctl.{name.replace('/', '.')} = {value}" for name, value in bundle.linux.get("sysctl", {}).items()),
        f"lxc.hook.stop = {_keeping(groups, f'{folder}/{COUNTED}')}",
        f"lxc.environment = PYTHONHOME={home}",
        f"lxc.log.file = {folder}/log",
        "lxc.log.level = ERROR",
    ]
    wrong = next((line for line in lines if "\n" in line), "")
    if wrong:
        raise Invalid(f"config.json: {wrong.splitlines()[0]!r} would go on in a second line of LXC's configuration")
    adjustment = bundle.process.get("oomScoreAdj")
    return "\n".join([*lines, *([f"lxc.proc.oom_score_adj = {adjustment}"] if adjustment is not None else [])]) + "\n"


def _keeping(groups: Iterable[str], to: str) -> str:
    """Return a shell's words that copy what is told once a container has ended; LXC adds words that are of no use."""
    kept = " ".join(f"{shlex.quote(each)}/{name}" for each in groups for name in _KEPT)
    return f"cp {kept} {shlex.quote(to)} 2>/dev/null; :"


def _root(bundle: Bundle, folder: str) -> Iterator[str]:
    yield f"lxc.rootfs.path = dir:{bundle.rootfs}"
    yield f"lxc.rootfs.mount = {folder}/root"
    if bundle.data.get("hostname"):
        yield f"lxc.uts.name = {bundle.data['hostname']}"
    size = next((each for mount in bundle.mounts if _is(mount, "/dev") for each in mount.get("options", ())
                 if each.startswith("size=")), "size=65536k")  # fmt: skip
    yield "lxc.autodev = 1"
    yield f"lxc.autodev.tmpfs.size = {_bytes(size.removeprefix('size='))}"
    yield "lxc.pty.max = 1024"
    yield "lxc.tty.max = 0"
    yield "lxc.console.path = none"
    yield "lxc.apparmor.profile = unconfined"


def _bytes(text: str) -> int:
    """Return a size as tmpfs takes it in bytes (tmpfs(5))."""
    shift = {"k": 10, "m": 20, "g": 30}.get(text[-1:].lower(), 0)
    digits = text[:-1] if shift else text
    return int(digits) << shift if digits.isdigit() else 1 << 16


def _namespaces(bundle: Bundle) -> Iterator[str]:
    spaces = bundle.namespaces
    made = [_NAMES.get(name, name) for name, path in spaces.items() if not path]
    yield f"lxc.namespace.clone = {' '.join(made)}"
    for name, path in spaces.items():
        if path:
            yield f"lxc.namespace.share.{_NAMES.get(name, name)} = {path}"
    yield f"lxc.net.0.type = {'none' if 'network' not in spaces else 'empty'}"
    if spaces.get("network") == "":
        yield "lxc.net.0.flags = up"


def _is(mount: Mapping[str, Any], place: str) -> bool:
    return bool(mount["destination"].rstrip("/") == place) and mount.get("type") in ("tmpfs", "devpts")


def _entries(bundle: Bundle) -> Iterator[str]:
    """Yield mounts as fstab(5) has them; /dev and /dev/pts LXC makes itself."""
    places = Places(bundle.rootfs)
    for index, each in enumerate(bundle.mounts):
        kind = each.get("type") or "bind"
        options = [option for option in each.get("options", ()) if option not in RECURSIVE]
        binds = kind == "bind" or bool({"bind", "rbind"} & set(options))
        source = os.path.realpath(Path(bundle.path, each.get("source", ""))) if binds else ""
        place, fresh = places.add(each["destination"], kind, source, f"mounts[{index}]")
        if _is(each, "/dev") or _is(each, "/dev/pts") or kind.startswith("cgroup"):
            continue
        if fresh:
            options.append("create=dir" if not binds or Path(source).is_dir() else "create=file")
        if binds:
            options += [] if {"bind", "rbind"} & set(options) else ["bind"]
        words = (source or each.get("source") or kind, place, "none" if binds else kind, ",".join(options or ["rw"]))
        yield f"{' '.join(map(_word, words))} 0 0"


def _automatic(bundle: Bundle) -> Iterator[str]:
    for each in bundle.mounts:
        if str(each.get("type", "")).startswith("cgroup"):
            how = "ro" if "ro" in each.get("options", ()) else "rw"
            yield f"lxc.mount.auto = cgroup:{how}:force"


def _word(text: str) -> str:
    r"""Return a word of fstab(5): a space is \040."""
    return text.replace("\\", "\\134").replace(" ", "\\040").replace("\t", "\\011").replace("#", "\\043")
