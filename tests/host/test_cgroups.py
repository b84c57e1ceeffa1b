"""Control groups of the real kernel: made, entered, frozen, killed and removed, nested ones too."""

import contextlib
import errno
import os
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from guests.cover import needs

from moby.host import cgroups, mounts, namespaces
from moby.host.cgroups import Entrance, Group, Hierarchy, hierarchies

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="control groups are root's here; runs as root")


@pytest.fixture
def trees() -> tuple[Hierarchy, ...]:
    found = tuple(tree for tree in hierarchies() if tree.writable)
    if not found:
        pytest.skip("there are no control groups here")
    return found


@pytest.fixture
def name() -> str:
    return f"/moby-test-{secrets.token_hex(4)}/one"


@pytest.fixture
def group(trees, name) -> Iterator[Group]:
    group = Group.create(trees, name)
    yield group
    group.kill(signal.SIGKILL)
    group.remove()
    assert not any(folder.parent.exists() for folder in map(Path, group.folders))


@pytest.fixture
def started() -> Iterator[Callable[..., int]]:
    """Start processes that sleep, or do what they are told to."""
    pids = []

    def start(body: Callable[[], object] = lambda: time.sleep(1000)) -> int:
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(BaseException):
                signal.signal(signal.SIGTERM, signal.SIG_DFL)  # pytest's own handler, where there is one, raises
                body()
                os._exit(0)
            os._exit(1)
        pids.append(pid)
        return pid

    yield start
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)


def test_trees_are_as_they_are_now(trees, started) -> None:
    """However often they are asked for: made read-only, mounted no more, and mounted again."""

    def body() -> None:
        namespaces.unshare(namespaces.FLAGS["mount"])
        mounts.set_propagation("/", "rprivate")
        first, last = trees[0].mount, trees[-1].mount
        for _ in range(3):
            assert {first, last} <= {tree.mount for tree in hierarchies() if tree.writable}
        mounts.mount("none", first, flags=mounts.FLAGS["bind"] | mounts.FLAGS["remount"] | mounts.FLAGS["ro"])
        assert not next(tree.writable for tree in hierarchies() if tree.mount == first)
        if last != first:
            kept = mounts.clone_tree(last)
            mounts.unmount(last, detach=True)
            for _ in range(3):
                assert last not in {tree.mount for tree in hierarchies()}
            mounts.attach(kept, os.open(last, os.O_PATH))
            assert last in {tree.mount for tree in hierarchies()}

    _, status = os.waitpid(started(body), 0)
    assert status == 0


def test_trees_are_those_of_the_thread_that_asks(trees) -> None:
    """Which may be in another mount namespace than its process's first."""
    last = trees[-1].mount
    seen: list[set[str]] = []

    def body() -> None:
        namespaces.unshare(namespaces.FLAGS["mount"])
        mounts.set_propagation("/", "rprivate")
        mounts.unmount(last, detach=True)
        seen.append({tree.mount for tree in hierarchies()})

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    assert last not in seen[0]
    assert last in {tree.mount for tree in hierarchies()}


