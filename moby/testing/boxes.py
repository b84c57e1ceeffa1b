"""Containers for tests of runtimes: made with pipes or a terminal of their own, and all gone at the end."""

import os
import secrets
import select
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, field

from moby.contracts.ambient import Place
from moby.contracts.runtime import Process, Runtime, RuntimeFeature
from moby.contracts.types import Stdio
from moby.host.cgroups import hierarchies
from moby.testing.bundles import Bundles, config

__all__ = [
    "Box", "Boxes", "MakeRuntime", "cgroup_folders", "children", "delegated", "exit_code", "leaks", "place_in",
    "read_all", "read_until", "readable", "reap", "run_inside", "with_pipe",
]  # fmt: skip

MakeRuntime = Callable[[Place], Runtime]
PATIENCE_S = 60.0


def readable(fd: int, timeout_s: float | None = None) -> bool:
    """Wait until a descriptor can be read or is at its end, as long as anything may take, or for a time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll((PATIENCE_S if timeout_s is None else timeout_s) * 1000))


def read_all(fd: int) -> str:
    """Read a stream to its end, which for a terminal is EIO; fail the test where the end doesn't come."""
    found = b""
    while True:
        if not readable(fd):
            pytest.fail(f"the stream doesn't end; so far {found!r}")
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            return found.decode(errors="replace")
        found += chunk


def read_until(fd: int, mark: str) -> str:
    """Read until something has come; fail the test where it doesn't."""
    found = b""
    while mark.encode() not in found:
        if not readable(fd):
            pytest.fail(f"{mark!r} doesn't come; so far {found!r}")
        try:
            chunk = os.read(fd, 65536)
        except OSError:
            chunk = b""
        if not chunk:
            pytest.fail(f"{mark!r} didn't come before the end; there was {found!r}")
        found += chunk
    return found.decode(errors="replace")


def exit_code(process: Process) -> int:
    """Reap a process by its descriptor and close that; return its code, 128+n for signal n."""
    if not readable(process.exit_fd):
        pytest.fail(f"process {process.pid} doesn't end")
    result = os.waitid(os.P_PIDFD, process.exit_fd, os.WEXITED)
    os.close(process.exit_fd)
    assert result is not None
    return result.si_status if result.si_code == os.CLD_EXITED else 128 + result.si_status


@define
class Box:
    """One container under test."""

    id: str
    bundle: Path
    process: Process
    output: int = -1
    """What comes out of it, both streams."""
    stdin: int = -1
    _code: int | None = None

    def code(self) -> int:
        """Wait for its end, and return its exit code."""
        if self._code is None:
            self._code = exit_code(self.process)
        return self._code

    def text(self) -> str:
        """Read what comes out of it, to the end."""
        return read_all(self.output)

    def until(self, mark: str) -> str:
        """Read what comes out of it, until something has come."""
        return read_until(self.output, mark)

    def close(self) -> None:
        """Close what is open of it, and reap it; it must have ended or been killed."""
        self.code()
        for fd in {self.output, self.stdin} - {-1}:
            with suppress(OSError):
                os.close(fd)


@define
class Boxes:
    """Makes containers with one runtime, and removes them all on leaving."""

    runtime: Runtime
    place: Place
    bundles: Bundles
    rootless: bool = field(factory=lambda: os.geteuid() != 0)
    _made: list[Box] = Factory(list)
    _count: int = 0

    def name(self) -> str:
        """Return a fresh id."""
        self._count += 1
        return f"box{self._count}"

    def config(self, *args: str, **process: Any) -> dict[str, Any]:
        """Return a config.json that suits the user whom the tests run as, and asks for no more than is offered."""
        return config(
            args, rootless=self.rootless, namespaces=RuntimeFeature.NAMESPACES in self.runtime.features,
            mounts=RuntimeFeature.MOUNTS in self.runtime.features, **process,
        )  # fmt: skip

    def create(self, data: Mapping[str, Any], name: str = "", *, stdin: bool = False, terminal: bool = False) -> Box:
        """Make a container with streams, and remember it."""
        name = name or self.name()
        bundle = self.bundles.make(f"{name}-{secrets.token_hex(3)}", data)
        return self.create_in(bundle, name, stdin=stdin, terminal=terminal)

    def create_in(self, bundle: Path, name: str, *, stdin: bool = False, terminal: bool = False) -> Box:
        """Make a container of a bundle that is there."""
        if terminal:
            process = self.runtime.create(name, bundle, Stdio(terminal=True))
            return self.keep(Box(name, bundle, process, process.terminal_fd, process.terminal_fd))
        with ExitStack() as given, ExitStack() as kept:
            output, out = os.pipe()
            end, own = os.pipe()
            given.callback(os.close, out)
            given.callback(os.close, end)
            for fd in (output, own):
                kept.callback(os.close, fd)
            process = self.runtime.create(name, bundle, Stdio(end, out, out))
            kept.pop_all()
        if not stdin:
            os.close(own)
            own = -1
        return self.keep(Box(name, bundle, process, output, own))

    def keep(self, box: Box) -> Box:
        """Remember a container, to remove it at the end."""
        self._made.append(box)
        return box

    def started(self, data: Mapping[str, Any], name: str = "", **streams: bool) -> Box:
        """Make a container and start it."""
        box = self.create(data, name, **streams)
        self.runtime.start(box.id)
        return box

    def run(self, *args: str, **process: Any) -> tuple[int, str]:
        """Run a program to its end; return its exit code and output."""
        return self.run_config(self.config(*args, **process))

    def run_config(self, data: Mapping[str, Any]) -> tuple[int, str]:
        """Run what a config.json says to its end; return its exit code and output."""
        box = self.started(data)
        text = box.text()
        code = box.code()
        self.runtime.delete(box.id)
        return code, text

    def sleeping(self, name: str = "") -> Box:
        """Make and start a container that stays, and has said `up`."""
        box = self.started(self.config("sh", "-c", "echo up; exec sleep 1000"), name)
        box.until("up")
        return box

    def close(self) -> None:
        """Remove all containers, by force."""
        for box in reversed(self._made):
            self.runtime.delete(box.id, force=True)
            box.close()


