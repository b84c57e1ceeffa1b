"""Privileges of a service's containers, which containers have as security options."""

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import Any

from moby.errors import Invalid
from moby_frontend.docker.swarm.strict import lowered, read_all
from moby_frontend.docker.translate.forms import FLAG, TEXT

__all__ = ["read_privileges", "show_privileges"]

_SELINUX = ("User", "Role", "Type", "Level")
_NO_NEW = "no-new-privileges"


def read_privileges(value: Any, where: str) -> tuple[str, ...]:
    """Return security options of Privileges."""
    lower = lowered(value, where)
    read_all((), value, where, ("SELinuxContext", "Seccomp", "AppArmor", "NoNewPrivileges"))
    options = [*_selinux(lower.get("selinuxcontext"), where), *_seccomp(lower.get("seccomp"), where)]
    options += _apparmor(lower.get("apparmor"), where)
    if FLAG.read(lower.get("nonewprivileges") or False, f"{where}.NoNewPrivileges"):
        options.append(_NO_NEW)
    return tuple(options)


def _selinux(value: Any, where: str) -> Iterable[str]:
    given = lowered(value, f"{where}.SELinuxContext")
    if FLAG.read(given.get("disable") or False, f"{where}.SELinuxContext.Disable"):
        yield "label=disable"
    for name in _SELINUX:
        if text := TEXT.read(given.get(name.lower()) or "", f"{where}.SELinuxContext.{name}"):
            yield f"label={name.lower()}:{text}"


def _seccomp(value: Any, where: str) -> Iterable[str]:
    given = lowered(value, f"{where}.Seccomp")
    match given.get("mode") or "default":
        case "default":
            return
        case "unconfined":
            yield "seccomp=unconfined"
        case "custom":
            try:
                yield "seccomp=" + base64.b64decode(given.get("profile") or "", validate=True).decode()
            except (ValueError, TypeError, binascii.Error):
                raise Invalid(f"{where}.Seccomp.Profile: a profile is JSON in base64") from None
        case other:
            raise Invalid(f"{where}.Seccomp.Mode: {other!r} is none of default, unconfined, custom")


def _apparmor(value: Any, where: str) -> Iterable[str]:
    match lowered(value, f"{where}.AppArmor").get("mode") or "default":
        case "default":
            return
        case "disabled":
            yield "apparmor=unconfined"
        case other:
            raise Invalid(f"{where}.AppArmor.Mode: {other!r} is none of default, disabled")


def show_privileges(options: Iterable[str]) -> dict[str, Any] | None:
    """Return Privileges of security options, None where there are none; what it has no words for is left out."""
    shown: dict[str, Any] = {"CredentialSpec": None, "SELinuxContext": None}
    selinux: dict[str, Any] = {}
    for each in options:
        name, _, text = each.partition("=")
        if name == "label":
            key, _, value = text.partition(":")
            selinux |= {"Disable": True} if key == "disable" else {key.capitalize(): value}
        elif name == "seccomp":
            shown["Seccomp"] = _shown_seccomp(text)
        elif name == "apparmor" and text == "unconfined":
            shown["AppArmor"] = {"Mode": "disabled"}
        elif name == _NO_NEW:
            shown["NoNewPrivileges"] = True
    if selinux:
        shown["SELinuxContext"] = {"Disable": False, **dict.fromkeys(_SELINUX, ""), **selinux}
    return shown if any(shown.values()) else None


def _shown_seccomp(text: str) -> Mapping[str, str]:
    if text == "unconfined":
        return {"Mode": "unconfined"}
    profile = text if text.lstrip().startswith("{") else json.dumps(text)
    return {"Mode": "custom", "Profile": base64.b64encode(profile.encode()).decode()}