def until(done: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def places(pid: int) -> set[str]:
    return {line.split(":", 2)[2] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()}


def test_a_process_moved_in_is_in_all_trees(group, started) -> None:
    pid = started()
    group.attach(pid)
    assert group.pids() == (pid,)
    assert len([place for place in places(pid) if place.endswith("/one")]) == 1
    for folder in map(Path, group.folders):
        assert str(pid) in (folder / "cgroup.procs").read_text().split()


def test_a_process_enters_by_itself(group, started) -> None:
    with group.entrance() as entrance:
        pid = started(lambda: (entrance.enter_all(), time.sleep(1000)))
        files = [Path(folder, "cgroup.procs") for folder in group.folders]
        until(lambda: all(str(pid) in file.read_text().split() for file in files))
    Entrance().enter_all()  # of no group


def test_an_entrance_of_what_is_gone(trees, name) -> None:
    group = Group.create(trees, name)
    group.remove()
    with pytest.raises(FileNotFoundError), group.entrance():
        pass


def test_a_group_in_use_is_left_alone(trees, name, group, started) -> None:
    pid = started()
    group.attach(pid)
    with pytest.raises(OSError, match="processes of others") as caught:
        Group.create(trees, name)
    assert caught.value.errno == errno.EBUSY
    # One above it has none itself, but what is below would be killed with it.
    with pytest.raises(OSError, match="processes of others"):
        Group.create(trees, str(Path(name).parent))
    assert group.pids() == (pid,)


def test_an_empty_group_is_taken_over(trees, name, group) -> None:
    assert Group.create(trees, name) == group


def test_a_frozen_group_is_not_taken_over(trees, name, group) -> None:
    group.freeze()
    try:
        with pytest.raises(OSError, match="is frozen"):
            Group.create(trees, name)
    finally:
        group.thaw()


def test_what_cannot_be_made_leaves_nothing(trees, name) -> None:
    above = Path(name).parent
    with pytest.raises(OSError, match="Invalid argument"):
        Group.create(trees, f"{above}/a\nb")
    assert not any((Path(tree.mount) / str(above).lstrip("/")).exists() for tree in trees)


def test_frozen_and_thawed(group, started) -> None:
    pid = started()
    group.attach(pid)
    assert not group.frozen()
    group.freeze()
    assert group.frozen()
    group.thaw()
    until(lambda: not group.frozen())
    os.kill(pid, 0)


def forking() -> None:
    """Start one short-lived process after another."""
    while True:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def test_what_keeps_forking_is_frozen_and_killed(group, started) -> None:
    first = started(forking)
    group.attach(first)
    for _ in range(5):
        group.freeze()
        before = group.pids()
        time.sleep(0.02)
        assert group.pids() == before
        group.thaw()
    group.kill(signal.SIGKILL)
    os.waitpid(first, 0)
    until(lambda: not group.pids())


def test_without_a_freezer(tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no freezer"):
        Group((tmp_path,)).freeze()
    Group((tmp_path,)).thaw()


@pytest.mark.parametrize("file", ["freezer.state", "cgroup.freeze"])
def test_a_group_that_does_not_freeze(tmp_path, file, monkeypatch) -> None:
    monkeypatch.setattr(cgroups, "_STEP_S", 0)
    monkeypatch.setattr(cgroups, "_ROUNDS", 120)
    (tmp_path / file).symlink_to("/dev/null")
    with pytest.raises(TimeoutError, match=file):
        Group((tmp_path,)).freeze()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_reaches_groups_below(group, started, number) -> None:
    below = [folder / "a/b" for folder in map(Path, group.folders)]
    for folder in below:
        folder.mkdir(parents=True)
        for cpuset in ("cpuset.cpus", "cpuset.mems"):
            if (Path(group.folders[0]) / cpuset).exists() or (folder / cpuset).exists():
                for each in (folder.parent, folder):
                    (each / cpuset).write_text((each.parent / cpuset).read_text())
    pid = started()
    Group(tuple(map(str, below))).attach(pid)
    assert group.pids() == (pid,)
    group.kill(number)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -number


def test_kill_without_the_kernel_s_own_way(group, started, monkeypatch) -> None:
    monkeypatch.setattr(Group, "unified", None)
    pid = started()
    group.attach(pid)
    group.kill(signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def test_a_group_with_a_process_is_not_removed(trees, name, started, monkeypatch) -> None:
    group = Group.create(trees, name)
    pid = started()
    group.attach(pid)
    with monkeypatch.context() as patch:
        patch.setattr(cgroups, "_ROUNDS", 3)
        with pytest.raises(OSError, match="busy"):
            group.remove()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    group.remove()
    group.remove()


def test_controllers_are_passed_on_and_who_is_in_the_way_moves_aside(name, started) -> None:
    """In version 2 a group whose processes are its own passes no controllers on."""
    found = [tree for tree in hierarchies() if tree.version == 2 and tree.writable and tree.controllers]
    needs(found, "controller of version 2", "uml", "qemu")
    (tree,) = found
    own = Group.create(found, str(Path(name).parent))
    (folder,) = map(Path, own.folders)
    pid = started()
    own.attach(pid)
    inner = Hierarchy(tree.mount, 2, tree.controllers, f"/{folder.name}")
    try:
        group = Group.create([inner], f"/{folder.name}/one")
        assert not (folder / "one/cgroup.controllers").read_text().split()
        assert (folder / "one/cgroup.type").read_text() == "domain\n"
        group.remove()
        group = Group.create([inner], f"/{folder.name}/one", move_aside=True)
        assert set((folder / "one/cgroup.controllers").read_text().split()) == tree.controllers
        assert (folder / "moby-init/cgroup.procs").read_text().split() == [str(pid)]
        group.remove()
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        own.remove()


@pytest.mark.parametrize("listed", [True, False])
def test_a_group_of_version_2_can_be_given_away(tmp_path, listed) -> None:
    folder, other = tmp_path / "two", tmp_path / "one"
    folder.mkdir()
    other.mkdir()
    for name in ("cgroup.type", "cgroup.procs", "cgroup.threads", "memory.max"):
        (folder / name).touch()
    names = tmp_path / "delegate"
    if listed:
        names.write_text("cgroup.procs\nmemory.oom.group\n")
    Group((other, folder)).give(1234, names)
    assert folder.stat().st_uid == 0, "version 1 isn't made for that"
    Group((folder,)).give(1234, names)
    given = {each.name for each in folder.iterdir() if each.stat().st_uid == 1234}
    assert given == ({"cgroup.procs"} if listed else {"cgroup.procs", "cgroup.threads"})
    assert folder.stat().st_uid == 1234


def test_a_mount_with_spaces_in_its_name() -> None:
    lines = (
        "31 24 0:27 / /sys/fs/cgroup/a\\040b rw - cgroup cgroup rw,pids\n"
        "32 24 0:28 /x /mnt ro - cgroup2 cgroup2 rw\n"
        "33 24 0:29 / /proc rw - proc proc rw\n"
        "34 24 0:30 / /odd rw - cgroupish none rw\n"
    )
    one, two = hierarchies(lines, "5:pids:/here\n0::/x/there\n")
    assert (one.mount, one.own, one.controllers, one.writable) == ("/sys/fs/cgroup/a b", "/here", {"pids"}, True)
    assert (two.mount, two.own, two.version, two.writable) == ("/mnt", "/there", 2, False)
