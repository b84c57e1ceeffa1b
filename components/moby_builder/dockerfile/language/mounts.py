"""Mounts and devices of RUN: `--mount=type=cache,target=/root/.cache`."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from attrs import frozen

from moby.contracts.builder import BuildFailed
from moby.errors import Invalid
from moby_builder.dockerfile.language.go_values import boolean, csv_row, integer, size_bytes
from moby_builder.dockerfile.language.instructions import Device, MountFlag
from moby_builder.dockerfile.language.spelling import quoted, suggestion

__all__ = ["Mount", "device", "read", "split"]

_TYPES = ("bind", "cache", "tmpfs", "secret", "ssh")
_SHARINGS = ("shared", "private", "locked")
_SAME = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = (
    "type", "from", "source", "target", "readonly", "id", "sharing", "required", "size", "mode", "uid", "gid",
    "readwrite", "env", *_SAME,
)  # fmt: skip
_ONLY = {"required": ("secret", "ssh"), "size": ("tmpfs",)}
"""Keys that just some types have, as soon as they are met."""


@frozen
class Mount:
    """What a mount asks for; empty or None is what isn't said."""

    type: str = "bind"
    origin: str = ""
    """`from`: a stage, an image, a named context."""
    source: str = ""
    target: str = ""
    readonly: bool = True
    id: str = ""
    sharing: str = ""
    required: bool = False
    size_bytes: int = 0
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    variable: str | None = None
    """`env`; empty is the secret's own name."""


def split(flag: str) -> MountFlag:
    """Return a flag's fields; BuildFailed for bad CSV, or a variable in `from`, whose stage must be known early."""
    try:
        fields = csv_row(flag)
    except Invalid as error:
        raise BuildFailed(f"failed to parse csv mounts: {error.message}") from None
    for each in fields:
        key, _, value = each.partition("=")
        if key.lower() == "from" and "$" in value and value.index("$") != len(value) - 1:
            raise BuildFailed("'from' doesn't support variable expansion, define alias stage instead")
    return MountFlag(fields)


def read(flag: MountFlag, expand: Callable[[str], str]) -> Mount:
    """Return what a mount asks for, once variables are put in; BuildFailed where it makes no sense."""
    fields = _Fields()
    for each in flag.fields:
        key, sign, value = each.partition("=")
        if sign:
            fields.take(key.lower(), expand(value), each)
        else:
            fields.take_bare(key.lower(), each)
    fields.check()
    return fields.mount()


class _Fields:
    """The fields of one mount as they are taken, in their order."""

    def __init__(self) -> None:
        self._type = "bind"
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._readonly: bool | None = None
        self._required = False

    def take_bare(self, key: str, written: str) -> None:
        """Take a field without a value."""
        key = _SAME.get(key, key)
        if key in ("readonly", "readwrite"):
            self._readonly = key == "readonly"
        elif key == "required":
            self._check_type(key, key)
            self._required = True
        else:
            raise BuildFailed(f"invalid field '{written}' must be a key=value pair")

    def take(self, key: str, value: str, written: str) -> None:
        """Take a field with its value."""
        match _SAME.get(key, key):
            case "type":
                self._type = _one_of(value, _TYPES, "mount type")
            case "sharing":
                self._texts["sharing"] = _one_of(value, _SHARINGS, "sharing value")
            case "readonly" | "readwrite" as same:
                self._readonly = _read(boolean, key, value) == (same == "readonly")
            case "required":
                self._check_type(key, key)
                self._required = _read(boolean, key, value)
            case "size":
                self._check_type(key, key)
                self._numbers[key] = _read(size_bytes, key, value)
            case "mode" | "uid" | "gid":
                try:
                    self._numbers[key] = integer(value, 8 if key == "mode" else 10)
                except Invalid:
                    raise BuildFailed(f"invalid value {value} for {key}") from None
            case "from" | "source" | "target" | "id" | "env" as same:
                self._texts[same] = value
            case _:
                raise BuildFailed(f"unexpected key '{key}' in '{written}'{suggestion(key, _KEYS)}")

    def _check_type(self, key: str, shown: str) -> None:
        if self._type not in _ONLY[key]:
            raise BuildFailed(f"unexpected key '{shown}' for mount type '{self._type}'")

    def check(self) -> None:
        """Raise BuildFailed where fields don't go together."""
        for key in ("mode", "uid", "gid"):
            if key in self._numbers and self._type not in ("secret", "ssh", "cache"):
                raise BuildFailed(f"{key} not allowed for {quoted(self._type)} type mounts")
        if self._type == "secret":
            self._check_secret(self._texts)
        if self._texts.get("sharing") and self._type != "cache":
            raise BuildFailed(f"invalid cache sharing set for {self._type} mount")

    @staticmethod
    def _check_secret(texts: Mapping[str, str]) -> None:
        if texts.get("from"):
            raise BuildFailed("secret mount should not have a from")
        if texts.get("sharing"):
            raise BuildFailed("secret mount should not define sharing")
        if not (texts.get("source") or texts.get("target") or texts.get("id")):
            raise BuildFailed("invalid secret mount. one of source, target required")
        if texts.get("source") and texts.get("id"):
            raise BuildFailed("both source and id can't be set")

    def mount(self) -> Mount:
        """Return what was taken."""
        readonly = self._type not in ("cache", "tmpfs") if self._readonly is None else self._readonly
        text, number = self._texts.get, self._numbers.get
        return Mount(
            self._type,
            text("from", ""),
            text("source", ""),
            text("target", ""),
            readonly,
            text("id", ""),
            text("sharing", ""),
            self._required,
            number("size", 0),
            number("mode"),
            number("uid"),
            number("gid"),
            text("env"),
        )


def _one_of(value: str, known: tuple[str, ...], what: str) -> str:
    if value.lower() not in known:
        raise BuildFailed(f"unsupported {what} {quoted(value)}{suggestion(value, known)}")
    return value.lower()


T = TypeVar("T")


def _read(how: Callable[[str], T], key: str, value: str) -> T:
    try:
        return how(value)
    except Invalid:
        raise BuildFailed(f"invalid value for {key}: {value}") from None


def device(flag: str) -> Device:
    """Return the device that a flag asks for."""
    try:
        fields = csv_row(flag)
    except Invalid as error:
        raise BuildFailed(f"failed to parse csv devices: {error.message}") from None
    name, required = "", False
    for each in fields:
        key, sign, value = each.partition("=")
        if key.lower() == "required":
            required = _read(boolean, "required", value) if sign else True
        elif sign and key.lower() == "name":
            if name:
                raise BuildFailed(f"device name already set to {name}")
            name = value
        elif not name:
            name = each
        elif sign:
            raise BuildFailed(f"unexpected key '{key}' in '{each}'{suggestion(key, ('name', 'required'))}")
        else:
            raise BuildFailed(f"invalid field '{each}' must be a key=value pair")
    return Device(name, required)
