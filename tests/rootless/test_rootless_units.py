"""Subordinate ids, maps, and what is read of the host's files."""

import os
import select
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from moby_enclosure.pasta import uplink as pasta
from moby_enclosure.pasta.uplink import PASTA
from moby_enclosure.rootless import gate, namespaces, uplink
from moby_enclosure.rootless.enclosure import Rootless
from moby_enclosure.rootless.subordinate import arguments, rows_of
from moby_enclosure.rootless.talk import Talk, listen
from moby_enclosure.rootless.uplink import failed, named, program, resolv_conf
from moby_enclosure.slirp4netns.uplink import SLIRP
from moby_frontend.listening.addresses import in_runtime_folder
from peers.sandbox import until

from moby.contracts.ambient import Place
from moby.errors import HostUnfit, Unavailable, Unsupported
from moby.host import processes, subordinate_ids, user_maps

WHOLE = "         0          0 4294967295\n"
LENT = "0 1000 1\n1 100000 65536\n"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        pytest.param("me:100:50\n", ((0, 7, 1), (1, 100, 50)), id="by-name"),
        pytest.param("7:100:50\n", ((0, 7, 1), (1, 100, 50)), id="by-number"),
        pytest.param("you:1:2\nme:100:50\nme:500:5\n", ((0, 7, 1), (1, 100, 50), (51, 500, 5)), id="several"),
        pytest.param("me:x:1\nme:1\n\n#me:1:1\nme:-1:5\nme:1:0\nme:5:5:5\nme:9:9", ((0, 7, 1), (1, 9, 9)), id="odd"),
    ],
)
def test_maps(tmp_path, text, rows):
    file = tmp_path / "subuid"
    file.write_text(text)
    assert rows_of(7, ("me", "7"), file) == rows
    assert arguments(42, rows)[:4] == ["42", "0", "7", "1"]


@pytest.mark.parametrize("text", ["", "you:1:65536\n", "me:1:0\n", None])
def test_no_subordinate_ids(tmp_path, text):
    file = tmp_path / "subuid"
    if text is not None:
        file.write_text(text)
    with pytest.raises(HostUnfit, match=r"gives me no subordinate ids") as caught:
        rows_of(7, ("me", "7"), file)
    assert "usermod --add-subuids" in caught.value.hint


def test_a_user_without_a_name():
    assert subordinate_ids.names_of(4_000_000_123) == ("4000000123",)


@pytest.mark.parametrize(
    ("maps", "host_root", "keeps", "ordinary"),
    [
        pytest.param(WHOLE, True, True, False, id="host"),
        pytest.param(LENT, False, True, True, id="enclosed"),
        pytest.param("0 1000 1\n", False, False, True, id="alone"),
        pytest.param("0 100000 65536\n", False, True, False, id="a-container-of-its-own-ids"),
        pytest.param("0 1000 1\n2 100000 65536\n", False, False, True, id="a-hole"),
        pytest.param("", False, False, False, id="none"),
    ],
)
def test_who_root_is(monkeypatch, maps, host_root, keeps, ordinary):
    monkeypatch.setattr(user_maps, "read_text", lambda path: maps)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert user_maps.is_host_root() is host_root
    assert user_maps.keeps_owners() is keeps
    assert user_maps.is_ordinary() is ordinary
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert (user_maps.is_host_root(), user_maps.keeps_owners(), user_maps.is_ordinary()) == (False, False, True)


@pytest.mark.parametrize(
    ("host", "inside"),
    [
        pytest.param("nameserver 192.0.2.1\nsearch x\n", "", id="as-it-is"),
        pytest.param("nameserver 127.0.0.53\noptions edns0\n", "nameserver 10.0.2.3\noptions edns0\n", id="loopback"),
        pytest.param(
            "nameserver ::1\nnameserver 127.0.0.1\nnameserver 192.0.2.1\n",
            "nameserver 10.0.2.3\nnameserver 192.0.2.1\n", id="several",
        ),
        pytest.param("\tnameserver\t127.0.0.53\nnameserver\n", "nameserver 10.0.2.3\nnameserver\n", id="tabs"),
        pytest.param("", "", id="none"),
    ],
)  # fmt: skip
def test_name_servers_at_the_hosts_loopback(host, inside):
    assert resolv_conf(host, "10.0.2.3") == inside


