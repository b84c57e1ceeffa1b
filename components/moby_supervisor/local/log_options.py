"""The options of a log that are the supervisor's own, in docker's words."""

import re
from collections.abc import Mapping

from moby.contracts.log_driver import LogConfig
from moby.errors import Invalid
from moby.values import evolve, frozen
from moby_supervisor.local import log_cache

__all__ = ["LogMode", "for_driver", "mode_of", "others"]

_DEFAULT_BUFFER = 1 << 20
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgtp])?(?:i?b)?", re.IGNORECASE)
_UNITS = {unit: 1 << 10 * power for power, unit in enumerate(("", "k", "m", "g", "t", "p"))}
_OWN = ("mode", "max-buffer-size", *log_cache.NAMES)


@frozen
class LogMode:
    """Whether a container waits for its log, and how much may wait for the log where it doesn't."""

    blocking: bool = True
    buffer_bytes: int = _DEFAULT_BUFFER


def mode_of(options: Mapping[str, str]) -> LogMode:
    """Read the options; Invalid for what can't be meant."""
    mode, size = options.get("mode", ""), options.get("max-buffer-size")
    if mode not in ("", "blocking", "non-blocking"):
        raise Invalid(f"logger: logging mode not supported: {mode}", hint="use blocking or non-blocking")
    if size is None:
        return LogMode(mode != "non-blocking")
    if mode != "non-blocking":
        raise Invalid(
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'", hint="add mode=non-blocking"
        )
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise Invalid(f"error parsing option max-buffer-size: invalid size: '{size}'", hint="write it as in 4m")
    return LogMode(False, int(float(found[1]) * _UNITS[(found[2] or "").lower()]))


def others(options: Mapping[str, str]) -> dict[str, str]:
    """Return the options that are the driver's."""
    return {name: value for name, value in options.items() if name not in _OWN}


def for_driver(config: LogConfig) -> LogConfig:
    """Return what a driver is to see of a log's options."""
    return evolve(config, options=others(config.options))
