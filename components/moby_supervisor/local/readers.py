"""Reading a log, in a process of its own that writes to a pipe, and ends where nobody reads that."""

import fcntl
import os
import signal
from contextlib import suppress
from typing import NoReturn

from moby.contracts.log_driver import LogConfig, LogDriver, LogQuery
from moby.errors import MobyError, Unavailable, Unsupported
from moby.host import processes
from moby_supervisor.local.log_cache import Kept, kept
from moby_supervisor.local.log_options import for_driver
from moby_supervisor.local.starter import Line, decode_error, encode_error
from moby_supervisor.local.task import ended_event
from moby_supervisor.local.world import World

__all__ = ["read"]

_FIRST_S = 0.1
"""How long a follower's first word is waited for: an error would be there by then."""
_LARGEST = 1 << 18
_PIPE = 1 << 18
"""Bytes that a reading's pipe has room for, so that its two ends needn't take turns."""


async def read(world: World, config: LogConfig, query: LogQuery) -> int:
    """Return a descriptor to read a log from; errors as LogDriver.read, where they show before the first byte."""
    source = _source(world, config)
    task = world.tasks.get(config.container_id)
    ended = task.exit_fd() if task is not None else ended_event()
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    with suppress(OSError):  # who has many pipes may not have larger ones
        fcntl.fcntl(ours, fcntl.F_SETPIPE_SZ, _PIPE)
    try:
        with Line() as line:
            keep = {ours, ended, line.theirs.fileno()}
            body = _Reading(source.driver, source.config, query, ended, ours, line)
            _, pidfd = world.starter.fork(body.run, keep)
            line.theirs.close()
            world.loop.background(_watch(world, pidfd, os.dup(ours)), "watch who reads a log")
            if await world.loop.readable(line.ours.fileno(), _FIRST_S if query.follow else None):
                _raise_error(line)
    except BaseException:
        os.close(theirs)
        raise
    finally:
        os.close(ours)
        os.close(ended)
    return theirs


def _source(world: World, config: LogConfig) -> Kept:
    """Return from whom a log is read: its driver, or who keeps what that one can't give back."""
    driver = world.driver(config.driver)
    if driver.readable:
        return Kept(driver, for_driver(config))
    found = kept(world.log_cache, driver, config)
    if found is None:
        raise Unsupported("configured logging driver does not support reading", hint="choose another, as json-file")
    return found


def _raise_error(line: Line) -> None:
    said = line.ours.recv(_LARGEST)
    if not said:
        raise Unavailable("the process that reads the log was killed", hint="try again")
    if said != b"read":
        error = decode_error(said)
        raise error if isinstance(error, MobyError) else Unavailable(f"the log can't be read: {error}")


async def _watch(world: World, pidfd: int, ours: int) -> None:
    """End a reading whose reader has left, which it would itself see only when it writes."""
    # Of a pipe that is watched for nothing, just that its other end was closed is told.
    world.loop.watch(ours, 0, lambda events: _end(world, pidfd, ours))
    try:
        await world.loop.readable(pidfd)
        processes.reap(pidfd)
    finally:
        world.loop.forget(ours)
        os.close(ours)
        os.close(pidfd)


def _end(world: World, pidfd: int, ours: int) -> None:
    world.loop.forget(ours)
    processes.send_signal(pidfd, signal.SIGKILL)


class _Reading:
    """What the process does."""

    def __init__(self, driver: LogDriver, config: LogConfig, query: LogQuery, ended: int, out: int, line: Line) -> None:
        self._driver = driver
        self._config = config
        self._query = query
        self._ended = ended
        self._out = out
        self._line = line

    def run(self) -> NoReturn:
        """Read and write; the copy's whole life."""
        begun = False
        try:
            signal.signal(signal.SIGPIPE, signal.SIG_IGN)
            for chunk in self._driver.read(self._config, self._query, self._ended):
                if not begun:
                    self._tell(b"read")
                    begun = True
                self._write(chunk)
            if not begun:
                self._tell(b"read")
        except Exception as error:
            if not begun:
                self._tell(encode_error(error))
        finally:
            os._exit(0)

    def _tell(self, word: bytes) -> None:
        with suppress(OSError):  # whoever follows what says nothing yet isn't waited for by now
            self._line.theirs.send(word)

    def _write(self, chunk: bytes) -> None:
        rest = memoryview(chunk)
        while rest:
            rest = rest[os.write(self._out, rest) :]
