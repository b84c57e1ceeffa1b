"""The options of fluentd, read and refused as docker's fluentd.go does."""

from collections.abc import Mapping

from moby.errors import Invalid
from moby.values import frozen
from moby_log.network.addresses import Address, parse
from moby_log.records.go_values import duration_ns, integer, memory_size, truth
from moby_log.records.options import COMMON

__all__ = ["KNOWN", "Settings", "settings"]

_OWN = (
    "address", "async", "async-reconnect-interval", "buffer-limit", "max-retries", "request-ack", "retry-wait",
    "sub-second-precision", "write-timeout", "read-timeout",
)  # fmt: skip
KNOWN = COMMON | {f"fluentd-{name}" for name in _OWN}
_HOST, _PORT = "127.0.0.1", 24224
_MOST_RETRIES = 2**31 - 1
_NANO = 10**9


@frozen
class Settings:
    """Where events go, and how hard that is tried; times in seconds, 0 for no limit."""

    address: Address
    asynchronous: bool = False
    reconnect_s: float = 0
    buffer_limit: int = 1 << 20
    """Events that wait, where it is asynchronous."""
    max_retries: int = _MOST_RETRIES
    retry_wait_s: float = 1.0
    sub_second: bool = False
    request_ack: bool = False
    write_timeout_s: float = 0
    read_timeout_s: float = 0


def _address(text: str) -> Address:
    if not text:
        return Address("tcp", _HOST, _PORT)
    try:
        found = parse(text if "://" in text else f"tcp://{text}", port=_PORT)
        if found.scheme == "unix":
            if not found.path.lstrip("/"):
                raise Invalid("path is empty")
            return Address("unix", path=found.path)
        if found.scheme not in ("tcp", "tls"):
            raise Invalid(f"unsupported scheme: '{found.scheme}'")
        if found.path:
            raise Invalid("should not contain a path element")
    except Invalid as error:
        raise Invalid(f"invalid fluentd-address ({text}): {error.message}") from None
    return Address(found.scheme, found.host or _HOST, found.port)


def _reconnect_s(text: str) -> float:
    if not text:
        return 0
    try:
        interval_ns = duration_ns(text)
    except Invalid as error:
        raise Invalid(f"invalid value for fluentd-async-reconnect-interval: {error.message}") from None
    if interval_ns and not _NANO // 10 <= interval_ns <= 10 * _NANO:
        raise Invalid(
            f'invalid value for fluentd-async-reconnect-interval: value ("{text}") must be between 100ms and 10s'
        )
    return interval_ns / _NANO


def _timeout_s(name: str, text: str) -> float:
    if not text:
        return 0
    try:
        found = duration_ns(text)
    except Invalid:
        raise Invalid(f"invalid value for {name}: value must be a duration") from None
    if found < 0:
        raise Invalid(f"invalid value for {name}: value must be a duration that is non-negative")
    return found / _NANO


def settings(options: Mapping[str, str]) -> Settings:
    """Return what options say; Invalid for values that can't be used."""
    given = {name: options.get(f"fluentd-{name}", "") for name in _OWN}
    retries = given["max-retries"]
    most = integer(retries, least=0, most=2**32 - 1, parser="ParseUint") if retries else _MOST_RETRIES
    if most > _MOST_RETRIES:
        raise Invalid("invalid fluentd-max-retries: value out of range")
    return Settings(
        address=_address(given["address"]),
        asynchronous=truth(given["async"] or "false"),
        reconnect_s=_reconnect_s(given["async-reconnect-interval"]),
        buffer_limit=memory_size(given["buffer-limit"] or "1m"),
        max_retries=most,
        retry_wait_s=duration_ns(given["retry-wait"] or "1s") / _NANO,
        sub_second=truth(given["sub-second-precision"] or "false"),
        request_ack=truth(given["request-ack"] or "false"),
        write_timeout_s=_timeout_s("fluentd-write-timeout", given["write-timeout"]),
        read_timeout_s=_timeout_s("fluentd-read-timeout", given["read-timeout"]),
    )
