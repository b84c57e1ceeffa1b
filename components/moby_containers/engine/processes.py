"""The processes of a container, as the host's ps(1) lists them."""

import re
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from moby.errors import HostUnfit, Invalid

if TYPE_CHECKING:
    import subprocess

__all__ = ["parsed", "table"]

_TIMEOUT_S = 20
_LISTING = re.compile(r"-[AFHLNSTacdefjlmrvwxy]+|[STacefgjlmrsuvwx]+|--forest")
"""Options of ps that take nothing; of formats just those that have all before the column PID in one word."""
_PICKING = re.compile(r"-[CGUgpstu]")
"""Those that pick processes by the word behind them."""


def table(pids: Sequence[int], arguments: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and rows of ps, of some processes alone; the arguments must leave the column PID in."""
    asked = arguments or "-ef"
    if "\0" in asked:
        raise Invalid("ps: NUL can't be in an argument")
    for each in re.findall(r"(?:^|\s)-?[oO]?\s*(\S*)", asked):
        if re.search(r"pid=\S*", each, re.IGNORECASE):
            raise Invalid('specifying "PID" as a column title is not allowed')
    try:
        words = shlex.split(asked)
    except ValueError as error:
        raise Invalid(f"ps: {error}") from error
    done = _ps(["-q", ",".join(str(each) for each in pids), *words]) if pids else None
    if (done is None or done.returncode) and _is_plain(words):
        done = _ps(words)
    if done is None or done.returncode:
        raise Invalid(f"error running ps: {(done.stderr.strip() or done.returncode) if done else 'no process is left'}")
    return parsed(done.stdout, pids)


def _is_plain(words: Sequence[str]) -> bool:
    """Whether ps prints for sure what a process's id can be told by, where it doesn't take just some processes.

    A format of the caller's own may have other processes' lines look like those of the container's.
    """
    left = iter(words)
    for word in left:
        if _PICKING.fullmatch(word):
            next(left, None)
        elif not _LISTING.fullmatch(word):
            return False
    return True


def _ps(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    import subprocess  # which a start needn't wait for

    try:
        return subprocess.run(
            ["ps", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
            timeout=_TIMEOUT_S,
        )  # fmt: skip
    except FileNotFoundError:
        raise HostUnfit("this host has no ps", hint="install the package procps") from None


def parsed(text: str, pids: Sequence[int]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and rows of what ps printed: the last column takes all that is left of a line."""
    lines = text.split("\n")
    titles = lines[0].split() if lines else []
    if "PID" not in titles:
        raise Invalid("couldn't find PID field in ps output")
    column = titles.index("PID")
    wanted = {str(each) for each in pids}
    rows = []
    for line in lines[1:]:  # at nothing else: a program's words may hold what Unicode ends a line by
        words = line.split(None, len(titles) - 1)
        if len(words) > column and words[column] in wanted:
            rows.append(tuple(word.strip() for word in words))
    return tuple(titles), tuple(rows)
