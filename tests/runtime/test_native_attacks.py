"""Attacks of a container on what starts processes in it: none may reach the host's files, memory or time."""

import errno
import os
import platform
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from moby_runtime.native import launch
from moby_runtime.native.runtime import Native
from moby_runtime.programs import executable, program

from moby.errors import HostUnfit, Invalid, MobyError, Unavailable
from moby.host import bare, keyrings, lookups, processes
from moby.host.syscalls import call, libc, syscall
from moby.testing.as_user import as_nobody
from moby.testing.boxes import Boxes, MakeRuntime, place_in, run_inside
from moby.testing.bundles import Bundles
from moby.testing.runtime import RuntimeFixtures

WATCH = """
still() { read -r name < $1/comm && [ "$name" = NAME ]; }
try() { "$@" > /dev/null && still $p && echo "got $*"; }
look() {
  still $p || return
  echo seen
  try readlink $p/exe
  for file in exe environ maps; do try cat $p/$file; done
  true < $p/mem && try echo mem
  try readlink $p/fd/[0-9]*
  for file in root cwd; do try ls $p/$file/; done
  line="arguments: $(cat $p/cmdline)." && still $p && echo "$line"
}
echo up
while ! [ -e /tmp/over ]; do for p in /proc/[0-9]*; do look; done; done 2> /dev/null
echo done; exec sleep 1000
"""
PTRACE = {name: ["CAP_SYS_PTRACE", "CAP_SETUID", "CAP_SETGID"] for name in ("bounding", "effective", "permitted")}


def as_user_with_boxes(boxes: Boxes, run: Callable[[Boxes], None]) -> None:
    """Run something with boxes of an ordinary user."""

    def body() -> None:
        folder = Path(tempfile.mkdtemp())
        place = place_in(folder / "place")
        own = Boxes(Native(place), place, Bundles(folder / "bundles", boxes.bundles.rootfs))
        try:
            run(own)
        finally:
            own.close()
            shutil.rmtree(folder)

    as_nobody(body)


