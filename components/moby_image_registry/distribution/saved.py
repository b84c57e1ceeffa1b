"""Credentials that `docker login` has saved: config.json, and the helpers that it names."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

from moby.contracts.image_registry import Credentials
from moby.errors import Corrupt, HostUnfit, Unavailable
from moby_image_registry.distribution.settings import key_of

__all__ = ["saved"]

_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_TOKEN_USER = "<token>"  # noqa: S105  # by which a helper says that the secret is an identity token
_PATIENCE_S = 30


def saved(server: str) -> Credentials | None:
    """Return what is saved for a service; None for nothing. Corrupt, HostUnfit or Unavailable say what is wrong."""
    path = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise Corrupt(f"{path} can't be read: {error}", hint="log in again, or mend it") from error
    if not isinstance(config, dict):
        raise Corrupt(f"{path} is no map", hint="log in again, or mend it")
    key = key_of(server)
    helper = _map(config, "credHelpers").get(key) or config.get("credsStore")
    if helper:
        return _of_helper(str(helper), key)
    for name, entry in _map(config, "auths").items():
        if isinstance(entry, dict) and _host(name) == _host(key):
            return _of_entry(entry, path)
    return None


def _map(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _host(name: str) -> str:
    return re.sub(r"^https?://", "", name).partition("/")[0]


def _of_entry(entry: dict[str, Any], path: Path) -> Credentials | None:
    try:
        user, _, password = base64.b64decode(entry.get("auth") or "", validate=True).decode().partition(":")
    except ValueError as error:
        raise Corrupt(f"{path}: `auth` is no base64 of a user and a password", hint="log in again") from error
    found = Credentials(
        str(entry.get("username") or user), str(entry.get("password") or password.rstrip("\0")),
        str(entry.get("identitytoken") or ""), str(entry.get("registrytoken") or ""),
    )  # fmt: skip
    return None if found == Credentials() else found


def _of_helper(name: str, key: str) -> Credentials | None:
    """Ask a program (docker-credential-helpers, README.md, `get`)."""
    if not _HELPER.fullmatch(name):
        raise Corrupt(f"{name!r} is no name of a credential helper", hint="mend docker's config.json")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, "get"], input=key, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except FileNotFoundError as error:
        raise HostUnfit(f"{program} is not there", hint="install it, or log in without it") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{program} gives no credentials: {error}") from error
    if done.returncode:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        raise Unavailable(f"{program} gives no credentials: {(done.stdout + done.stderr).strip()[:500]}")
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, LookupError, TypeError) as error:
        raise Unavailable(f"{program} answers with no credentials") from error
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)
