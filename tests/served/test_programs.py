"""Parts in another language: how a process becomes a program, what keeps it from that, and the documented protocol."""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from served.conftest import Running, alive, eventually

from moby.component import facts_of
from moby.contracts.ambient import Place
from moby.contracts.volume_driver import VolumeDriver
from moby.errors import HostUnfit, Invalid, MobyError, NotFound, Unavailable
from moby.placement import placed
from moby.plan import Instance, Plan
from moby.served import wire
from moby.served.methods import interface_of
from moby.served.server import Server
from moby.surroundings import Surroundings, TextLog

PAGE = Path(__file__).resolve().parents[2] / "docs/served-parts.md"


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "parts"))
    import program_toys

    return program_toys


@pytest.fixture
def plan(programs: ModuleType) -> Callable[[str], Plan]:
    def make(name: str) -> Plan:
        facts = facts_of(programs.COMPONENTS[name], distribution="toys 1", module="program_toys")
        return placed(Plan("toy", (Instance(facts.kind, name, facts),)))

    return make


@pytest.mark.slow
def test_a_script_is_called_as_any_part(plan: Callable[[str], Plan], running: Running, around: Surroundings) -> None:
    with running(plan("script")) as engine:
        part = engine.instances["served-reader/script"]
        assert part.read("arguments") == [str(around.roots.state / "served-reader/script"), "two words"]
        assert part.read("signals") == []
        with pytest.raises(NotFound, match="no such") as refused:
            part.read("else")
        assert refused.value.hint == "another"
        with pytest.raises(MobyError, match="served-reader/script: segmentation in thought"):
            part.read("bug")
        assert engine.states()["served-reader/script"].detail == "well"
        _, process = part.pids()
        assert process != os.getpid()
    eventually(lambda: not alive(process))


@pytest.mark.slow
def test_a_killed_one_is_started_again(plan: Callable[[str], Plan], running: Running) -> None:
    with running(plan("script")) as engine:
        part = engine.instances["served-reader/script"]
        answering, process = part.pids()
        os.kill(process, signal.SIGKILL)
        os.kill(answering, signal.SIGKILL)
        eventually(lambda: not alive(process))
        assert part.pids()[1] not in (process, 1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("alien", HostUnfit, "the program of served-reader/alien can't be run: Exec format error"),
        ("short", Unavailable, "served-reader/short: its process doesn't start: no paper left"),
        ("absent", NotFound, "a part's program isn't in its package"),
    ],
)
def test_why_one_does_not_start(
    plan: Callable[[str], Plan], running: Running, name: str, error: type[MobyError], message: str
) -> None:
    with pytest.raises(error, match=message) as found, running(plan(name)) as engine:
        engine.instances[f"served-reader/{name}"].pids()
    assert found.value.hint


BECOMING = f"""
import os, socket, sys
from moby.component import Program
from moby.served.program import become
listener = socket.socket(fileno=int(sys.argv[1]))
become(Program(b"#!{sys.executable} -IS\\nimport socket\\nsocket.socket(fileno=3).accept()"), "a/b", listener)
"""


@pytest.mark.parametrize("number", [3, 4])
def test_it_listens_by_the_third_descriptor_whichever_that_was(tmp_path: Path, number: int) -> None:
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as caller:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        caller.connect(str(tmp_path / "s"))

        def move() -> None:
            os.dup2(listener.fileno(), 99)
            os.closerange(3, 99)
            os.dup2(99, number)

        done = subprocess.run(
            [sys.executable, "-c", BECOMING, str(number)], preexec_fn=move, close_fds=False, check=False, timeout=60,
            capture_output=True,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")


def test_one_that_needs_another_part_is_refused(plan: Callable[[str], Plan]) -> None:
    with pytest.raises(Invalid, match="it needs served-shelf, which a program in another language can't call"):
        plan("needing")


def test_it_has_a_process_whatever_the_assembly_says(plan: Callable[[str], Plan]) -> None:
    (instance,) = plan("script").instances
    assert (instance.served, instance.processes) == (False, ("served-reader/script",))


def conversation() -> list[tuple[Any, Any]]:
    """Return what is said and answered on the page, in order."""
    (block,) = re.findall(r"^```conversation\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = block.splitlines()
    assert [each[:2] for each in lines] == ["> ", "< "] * (len(lines) // 2)
    return [(json.loads(ask[2:]), json.loads(answer[2:])) for ask, answer in zip(lines[::2], lines[1::2], strict=True)]


def exchange(sock: socket.socket, message: Any) -> Any:
    """Speak as the page says, with nothing of the framework."""
    body = json.dumps(message).encode()
    sock.sendall(struct.pack("!IH", len(body), 0) + body)
    length, descriptors = struct.unpack("!IH", sock.recv(6, socket.MSG_WAITALL))
    assert descriptors == 0
    return json.loads(sock.recv(length, socket.MSG_WAITALL))


@pytest.fixture
def volumes(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """The volume driver `directory`, served; its socket, and the folder of its volumes."""
    from moby_volume.directory.driver import Directory

    place = Place(*(tmp_path / each for each in ("state", "run", "cache")))
    for each in (place.state, place.run, place.cache):
        each.mkdir()
    path, stop = tmp_path / "socket", os.eventfd(0)
    driver = Directory(None, place, shared=False)
    server = Server(wire.listen(path), interface_of(VolumeDriver), driver, TextLog("t", "error"), lambda: None)
    thread = threading.Thread(target=server.serve, args=(stop,))
    thread.start()
    yield path, str(place.state / "volumes")
    os.eventfd_write(stop, 1)
    thread.join(30)
    os.close(stop)


def test_the_documented_conversation(volumes: tuple[Path, str]) -> None:
    path, folder = volumes
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(path))
        for said, answer in conversation():
            assert exchange(sock, said) == json.loads(json.dumps(answer).replace("FOLDER", folder)), said
