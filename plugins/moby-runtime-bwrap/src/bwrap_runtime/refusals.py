"""Fields of config.json that bubblewrap can't do; a value in one of them is refused by its name."""

from collections.abc import Iterable

from moby.errors import Unsupported

from bwrap_runtime.bundle import Bundle

__all__ = ["refuse", "unsupported"]

_KNOWN = {
    "": {"ociVersion", "root", "process", "mounts", "hostname", "annotations", "linux"},
    "root": {"path", "readonly"},
    "process": {
        "args", "env", "cwd", "user", "capabilities", "noNewPrivileges", "rlimits", "oomScoreAdj", "consoleSize",
    },
    "process.user": {"uid", "gid", "additionalGids", "umask"},
    "process.capabilities": {"bounding", "effective", "permitted", "inheritable", "ambient"},
    "linux": {
        "namespaces", "uidMappings", "gidMappings", "devices", "resources", "maskedPaths", "readonlyPaths",
        "rootfsPropagation",
    },
    # Rules for devices are met by other means: on no mount can a device node be opened, but on bubblewrap's own /dev.
    "linux.resources": {"devices"},
}  # fmt: skip
_WHY = {
    "domainname": "it sets no NIS domain name",
    "hooks": "nothing runs outside the container between its steps",
    "process.terminal": "its own process would share the terminal's signals with the container's",
    "process.apparmorProfile": "it changes no AppArmor profile",
    "process.selinuxLabel": "it is rarely built with SELinux",
    "process.scheduler": "it sets no scheduler",
    "process.ioPriority": "it sets no I/O priority",
    "process.execCPUAffinity": "it sets no affinity",
    "linux.cgroupsPath": "it puts nothing into a cgroup",
    "linux.intelRdt": "it sets no resource director",
    "linux.mountLabel": "it is rarely built with SELinux",
    "linux.personality": "it sets no personality",
    "linux.seccomp": "it loads a compiled filter only, and none is compiled here",
    "linux.sysctl": "it writes no sysctl",
    "linux.resources": "it sets no limits, since it makes no cgroup",
}
_NAMESPACES = ("cgroup", "ipc", "mount", "network", "pid", "user", "uts")
_NAMES = ", ".join((*_NAMESPACES, "time"))


def unsupported(field: str, why: str) -> Unsupported:
    """Return the error for a field that bubblewrap lacks, for the caller to raise."""
    return Unsupported(f"runtime bwrap can't do {field}: {why}", hint="leave it out, or choose another runtime")


def refuse(bundle: Bundle) -> None:
    """Raise Unsupported for the first field that asks for what bubblewrap lacks."""
    for where, known in _KNOWN.items():
        given = bundle.get(where, dict, {}) if where else bundle.config
        for name, value in sorted(given.items()):
            field = f"{where}.{name}" if where else name
            if name not in known and _asks(value):
                raise unsupported(field, _WHY.get(field, _WHY.get(where, "it knows nothing of it")))
    _refuse_namespaces(bundle)


def _refuse_namespaces(bundle: Bundle) -> None:
    given = bundle.get("linux.namespaces", list, [])
    types = set()
    for index, each in enumerate(given):
        namespace = bundle.checked(f"linux.namespaces[{index}]", each, dict)
        kind = bundle.checked(f"linux.namespaces[{index}].type", namespace.get("type"), str)
        if kind == "time":
            raise unsupported(f"linux.namespaces[{index}].type", "it makes no time namespace")
        if kind not in _NAMESPACES:
            raise bundle.wrong(f"linux.namespaces[{index}].type", f"is {kind!r}, and must be one of {_NAMES}")
        if namespace.get("path"):
            raise unsupported(f"linux.namespaces[{index}].path", "it makes namespaces and joins none")
        if kind in types:
            raise bundle.wrong(f"linux.namespaces[{index}].type", f"names {kind} twice")
        types.add(kind)
    for kind in ("mount", "pid"):
        if kind not in types:
            raise unsupported("linux.namespaces", f"it always makes a {kind} namespace, and none is asked for")


def _asks(value: object) -> bool:
    """Whether a value asks for anything: an empty list or object, or one of empty ones, doesn't."""
    if isinstance(value, dict):
        return any(_asks(each) for each in value.values())
    if isinstance(value, Iterable) and not isinstance(value, str):
        return any(True for _ in value)
    return bool(value)
