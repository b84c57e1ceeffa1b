"""Inspects plugin modules by importing them, in a child process: they may raise, hang, print or exit there.

The child reads a request on standard input and answers on a descriptor of its own, a line of JSON for each module,
since standard output is the plugin's to spoil.
"""

import contextlib
import json
import os
import select
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from attrs import frozen

from moby.registry.installed import Entry

__all__ = ["Finding", "inspect"]

_CHILD = """
import sys, json
request = json.load(sys.stdin)
sys.path[:] = request["path"]
from moby.registry.enclosure import enclose
def work():
    from moby.registry.plugin_module import answer
    answer(request, int(sys.argv[1]))
enclose(work)
"""
MAX_LINE = 1 << 20
"""Bytes of one answer; the facts of a module of fifty components are a tenth of that."""
GRACE_S = 7.0
"""For the child to end all that the plugin started."""


@frozen
class Finding:
    """What a plugin module holds: facts as JSON carries them, or the reason why it can't be used."""

    module: str
    facts: tuple[dict[str, Any], ...] = ()
    error: str = ""
    lasting: bool = True
    """Whether the same module would be found so again; a time limit may be the machine's fault."""


def inspect(
    distribution: str, entries: Sequence[Entry], path: Sequence[str], time_limit_s: float = 10.0
) -> tuple[Finding, ...]:
    """Import a distribution's plugin modules in a child process, and return what each holds.

    The time limit is for each module. A module that ends the process, or is too slow, is its own finding; the rest
    are inspected in another child. Blocks for as long as the limits allow.
    """
    found: dict[str, Finding] = {}
    waiting = list(entries)
    while waiting:
        for each in _child(distribution, waiting, path, time_limit_s):
            found[each.module] = each
        waiting = [each for each in waiting if each.module not in found]
    return tuple(found.values())


def _child(distribution: str, entries: Sequence[Entry], path: Sequence[str], time_limit_s: float) -> Iterator[Finding]:
    """Yield the findings of one child: one or more, the last of which may be that it died."""
    import subprocess  # discovery imports this module for its value, and seldom inspects

    request = {
        "distribution": distribution,
        "modules": [each.module for each in entries],
        "path": list(path),
    }
    reading, writing = os.pipe()
    with open(reading, "rb", buffering=0) as answers:  # noqa: PTH123 - a descriptor
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-B", "-c", _CHILD, str(writing)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[writing],
                start_new_session=True,
            )
        finally:
            os.close(writing)
        try:
            assert child.stdin is not None
            with contextlib.suppress(BrokenPipeError), child.stdin:
                child.stdin.write(json.dumps(request).encode())
            yield from _answers(child.pid, answers.fileno(), entries, time_limit_s)
        finally:
            # Whatever the plugin started dies with it, in whatever session. Not reaped yet, the child owns its pid.
            child.terminate()
            try:
                child.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _answers(pid: int, descriptor: int, entries: Sequence[Entry], time_limit_s: float) -> Iterator[Finding]:
    waiting = [each.module for each in entries]
    for line in _lines(descriptor, time_limit_s):
        if line is None:
            error = f"importing it took longer than {time_limit_s:g} s"
            yield Finding(waiting[0], error=error, lasting=False)
            return
        if len(line) > MAX_LINE:
            yield Finding(waiting[0], error=f"what it brings takes more than {MAX_LINE >> 20} MiB to tell")
            return
        finding = _finding(waiting[0], line)
        if finding is None:
            yield Finding(waiting[0], error="it wrote over the answer of its inspection")
            return
        del waiting[0]
        yield finding
        if not waiting:
            return
    # Behind another module it may be the other's doing: the next child tells, of which it is the first.
    if len(waiting) == len(entries):
        yield Finding(waiting[0], error=f"importing it ended the process{_ending(pid, time_limit_s)}", lasting=False)


def _finding(module: str, line: bytes) -> Finding | None:
    """Return what the child says of a module, None where that can't be the child's own answer."""
    try:
        answer = json.loads(line)
        return Finding(module, tuple(answer["facts"]), answer["error"]) if answer["module"] == module else None
    except (ValueError, TypeError, KeyError):
        return None


def _lines(descriptor: int, time_limit_s: float) -> Iterator[bytes | None]:
    """Yield lines until the other end is closed; None, and no more, when one takes too long.

    Of a line that is longer than MAX_LINE just the beginning, longer than that by less than what one read gives, and
    no more. So whoever stops after as many lines as there are modules never reads more than MAX_LINE for each.
    """
    pending = bytearray()
    deadline = time.monotonic() + time_limit_s
    while True:
        ready, _, _ = select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            yield None
            return
        chunk = os.read(descriptor, 1 << 16)
        if not chunk:
            return
        first, *others = chunk.split(b"\n")
        pending += first
        for each in others:
            yield bytes(pending)
            pending = bytearray(each)
            deadline = time.monotonic() + time_limit_s
        if len(pending) > MAX_LINE:
            yield bytes(pending)
            return


def _ending(pid: int, time_limit_s: float) -> str:
    """Say how a child ended, without reaping it."""
    deadline = time.monotonic() + time_limit_s
    while time.monotonic() < deadline:
        ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)
        if ended is not None:
            how = "with exit code" if ended.si_code == os.CLD_EXITED else "by signal"
            return f" {how} {ended.si_status}"
        time.sleep(0.01)
    return ""
