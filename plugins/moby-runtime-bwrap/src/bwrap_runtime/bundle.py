"""A bundle as it was read: its config.json, whose fields are fetched by path and checked for their type."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from attrs import frozen
from moby.errors import Invalid, NotFound, Problem

__all__ = ["Bundle", "read"]

T = TypeVar("T")
_NAMES = {list: "a list", dict: "an object", str: "a string", int: "a number", bool: "true or false"}


@frozen
class Bundle:
    """A folder with a config.json and a root file system (runtime-spec, bundle.md)."""

    path: Path
    config: Mapping[str, Any]
    rootfs: Path
    """Absolute, and there."""

    def get(self, field: str, kind: type[T], default: T) -> T:
        """Return a field by its path (`process.args`), the default where it is absent; Invalid for another type."""
        value: Any = self.config
        for name in field.split("."):
            if value is None:
                return default
            if not isinstance(value, dict):
                raise self.wrong(field, f"is inside {value!r}, which is no object")
            value = value.get(name)
        return default if value is None else self.checked(field, value, kind)

    def strings(self, field: str) -> tuple[str, ...]:
        """Return a field that is a list of strings without NUL bytes; empty where it is absent."""
        empty: list[Any] = []
        return self.texts(field, self.get(field, list, empty))

    def texts(self, field: str, values: list[Any]) -> tuple[str, ...]:
        """Return a list as strings; Invalid where it holds something else."""
        for index, value in enumerate(values):
            if "\0" in self.checked(f"{field}[{index}]", value, str):
                raise self.wrong(f"{field}[{index}]", "holds a NUL byte")
        return tuple(values)

    def checked(self, field: str, value: Any, kind: type[T]) -> T:
        """Return a value of the type that its field has; Invalid where it is of another."""
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise self.wrong(field, f"is {value!r}, and must be {_NAMES.get(kind, kind.__name__)}")
        return value

    def wrong(self, field: str, what: str) -> Invalid:
        """Return the error for a field, for the caller to raise."""
        message = f"{self.path / 'config.json'}: {field} {what}"
        return Invalid(message, problems=(Problem(message),))


def read(path: Path) -> Bundle:
    """Read a bundle; NotFound where it or its rootfs is missing, Invalid where config.json is not what it must be."""
    file = path / "config.json"
    try:
        config = json.loads(file.read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(
            f"no bundle at {path}: {file} isn't there", hint="a bundle is a folder with config.json"
        ) from error
    except ValueError as error:
        raise Invalid(f"{file} is no JSON: {error}") from error
    if not isinstance(config, dict):
        raise Invalid(f"{file} must hold a JSON object")
    bundle = Bundle(path, config, path)
    version = bundle.get("ociVersion", str, "")
    if not version.startswith("1."):
        raise bundle.wrong("ociVersion", f"is {version!r}; versions 1.x can be read")
    root = bundle.get("root.path", str, "")
    if not root:
        raise bundle.wrong("root.path", "is missing")
    rootfs = Path(path, root).resolve()
    if not rootfs.is_dir():
        raise NotFound(f"{file}: root.path: no folder at {rootfs}", hint="unpack an image there first")
    return Bundle(path, config, rootfs)
