"""Secrets and configs in and out."""

import base64
import binascii
import re
from typing import Any

from moby.contracts.orchestrator import Config, ConfigSpec, Secret, SecretSpec
from moby.errors import Invalid
from moby_frontend.docker.swarm.strict import lowered, read_all
from moby_frontend.docker.times import rfc3339
from moby_frontend.docker.translate.forms import TEXT, TEXT_MAP, Field

__all__ = ["check_config", "check_secret", "read_config", "read_secret", "show_config", "show_secret"]

_FIELDS = (Field("Name", "name", TEXT), Field("Labels", "labels", TEXT_MAP))
_NAME = re.compile(r"[a-zA-Z0-9]+(?:[a-zA-Z0-9-_.]*[a-zA-Z0-9])?")
MAX_SECRET_BYTES = 500 * 1024
MAX_CONFIG_BYTES = 1000 * 1024


def read_secret(body: Any) -> SecretSpec:
    """Return what a SecretSpec asks for."""
    found, lower = read_all(_FIELDS, body, "SecretSpec", ("Data", "Driver", "Templating")), lowered(body, "SecretSpec")
    return SecretSpec(
        name=found.get("name", ""),
        labels=found.get("labels", {}),
        data=_data(lower.get("data"), "SecretSpec.Data"),
        driver=_driver(lower.get("driver"), "SecretSpec.Driver"),
        templating=_driver(lower.get("templating"), "SecretSpec.Templating"),
    )


def read_config(body: Any) -> ConfigSpec:
    """Return what a ConfigSpec asks for."""
    found, lower = read_all(_FIELDS, body, "ConfigSpec", ("Data", "Templating")), lowered(body, "ConfigSpec")
    return ConfigSpec(
        name=found.get("name", ""),
        labels=found.get("labels", {}),
        data=_data(lower.get("data"), "ConfigSpec.Data"),
        templating=_driver(lower.get("templating"), "ConfigSpec.Templating"),
    )


def check_secret(spec: SecretSpec) -> None:
    """Refuse a new secret that can't be, in docker's words."""
    _check_name(spec.name)
    if spec.driver and spec.data:
        raise Invalid("SecretSpec.Data: it must be empty where a driver has it")
    if not spec.driver and not 0 < len(spec.data) < MAX_SECRET_BYTES:
        raise Invalid(f"secret data must be larger than 0 and less than {MAX_SECRET_BYTES} bytes")


def check_config(spec: ConfigSpec) -> None:
    """Refuse a new config that can't be, in docker's words."""
    _check_name(spec.name)
    if not 0 < len(spec.data) < MAX_CONFIG_BYTES:
        raise Invalid(f"config data must be larger than 0 and less than {MAX_CONFIG_BYTES} bytes")


def _check_name(name: str) -> None:
    if not name:
        raise Invalid("name must be provided")
    if len(name) > 64 or not _NAME.fullmatch(name):
        raise Invalid(
            "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be "
            "[a-zA-Z0-9]"
        )


def _data(value: Any, where: str) -> bytes:
    text = TEXT.read(value or "", where)
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raise Invalid(f"invalid JSON: illegal base64 data in {where}") from None


def _driver(value: Any, where: str) -> str:
    """Return a driver's name; none has options here."""
    return str(read_all((Field("Name", "name", TEXT),), value, where).get("name", ""))


def show_secret(secret: Secret) -> dict[str, Any]:
    """Return a secret, without its data."""
    spec = {"Name": secret.name, "Labels": dict(secret.labels)}
    return _shown(secret, spec | _drivers(secret.driver, secret.templating))


def show_config(config: Config) -> dict[str, Any]:
    """Return a config with its data."""
    data = base64.b64encode(config.spec.data).decode()
    spec = {"Name": config.spec.name, "Labels": dict(config.spec.labels), "Data": data}
    return _shown(config, spec | _drivers("", config.spec.templating))


def _drivers(driver: str, templating: str) -> dict[str, Any]:
    pairs = (("Driver", driver), ("Templating", templating))
    return {name: {"Name": text} for name, text in pairs if text}


def _shown(kept: Secret | Config, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "ID": kept.id,
        "Version": {"Index": kept.version},
        "CreatedAt": rfc3339(kept.created_ns),
        "UpdatedAt": rfc3339(kept.updated_ns),
        "Spec": spec,
    }