def early(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Have the process that comes into a container do something first, in whichever way it came."""
    take, take_terminal = bare.take, program.take_terminal
    monkeypatch.setattr(bare, "take", lambda steps: (action(), take(steps)))
    monkeypatch.setattr(program, "take_terminal", lambda process: (action(), take_terminal(process)))


def late(monkeypatch: pytest.MonkeyPatch, action: Callable[[], object]) -> None:
    """Have it do something as it looks for its program."""
    find, prepared = executable._find, lookups.prepared_program

    def prepared_program(*arguments: Any) -> Callable[[], Any]:
        found = prepared(*arguments)
        return lambda: (action(), found())[1]

    monkeypatch.setattr(lookups, "prepared_program", prepared_program)
    monkeypatch.setattr(executable, "_find", lambda process: (action(), find(process))[1])


def hesitate() -> None:
    """Take so long that anybody can look."""
    time.sleep(0.4)


def what_is_seen(boxes: Boxes, data: dict[str, Any]) -> str:
    """Run a program in a container in which somebody watches; return what that one got."""
    box = boxes.started(data)
    box.until("up")
    assert run_inside(boxes, box.id, "touch", "/tmp/over")[0] == 0
    return box.until("done").replace("\0", "")


def watched(boxes: Boxes, data: dict[str, Any]) -> None:
    assert set(what_is_seen(boxes, data).splitlines()) == {"seen", "arguments: .", "done"}


def watcher(boxes: Boxes, **process: Any) -> dict[str, Any]:
    name = Path("/proc/self/comm").read_text(encoding="ascii").strip()
    return boxes.config("sh", "-c", WATCH.replace("NAME", f"'{name}'"), **process)


class TestAttacks(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.mark.slow
    @pytest.mark.parametrize("when", [early, late])
    @pytest.mark.parametrize("kind", ["root", "mapped", "user"])
    def test_what_comes_in_cannot_be_looked_into(self, boxes: Boxes, when, kind, monkeypatch) -> None:
        """CVE-2019-5736 and CVE-2016-9962: its program, memory and descriptors are the host's."""
        when(monkeypatch, hesitate)
        if boxes.rootless or kind == "root":
            watched(boxes, watcher(boxes))
        elif kind == "user":
            as_user_with_boxes(boxes, lambda own: watched(own, watcher(own)))
        else:
            data = watcher(boxes, capabilities=PTRACE)
            data["linux"]["namespaces"].append({"type": "user"})
            mapping = {"containerID": 0, "hostID": 0, "size": 1000}
            data["linux"] |= {"uidMappings": [mapping], "gidMappings": [mapping]}
            watched(boxes, data)

    @pytest.mark.slow
    def test_the_watcher_sees_what_is_not_hidden(self, boxes: Boxes, monkeypatch) -> None:
        monkeypatch.setattr(processes, "set_dumpable", lambda on: None)
        monkeypatch.setattr(processes, "forget_arguments", list)
        monkeypatch.setattr(bare, "hide", tuple)
        late(monkeypatch, lambda: time.sleep(3))  # so that one who looks comes to the end of it on any machine
        text = what_is_seen(boxes, watcher(boxes))
        got = {line.rpartition("/")[2] for line in text.splitlines() if line.startswith("got ")}
        assert {"exe", "environ", "maps", "got echo mem"} <= got
        # One that looks while the process ends sees none, so it is enough that they were seen.
        assert any(line.startswith("arguments: ") and line != "arguments: ." for line in text.splitlines())

    @pytest.mark.slow
    def test_what_comes_in_and_is_stopped_is_given_up(self, boxes: Boxes, monkeypatch) -> None:
        box = boxes.sleeping()
        monkeypatch.setattr(launch, "_PATIENCE_S", 0.5)
        late(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGSTOP))
        with pytest.raises(Unavailable, match="stops or delays"):
            run_inside(boxes, box.id, "true")
        assert boxes.runtime.pids(box.id) in ((), (box.process.pid,))

    def test_what_comes_in_and_is_killed_has_ended(self, boxes: Boxes, monkeypatch) -> None:
        box = boxes.sleeping()
        late(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))
        assert run_inside(boxes, box.id, "true") == (137, "")

    def test_a_score_is_given_to_what_comes_in(self, boxes: Boxes) -> None:
        box = boxes.sleeping()
        assert run_inside(boxes, box.id, "cat", "/proc/self/oom_score_adj", oomScoreAdj=700) == (0, "700\n")
        if not boxes.rootless:
            as_user_with_boxes(boxes, lambda own: scored(own, own.sleeping().id))

    def test_exec_needs_no_proc(self, boxes: Boxes) -> None:
        data = boxes.config("sh", "-c", "echo up; exec sleep 1000")
        data["mounts"] = [each for each in data["mounts"] if each["type"] != "proc"]
        data["linux"] |= {"maskedPaths": [], "readonlyPaths": []}
        box = boxes.started(data)
        box.until("up")
        assert run_inside(boxes, box.id, "echo", "in") == (0, "in\n")

    @pytest.mark.parametrize(
        ("text", "arguments", "said"),
        [
            pytest.param("#!/bin/echo", ["a"], "/s a\n", id="plain"),
            pytest.param("#! /bin/echo \t-n -e  \nrest", ["a b"], "-n -e /s a b\n", id="one-argument"),
            pytest.param("#!/bin/echo\tx y\n", [], "x y /s\n", id="tab"),
            pytest.param("#!bin/echo\n", [], "/s\n", id="relative"),
            pytest.param("#!/link\n", [], "/s\n", id="link"),
            pytest.param("#!/t outer\n", [], "inner /t outer /s\n", id="script-of-a-script"),
            pytest.param("#!\n", [], None, id="nothing"),
            pytest.param("#!/" + "x" * 300 + "\n", [], None, id="cut-off"),
            pytest.param("#!/s\n", [], None, id="itself"),
            pytest.param("#!/absent\n", [], None, id="absent"),
            pytest.param("#!/proc/self/exe\n", [], None, id="own"),
            pytest.param("#!/proc/self/cwd/bin/sh\n", [], None, id="magic-link"),
            pytest.param("#!/exe\n", [], None, id="link-to-own"),
            pytest.param("text\n", [], None, id="text"),
            pytest.param("", [], None, id="empty"),
        ],
    )
    def test_scripts(self, boxes: Boxes, text, arguments, said) -> None:
        bundle = boxes.bundles.make("scripts", boxes.config("/s", *arguments), shared=False)
        root = bundle / "rootfs"
        for name, content in (("s", text), ("t", "#!/bin/echo inner\n")):
            (root / name).write_text(content, encoding="ascii")
            (root / name).chmod(0o755)
        (root / "link").symlink_to("bin/../bin/echo")
        (root / "exe").symlink_to("/proc/self/exe")
        box = boxes.create_in(bundle, "scripts")
        if said is None:
            with pytest.raises(Invalid, match="'/s'"):
                boxes.runtime.start(box.id)
        else:
            boxes.runtime.start(box.id)
            assert box.text().replace("\t", " ") == said

    @pytest.mark.parametrize("name", ["/exe", "/loop", "/bin/", "..", "./..", "/proc/self/exe"])
    def test_what_is_no_program_of_the_container(self, boxes: Boxes, name: str) -> None:
        bundle = boxes.bundles.make("links", boxes.config(name), shared=False)
        (bundle / "rootfs/exe").symlink_to("/proc/self/exe")
        (bundle / "rootfs/loop").symlink_to("/loop")
        box = boxes.create_in(bundle, "links")
        with pytest.raises(Invalid, match=r"process\.args"):
            boxes.runtime.start(box.id)

    def test_the_interpreter_that_runs_this_is_refused_by_any_name(self, boxes: Boxes) -> None:
        interpreter = Path("/proc/self/exe").resolve()
        data = boxes.config("/python", "-c", "")
        data["mounts"].append({"destination": "/python", "source": str(interpreter), "options": ["bind", "ro"]})
        box = boxes.create(data)
        with pytest.raises(Invalid, match="/python"):
            boxes.runtime.start(box.id)

    def test_a_program_that_is_swapped_meanwhile(self, boxes: Boxes, monkeypatch) -> None:
        """What was looked at isn't what is run: then nothing is."""
        bundle = boxes.bundles.make("swap", boxes.config("/s"), shared=False)
        original = executable._interpreter
        (bundle / "rootfs/s").write_bytes((bundle / "rootfs/bin/true").read_bytes())
        (bundle / "rootfs/s").chmod(0o755)

        def swapping(opened):
            words = original(opened)
            Path("/s").unlink()
            Path("/s").write_text("#!/bin/true\n", encoding="ascii")
            Path("/s").chmod(0o755)
            return words

        monkeypatch.setattr(executable, "_interpreter", swapping)
        box = boxes.create_in(bundle, "swap")
        with pytest.raises(MobyError, match="/s"):
            boxes.runtime.start(box.id)