def test_uplinks_by_name():
    assert named("") is None
    for name in ("pasta:PASTA", "slirp4netns:SLIRP"):
        part, _, value = name.partition(":")
        where = f"moby_enclosure.{part}.uplink:{value}"
        assert named(where).where == where


def test_a_program_that_isn_t_there(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(HostUnfit, match=r"pasta, .*, isn't on PATH") as caught:
        program("pasta", "passt")
    assert "apt install passt" in caught.value.hint


def test_a_program_that_fails():
    assert "one; two" in failed("pasta", "one\ntwo\n", 1).message
    assert "it ended with 3" in failed("pasta", "", 3).message


def _program(folder, monkeypatch, name, text):
    """Have a shell script found as a program."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


@pytest.fixture
def adopting():
    """Reap what a program leaves in the background, since a machine's first process may not."""
    before = processes.set_child_subreaper()
    yield
    processes.set_child_subreaper(before)


SILENT = "exec sleep 60"
ASKED = 'case "$*" in *--help*) exit 0;; esac\n'
"""Answers the question for options."""


@pytest.mark.parametrize(
    ("each", "text"),
    [
        pytest.param(PASTA, SILENT, id="pasta-asked-for-options"),
        pytest.param(PASTA, ASKED + SILENT, id="pasta"),
        pytest.param(SLIRP, SILENT, id="slirp4netns"),
    ],
)
def test_an_uplink_that_says_nothing(each, text, tmp_path, monkeypatch):
    _program(tmp_path, monkeypatch, each.name, text)
    for module in (uplink, pasta):
        monkeypatch.setattr(module, "PATIENCE_S", 0.2)
    with pytest.raises(Unavailable, match=f"{each.name} can't join .*: it says nothing for 0 s"):
        uplink.start(each, os.getpid(), tmp_path)


@pytest.mark.parametrize("each", [PASTA, SLIRP], ids=lambda each: each.name)
def test_an_uplink_that_ends(each, tmp_path, monkeypatch):
    _program(tmp_path, monkeypatch, each.name, ASKED + "echo one; echo two >&2; exit 3")
    with pytest.raises(HostUnfit, match=f"{each.name} can't join .*: one; two"):
        uplink.start(each, os.getpid(), tmp_path)


@pytest.mark.parametrize("each", [PASTA, SLIRP], ids=lambda each: each.name)
@pytest.mark.usefixtures("adopting")
def test_an_uplink_that_joins(each, tmp_path, monkeypatch):
    """The one goes to the background and writes down where, the other stays and says so."""
    background = f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/uplink.pid"
    script = ASKED + (background if each is PASTA else "echo 1 >/proc/self/fd/${4#--ready-fd=}; exec sleep 60")
    _program(tmp_path, monkeypatch, each.name, script)
    pidfd = uplink.start(each, os.getpid(), tmp_path)
    try:
        assert not processes.readable(pidfd, 0)
    finally:
        processes.send_signal(pidfd, signal.SIGKILL)
        assert processes.readable(pidfd, 60)
        processes.dismiss(pidfd)


@pytest.mark.usefixtures("adopting")
def test_an_uplink_that_is_started_again_keeps_nobody_waiting(tmp_path, monkeypatch, capfd):
    """A gate answers while one says nothing, gives it up, and tries once more, rarer each time."""
    _program(tmp_path, monkeypatch, "pasta", ASKED + f"echo $$ >>{tmp_path}/started; exec sleep 60")
    made = object.__new__(gate.Gate)
    inside = namespaces.Inside(os.getpid(), -1, (), -1, -1)
    vars(made).update(
        _folder=tmp_path, _uplink=PASTA, _inside=inside, _link=-1, _link_due=0.0, _link_pause=gate._AGAIN_S,
        _starting=None,
    )  # fmt: skip
    poll = select.poll()
    made._look_after_link(poll)
    first = made._starting
    assert made._own() == (os.getpid(), 0, first.process.pid)
    assert poll.poll(0) == []
    made._look_after_link(poll)
    assert made._starting is first, "it has its time"
    made._link_due = 0.0
    made._look_after_link(poll)
    assert (made._starting, made._link_pause, first.process.returncode) == (None, 2 * gate._AGAIN_S, -signal.SIGKILL)
    assert "pasta can't join" in capfd.readouterr().err

    _program(tmp_path, monkeypatch, "pasta", ASKED + "exit 1")
    made._link_due = 0.0
    made._look_after_link(poll)
    assert processes.readable(made._starting.fd, 60)
    made._link_began(poll, made._starting)
    assert (made._starting, made._link, made._link_pause) == (None, -1, 4 * gate._AGAIN_S)

    _program(tmp_path, monkeypatch, "pasta", f"sleep 60 >/dev/null 2>&1 & echo $! >{tmp_path}/uplink.pid")
    made._link_due = 0.0
    made._look_after_link(poll)
    assert processes.readable(made._starting.fd, 60)
    made._link_began(poll, made._starting)
    try:
        assert (made._starting, made._link_pause) == (None, gate._AGAIN_S)
        assert made._link >= 0
    finally:
        processes.send_signal(made._link, signal.SIGKILL)
        assert processes.readable(made._link, 60)
        processes.dismiss(made._link)

    made._link = -1
    monkeypatch.setenv("PATH", "/nowhere")
    made._link_due = 0.0
    made._look_after_link(poll)
    assert made._link_pause == 2 * gate._AGAIN_S
    assert "the host's, isn't on PATH" in capfd.readouterr().err


def test_the_runtime_folder(monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/5")
    monkeypatch.setattr("moby_frontend.listening.addresses.is_ordinary", lambda: True)
    assert in_runtime_folder("%t/docker.sock") == "/run/user/5/docker.sock"
    assert in_runtime_folder("/a/b") == "/a/b"
    monkeypatch.setattr("moby_frontend.listening.addresses.is_ordinary", lambda: False)
    assert in_runtime_folder("%t/docker.sock") == "/run/docker.sock"
    monkeypatch.setattr("moby_frontend.listening.addresses.is_ordinary", lambda: True)
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    with pytest.raises(HostUnfit, match="XDG_RUNTIME_DIR isn't set"):
        in_runtime_folder("%t/docker.sock")


def _enclosure(folder: Path) -> Rootless:
    return Rootless(None, Place(folder, folder, folder))


def test_a_port_where_there_is_no_gate(tmp_path):
    """As root of somebody else's namespaces, in which it is one's own."""
    with socket.socket(fileno=_enclosure(tmp_path).bind("tcp", "127.0.0.1", 0)) as sock:
        assert sock.getsockname()[0] == "127.0.0.1"
        taken = sock.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            _enclosure(tmp_path).bind("tcp", "127.0.0.1", taken)


def test_a_gate_that_has_gone(tmp_path):
    listen(tmp_path).close()
    with pytest.raises(Unavailable, match="opens the host's ports has ended"):
        _enclosure(tmp_path).bind("tcp", "127.0.0.1", 0)
    _enclosure(tmp_path).reclaim()


def test_a_gate_that_goes_meanwhile(tmp_path):
    with listen(tmp_path) as listener:
        talk = Talk(tmp_path)
        listener.close()
    with pytest.raises(ConnectionError):
        talk.ask("enter")
    talk.close()


def _gate(folder, answers):
    """Answer one who asks, as a gate might; return the thread that does."""

    def answer(listener):
        with listener:
            listener.setblocking(True)
            sock, _ = listener.accept()
            with sock:
                sock.recv(4096)
                if answers:
                    sock.send(answers)

    thread = threading.Thread(target=answer, args=(listen(folder),))
    thread.start()
    return thread


def test_a_gate_that_speaks_otherwise(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    thread = _gate(tmp_path, b"errno\x0022")
    with pytest.raises(Unsupported, match="another distribution's gate") as caught:
        _enclosure(tmp_path).enter()
    assert "down" in caught.value.hint
    thread.join()


def test_a_port_that_a_gate_can_t_have(tmp_path):
    thread = _gate(tmp_path, b"errno\x0013")
    with pytest.raises(PermissionError):
        _enclosure(tmp_path).bind("tcp", "0.0.0.0", 80)
    thread.join()


@pytest.mark.parametrize(("version", "known"), [("1", True), ("2", True), ("3", False), ("x", False), ("", False)])
def test_versions_of_what_is_said(version, known):
    assert gate._is_known(version) is known


def test_what_a_gate_wrote_down(tmp_path):
    path = tmp_path / "inside"
    assert gate._recorded(path) == ""
    three = "user:[4026531837] mnt:[4026531841] net:[4026531840]"
    path.write_text(gate._record(three))
    assert gate._recorded(path) == three
    for text in (f"other {three}\n", gate._record("user:[4026531837]"), "", "a b c d", "\xff"):
        path.write_text(text, "latin-1")
        assert gate._recorded(path) == ""


def test_who_is_in_a_user_namespace():
    own = namespaces.identity("self")
    assert own.startswith("user:[")
    assert namespaces.found(own) > 0
    assert namespaces.found("user:[1]") == 0
    assert namespaces.identity(2**22 + 1) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="unshares; runs as root")
def test_who_has_other_mounts_is_not_one_to_stand_for(monkeypatch):
    """Else what comes in after a gate was killed could be in a container, and run its files."""
    wanted = namespaces.identity("self", namespaces.KINDS)
    with subprocess.Popen(["unshare", "--mount", "sleep", "60"]) as other:
        try:
            until(lambda: namespaces.identity(other.pid, namespaces.KINDS) not in ("", wanted), "its own mounts")
            monkeypatch.setattr(os, "listdir", lambda path: [str(other.pid)])
            assert namespaces.found(namespaces.identity("self")) == other.pid
            assert namespaces.found(wanted, kinds=namespaces.KINDS) == 0
            monkeypatch.setattr(os, "listdir", lambda path: [str(other.pid), str(os.getpid())])
            assert namespaces.found(wanted, kinds=namespaces.KINDS) == os.getpid()
        finally:
            other.kill()


@pytest.mark.parametrize(
    "fields",
    [
        *(["bind", "tcp", "127.0.0.1", number] for number in ("\u00b2", "x", "-1")),
        *(["bind", "tcp", address, "0"] for address in ("localhost", "::1%x", "")),
        ["bind", "icmp", "127.0.0.1", "1"], ["enter", "\u00b2"], ["enter"], [""],
    ],
)  # fmt: skip
def test_what_a_gate_answers_to_nonsense(fields):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        gate.Gate._answer(None, theirs, fields)
        assert ours.recv(64) == b"errno\x0022"


def test_gates_that_keep_ending(tmp_path, monkeypatch):
    """One that was just about to end is asked no more, and another is; but not for ever."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    started = []

    def start(part):
        started.append(_gate(tmp_path, b""))
        return True

    monkeypatch.setattr(Rootless, "_start", start)
    with pytest.raises(Unavailable, match="ends again and again"):
        _enclosure(tmp_path).enter()
    assert len(started) > 1
    for each in started:
        each.join()
