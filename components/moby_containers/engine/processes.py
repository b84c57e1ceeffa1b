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
_PID_OPTION = re.compile(r"\s+-*p")


def table(pids: Sequence[int], arguments: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return titles and rows of ps, of some processes alone; the arguments must leave the column PID in."""
    asked = arguments or "-ef"
    for each in re.findall(r"(?:^|\s)-?[oO]?\s*(\S*)", asked):
        if re.search(r"pid=\S*", each, re.IGNORECASE):
            raise Invalid('specifying "PID" as a column title is not allowed')
    try:
        words = shlex.split(asked)
    except ValueError as error:
        raise Invalid(f"ps: {error}") from error
    listed = ["-q", ",".join(str(each) for each in pids)] if pids else []
    done = _ps([*words, *listed])
    if done.returncode and listed:
        done = _ps(words)
    if done.returncode:
        raise Invalid(f"error running ps: {done.stderr.strip() or done.returncode}")
    return parsed(done.stdout, pids)


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