def scored(boxes: Boxes, name: str) -> None:
    assert run_inside(boxes, name, "cat", "/proc/self/oom_score_adj", oomScoreAdj=800) == (0, "800\n")


def _add_key(secret: str) -> int:
    """Add a key that only who has it in a keyring may see, to this session's."""
    number = {"x86_64": 248, "i686": 286, "armv7l": 309, "ppc64le": 269, "s390x": 278}.get(platform.machine(), 217)
    key = call(libc.syscall, number, b"user", secret.encode(), b"x", 1, -3)
    syscall("keyctl", 5, key, 0x3F000000)
    return key


@pytest.fixture
def secret() -> Iterator[str]:
    """The name of a key in the caller's session keyring."""
    name = f"moby-test-{os.getpid()}"
    try:
        key = _add_key(name)
    except OSError as error:
        pytest.skip(f"no keys here: {error}")
    yield name
    syscall("keyctl", 9, key, -3)


class TestKeys(RuntimeFixtures):
    @pytest.fixture
    def make_runtime(self) -> MakeRuntime:
        return Native

    @pytest.fixture
    def seeing(self, boxes: Boxes) -> dict[str, Any]:
        data = boxes.config("sh", "-c", "cat /proc/keys; echo up; exec sleep 1000")
        data["linux"]["maskedPaths"] = []
        return data

    def test_keys_of_the_caller_stay_outside(self, boxes: Boxes, seeing, secret: str) -> None:
        assert secret in Path("/proc/keys").read_text(encoding="utf-8")
        box = boxes.started(seeing)
        assert secret not in box.until("up")
        assert secret not in run_inside(boxes, box.id, "cat", "/proc/keys")[1]

    def test_keys_are_seen_without_a_session_of_ones_own(self, boxes: Boxes, seeing, secret: str, monkeypatch) -> None:
        monkeypatch.setattr(keyrings, "join_new_session", lambda: None)
        assert secret in boxes.started(seeing).until("up")

    @pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EDQUOT])
    def test_a_kernel_without_keys(self, boxes: Boxes, number: int, monkeypatch) -> None:
        def refuse(*arguments: Any) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(keyrings, "syscall", refuse)
        if number == errno.EDQUOT:
            with pytest.raises(HostUnfit, match="session keyring") as caught:
                boxes.run("true")
            assert "kernel.keys" in caught.value.hint
        else:
            assert boxes.run("true") == (0, "")
