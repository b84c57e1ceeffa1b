"""Modes as `--chmod` has them: octal, or symbolic as in chmod(1)."""

import re
import stat
from collections.abc import Callable

from moby.contracts.builder import BuildFailed

__all__ = ["Mode", "parse"]

Mode = Callable[[int], int]
"""Makes a file's mode (stat(2), type and permissions) its new permissions."""

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[rwxXst]*|[ugo]))+)")
_ACTION = re.compile(r"([-+=])([ugo]|[rwxXst]*)")
_SHIFTS = {"u": 6, "g": 3, "o": 0}
_BITS = {"r": 4, "w": 2, "x": 1}
_SET_IDS = {"u": stat.S_ISUID, "g": stat.S_ISGID}


def parse(text: str) -> Mode:
    """Return what a mode does; BuildFailed where it is none."""
    if re.fullmatch(r"[0-7]{1,5}", text) and int(text, 8) <= 0o7777:
        number = int(text, 8)
        return lambda mode: number
    clauses = []
    for each in text.split(","):
        found = _CLAUSE.fullmatch(each)
        if found is None:
            raise BuildFailed(f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777")
        clauses.append((found[1].replace("a", "ugo") or "ugo", _ACTION.findall(found[2])))

    def change(mode: int) -> int:
        is_folder, mode = stat.S_ISDIR(mode), stat.S_IMODE(mode)
        for who, actions in clauses:
            for sign, what in actions:
                mode = _act(mode, who, sign, what, is_folder)
        return mode

    return change


def _act(mode: int, who: str, sign: str, what: str, is_folder: bool) -> int:
    """Do one action, such as `+x`, for those whom it is for."""
    bits = _copied(mode, what) if what in _SHIFTS else _named(mode, what, is_folder)
    mask = sum(bits << _SHIFTS[each] for each in set(who))
    whole = sum(7 << _SHIFTS[each] for each in set(who))
    if "s" in what:
        mask |= sum(_SET_IDS.get(each, 0) for each in set(who))
    if "t" in what:
        mask |= stat.S_ISVTX
    if sign == "=":
        if not is_folder:  # as chmod(1): folders keep them
            whole |= sum(_SET_IDS.get(each, 0) for each in set(who))
        return (mode & ~whole) | mask
    return mode | mask if sign == "+" else mode & ~mask


def _copied(mode: int, whose: str) -> int:
    return mode >> _SHIFTS[whose] & 7


def _named(mode: int, what: str, is_folder: bool) -> int:
    bits = 0
    for each in what:
        bits |= _BITS.get(each, 0)
        if each == "X" and (is_folder or mode & 0o111):
            bits |= 1
    return bits
