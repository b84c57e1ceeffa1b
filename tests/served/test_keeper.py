"""The keeper's own program: its memory, its callers, what it writes down, and what it makes of others' files."""

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from served.conftest import alive, eventually, own_kib, parent, pids_of

from moby.errors import Invalid, NotFound, Unsupported
from moby.host import processes
from moby.served.keeper import program
from moby.served.keeping import Conversation, HeldKeeper
from moby.served.launching import Launcher

SLEEP = ("/bin/sleep", "1000")


@pytest.fixture
def launcher(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Launcher]:
    """Of a keeper that stays until the test is over, however long that takes, unless the test says otherwise."""
    made = Launcher(tmp_path, linger_s=getattr(request, "param", 600))
    user = made.user()
    yield made
    os.close(user)
    made.end()
    assert eventually(lambda: not pids_of(tmp_path))


@pytest.fixture
def talk(launcher: Launcher) -> Iterator[Conversation]:
    made = launcher.reach("k/a")
    yield made
    made.close()


def pid_of(launcher: Launcher, key: str = "k/a") -> int:
    """Wait until a part runs, and return its process."""
    return int(eventually(lambda: next((each.pid for each in launcher.parts() if each.key == key), 0)))


def want(launcher: Launcher, command: tuple[str, ...] = SLEEP, **options: bool) -> None:
    launcher.want("k/a", command, {"A": "b=c"}, **{"outlives": False, "replace": False, **options})


@pytest.fixture(autouse=True)
def no_subreaper() -> Iterator[None]:
    """Have orphans go where they go from an engine, whatever other tests made of this process."""
    before = processes.set_child_subreaper(False)
    yield
    processes.set_child_subreaper(before)


def test_it_is_nobodys_child_and_small(launcher: Launcher, talk: Conversation) -> None:
    stat = Path(f"/proc/{talk.pid}")
    assert parent(talk.pid) != os.getpid()
    assert os.getsid(talk.pid) != os.getsid(0)
    assert own_kib(talk.pid) < 6 << 10
    assert str((stat / "fd/0").readlink()) == os.devnull
    imported = (stat / "maps").read_text()
    assert "_ctypes" not in imported
    assert "_json" not in imported


@pytest.mark.slow
@pytest.mark.parametrize("launcher", [0.2], indirect=True)
def test_it_ends_when_nothing_is_left(launcher: Launcher, talk: Conversation) -> None:
    want(launcher)
    launcher.stop("k/a")
    eventually(lambda: not alive(talk.pid))
    want(launcher)
    assert alive(pid_of(launcher))


def test_it_ignores_what_ends_others(launcher: Launcher, talk: Conversation) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        os.kill(talk.pid, number)
    talk.pages("status")
    assert alive(talk.pid)


