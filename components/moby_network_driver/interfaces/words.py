"""Options as Docker's users write them."""

import re
from collections.abc import Collection, Mapping

from moby.errors import Invalid

__all__ = ["choice", "enough_for_ipv6", "interface_name", "known", "mtu", "truth"]

_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_NAME = re.compile(r"[^\s/:%]{1,15}")
_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_LEAST_MTU, _MOST_MTU = 68, 65535
_LEAST_IPV6_MTU = 1280


_LACKING = frozenset({"com.docker.network.host_ipv4", "com.docker.network.host_ipv6"})
"""What docker's networks heed and none of ours: the address that packets leave the host with."""


def known(options: Mapping[str, str], keys: Collection[str], sort: str) -> None:
    """Refuse unknown options.

    As with docker those of a domain are passed over: its own may be of another version or another driver, and others,
    as `org.example.owner`, are somebody's notes.
    """
    for each in options:
        if each not in keys and ("." not in each.strip(".") or each in _LACKING):
            raise Invalid(f"{each!r} is not an option of {sort} networks", hint=f"there are {', '.join(sorted(keys))}")


def truth(options: Mapping[str, str], key: str, default: bool) -> bool:
    """Return an option that is true or false."""
    text = options.get(key, "")
    if not text:
        return default
    if text not in _TRUE | _FALSE:
        why = f'(strconv.ParseBool: parsing "{text}": invalid syntax)'  # docker's words, as all that follow
        raise Invalid(f"failed to parse {key} value: {text} {why}", hint="say true or false")
    return text in _TRUE


def mtu(options: Mapping[str, str], key: str, default: int) -> int:
    """Return how large packets may be; 0 where nobody says so."""
    text = options.get(key, "")
    if not text:
        return default
    hint = f"{key}: a number from {_LEAST_MTU} to {_MOST_MTU}"
    if not _NUMBER.fullmatch(text):
        why = f'(strconv.Atoi: parsing "{text}": invalid syntax)'
        raise Invalid(f"failed to parse {key} value: {text} {why}", hint=hint)
    if not _LEAST_MTU <= int(text) <= _MOST_MTU:
        raise Invalid(f"invalid MTU number: {text}", hint=hint)
    return int(text)


def enough_for_ipv6(key: str, value: int) -> None:
    """Refuse what is too small for IPv6 (RFC 8200)."""
    if 0 < value < _LEAST_IPV6_MTU:
        raise Invalid(f"{key} is {value}, and IPv6 takes at least {_LEAST_IPV6_MTU}", hint="choose a larger one")


def interface_name(options: Mapping[str, str], key: str, default: str) -> str:
    """Return an option that names an interface, or begins its name."""
    text = options.get(key, "")
    if not text:
        return default
    if not _NAME.fullmatch(text) or text in (".", "..", "all", "default"):
        raise Invalid(f"{key} is {text!r}, which can't be an interface's name", hint="at most 15 letters and digits")
    return text


def choice(options: Mapping[str, str], key: str, choices: Collection[str]) -> str:
    """Return an option that is one of several words; the first is the default."""
    default = next(iter(choices))
    text = options.get(key, "") or default
    if text not in choices:
        sort, _, mode = key.partition("_")
        said = f"requested {sort} mode '{text}' is not valid, '{default}' mode is the {sort} driver default"
        raise Invalid(said if mode == "mode" else f"{key} is {text!r}", hint=f"{key}: one of {', '.join(choices)}")
    return text
