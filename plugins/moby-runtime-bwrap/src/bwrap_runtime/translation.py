"""A bundle as a command line for bubblewrap; pure but for looking at what is there."""

import os
import resource
import stat
from pathlib import Path

from attrs import field, frozen

from bwrap_runtime.bundle import Bundle
from bwrap_runtime.capabilities import asked
from bwrap_runtime.mounts import Mounts, default_dev, hide, protect, translate
from bwrap_runtime.refusals import refuse, unsupported
from bwrap_runtime.view import View

__all__ = ["Invocation", "invocation"]

_NAMESPACES = {"pid": "--unshare-pid", "ipc": "--unshare-ipc", "uts": "--unshare-uts", "network": "--unshare-net",
               "cgroup": "--unshare-cgroup", "user": "--unshare-user"}  # fmt: skip
_OWN_NODES = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "console")
)
DIE_WITH_PARENT = "org.mobyproject.die-with-parent"


@frozen
class Invocation:
    """How to call bubblewrap for a bundle."""

    options: tuple[str, ...] = field(repr=False)
    """May hold secrets from the environment, so they don't go on the command line."""
    program: tuple[str, ...]
    capabilities: int
    """The set that its first process will have, as in /proc/PID/status."""
    view: View
    search: str
    """PATH of the program."""
    cwd: str
    bounding: tuple[str, ...] | None = None
    """Names for the bounding set, which bubblewrap itself lowers in a user namespace alone."""
    groups: tuple[int, ...] = ()
    umask: int | None = None
    limits: tuple[tuple[int, int, int], ...] = ()
    """Resource, soft and hard limit."""
    oom_score_adj: int | None = None
    nearly: tuple[str, ...] = ()
    """What will only nearly be as asked, a line each."""


def invocation(bundle: Bundle) -> Invocation:
    """Translate a bundle; Invalid or Unsupported names the field that is wrong or can't be done."""
    refuse(bundle)
    program = bundle.strings("process.args")
    if not program or not program[0]:
        raise bundle.wrong("process.args", "is missing or empty")
    namespaces = {each["type"] for each in bundle.get("linux.namespaces", list, [])}
    options = ["--as-pid-1", *(_NAMESPACES[each] for each in sorted(namespaces - {"mount"}))]
    if bundle.get("annotations", dict, {}).get(DIE_WITH_PARENT) == "true":
        options.append("--die-with-parent")
    options += _user(bundle, "user" in namespaces)
    names, mask = asked(bundle, own="user" in namespaces)
    options += ["--cap-drop", "ALL", *(word for name in names for word in ("--cap-add", name))]
    options += _hostname(bundle, "uts" in namespaces)
    mounts = _root(bundle)
    cwd = bundle.get("process.cwd", str, "")
    if not cwd.startswith("/"):
        raise bundle.wrong("process.cwd", f"is {cwd!r}, and must be an absolute path")
    mode = mounts.view.mode(cwd)
    if mode is None or not stat.S_ISDIR(mode):
        raise bundle.wrong("process.cwd", f"is {cwd}, and there is no such folder inside")
    environment = _environment(bundle)
    return Invocation(
        options=(*options, *mounts.arguments, "--chdir", cwd, *_sealed(bundle, mounts), *environment),
        program=program,
        capabilities=mask,
        view=mounts.view,
        search=_search(bundle),
        cwd=cwd,
        bounding=names if os.geteuid() == 0 and "user" not in namespaces else None,
        groups=_groups(bundle, "user" in namespaces),
        umask=bundle.get("process.user.umask", int, None),
        limits=_limits(bundle),
        oom_score_adj=bundle.get("process.oomScoreAdj", int, None),
        nearly=(*mounts.nearly, *_nearly(bundle)),
    )


def _root(bundle: Bundle) -> Mounts:
    """Return the root, all mounts, devices and protections, in the order in which they must be made."""
    mounts = Mounts(View(bundle.rootfs), ("--bind", str(bundle.rootfs), "/"))
    given = bundle.get("mounts", list, [])
    destinations = [each.get("destination") for each in given if isinstance(each, dict)]
    if "/dev" not in destinations:
        mounts = default_dev(mounts)
    for index in range(len(given)):
        mounts = translate(bundle, index, mounts)
    for index, each in enumerate(bundle.get("linux.devices", list, [])):
        mounts = _device(bundle, f"linux.devices[{index}]", each, mounts)
    for path in bundle.strings("linux.readonlyPaths"):
        mounts = protect(path, mounts)
    for path in bundle.strings("linux.maskedPaths"):
        mounts = hide(path, mounts)
    return mounts


