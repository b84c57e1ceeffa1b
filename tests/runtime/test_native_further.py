"""A further program of a container, whose way in is prepared on the caller's memory: as by a copy, and no less safe."""

import functools
import gc
import os
import signal
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native import launch
from moby_runtime.native.runtime import Native
from moby_runtime.programs import executable

from moby.errors import MobyError
from moby.host import bare, lookups, processes, vfork
from moby.host.mounts import file_system
from moby.testing.boxes import Box, Boxes, MakeRuntime, run_inside
from moby.testing.copied import in_copy
from moby.testing.runtime import RuntimeFixtures

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="a process of an ordinary user joins a user namespace, by a copy"),
    pytest.mark.skipif(not vfork.possible(), reason="this interpreter looks where its stack is; 3.13 runs it"),
]
EVERYTHING = {
    "user": {"uid": 1000, "gid": 1001, "additionalGids": [7, 1002], "umask": 0o27},
    "capabilities": {
        name: ["CAP_CHOWN", "CAP_NET_RAW"]
        for name in ("bounding", "permitted", "effective", "inheritable", "ambient")
    },
    "rlimits": [
        {"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}, {"type": "RLIMIT_NPROC", "soft": 9000, "hard": 9000},
    ],
    "noNewPrivileges": True,
    "oomScoreAdj": 300,
    "cwd": "/tmp",
    "env": ["PATH=/bin", "A=b"],
}  # fmt: skip
GROUPS = (0x27E0EB, 0x63677270)
"""Of either version's files (linux/magic.h)."""
SHOW = "pwd; umask; env; cat /proc/self/limits /proc/self/oom_score_adj /proc/self/status"
SHOWN = ("Uid", "Gid", "Groups", "Sig", "Shd", "Cap", "NoNewPrivs", "Seccomp")
PLAIN = ["/bin/echo", "echo", "bin/echo", "./bin/../bin/echo", "/link", "/links/relative", "links/up", "/far",
    "/bin/top", "top",
]  # fmt: skip
OTHERS = [
    "/script", "/absent", "absent", "/bin", "/bin/", ".", "/pipe", "/data", "/loop", "/empty", "/proc/self/exe", "/exe",
    "/unreadable", "/two", "/bin/echo/below",
]  # fmt: skip


FOLDERS = ["/", "/tmp", "/links", "/bin/../tmp", "/to", "/absent", "/bin/echo", "/proc/self/fd/99", "/proc/1/root"]
REFUSED: list[dict[str, Any]] = [
    {"user": {"uid": 2**32 - 1, "gid": 0}},
    {"user": {"uid": 0, "gid": 2**32 - 1}},
    {"rlimits": [{"type": "RLIMIT_NOFILE", "soft": 9, "hard": 2**40}]},
]
HOMES: list[tuple[dict[str, Any], str]] = [
    ({}, "/r"), ({"env": ["HOME="]}, "/r"), ({"env": ["HOME=/x"]}, "/x"), ({"user": {"uid": 9, "gid": 9}}, "/"),
]  # fmt: skip


def make_programs(root: Path) -> None:
    """Add names that lead somewhere, and some that don't."""
    (root / "links").mkdir()
    for name, target in {
        "link": "bin/echo", "links/relative": "../bin/echo", "links/up": "../links/relative", "far": "/links/up",
        "loop": "loop", "exe": "/proc/self/exe", "bin/top": "/said", "said": "bin/echo", "bin/said": "true",
    }.items():  # fmt: skip
        (root / name).symlink_to(target)
    for name, text, mode in (
        ("script", "#!/bin/echo x\n", 0o755), ("data", "x", 0o644), ("empty", "", 0o755), ("two", "#!", 0o755),
    ):  # fmt: skip
        (root / name).write_text(text, encoding="ascii")
        (root / name).chmod(mode)
    (root / "unreadable").write_bytes((root / "bin/echo").read_bytes())
    (root / "unreadable").chmod(0o111)
    os.mkfifo(root / "pipe", 0o755)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text("root:x:0:0::/r\nbroken\nuser:x:1000:1001::/tmp/home:/bin/sh\n", encoding="ascii")


def shown(text: str) -> str:
    """Leave out of a /proc/PID/status what is of one process alone."""
    before, name, status = text.partition("Name:")
    lines = [line for line in status.splitlines() if line.startswith(SHOWN)]
    return "\n".join([before, name, *lines])


def alone(test: Callable[..., None]) -> Callable[..., None]:
    """Have a test go on in a copy of this process, with one thread, as only such a caller lends its memory."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        in_copy(lambda: test(*arguments, **named), test.__name__)

    return run


class TestFurther(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.fixture
    def box(self, boxes: Boxes) -> Box:
        bundle = boxes.bundles.make("further", boxes.config("sleep", "1000"), shared=False)
        make_programs(bundle / "rootfs")
        box = boxes.create_in(bundle, "further")
        boxes.runtime.start(box.id)
        return box

    def both_ways(self, boxes: Boxes, box: Box, monkeypatch, *args: str, **process: Any) -> tuple[Any, Any]:
        """Run something as it is prepared on the caller's memory, and by a copy; what goes wrong is returned."""

        def outcome() -> Any:
            try:
                return run_inside(boxes, box.id, *args, **process)
            except MobyError as error:
                return type(error), str(error), error.hint

        lent = outcome()
        with monkeypatch.context() as patch:
            patch.setattr(vfork, "possible", lambda: False)
            return lent, outcome()

    @pytest.mark.parametrize("uid", [0, 1000])
    @alone
    def test_programs(self, boxes: Boxes, box: Box, uid: int, monkeypatch) -> None:
        for name in (*PLAIN, *OTHERS):
            lent, copied = self.both_ways(
                boxes, box, monkeypatch, name, "said", user={"uid": uid, "gid": uid}, env=["PATH=/absent:/data:/bin"]
            )
            assert lent == copied
            assert (lent == (0, "said\n")) is (name in PLAIN or name == "/unreadable"), name

    @alone
    def test_plain_ones_are_found_without_more(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        monkeypatch.setattr(executable, "execute", lambda *arguments, **options: os._exit(99))
        for name in PLAIN:
            assert run_inside(boxes, box.id, name, "said", env=["PATH=/absent:/bin"]) == (0, "said\n")
        assert run_inside(boxes, box.id, "/script")[0] == 99

    @pytest.fixture
    def lent_python(self, boxes: Boxes) -> Box:
        data = boxes.config("sleep", "1000")
        interpreter = str(Path("/proc/self/exe").resolve())
        data["mounts"].append({"destination": "/python", "source": interpreter, "options": ["bind", "ro"]})
        return boxes.started(data)

    @alone
    def test_the_interpreter_that_runs_this_is_none(self, boxes: Boxes, lent_python: Box, monkeypatch) -> None:
        lent, copied = self.both_ways(boxes, lent_python, monkeypatch, "/python", "-c", "")
        assert lent == copied
        assert "/python" in lent[1]

    @alone
    def test_a_program_that_is_swapped_meanwhile(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        """What was looked at isn't what would be read: then it is left to others, who look again."""
        openat = lookups._openat

        def swapping(folder: int, name: bytes, flags: int) -> int:
            Path("/link.new").write_text("#!/bin/echo new\n", encoding="ascii")
            Path("/link.new").chmod(0o755)
            Path("/link.new").rename("/data")
            return openat(folder, name, flags)

        (boxes.bundles.folder / "further/rootfs/data").chmod(0o755)
        monkeypatch.setattr(lookups, "_openat", swapping)
        assert run_inside(boxes, box.id, "/data") == (0, "new /data\n")

    @alone
    def test_all_that_a_process_has(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        lent, copied = self.both_ways(boxes, box, monkeypatch, "sh", "-c", SHOW, **EVERYTHING)
        assert lent[0] == copied[0] == 0
        text = shown(lent[1])
        assert text == shown(copied[1])
        for line in ("/tmp", "0027", "HOME=/tmp/home", "A=b", "300", "Groups:\t7 1002 ", "NoNewPrivs:\t1"):
            assert line in text.splitlines()
        assert "CapAmb:\t0000000000002001" in text
        assert "Gid:\t1001\t1001\t1001\t1001" in text

    @alone
    def test_its_home(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        for process, home in HOMES:
            lent, copied = self.both_ways(
                boxes, box, monkeypatch, "/bin/sh", "-c", "echo $HOME", **{"env": [], **process}
            )
            assert lent == copied == (0, f"{home}\n")

    @pytest.mark.parametrize("size", [4000, 5000])
    @alone
    def test_a_home_in_a_long_list(self, boxes: Boxes, box: Box, size: int, monkeypatch) -> None:
        users = boxes.bundles.folder / "further/rootfs/etc/passwd"
        users.write_text("#" * (size - 20) + "\nroot:x:0:0::/q:\n", encoding="ascii")
        lent, copied = self.both_ways(boxes, box, monkeypatch, "/bin/sh", "-c", "echo $HOME", env=[])
        assert lent == copied == (0, "/q\n")

    @alone
    def test_working_folders(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        (boxes.bundles.folder / "further/rootfs/to").symlink_to("links")
        for folder in FOLDERS:
            lent, copied = self.both_ways(boxes, box, monkeypatch, "sh", "-c", "pwd -P", cwd=folder)
            assert lent == copied, folder

    @alone
    def test_what_cannot_be(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        for process in REFUSED:
            lent, copied = self.both_ways(boxes, box, monkeypatch, "true", **process)
            assert lent == copied
            assert issubclass(lent[0], MobyError)

    @pytest.fixture
    def signals(self) -> Iterator[None]:
        before = (
            signal.signal(signal.SIGUSR1, signal.SIG_IGN),
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]),
        )
        yield
        signal.signal(signal.SIGUSR1, before[0])
        signal.pthread_sigmask(signal.SIG_SETMASK, before[1])

    @alone
    def test_signals_do_what_they_do_by_default(self, boxes: Boxes, box: Box, signals, monkeypatch) -> None:
        lent, copied = self.both_ways(boxes, box, monkeypatch, "cat", "/proc/self/status")
        lines = [
            line.split() for line in (lent[1] + copied[1]).splitlines() if line.startswith(("SigB", "SigI", "SigC"))
        ]
        assert [mask for _, mask in lines] == ["0" * 16] * 6
        # The caller's own are what they were.
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
        ignored = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("SigIgn"))
        assert int(ignored.split()[1], 16) >> (signal.SIGUSR1 - 1) & 1


def recorded(monkeypatch: pytest.MonkeyPatch, look: Callable[[], Any]) -> list[Any]:
    """Have the process on the caller's memory look at something before it clones; what it saw appears in the list."""
    seen, clone = [], processes.clone

    def looking(*arguments: Any, **options: Any) -> tuple[int, int]:
        seen.append(look())
        return clone(*arguments, **options)

    monkeypatch.setattr(launch.processes, "clone", looking)
    return seen


def descriptors() -> dict[int, str]:
    found = {}
    for number in range(3, 1024):
        with suppress(OSError):
            mode = os.fstat(number).st_mode
            kind = "pipe" if stat.S_ISFIFO(mode) else "folder" if stat.S_ISDIR(mode) else "other"
            found[number] = "group" if file_system(number) in GROUPS else kind
    return found


class TestBetween(RuntimeFixtures):
    """The process that shares the caller's memory, when it has prepared everything."""

    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.fixture
    def box(self, boxes: Boxes) -> Box:
        return boxes.sleeping()

    @alone
    def test_it_stays_who_nobody_else_may_kill(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        seen = recorded(monkeypatch, lambda: (os.getresuid(), os.getpid()))
        assert run_inside(boxes, box.id, "true", user={"uid": 1000, "gid": 1000})[0] == 0
        ((ids, pid),) = seen
        assert ids == (0, 0, 0)
        assert pid not in (os.getpid(), 0)

    @alone
    def test_nobody_may_look_into_it(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        seen = recorded(monkeypatch, lambda: (processes.prctl(3), Path("/proc/self").exists()))
        arguments = Path("/proc/self/cmdline").read_bytes()
        assert run_inside(boxes, box.id, "true", user={"uid": 0, "gid": 1000})[0] == 0
        assert [dumpable for dumpable, _ in seen] == [0]
        assert (processes.prctl(3), Path("/proc/self/cmdline").read_bytes()) == (1, arguments)

    @alone
    def test_it_imports_nothing_of_the_container_s(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        finders = list(sys.meta_path)
        seen = recorded(monkeypatch, sys.meta_path.copy)
        assert run_inside(boxes, box.id, "true")[0] == 0
        assert (seen, sys.meta_path) == ([[]], finders)
        assert run_inside(boxes, box.id, "true")[0] == 0

    @alone
    def test_it_has_what_its_copy_needs_open(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        seen = recorded(monkeypatch, descriptors)
        before = sorted(Path("/proc/self/fd").iterdir())
        assert run_inside(boxes, box.id, "true")[0] == 0
        kinds = sorted(seen[0].values())
        assert kinds.count("pipe") == 1  # by which it tells what goes wrong
        assert len(kinds) - kinds.count("group") <= 3
        assert sorted(Path("/proc/self/fd").iterdir()) == before

    @alone
    def test_what_fails_there_leaves_nothing(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        def fail() -> None:
            raise PermissionError(1, "no")

        recorded(monkeypatch, fail)
        before, finders = sorted(Path("/proc/self/fd").iterdir()), list(sys.meta_path)
        with pytest.raises(MobyError, match="make the namespaces"):
            run_inside(boxes, box.id, "true")
        assert (sorted(Path("/proc/self/fd").iterdir()), sys.meta_path) == (before, finders)
        assert boxes.runtime.pids(box.id) in ((), (box.process.pid,))
        monkeypatch.undo()
        assert run_inside(boxes, box.id, "true")[0] == 0

    @alone
    def test_it_touches_no_file_of_the_container(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        """Which may be on a file system that never answers: then the caller would wait as long."""
        opened: list[Any] = []
        sys.addaudithook(lambda event, arguments: opened.append(arguments[0]) if event == "open" and noting else None)
        noting: list[bool] = []
        seen = recorded(monkeypatch, noting.clear)
        join = launch._join_all
        monkeypatch.setattr(launch, "_join_all", lambda entry: (join(entry), noting.append(True)))
        assert run_inside(boxes, box.id, "/bin/true", cwd="/tmp")[0] == 0
        assert (seen, opened) == ([None], ["/"])

    @alone
    def test_it_enters_no_group_of_the_container(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        """Which may be frozen, without time or without memory: so may the caller be then."""
        seen: list[str] = []
        join = launch._join_all
        monkeypatch.setattr(
            launch, "_join_all", lambda entry: (seen.append(Path("/proc/self/cgroup").read_text()), join(entry))
        )
        ours, theirs = (Path(f"/proc/{pid}/cgroup").read_text() for pid in ("self", box.process.pid))
        code, inside = run_inside(boxes, box.id, "cat", "/proc/self/cgroup")
        assert (code, seen) == (0, [ours])
        assert inside != ours
        assert run_inside(boxes, box.id, "sh", "-c", "cat /proc/1/cgroup")[1] == inside
        assert theirs != ours

    @alone
    def test_what_a_handler_raises_meanwhile_leaves_nothing(self, boxes: Boxes, box: Box, monkeypatch) -> None:
        caller = os.getpid()
        recorded(monkeypatch, lambda: os.kill(caller, signal.SIGUSR1))

        def interrupt(number: int, frame: object) -> None:
            raise InterruptedError

        handler = signal.signal(signal.SIGUSR1, interrupt)
        before = sorted(Path("/proc/self/fd").iterdir())
        try:
            with pytest.raises(MobyError):
                run_inside(boxes, box.id, "sleep", "1000")
        finally:
            signal.signal(signal.SIGUSR1, handler)
        assert gc.isenabled()
        assert signal.SIGUSR1 not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
        assert boxes.runtime.pids(box.id) in ((), (box.process.pid,))
        # But for what the test itself reads the streams by.
        assert len(sorted(Path("/proc/self/fd").iterdir())) <= len(before) + 1


def test_a_copy_ends_with_its_caller(monkeypatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    read, write = os.pipe()
    look = bare.ends_with(write)
    look()
    assert not ended
    os.close(read)
    look()
    os.close(write)
    assert ended == [70]
