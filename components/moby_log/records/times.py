"""Times as docker writes them, read: RFC 3339, with up to nine decimals."""

import re
from calendar import timegm

__all__ = ["parse"]

_SECOND = 10**9
_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:Z|([+-])(\d\d):(\d\d))", re.ASCII)


def parse(text: str) -> int:
    """Return nanoseconds since the epoch; ValueError for what is no such time."""
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no time of RFC 3339")
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    if not (1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 60 and year):
        raise ValueError(f"{text!r} is no time of RFC 3339")
    seconds = timegm((year, month, day, hour, minute, second))
    fraction, sign, hours, minutes = found.groups()[6:]
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += -offset if sign == "+" else offset
    return seconds * _SECOND + int((fraction or "0")[:9].ljust(9, "0"))
