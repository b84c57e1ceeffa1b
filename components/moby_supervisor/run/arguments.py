"""The command line of `run`, in Docker's spelling (docker-run(1))."""

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.contracts.types import Limits, Mount
from moby.errors import Invalid, NotFound
from moby.oci.spec import BUILTIN, UNCONFINED, Request

__all__ = ["Arguments", "bind", "memory", "parse", "tmpfs"]

_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]+")
_SMALLEST_MEMORY = 6 << 20
"""Docker's own floor: below it not even the first process comes up."""
_TMPFS = ("nosuid", "nodev", "noexec")
_BIND_OPTIONS = frozenset({
    "ro", "rw", "nosuid", "nodev", "noexec", "private", "rprivate", "slave", "rslave", "shared", "rshared",
})  # fmt: skip
NAME_ANNOTATION = "org.mobyproject.name"


@frozen
class Arguments:
    """What was written on the command line."""

    image: str
    command: tuple[str, ...]
    interactive: bool
    terminal: bool
    runtime: str
    user: str
    hostname: str
    entrypoint: tuple[str, ...] | None
    environment: tuple[str, ...]
    working_directory: str
    readonly_root: bool
    mounts: tuple[Mount, ...]
    limits: Limits
    cap_add: tuple[str, ...]
    cap_drop: tuple[str, ...]
    no_new_privileges: bool
    seccomp: str | Mapping[str, Any]
    network: str
    name: str

    def request(self, *, hostname: str) -> Request:
        """Return what was asked of the container; `hostname` is for who asked for none."""
        return Request(
            hostname=self.hostname or hostname,
            command=self.command,
            entrypoint=self.entrypoint,
            environment=self.environment,
            working_directory=self.working_directory,
            terminal=self.terminal,
            readonly_root=self.readonly_root,
            mounts=self.mounts,
            limits=self.limits,
            cap_add=self.cap_add,
            cap_drop=self.cap_drop,
            no_new_privileges=self.no_new_privileges,
            seccomp=self.seccomp,
            network=self.network,
            annotations={NAME_ANNOTATION: self.name} if self.name else {},
        )