def _device(bundle: Bundle, where: str, given: object, mounts: Mounts) -> Mounts:
    device = bundle.checked(where, given, dict)
    path = bundle.checked(f"{where}.path", device.get("path"), str)
    if path in _OWN_NODES:
        return mounts
    try:
        number = Path(path).stat().st_rdev
    except OSError as error:
        raise unsupported(where, f"it makes no device node, and the host has none at {path}") from error
    if number != os.makedev(int(device.get("major") or 0), int(device.get("minor") or 0)):
        raise unsupported(where, f"it makes no device node, and the host has another at {path}")
    return mounts.add(mounts.view.resolve(path), "--dev-bind", path, source=path)


def _sealed(bundle: Bundle, mounts: Mounts) -> list[str]:
    seals = [*mounts.seals, *(["/"] if bundle.get("root.readonly", bool, False) else [])]
    return [word for path in seals for word in ("--remount-ro", path)]


def _hostname(bundle: Bundle, own: bool) -> list[str]:
    name = bundle.get("hostname", str, "")
    if name and not own:
        raise bundle.wrong("hostname", "is set, and linux.namespaces has no uts")
    return ["--hostname", name] if name else []


def _environment(bundle: Bundle) -> list[str]:
    words = ["--clearenv"]
    for index, each in enumerate(bundle.strings("process.env")):
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise bundle.wrong(f"process.env[{index}]", f"is {each!r}, and must be NAME=value")
        words += ["--setenv", name, value]
    return words


def _search(bundle: Bundle) -> str:
    found = [each.partition("=")[2] for each in bundle.strings("process.env") if each.startswith("PATH=")]
    return found[-1] if found else "/bin:/usr/bin"


def _user(bundle: Bundle, own: bool) -> list[str]:
    """Map the container's one user and group to the caller's, in a user namespace; else it must be the caller."""
    words = []
    for name, maps, ours in (("uid", "uidMappings", os.geteuid()), ("gid", "gidMappings", os.getegid())):
        wanted = bundle.get(f"process.user.{name}", int, 0)
        if not own:
            if bundle.get(f"linux.{maps}", list, []):
                raise bundle.wrong(f"linux.{maps}", "is set, and linux.namespaces has no user")
            if ours != wanted or os.geteuid() != 0:
                raise unsupported(f"process.user.{name}", f"without a user namespace it stays {ours}")
            continue
        given = bundle.get(f"linux.{maps}", list, [])
        only = {"containerID": wanted, "hostID": ours, "size": 1}
        if given != [only]:
            raise unsupported(f"linux.{maps}", f"it maps one id, the process's own, to the caller's: {only}")
        words += [f"--{name}", str(wanted)]
    return words


def _groups(bundle: Bundle, own: bool) -> tuple[int, ...]:
    empty: list[int] = []
    given = bundle.get("process.user.additionalGids", list, empty)
    groups = tuple(sorted({bundle.checked("process.user.additionalGids", each, int) for each in given}))
    if groups and own:
        raise unsupported("process.user.additionalGids", "its user namespace maps one group")
    return groups


def _limits(bundle: Bundle) -> tuple[tuple[int, int, int], ...]:
    found = []
    for index, each in enumerate(bundle.get("process.rlimits", list, [])):
        where = f"process.rlimits[{index}]"
        limit = bundle.checked(where, each, dict)
        name = bundle.checked(f"{where}.type", limit.get("type"), str)
        number = getattr(resource, name, None) if name.startswith("RLIMIT_") else None
        if number is None:
            raise bundle.wrong(f"{where}.type", f"is {name!r}, which is no limit (setrlimit(2))")
        soft, hard = (bundle.checked(f"{where}.{which}", limit.get(which), int) for which in ("soft", "hard"))
        if soft > hard:
            raise bundle.wrong(f"{where}.soft", f"is {soft}, over the hard limit {hard}")
        found.append((number, *(-1 if value >= 2**63 else value for value in (soft, hard))))
    return tuple(found)


def _nearly(bundle: Bundle) -> list[str]:
    lines = []
    if not bundle.get("process.noNewPrivileges", bool, False):
        lines.append("process.noNewPrivileges: bubblewrap always sets it")
    propagation = bundle.get("linux.rootfsPropagation", str, "")
    if propagation in ("shared", "rshared", "unbindable", "runbindable"):
        raise unsupported("linux.rootfsPropagation", f"it can't do {propagation}")
    if propagation in ("private", "rprivate"):
        lines.append("linux.rootfsPropagation: it is rslave")
    return lines
