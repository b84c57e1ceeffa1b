"""Rules for devices: linux.resources.devices (runtime-spec, config-linux.md) set in a cgroup."""

from __future__ import annotations

import os

from moby.errors import HostUnfit, Invalid
from moby.host import device_filter
from moby.host.blocks import suppress
from moby.host.device_filter import DeviceRule, Inexpressible
from moby_runtime.records.failures import Failed, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from moby.host.cgroups import Group

__all__ = ["set_devices", "setting"]

_DEVICES = "linux.resources.devices"
_ALWAYS = (
    *(
        DeviceRule(True, "c", major, minor)
        for major, minor in ((1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (5, 2), (136, None))
    ),
    # A node that can be made but not opened is none; other runtimes allow it, and images unpack such.
    DeviceRule(True, "b", access="m"),
    DeviceRule(True, "c", access="m"),
)
"""The default devices, the terminal, and pseudo-terminals (config-linux.md, default devices)."""


def set_devices(group: Group, asked_rules: Sequence[Mapping[str, Any]], *, live: bool = False) -> None:
    """Say which devices may be used: the rules are in order, a later one wins; the default ones always may be.

    What no rule speaks of may not be used, as with runc: the rules are no list of exceptions.
    In a `live` group processes never meet a moment at which less is allowed than before and after.
    """
    setting(group, asked_rules, live=live)()


def setting(group: Group, asked_rules: Sequence[Mapping[str, Any]], *, live: bool = False) -> Callable[[], None]:
    """Work out what `set_devices` has to change, and return what does it; errors as that, from both."""
    rules = (DeviceRule(False), *(_rule(each) for each in asked_rules), *_ALWAYS)
    allow = group.file("devices.allow")
    still = False
    with _telling(asked_rules):
        if allow is not None:
            folder = os.path.dirname(allow)
            still = live and device_filter.changes_all(folder, rules)
            change = device_filter.writing(folder, rules)
        elif (unified := group.unified) is not None:
            change = device_filter.attaching(unified, rules)
        else:
            raise HostUnfit(
                f"cannot set {_DEVICES} of config.json: no control group here has rules for devices",
                hint="mount the controller devices of version 1, or version 2",
            )

    def apply() -> None:
        with _telling(asked_rules):
            if not still:
                change()
                return
            with _Still(group):
                change()

    return apply


class _telling:  # noqa: N801 - read as what the block does
    """Raise what is wrong with rules, or with the host, as what it is to a bundle."""

    def __init__(self, asked_rules: Sequence[Mapping[str, Any]]) -> None:
        self._asked = asked_rules

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Inexpressible):
            where = next((f"[{index}]" for index, each in enumerate(self._asked) if _rule(each) == error.rule), "")
            raise Invalid(
                f"config.json: {_DEVICES}{where}: control groups of version 1 can't take back part of what an earlier "
                "rule says, nor refuse some of a default device",
                hint="name each device in a rule of its own, the general rules first",
            ) from error
        if isinstance(error, OSError):
            failure = Failure("set rules for devices", _DEVICES, error.errno or 0, str(error.filename or ""))
            raise Failed(failure) from error


class _Still:
    """Has nobody run inside meanwhile, where the group can be frozen and isn't."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._frozen = group.frozen()

    def __enter__(self) -> None:
        if self._frozen:
            return
        try:
            with suppress(FileNotFoundError):
                self._group.freeze()
        except BaseException:
            self._group.thaw()
            raise

    def __exit__(self, *error: object) -> None:
        if not self._frozen:
            self._group.thaw()


def _rule(data: Mapping[str, Any]) -> DeviceRule:
    numbers = [data.get(name) for name in ("major", "minor")]
    major, minor = (None if number is None or number < 0 else int(number) for number in numbers)
    return DeviceRule(bool(data.get("allow")), data.get("type") or "a", major, minor, data.get("access") or "rwm")