def with_pipe(boxes: Boxes, data: dict[str, Any]) -> dict[str, Any]:
    """Add a named pipe at /pipe that anybody may execute."""
    mounts = RuntimeFeature.MOUNTS in boxes.runtime.features
    pipe = (boxes.bundles.folder if mounts else boxes.bundles.rootfs) / "pipe"
    if not pipe.exists():  # the root is that of all tests
        os.mkfifo(pipe)
        pipe.chmod(0o777)
    if not mounts:
        return data
    data["mounts"].append({"destination": "/pipe", "source": str(pipe), "options": ["bind"]})
    return data


def place_in(folder: Path) -> Place:
    """Make the folders of an instance, with an engine name that nobody else has."""
    place = Place(folder / "state", folder / "run", folder / "cache", f"suite{secrets.token_hex(4)}")
    for each in (place.state, place.run, place.cache):
        each.mkdir(parents=True)
    return place


def children() -> frozenset[int]:
    """Return the pids of this process's children, zombies included."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(int(word) for word in (task / "children").read_text(encoding="ascii").split())
    return frozenset(found)


def reap(pids: Iterable[int]) -> None:
    """Reap children in the order in which they end; fail where one doesn't.

    The first process of a PID namespace ends only after all others in it are reaped, so none is waited for alone.
    """
    left, deadline = set(pids), time.monotonic() + 60
    while left:
        left -= {pid for pid in left if os.waitpid(pid, os.WNOHANG)[0] == pid}
        if time.monotonic() > deadline:
            pytest.fail(f"processes {sorted(left)} don't end")
        time.sleep(0.001)


def _mounts() -> tuple[str, ...]:
    if os.geteuid():
        return ()  # an ordinary user mounts in namespaces of its own alone; what comes here is others'
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    return tuple(line.split()[4] for line in lines)


def _descriptors() -> frozenset[str]:
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = str(each.readlink())
            if not target.startswith(f"/proc/{os.getpid()}/fd"):
                found.add(f"{each.name} -> {target}")
    return frozenset(found)


def cgroup_folders(engine: str) -> tuple[str, ...]:
    """Return the cgroups whose path names an engine."""
    return tuple(
        below for below, _, _ in os.walk("/sys/fs/cgroup") if engine in below
    )  # fmt: skip


def delegated() -> bool:
    """Whether the caller was given the cgroup of version 2 above its own (cgroups(7), delegation)."""
    trees = [tree for tree in hierarchies() if tree.version == 2 and tree.writable]
    above = [Path(tree.folder(tree.own)).parent for tree in trees if tree.own != "/"]
    return any(os.access(folder / "cgroup.procs", os.W_OK) and os.access(folder, os.W_OK) for folder in above)


def leaks(engine: str) -> Iterator[list[str]]:
    """Yield once; then the list that was yielded says what is left: processes, descriptors, mounts, groups."""
    before = (children(), _descriptors(), _mounts())
    found: list[str] = []
    yield found
    found += [f"process {pid}" for pid in sorted(children() - before[0])]
    found += [f"descriptor {each}" for each in sorted(_descriptors() - before[1])]
    found += [f"mount {each}" for each in _mounts() if each not in before[2]]
    found += [f"control group {each}" for each in cgroup_folders(engine)]


def run_inside(boxes: Boxes, name: str, *args: str, **process: Any) -> tuple[int, str]:
    """Run one more program in a container; return its exit code and output."""
    if process.get("terminal"):
        started = boxes.runtime.exec(name, boxes.config(*args, **process)["process"], Stdio(terminal=True))
        text = read_all(started.terminal_fd)
        os.close(started.terminal_fd)
        return exit_code(started), text
    read, write = os.pipe()
    null = os.open("/dev/null", os.O_RDONLY)
    try:
        started = boxes.runtime.exec(name, boxes.config(*args, **process)["process"], Stdio(null, write, write))
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)
        os.close(null)
    text = read_all(read)
    os.close(read)
    return exit_code(started), text