@pytest.mark.slow
def test_many_callers_at_once_start_one(launcher: Launcher, tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from moby.served.launching import Launcher\n"
    code += "print(Launcher(Path(sys.argv[1]), linger_s=600).reach().pid)"
    command = [sys.executable, "-c", code, str(tmp_path)]
    children = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    assert len({child.communicate()[0] for child in children}) == 1


def test_a_part_that_does_not_start_is_tried_less_and_less(launcher: Launcher) -> None:
    want(launcher, ("/bin/false",))
    eventually(lambda: launcher.parts()[0].failures >= 3)
    want(launcher, ("/nonexistent",), replace=True)
    eventually(lambda: "can't be started" in (launcher.folder / "log").read_text())
    launcher.stop("k/a")
    assert launcher.parts() == ()


def test_a_part_has_its_variables_and_plain_signals(launcher: Launcher) -> None:
    want(launcher)
    status = Path(f"/proc/{pid_of(launcher)}")
    assert (status / "environ").read_bytes() == b"A=b=c\0"
    lines = dict(line.split(":\t") for line in (status / "status").read_text().splitlines() if ":\t" in line)
    assert (int(lines["SigIgn"], 16), int(lines["SigBlk"], 16)) == (0, 0)
    assert [each.name for each in (status / "fd").iterdir()] == ["0", "1", "2"]


@pytest.mark.slow
def test_one_that_does_not_end_is_killed(launcher: Launcher) -> None:
    want(launcher, ("/bin/sh", "-c", "trap '' TERM; exec sleep 1000"))
    pid = pid_of(launcher)
    eventually(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes())
    launcher.stop("k/a")
    assert not alive(pid)


def test_another_command_replaces_only_where_asked(launcher: Launcher, talk: Conversation) -> None:
    with Path(os.devnull).open() as file:
        talk.ask("hold", "x", fds=[file.fileno()])
    want(launcher)
    first = pid_of(launcher)
    want(launcher, ("/bin/sleep", "1001"))
    assert pid_of(launcher) == first
    want(launcher, replace=True)
    assert pid_of(launcher) == first
    want(launcher, ("/bin/sleep", "1001"), replace=True)
    eventually(lambda: pid_of(launcher) != first)
    assert not alive(first)
    assert talk.pages("names") == ["x"], "what it held is the next one's"


def test_exits_are_on_disk_and_survive_it(launcher: Launcher, talk: Conversation) -> None:
    command = (
        "/bin/sh",
        "-c",
        f"cd {launcher.folder}; (sleep 0.3; exit 3) & echo $! > new; mv new out; exec sleep 1000",
    )
    want(launcher, command, outlives=True)
    out = launcher.folder / "out"
    child = int(eventually(lambda: out.exists() and out.read_text()))
    talk.ask("hold", "task", str(child))
    keeper = HeldKeeper(lambda: launcher.reach("k/a"))
    watched = keeper.watch()
    os.kill(pid_of(launcher), signal.SIGKILL)
    (ended,) = eventually(keeper.reaped)
    assert (ended.pid, os.waitstatus_to_exitcode(ended.status)) == (child, 3)
    assert str(child) in (launcher.folder / "exits").read_text()
    os.kill(talk.pid, signal.SIGKILL)
    eventually(lambda: not alive(talk.pid))
    assert os.read(watched, 10) in (b"new", b""), "whoever watches is told"
    (again,) = keeper.reaped()
    assert again == ended
    keeper.release("task")
    assert keeper.reaped() == ()
    assert (launcher.folder / "exits").read_text() == ""
    keeper.close()
    os.close(watched)


def test_torn_files_are_passed_over(launcher: Launcher, tmp_path: Path) -> None:
    folder = tmp_path / "keeper"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts/x").write_bytes(b"torn\0")
    (folder / "parts/y").write_bytes(b"k/y\0009\0000\0001\0\0001\0/bin/true")
    (folder / "exits").write_bytes(b"k/a task 7 0 99\nbad\nk/a task 8 0 1")
    keeper = HeldKeeper(lambda: launcher.reach("k/a"))
    assert [each.pid for each in keeper.reaped()] == [7]
    assert launcher.parts() == ()
    keeper.close()


class TestHeld:
    def test_a_hundred_names_of_many_descriptors(self, launcher: Launcher) -> None:
        keeper = HeldKeeper(lambda: launcher.reach("k/a"))
        reads, writes = os.pipe()
        for number in range(100):
            keeper.hold(f"{'n' * 900}{number}", [reads, writes])
        keeper.close()
        again = HeldKeeper(lambda: launcher.reach("k/a"))
        found = again.held()
        assert {len(fds) for fds in found.values()} == {2}
        assert len(found) == 100
        for fds in found.values():
            for fd in fds:
                os.close(fd)
        again.hold("n", [reads])
        again.release("n")
        again.release("n")
        again.close()
        for fd in (reads, writes):
            os.close(fd)

    def test_what_is_refused(self, launcher: Launcher) -> None:
        keeper = HeldKeeper(lambda: launcher.reach("k/a"))
        for name in ("", "a b", "a\nb", "a\0b"):
            with pytest.raises(Invalid):
                keeper.hold(name, [])
        with pytest.raises(Invalid, match="too much"):
            keeper.hold("x" * program.LONGEST, [])
        with pytest.raises(NotFound, match="can't be kept"):
            keeper.hold("x", [9999])
        assert keeper.held() == {}
        keeper.close()

    def test_only_the_first_of_a_name_is_waited_for(self, launcher: Launcher, talk: Conversation) -> None:
        keeper = HeldKeeper(lambda: launcher.reach("k/a"))
        reads, writes = os.pipe()
        keeper.hold("x", [reads])
        keeper.hold("y", [reads])
        os.kill(talk.pid, signal.SIGSTOP)
        try:
            keeper.hold("x", [reads, writes])
        finally:
            os.kill(talk.pid, signal.SIGCONT)
        keeper.release("y")
        found = keeper.held()
        assert {name: len(fds) for name, fds in found.items()} == {"x": 2}
        for fd in (*found["x"], *talk.ask("get", "x")[1], reads, writes):
            os.close(fd)
        keeper.close()

    def test_what_it_has_no_room_for(self, launcher: Launcher, talk: Conversation) -> None:
        keeper = HeldKeeper(lambda: launcher.reach("k/a"))
        reads, writes = os.pipe()
        keeper.hold("x", [reads])
        resource.prlimit(talk.pid, resource.RLIMIT_NOFILE, (32, 4096))
        keeper.hold("x", [reads, *[writes] * 40])
        with pytest.raises(Invalid, match="the keeper refuses hold: too much at once, or too many descriptors open"):
            keeper.hold("y", [writes] * 40)
        assert talk.pages("names") == ["x"]
        (kept,) = talk.ask("get", "x")[1]
        assert os.path.samestat(os.fstat(kept), os.fstat(reads)), "what it had before"
        for fd in (kept, reads, writes):
            os.close(fd)
        keeper.close()

    def test_the_last_word_of_a_part_that_is_killed_counts(self, launcher: Launcher, talk: Conversation) -> None:
        """A keeper that has much else to do hears it late: then the part, and the child that it told of, have ended."""
        code = f"""
import os, signal, sys
sys.path[:] = {sys.path!r}
from pathlib import Path
from moby.served.keeping import HeldKeeper
from moby.served.launching import Launcher
keeper = HeldKeeper(lambda: Launcher(Path({str(launcher.folder.parent)!r}), linger_s=0.2).reach("k/a"))
if keeper.held():
    signal.pause()
reads, writes = os.pipe()
keeper.hold("x", [reads])
child = os.fork()
if not child:
    os.close(writes)
    os.read(reads, 1)
    os._exit(3)
os.kill({talk.pid}, signal.SIGSTOP)
keeper.hold("x", [reads, reads], [child])
os.kill(os.getpid(), signal.SIGKILL)
"""
        want(launcher, (sys.executable, "-c", code), outlives=True)
        eventually(lambda: Path(f"/proc/{talk.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        eventually(lambda: len(_zombies_of(talk.pid)) == 2)
        os.kill(talk.pid, signal.SIGCONT)
        keeper = HeldKeeper(lambda: launcher.reach("k/a"))
        (ended,) = eventually(keeper.reaped)
        assert os.waitstatus_to_exitcode(ended.status) == 3
        (found,) = keeper.held().values()
        assert len(found) == 2
        for fd in found:
            os.close(fd)
        keeper.release("x")
        keeper.close()


def _zombies_of(pid: int) -> list[str]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for each in children if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] == "Z"]


class TestCallers:
    @pytest.fixture
    def raw(self, launcher: Launcher, talk: Conversation) -> Iterator[Callable[[bytes], bytes]]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(60)
            sock.connect(os.path.relpath(launcher.folder / "socket"))

            def ask(packet: bytes) -> bytes:
                sock.send(packet)
                return sock.recv(100_000)

            yield ask

    @pytest.mark.parametrize("version", [program.VERSION - 1, program.VERSION, program.VERSION + 1])
    def test_neighbours_are_answered(self, raw: Callable[[bytes], bytes], version: int) -> None:
        assert raw(f"hello\0{version}\0k/a".encode()).startswith(b"hello\0")

    @pytest.mark.parametrize(
        "packet",
        [
            b"hello", b"hello\0x\0y", b"hello\0009\0k/a", b"names\0000", b"\0", b"x" * 60_001, b"\xff\xfe",
        ],
    )  # fmt: skip
    def test_strangers_are_refused(self, raw: Callable[[bytes], bytes], packet: bytes) -> None:
        assert raw(packet).startswith(b"error\0")
        assert raw(b"hello\0001\0k/a").startswith(b"hello\0")

    @pytest.mark.parametrize(
        "packet",
        [
            b"hold", b"hold\0a\0x", b"hold\0a b", b"get\0none", b"get", b"names\0x", b"what", b"part", b"stop",
            b"part\0k\0001\0001\0001", b"part\0k\0001\0001\0000", b"part\0k\0001\0001\0001\0/bin/true\0novalue",
        ],
    )  # fmt: skip
    def test_wrong_words_are_refused(self, raw: Callable[[bytes], bytes], launcher: Launcher, packet: bytes) -> None:
        raw(b"hello\0001\0k/a")
        assert raw(packet).startswith(b"error\0")
        assert launcher.parts() == ()

    def test_a_version_too_far_away(self, launcher: Launcher, monkeypatch: pytest.MonkeyPatch) -> None:
        launcher.reach("k/a").close()
        monkeypatch.setattr("moby.served.keeping.VERSION", program.VERSION + 2)
        with pytest.raises(Unsupported, match="the keeper that runs here is another's"):
            launcher.reach("k/a")
