"""Times as docker and configs of images have them: RFC 3339 in UTC, with up to nine decimals."""

import time

__all__ = ["fixed", "nano"]

_SECOND = 10**9


def nano(time_ns: int) -> str:
    """Return a time as Go's RFC3339Nano has it: without a fraction's last zeros."""
    seconds, rest = divmod(time_ns, _SECOND)
    return f"{_whole(seconds)}.{rest:09}".rstrip("0").rstrip(".") + "Z"


def fixed(time_ns: int) -> str:
    """Return a time with all nine decimals, as `docker inspect` and `docker logs --timestamps` print it."""
    seconds, rest = divmod(time_ns, _SECOND)
    return f"{_whole(seconds)}.{rest:09}Z"


def _whole(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
