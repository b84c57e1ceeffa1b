"""Sinks that are slow, dead, or refuse: what a container, its log and its counts make of them."""

import contextlib
import fcntl
import os
import signal
import time
from pathlib import Path

import pytest
from holding import logged
from moby_supervisor.local.log_buffer import Buffer
from moby_supervisor.local.log_options import LogMode, mode_of
from test_local import bundle, keeper, runtime, supervisor  # noqa: F401 - fixtures

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.supervisor import TaskConfig
from moby.errors import HostUnfit, NotFound, Unavailable, Unsupported
from moby.testing.supervisor import read_all, readable

pytestmark = pytest.mark.slow

PATIENCE_S = 60.0
LINE = b"a line of some length, so that pipes fill"
FLOOD = f"i=0; while [ $i -lt 40000 ]; do echo '{LINE.decode()}'; i=$((i+1)); done; echo end"


def eventually(check, what=""):
    deadline = time.monotonic() + PATIENCE_S
    while not (found := check()):
        assert time.monotonic() < deadline, what or "it doesn't come to be"
        time.sleep(0.01)
    return found


@pytest.fixture
def task(supervisor, bundle, tmp_path):  # noqa: F811
    def task(script, driver="waiting", **options):
        folder = tmp_path / "log"
        folder.mkdir(exist_ok=True)
        log = LogConfig("a", folder, driver, {name.replace("_", "-"): value for name, value in options.items()})
        supervisor.create(TaskConfig("a", bundle("sh", "-c", script), stdin=True, stdin_once=False, log=log))
        supervisor.start("a")
        return folder

    return task


def said(folder):
    return logged(folder) if (folder / "lines").exists() else b""


def test_a_slow_sink_holds_up_a_container_in_blocking_mode(supervisor, task, tmp_path):  # noqa: F811
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    folder = task(FLOOD, slow="1")
    ended = supervisor.exit_fd("a")
    assert not readable(ended, 0.5)
    (folder / "waiting").unlink()
    assert readable(ended, PATIENCE_S)
    os.close(ended)
    assert supervisor.state("a").lost_bytes == 0
    eventually(lambda: said(folder).endswith(b"end\n"))
    assert said(folder).count(b"\n") == 40001


def test_an_end_is_told_once_the_sink_has_what_came_before(supervisor, task, tmp_path):  # noqa: F811
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    folder = task("echo end", slow="1")
    ended = supervisor.exit_fd("a")
    assert not readable(ended, 0.2)
    assert said(folder) == b""
    (folder / "waiting").unlink()
    assert readable(ended, PATIENCE_S)
    assert said(folder) == b"end\n"
    os.close(ended)


def test_an_end_is_told_though_the_sink_stays_behind(supervisor, task, tmp_path):  # noqa: F811
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    folder = task("echo end", slow="1")
    ended = supervisor.exit_fd("a")
    assert readable(ended, PATIENCE_S)
    assert supervisor.state("a").exit.code == 0
    os.close(ended)
    (folder / "waiting").unlink()
    supervisor.delete("a")
    assert said(folder) == b"end\n"


@pytest.mark.parametrize(("driver", "size"), [("waiting", "64k"), ("waiting", None), ("lines", "64k")])
def test_a_slow_sink_holds_up_nobody_in_non_blocking_mode(supervisor, task, tmp_path, driver, size):  # noqa: F811
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    folder = task(FLOOD, driver, slow="1", mode="non-blocking", **({"max_buffer_size": size} if size else {}))
    ended = supervisor.exit_fd("a")
    assert readable(ended, PATIENCE_S)
    os.close(ended)
    dropped = supervisor.state("a").dropped_records
    assert dropped > 0
    (folder / "waiting").unlink()
    supervisor.delete("a")
    lines = said(folder).splitlines()
    assert set(lines) <= {LINE, b"end"}
    assert len(lines) + dropped == 40001


