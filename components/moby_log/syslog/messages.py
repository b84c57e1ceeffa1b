"""Records as messages of syslog: RFC 3164 and RFC 5424 as docker writes them, and framing by RFC 5425."""

import os
import re
import time
from collections.abc import Callable

from moby.errors import Invalid

__all__ = ["FACILITIES", "FORMATS", "Form", "facility", "form"]

_NAMES = (
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp",
)  # fmt: skip
FACILITIES = {name: number for number, name in enumerate(_NAMES)} | {f"local{each}": 16 + each for each in range(8)}
FORMATS = ("", "rfc3164", "rfc5424", "rfc5424micro")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")

Form = Callable[[int, int, bytes], bytes]
"""Makes a message of a priority, a time in nanoseconds, and a record without its end."""


def facility(text: str) -> int:
    """Return a facility's number by name or number, `daemon` for none; Invalid as docker has it."""
    if not text:
        return FACILITIES["daemon"]
    if text in FACILITIES:
        return FACILITIES[text]
    if text.isascii() and text.isdigit() and len(text) < 4 and int(text) <= 23:
        return int(text)
    raise Invalid("invalid syslog facility", hint=f"there are: {', '.join(FACILITIES)}, and 0 to 23")


def _stamp(time_ns: int) -> str:
    """Return a time as RFC 3164, 4.1.2, has it."""
    at = time.localtime(time_ns // 10**9)
    return f"{_MONTHS[at.tm_mon - 1]} {at.tm_mday:2} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"


def _iso(time_ns: int, *, micro: bool) -> str:
    """Return a time as RFC 5424, 6.2.3, has it."""
    seconds, rest = divmod(time_ns, 10**9)
    at = time.localtime(seconds)
    minutes = at.tm_gmtoff // 60
    zone = f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}" if minutes else "Z"
    fraction = f".{rest // 1000:06}" if micro else ""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', at)}{fraction}{zone}"


def form(name: str, *, hostname: str, tag: str, secure: bool) -> Form:
    """Return what makes messages of a format; Invalid for one that isn't there.

    Over TLS, messages of RFC 5424 have their length before them (RFC 5425, 4.3.1); all others end in a newline.
    """
    if name not in FORMATS:
        raise Invalid("Invalid syslog format", hint=f"there are: {', '.join(filter(None, FORMATS))}")
    pid = os.getpid()
    tag = _CONTROL.sub("_", tag)  # an image's label that it is made of could begin another message

    def old(priority: int, time_ns: int, record: bytes) -> bytes:
        host = f" {hostname}" if name else ""
        return f"<{priority}>{_stamp(time_ns)}{host} {tag}[{pid}]: ".encode() + record + b"\n"

    def new(priority: int, time_ns: int, record: bytes) -> bytes:
        stamp = _iso(time_ns, micro=name == "rfc5424micro")
        message = f"<{priority}>1 {stamp} {hostname} {tag} {pid} {tag} - ".encode() + record + b"\n"
        return b"%d %b" % (len(message), message) if secure else message

    return old if name in ("", "rfc3164") else new
