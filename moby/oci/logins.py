"""What `docker login` saves: docker's config.json, and the credential helpers that it names."""

import base64
import json
import os
import re
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.contracts.image_registry import Credentials
from moby.errors import Corrupt, HostUnfit, Unavailable
from moby.oci.reference import DEFAULT_DOMAIN

__all__ = ["HUB_KEY", "config_path", "forget", "header", "key_of", "save", "saved"]

HUB_KEY = "https://index.docker.io/v1/"
"""By which docker's config.json knows Docker Hub."""
_HUB = frozenset({DEFAULT_DOMAIN, "registry-1.docker.io", "index.docker.io", HUB_KEY})
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_TOKEN_USER = "<token>"  # noqa: S105  # by which a helper says that the secret is an identity token
_PATIENCE_S = 30


def key_of(server: str) -> str:
    """Return by which name docker's config.json has the credentials of a service."""
    return HUB_KEY if server in _HUB else server


def config_path() -> Path:
    """Return where docker's config.json is."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def header(credentials: Credentials | None) -> str:
    """Return credentials as X-Registry-Auth has them; empty for none."""
    if credentials is None:
        return ""
    fields = {
        "username": credentials.username, "password": credentials.password,
        "identitytoken": credentials.identity_token, "registrytoken": credentials.registry_token,
    }  # fmt: skip
    text = json.dumps({key: value for key, value in fields.items() if value})
    return base64.urlsafe_b64encode(text.encode()).decode()


def saved(server: str) -> Credentials | None:
    """Return what is saved for a service; None for nothing. Corrupt, HostUnfit or Unavailable say what is wrong."""
    path = config_path()
    config, key = _read(path), key_of(server)
    helper = _helper(config, key)
    if helper:
        return _of_helper(helper, key)
    for name, entry in _map(config, "auths").items():
        if isinstance(entry, dict) and _host(name) == _host(key):
            return _of_entry(entry, path)
    return None


def save(server: str, credentials: Credentials) -> bool:
    """Keep credentials for a service; return whether they lie in the file as they are, for want of a helper."""
    path, key = config_path(), key_of(server)
    config = _read(path)
    helper = _helper(config, key)
    user, secret = credentials.username, credentials.password
    if helper:
        token = credentials.identity_token
        given = {"ServerURL": key, "Username": _TOKEN_USER if token else user, "Secret": token or secret}
        _ask(helper, "store", json.dumps(given))
        entry: dict[str, str] = {}
    else:
        kept = "" if credentials.identity_token else secret
        entry = {"auth": base64.b64encode(f"{user}:{kept}".encode()).decode()}
        if credentials.identity_token:
            entry["identitytoken"] = credentials.identity_token
    _write(path, {**config, "auths": {**_map(config, "auths"), key: entry}})
    return not helper


def forget(server: str) -> None:
    """Remove what is saved for a service; nothing there is fine."""
    path, key = config_path(), key_of(server)
    config = _read(path)
    helper = _helper(config, key)
    if helper:
        with suppress(Unavailable):  # which has none
            _ask(helper, "erase", key)
    auths = {name: entry for name, entry in _map(config, "auths").items() if _host(name) != _host(key)}
    if auths != _map(config, "auths"):
        _write(path, {**config, "auths": auths})


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise Corrupt(f"{path} can't be read: {error}", hint="log in again, or mend it") from error
    if not isinstance(config, dict):
        raise Corrupt(f"{path} is no map", hint="log in again, or mend it")
    return config


def _write(path: Path, config: dict[str, Any]) -> None:
    """Write the file as docker does, aside and for its user alone."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, fresh = tempfile.mkstemp(prefix=".config", dir=path.parent)
        with os.fdopen(fd, "w", encoding="utf-8") as file:
            file.write(json.dumps(config, indent="\t", ensure_ascii=False))
        Path(fresh).replace(path)
    except OSError as error:
        raise HostUnfit(f"can't write {path}: {error.strerror}", hint="use a folder of yours: DOCKER_CONFIG") from error


def _map(config: dict[str, Any], name: str) -> dict[str, Any]:
    found = config.get(name)
    return found if isinstance(found, dict) else {}


def _helper(config: dict[str, Any], key: str) -> str:
    return str(_map(config, "credHelpers").get(key) or config.get("credsStore") or "")


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
    answer = _ask(name, "get", key)
    if answer is None:
        return None
    try:
        found = json.loads(answer)
        user, secret = str(found["Username"]), str(found["Secret"])
    except (ValueError, LookupError, TypeError) as error:
        raise Unavailable(f"docker-credential-{name} answers with no credentials") from error
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)


def _ask(name: str, verb: str, given: str) -> str | None:
    """Ask a program (docker-credential-helpers, README.md); None where it has nothing."""
    if not _HELPER.fullmatch(name):
        raise Corrupt(f"{name!r} is no name of a credential helper", hint="mend docker's config.json")
    program = f"docker-credential-{name}"
    try:
        done = subprocess.run(
            [program, verb], input=given, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except FileNotFoundError as error:
        raise HostUnfit(f"{program} is not there", hint="install it, or log in without it") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{program} gives no credentials: {error}") from error
    if done.returncode:
        if "credentials not found" in done.stdout + done.stderr:
            return None
        told = (done.stdout + done.stderr).strip()[:500]
        raise Unavailable(f"{program} can't {verb} credentials: {told}")
    return done.stdout
