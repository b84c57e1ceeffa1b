"""Bundles (OCI runtime specification), looked at where who is given one says little of what is wrong with it."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from moby.contracts.types import Stdio
from moby.errors import Invalid, NotFound
from moby.host import capabilities, namespaces

__all__ = [
    "check_namespace", "check_process", "check_terminal", "config_of", "domain_by_setting", "possible",
    "possible_beside", "possible_in",
]  # fmt: skip


def config_of(bundle: Path) -> dict[str, Any]:
    """Return a bundle's configuration; NotFound where there is none, Invalid for what is no object in JSON."""
    try:
        data = json.loads((bundle / "config.json").read_bytes())
    except FileNotFoundError:
        what = "config.json in it" if bundle.is_dir() else "bundle"
        raise NotFound(f"there is no {what}: {bundle}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise Invalid(f"config.json can't be read: {error}") from error
    if not isinstance(data, dict):
        raise Invalid("config.json must be an object")
    return data


def check_process(process: Mapping[str, Any]) -> None:
    """See that a process has a program and a folder; Invalid names the field."""
    args = process.get("args")
    if not isinstance(args, list) or not args or not all(isinstance(each, str) for each in args) or not args[0]:
        raise Invalid("config.json: process.args must be an array of strings, with a program first")
    cwd = process.get("cwd")
    if not isinstance(cwd, str) or not cwd.startswith("/"):
        raise Invalid("config.json: process.cwd must be an absolute path")


def check_terminal(process: Mapping[str, Any], stdio: Stdio) -> None:
    """See that both sides speak of the same streams."""
    if bool(process.get("terminal")) != stdio.terminal:
        raise Invalid("config.json: process.terminal must be true if the streams are a terminal, and false if not")


def check_namespace(kind: str, path: str, where: str) -> None:
    """See that a path is a namespace of a kind, such as `network`; Invalid names the field, which is `where`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise Invalid(f"config.json: {where}: cannot open {path!r}: {error.strerror}") from error
    try:
        right = namespaces.type_of(fd) == namespaces.FLAGS[kind]
    except OSError:
        right = False
    finally:
        os.close(fd)
    if not right:
        raise Invalid(f"config.json: {where}: {path!r} is no namespace of the type {kind}")


def possible(process: Mapping[str, Any]) -> dict[str, Any]:
    """Return a process without the capabilities that nobody here can have, for which runc would refuse it all."""
    sets = process.get("capabilities")
    if not isinstance(sets, Mapping):
        return dict(process)
    had = capabilities.bounding()
    lacking = {name for number, name in enumerate(capabilities.NAMES) if number not in had}
    kept = {
        name: [each for each in wanted if each not in lacking] if isinstance(wanted, list) else wanted
        for name, wanted in sets.items()
    }
    return {**process, "capabilities": kept}


def possible_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's process, as `possible`, but in a user namespace of its own, where all can be had."""
    kinds = [each.get("type") for each in (data.get("linux") or {}).get("namespaces") or ()]
    return dict(data["process"]) if "user" in kinds else possible(data["process"])


def possible_beside(process: Mapping[str, Any], pid: int) -> dict[str, Any]:
    """Return a process as a command takes it beside another one; as `possible`, but in a user namespace of its own."""
    try:
        apart = os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")  # noqa: PTH115 - no path
    except OSError:
        apart = False  # that one has ended, which the command tells
    return dict(process) if apart else possible(process)


def domain_by_setting(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration whose domain's name is a setting of its namespace, which runc before 1.2 knows alone."""
    linux = data.get("linux") or {}
    if not data.get("domainname") or all(each.get("type") != "uts" for each in linux.get("namespaces") or ()):
        return dict(data)
    found = {name: each for name, each in data.items() if name != "domainname"}
    return {
        **found,
        "linux": {**linux, "sysctl": {"kernel.domainname": data["domainname"], **(linux.get("sysctl") or {})}},
    }
