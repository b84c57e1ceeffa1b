"""Flags as runc takes them: `--name value`, `--name=value`, one dash or two, before or after the arguments.

By hand, since importing argparse costs as much as this program's other modules together, and it can't be told to
stop at an argument as `exec` must.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LIST", "NUMBER", "SWITCH", "TEXT", "Flag", "Values", "WrongUsage", "parse"]

SWITCH, TEXT, NUMBER, LIST = "", "VALUE", "N", "VALUE..."
"""What a flag takes, as its help shows it."""

Flag = tuple[str, str, str, str]
"""Its name, its letter or nothing, what it takes, and its help, which is empty for a flag that nobody should use."""

Values = dict[str, object]
_TRUE = frozenset({"1", "t", "true"})
_FALSE = frozenset({"0", "f", "false"})


class WrongUsage(Exception):
    """The command line can't be understood."""


def parse(words: Sequence[str], flags: Sequence[Flag], stop_after: int = -1) -> tuple[Values, list[str]]:
    """Return the flags that are set and the arguments; WrongUsage for what isn't known or has a wrong value.

    After `stop_after` arguments, or after `--`, everything is an argument. Without a limit it is -1.
    """
    known = _by_name(flags)
    values: Values = {}
    rest: list[str] = []
    index = 0
    while index < len(words):
        word = words[index]
        index += 1
        if len(rest) == stop_after:
            rest += words[index - 1 :]
            break
        if word == "--":
            rest += words[index:]
            break
        if not word.startswith("-") or word == "-":
            rest.append(word)
            continue
        name, given, value = word.lstrip("-").partition("=")
        flag = known.get(name)
        if flag is None:
            raise WrongUsage(f"flag provided but not defined: {word.partition('=')[0]}")
        if flag[2] == SWITCH:
            values[flag[0]] = _switch(word, value) if given else True
            continue
        if not given:
            if index == len(words):
                raise WrongUsage(f"flag needs an argument: {word}")
            value = words[index]
            index += 1
        _take(flag, value, values)
    return values, rest


def _by_name(flags: Sequence[Flag]) -> Mapping[str, Flag]:
    known = {flag[0]: flag for flag in flags}
    for flag in flags:
        if flag[1]:
            known[flag[1]] = flag
    return known


def _switch(word: str, value: str) -> bool:
    if value.lower() not in _TRUE | _FALSE:
        raise WrongUsage(f"invalid boolean value: {word}")
    return value.lower() in _TRUE


def _take(flag: Flag, value: str, values: Values) -> None:
    name, _, kind, _ = flag
    if kind == NUMBER:
        try:
            values[name] = int(value)
        except ValueError:
            raise WrongUsage(f"invalid value {value!r} for flag --{name}: it takes a number") from None
    elif kind == LIST:
        found = values.setdefault(name, [])
        assert isinstance(found, list)
        found.append(value)
    else:
        values[name] = value
