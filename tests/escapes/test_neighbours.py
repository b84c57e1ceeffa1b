"""Containers that share namespaces with others, or with the host: what waits for its start there shows nothing."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from escape_attacks import tried
from moby_runtime.native import runtime

from moby.errors import Unavailable
from moby.host import processes
from moby.testing.boxes import Boxes

LOOK = """
pid = {pid}
for name in ("exe", "root", "cwd", "fd/0"):
    attempt(name, lambda: os.readlink(f"/proc/{{pid}}/{{name}}"))
for name in ("mem", "maps", "environ", "exe", "auxv"):
    attempt("open-" + name, lambda: os.close(os.open(f"/proc/{{pid}}/{{name}}", os.O_RDONLY)))
attempt("write-exe", lambda: os.close(os.open(f"/proc/{{pid}}/exe", os.O_WRONLY)))
def trace():
    c(libc.ptrace, 16, pid, 0, 0)
    os.waitpid(pid, 0x40000000)
    c(libc.ptrace, 17, pid, 0, 0)
attempt("ptrace", trace)
"""


def sharing(data: dict[str, Any], kind: str, pid: int) -> dict[str, Any]:
    """Share the PID namespace of the host (0), or of a container by its first process."""
    entries = [each for each in data["linux"]["namespaces"] if each["type"] != kind]
    if pid:
        entries.append({"type": kind, "path": f"/proc/{pid}/ns/{kind}"})
    data["linux"]["namespaces"] = entries
    return data


@pytest.fixture(params=["host", "container"])
def seen(request: pytest.FixtureRequest, boxes: Boxes) -> dict[str, str]:
    """What a container gets of one that was made, and not started, in the PID namespace that both are in."""
    return look(boxes, request.param)


def look(boxes: Boxes, where: str) -> dict[str, str]:
    first = boxes.sleeping()
    shared = first.process.pid if where == "container" else 0
    waiting = boxes.create(sharing(boxes.config("true"), "pid", shared))
    status = Path(f"/proc/{waiting.process.pid}/status").read_text(encoding="ascii")
    inner = next(line.split()[-1] for line in status.splitlines() if line.startswith("NSpid"))
    found = tried(boxes, LOOK.format(pid=inner), sharing(boxes.config(), "pid", shared))
    boxes.runtime.start(waiting.id)
    return found


def test_what_waits_shows_nothing(seen: dict[str, str]) -> None:
    """CVE-2019-5736, CVE-2020-14298, CVE-2016-9962: before its start it is a copy of the host's runtime."""
    assert len(seen) == 11
    assert {name: said for name, said in seen.items() if said not in ("EACCES", "EPERM")} == {}


def test_it_would_show_the_runtime(boxes: Boxes, monkeypatch) -> None:
    monkeypatch.setattr(processes, "set_dumpable", lambda on: None)
    found = look(boxes, "host")
    assert (found["exe"], found["open-mem"], found["fd/0"]) == ("done", "done", "done")


def test_what_waits_and_is_stopped_is_given_up(boxes: Boxes, monkeypatch) -> None:
    """A neighbour in the PID namespace stops it, so that whoever starts it would wait for ever."""
    box = boxes.create(boxes.config("true"))
    os.kill(box.process.pid, signal.SIGSTOP)
    monkeypatch.setattr(runtime, "_PATIENCE_S", 0.2)
    with pytest.raises(Unavailable, match="stops or delays"):
        boxes.runtime.start(box.id)
    assert box.code() == 137


def test_shared_memory_and_queues_are_its_own(boxes: Boxes) -> None:
    """System V memory and POSIX queues of the host, and of others, are in another IPC namespace."""
    code = """
    libc.shmget.restype = ctypes.c_int
    attempt("shm", lambda: c(libc.shmget, {key}, 1, 0))
    attempt("made", lambda: c(libc.shmget, {key}, 1, 0o1000 | 0o600))
    """
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    key = 0x6D000000 | os.getpid()
    number = libc.shmget(key, 4096, 0o1000 | 0o600)
    assert number >= 0
    try:
        assert tried(boxes, code.format(key=key))["shm"] == "ENOENT"
        shared = sharing(boxes.config(), "ipc", 0)
        assert tried(boxes, code.format(key=key), shared)["shm"] == "done"
    finally:
        libc.shmctl(number, 0, None)


def test_abstract_sockets_of_the_host(boxes: Boxes) -> None:
    """CVE-2020-15257: who shares the host's network finds no socket of the engine by an abstract name."""
    lines = Path("/proc/net/unix").read_text(encoding="utf-8", errors="replace").splitlines()
    before = {line.split()[-1] for line in lines if "@" in line.split()[-1]}
    box = boxes.create(sharing(boxes.config("cat", "/proc/net/unix"), "network", 0))
    boxes.runtime.start(box.id)
    told = {line.split()[-1] for line in box.text().splitlines() if line.split()[-1].startswith("@")}
    assert {name for name in told - before if boxes.place.engine in name or str(boxes.place.run) in name} == set()
    assert not [line for line in lines if "@" in line and boxes.place.engine in line]


def test_sockets_of_the_runtime_are_found_by_it(boxes: Boxes) -> None:
    """CVE-2020-15257, CVE-2014-3499: what starts a container is a socket in a folder that is root's alone."""
    box = boxes.create(boxes.config("true"))
    folder = boxes.place.run / box.id
    assert folder.stat().st_mode & 0o077 == 0
    sockets = [each for each in folder.iterdir() if each.is_socket()]
    assert sockets
    boxes.runtime.start(box.id)
    assert box.code() == 0
    assert not any(each.exists() for each in sockets), "once it is started nobody is told again"