def parse(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Arguments:
    """Read a command line; SystemExit as argparse does it, Invalid or NotFound for a value that won't do."""
    found = _parser().parse_args(arguments)
    # Python 3.11 leaves the -- that ends our options in, later ones take it out.
    image, *command = found.rest[1:] if found.rest[0] == "--" else found.rest
    if found.name and not _NAME.fullmatch(found.name):
        raise Invalid(f"{found.name!r} is no name of a container", hint=f"a name matches {_NAME.pattern}")
    no_new_privileges, seccomp = _security(found.security_opt)
    return Arguments(
        image=image,
        command=tuple(command),
        interactive=found.interactive,
        terminal=found.tty,
        runtime=found.runtime,
        user=found.user,
        hostname=found.hostname,
        entrypoint=None if found.entrypoint is None else tuple(filter(None, [found.entrypoint])),
        environment=tuple(_variable(each, environment) for each in found.env),
        working_directory=found.workdir,
        readonly_root=found.read_only,
        mounts=(*map(bind, found.volume), *map(_mount, found.mount), *map(tmpfs, found.tmpfs)),
        limits=Limits(found.memory, found.cpus, max(found.pids_limit, 0)),
        cap_add=tuple(found.cap_add),
        cap_drop=tuple(found.cap_drop),
        no_new_privileges=no_new_privileges,
        seccomp=seccomp,
        network=found.network,
        name=found.name,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"{Path(sys.argv[0]).name or 'engine'} run",
        add_help=False,
        allow_abbrev=False,
        description="Run a container in the foreground.",
    )
    for names, settings in _OPTIONS:
        parser.add_argument(*names, **settings)  # type: ignore[arg-type]  # argparse's overloads can't see through **
    # One positional that takes the rest as it is, from the first word that is no option: after it all is the command's.
    parser.add_argument(
        "rest", metavar="IMAGE [COMMAND]", nargs=argparse.PARSER, help="an image, and what to run in it"
    )
    return parser


def memory(text: str) -> int:
    """Return bytes, given a size such as 64m, in units of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 64m or 1g")
    size = int(float(match[1]) * _UNITS[match[2].lower()])
    if 0 < size < _SMALLEST_MEMORY:
        raise argparse.ArgumentTypeError(f"{text!r} is too small; the minimum is 6m")
    return size


def _cpus(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not (number == 0 or 0.01 <= number <= 1_000_000):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of CPUs; the minimum is 0.01")
    return number


_FLAG: Mapping[str, object] = {"action": "store_true"}
_MANY: Mapping[str, object] = {"action": "append", "default": []}
_OPTIONS: Sequence[tuple[tuple[str, ...], Mapping[str, object]]] = (
    (("--help",), {"action": "help", "help": "show this text"}),
    (("-i", "--interactive"), {**_FLAG, "help": "pass standard input on"}),
    (("-t", "--tty"), {**_FLAG, "help": "give the container a terminal"}),
    (("--rm",), {**_FLAG, "help": "accepted for compatibility: containers are always removed"}),
    (("--name",), {"default": "", "help": "name of the container, passed to the runtime as an annotation"}),
    (
        ("-e", "--env"),
        {**_MANY, "metavar": "NAME[=VALUE]", "help": "set an environment variable, or pass on the caller's"},
    ),
    (("-w", "--workdir"), {"default": "", "metavar": "DIR", "help": "working directory"}),
    (("-u", "--user"), {"default": "", "metavar": "USER[:GROUP]", "help": "by name or number"}),
    (("-h", "--hostname"), {"default": "", "metavar": "NAME", "help": "host name; default: the id's start"}),
    (("--read-only",), {**_FLAG, "help": "make the root file system read-only"}),
    (("-v", "--volume"), {**_MANY, "metavar": "SOURCE:TARGET[:ro]", "help": "bind a file or folder"}),
    (("--mount",), {**_MANY, "metavar": "type=bind|tmpfs,...", "help": "the same, spelled out"}),
    (("--tmpfs",), {**_MANY, "metavar": "TARGET[:OPTIONS]", "help": "mount a tmpfs"}),
    (("-m", "--memory"), {"type": memory, "default": 0, "metavar": "SIZE", "help": "limit, as in 64m"}),
    (("--cpus",), {"type": _cpus, "default": 0.0, "metavar": "NUMBER", "help": "limit, as in 1.5"}),
    (
        ("--pids-limit",),
        {"type": int, "default": 0, "metavar": "NUMBER", "help": "limit of processes; -1 for none"},
    ),
    (("--cap-add",), {**_MANY, "metavar": "NAME", "help": "add a capability, or ALL"}),
    (("--cap-drop",), {**_MANY, "metavar": "NAME", "help": "drop a capability, or ALL"}),
    (
        ("--security-opt",),
        {
            **_MANY,
            "metavar": "NAME[=VALUE]",
            "help": "no-new-privileges[=true|false], seccomp=builtin|unconfined|FILE; default: false, builtin",
        },
    ),
    (("--entrypoint",), {"default": None, "metavar": "PROGRAM", "help": "replaces the image's entrypoint"}),
    (("--network", "--net"), {"default": "none", "metavar": "none|host", "help": "network; default: none"}),
    (("--runtime",), {"default": "", "metavar": "NAME", "help": "one of the engine's runtimes"}),
)


def bind(text: str) -> Mount:
    """Return the mount of `SOURCE:TARGET[:OPTIONS]`."""
    source, _, rest = text.partition(":")
    target, _, options = rest.partition(":")
    if not target:
        raise Invalid(f"{text!r} is no volume", hint="write SOURCE:TARGET or SOURCE:TARGET:ro")
    return _bind(source, target, tuple(filter(None, options.split(","))))


def _bind(source: str, target: str, options: tuple[str, ...]) -> Mount:
    if "/" not in source and source not in (".", ".."):
        raise Invalid(f"{source!r} names a volume, and this engine has none", hint="give a path, as in ./folder")
    unknown = sorted(set(options) - _BIND_OPTIONS)
    if unknown:
        raise Invalid(
            f"{unknown[0]!r} is not an option of a bind mount", hint=f"there are {', '.join(sorted(_BIND_OPTIONS))}"
        )
    path = Path(source).resolve()
    if not path.exists():
        raise NotFound(f"there is no {path} to bind", hint="make it first; this engine doesn't")
    shared = any(each.endswith(("private", "slave", "shared")) for each in options)
    kept = tuple(each for each in options if each != "rw")
    below = ("rro",) if "ro" in options else ()  # as Docker since 25: what is mounted below is read-only too
    return Mount(target, str(path), "bind", ("rbind", *(() if shared else ("rprivate",)), *kept, *below))


def tmpfs(text: str) -> Mount:
    """Return the mount of `TARGET[:OPTIONS]`."""
    target, _, options = text.partition(":")
    return Mount(target, "tmpfs", "tmpfs", (*_TMPFS, *filter(None, options.split(","))))


def _mount(text: str) -> Mount:
    """Return the mount of `type=...,source=...,target=...`."""
    pairs = dict(each.partition("=")[::2] for each in text.split(","))
    kind = pairs.pop("type", "volume")
    source = pairs.pop("source", pairs.pop("src", ""))
    target = pairs.pop("target", pairs.pop("destination", pairs.pop("dst", "")))
    readonly = pairs.pop("readonly", pairs.pop("ro", "false")) in ("", "1", "true")
    extra = tuple(
        f"{name}={pairs.pop(key)}" for name, key in (("size", "tmpfs-size"), ("mode", "tmpfs-mode")) if key in pairs
    )
    if pairs or kind not in ("bind", "tmpfs") or not target:
        what = f"{next(iter(pairs))!r} in it isn't known" if pairs else "its type must be bind or tmpfs, with a target"
        raise Invalid(f"{text!r} is no mount: {what}", hint="write type=bind,source=PATH,target=PATH[,readonly]")
    options = ("ro",) if readonly else ()
    return (
        _bind(source, target, options)
        if kind == "bind"
        else Mount(target, "tmpfs", "tmpfs", (*_TMPFS, *extra, *options))
    )


def _security(options: Sequence[str]) -> tuple[bool, str | Mapping[str, Any]]:
    """Return what the security options were last set to: no new privileges, and the seccomp profile."""
    no_new_privileges, profile = False, BUILTIN
    for option in options:
        name, *value = re.split("[:=]", option, maxsplit=1)  # Docker takes both
        if name == "no-new-privileges":
            if value not in ([], ["true"], ["false"]):
                raise Invalid(f"{name} can't be {value[0]!r}", hint=f"write {name}:true or :false")
            no_new_privileges = value != ["false"]
        elif name == "seccomp":
            if not value or not value[0]:
                raise Invalid(f"{name} has no value", hint=f"write {name}={UNCONFINED}, or {name}=PROFILE.json")
            profile = value[0]
        else:
            raise Invalid(f"there is no security option {name!r}", hint="there are no-new-privileges and seccomp")
    return no_new_privileges, profile if profile in (BUILTIN, UNCONFINED) else _profile(Path(profile))


def _profile(path: Path) -> Mapping[str, Any]:
    """Read a seccomp profile, in Docker's format."""
    import json

    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise NotFound(
            f"the seccomp profile {path} can't be read: {error.strerror}", hint=f"or write {BUILTIN} or {UNCONFINED}"
        ) from error
    except (ValueError, RecursionError) as error:
        raise Invalid(f"the seccomp profile {path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise Invalid(f"the seccomp profile {path} must be an object, not {type(found).__name__}")
    return found


def _variable(text: str, environment: Mapping[str, str]) -> str:
    """Fill a bare NAME in from the caller's environment; one that isn't set there is taken away."""
    return f"{text}={environment[text]}" if "=" not in text and text in environment else text
