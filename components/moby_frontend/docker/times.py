"""Moments as docker reads and shows them."""

import re
import time
from datetime import UTC, datetime

from moby.errors import Invalid

__all__ = ["ZERO", "elapsed", "http_date", "moment_ns", "parsed_ns", "rfc3339", "unix_ns"]

ZERO = "0001-01-01T00:00:00Z"
"""Never, as Go shows it."""
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_LONGEST_NS = 1 << 63
"""Of Go's durations: some 292 years."""
_FIRST_NS, _LAST_NS = -30610224000 * 10**9, 253402300799 * 10**9
"""The years 1000 to 9999, which have four digits."""
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?)?)?(Z|[+-]\d\d:?\d\d)?"
)


def rfc3339(time_ns: int) -> str:
    """Return a moment as Go prints it, without zeros at the end; `ZERO` for 0.

    One that no client reads, as a container's file may have, is the nearest that they do.
    """
    if not time_ns:
        return ZERO
    seconds, rest = divmod(max(_FIRST_NS, min(time_ns, _LAST_NS)), 10**9)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}{fraction}Z"


def http_date(seconds: int) -> str:
    """Return a moment as HTTP's headers have it (RFC 9110, 5.6.7), without the imports of email."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(seconds))  # in English, as nothing sets a locale


def parsed_ns(text: str) -> int:
    """Return the moment that RFC 3339 text names, 0 for none."""
    match = _TIME.fullmatch(text)
    if not match or text == ZERO:
        return 0
    year, month, day, hour, minute, second = (int(each or 0) for each in match.groups()[:6])
    try:
        at = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return 0
    zone = match[8] or "Z"
    shift = 0 if zone == "Z" else int(zone[1:3]) * 3600 + int(zone[-2:]) * 60
    seconds = int(at.timestamp()) - (-shift if zone.startswith("-") else shift)
    return seconds * 10**9 + int((match[7] or "0").ljust(9, "0"))


def unix_ns(text: str) -> int:
    """Return the moment of `SECONDS[.NANOSECONDS]`; 0 for none; Invalid in docker's words."""
    if not text:
        return 0
    whole, _, fraction = text.partition(".")
    sign, digits = (-1, whole[1:]) if whole.startswith("-") else (1, whole)
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
        raise Invalid(f'strconv.ParseInt: parsing "{whole[:100]}": invalid syntax')
    if fraction and not (fraction.isascii() and fraction.isdigit()):
        raise Invalid(f'strconv.ParseInt: parsing "{fraction[:100]}": invalid syntax')
    return sign * (int(digits) * 10**9 + int((fraction or "0")[:9].ljust(9, "0")))


def moment_ns(text: str, now_ns: int) -> int:
    """Return the moment of a duration ago (`10m`), seconds since the epoch, or a date; Invalid for anything else."""
    parts = _DURATION.findall(text)
    if parts and "".join(number + unit for number, unit in parts) == text.removeprefix("-"):
        ago = sum(float(number) * _UNITS[unit] for number, unit in parts)
        if ago < _LONGEST_NS:
            return now_ns + int(ago) if text.startswith("-") else now_ns - int(ago)
    if found := parsed_ns(text):
        return found
    try:
        return unix_ns(text)
    except Invalid as error:
        raise Invalid(f'failed to parse value as time or duration: "{text[:100]}"') from error


def elapsed(seconds: float) -> str:
    """Return how long something is ago, as docker says it (go-units, HumanDuration)."""
    whole = int(seconds)
    if whole < 1:
        return "Less than a second"
    if whole == 1:
        return "1 second"
    if whole < 60:
        return f"{whole} seconds"
    minutes = whole // 60
    if minutes == 1:
        return "About a minute"
    if minutes < 60:
        return f"{minutes} minutes"
    hours = int(seconds / 3600 + 0.5)
    if hours == 1:
        return "About an hour"
    return _long(hours)


def _long(hours: int) -> str:
    if hours < 48:
        return f"{hours} hours"
    if hours < 24 * 7 * 2:
        return f"{hours // 24} days"
    if hours < 24 * 30 * 2:
        return f"{hours // 24 // 7} weeks"
    if hours < 24 * 365 * 2:
        return f"{hours // 24 // 30} months"
    return f"{hours // 24 // 365} years"