def test_what_a_sink_refuses_is_counted(supervisor, task, tmp_path):  # noqa: F811
    for driver in ("lines", "waiting"):
        folder = task("read x; echo lost; read x; echo kept", driver, fail="1")
        (folder / "failing").touch()
        streams = supervisor.attach("a")
        os.write(streams.stdin, b"\n")
        eventually(lambda: supervisor.state("a").lost_bytes == 5)
        (folder / "failing").unlink()
        os.write(streams.stdin, b"\n")
        assert read_all(streams.stdout) == b"lost\nkept\n"
        for each in (streams.stdin, streams.stdout, streams.stderr):
            os.close(each)
        eventually(lambda: supervisor.state("a").exit)
        supervisor.delete("a")
        assert said(folder) == b"kept\n"
        (folder / "lines").unlink()


@pytest.mark.parametrize("driver", ["lines", "waiting"])
def test_a_sink_that_is_not_there_refuses_the_task(supervisor, task, driver):  # noqa: F811
    with pytest.raises(HostUnfit, match="the sink isn't there"):
        task(":", driver, refuse="1")
    assert supervisor.list() == ()


def logger_of(tmp_path):
    """The process that writes the log."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and int(each.name) != os.getpid():
            with contextlib.suppress(OSError):
                if tmp_path / "log/lines" in [fd.readlink() for fd in (each / "fd").iterdir()]:
                    found.append(int(each.name))
    return found


def test_a_logger_that_is_killed_is_started_again(supervisor, task, tmp_path):  # noqa: F811
    folder = task("while read x; do echo $x; done")
    streams = supervisor.attach("a")
    os.write(streams.stdin, b"one\n")
    eventually(lambda: said(folder) == b"one\n")
    (first,) = logger_of(tmp_path)
    os.kill(first, signal.SIGKILL)
    (second,) = eventually(lambda: [each for each in logger_of(tmp_path) if each != first])
    os.write(streams.stdin, b"two\n")
    eventually(lambda: said(folder) == b"one\ntwo\n")
    assert supervisor.state("a").lost_bytes == 0
    os.kill(second, signal.SIGSTOP)
    os.write(streams.stdin, b"three\n")
    assert b"three" in reading(streams.stdout, b"three")
    os.kill(second, signal.SIGKILL)
    eventually(lambda: supervisor.state("a").lost_bytes == 6)
    os.write(streams.stdin, b"four\n")
    eventually(lambda: said(folder) == b"one\ntwo\nfour\n")
    for each in (streams.stdin, streams.stdout, streams.stderr):
        os.close(each)


def reading(descriptor, mark):
    found = b""
    while mark not in found:
        assert readable(descriptor, PATIENCE_S)
        found += os.read(descriptor, 65536)
    return found


def test_a_reader_that_leaves_ends_the_reading(supervisor, task, tmp_path):  # noqa: F811
    folder = task("echo one; read x", "lines")
    eventually(lambda: said(folder) == b"one\n")
    children = set(children_of(os.getpid()))
    reader = supervisor.logs(LogConfig("a", folder, "lines"), LogQuery(follow=True, framed=False))
    reading(reader, b"one\n")
    (process,) = set(children_of(os.getpid())) - children
    os.close(reader)
    eventually(lambda: process not in children_of(os.getpid()))


def test_a_reading_s_pipe_has_room_for_what_is_read_at_once(supervisor, task):  # noqa: F811
    folder = task("echo one", "lines")
    eventually(lambda: said(folder) == b"one\n")
    reader = supervisor.logs(LogConfig("a", folder, "lines"), LogQuery())
    assert fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ) >= 1 << 18
    os.close(reader)


def test_a_log_is_read_where_pipes_may_not_be_larger(supervisor, task, monkeypatch):  # noqa: F811
    folder = task("echo one", "lines")
    eventually(lambda: said(folder) == b"one\n")
    monkeypatch.setattr("moby_supervisor.local.readers._PIPE", -1)  # which no kernel takes, as with too much
    reader = supervisor.logs(LogConfig("a", folder, "lines"), LogQuery(framed=False))
    assert read_all(reader) == b"one\n"
    os.close(reader)


def children_of(pid):
    found = []
    for each in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found += [int(word) for word in (each / "children").read_text().split()]
    return found


def test_a_log_that_cannot_be_read_says_so_at_once(supervisor, tmp_path, monkeypatch):  # noqa: F811
    # A copy of a process as big as that of all tests may take longer to say its first word than a supervisor's.
    monkeypatch.setattr("moby_supervisor.local.readers._FIRST_S", 10.0)
    for follow in (False, True):
        with pytest.raises(Unavailable, match="No such file"):
            supervisor.logs(LogConfig("a", tmp_path, "lines"), LogQuery(follow=follow))
    with pytest.raises(NotFound, match="lines"):
        supervisor.logs(LogConfig("a", tmp_path, "absent"), LogQuery())
    monkeypatch.setattr("holding.LinesDriver.readable", False)
    with pytest.raises(Unsupported, match="does not support reading"):
        supervisor.logs(LogConfig("a", tmp_path, "lines"), LogQuery())


@pytest.mark.parametrize(
    ("size", "expected"),
    [("4096", 4096), ("64k", 65536), ("1.5m", 3 << 19), ("2MiB", 2 << 20), ("1 GB", 1 << 30), ("7b", 7)],
)
def test_sizes_are_read_as_docker_does(size, expected):
    assert mode_of({"mode": "non-blocking", "max-buffer-size": size}) == LogMode(False, expected)


def test_the_buffer_keeps_whole_records():
    buffer = Buffer(10)
    assert buffer.push(1, 0, b"abc\nde") == 0
    assert buffer.push(1, 0, b"f\nghij\nklm") == 2, "the line that was begun is finished"
    assert buffer.push(1, 0, b"nop\nq\n") == 0, "what belongs to a dropped one is no other"
    assert taken(buffer) == b"abc\ndef\nq\n"
    assert buffer.push(1, 0, b"r\n") == 0
    assert taken(buffer) == b"r\n"


def test_the_buffer_ends_a_record_that_never_ends():
    buffer = Buffer(11)
    assert buffer.push(1, 0, b"abcdefgh") == 0
    assert buffer.push(1, 0, b"ijklmnop") == 1
    assert buffer.push(1, 0, b"qrst") == 0
    assert buffer.push(2, 0, b"uv") == 0, "the other stream has room of its own lines"
    assert taken(buffer) == b"abcdefgh\nuv"
    assert buffer.push(1, 0, b"w\nx\n") == 0
    assert taken(buffer) == b"x\n"


def test_a_buffer_without_limit_drops_nothing():
    buffer = Buffer()
    assert [buffer.push(1, 0, b"x" * 65536) for _ in range(64)] == [0] * 64
    assert (buffer.size, len(taken(buffer)), buffer.size, bool(buffer)) == (1 << 22, 1 << 22, 0, False)


def taken(buffer):
    found = b""
    while buffer:
        found += buffer.first()[2]
        buffer.taken()
    return found


@pytest.mark.parametrize("driver", ["lines", None])
def test_who_reads_late_gets_all_though_the_task_is_gone(supervisor, bundle, tmp_path, driver):  # noqa: F811
    folder = tmp_path / "log"
    folder.mkdir()
    log = LogConfig("a", folder, driver) if driver else None
    # More than the pipe to the reader holds, but no more than that and the one from the task, however they are filled.
    script = "read x; i=0; while [ $i -lt 8 ]; do printf '%09999d\n' 0; i=$((i+1)); done"
    supervisor.create(TaskConfig("a", bundle("sh", "-c", script), stdin=True, stdin_once=False, log=log))
    supervisor.start("a")
    streams = supervisor.attach("a")
    os.write(streams.stdin, b"\n")
    ended = supervisor.exit_fd("a")
    assert readable(ended, PATIENCE_S)
    supervisor.delete("a")
    assert read_all(streams.stdout) == (b"0" * 9999 + b"\n") * 8
    for each in (ended, streams.stdin, streams.stdout, streams.stderr):
        os.close(each)
    if driver:
        assert said(folder) == (b"0" * 9999 + b"\n") * 8
