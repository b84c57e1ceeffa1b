"""Logs that go where they can't be read: what is kept of them beside, and how that ends, fails and is bounded."""

# ruff: noqa: F811 - fixtures are imported, and arguments
import contextlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from holding import LinesDriver, SentLines
from moby_log.files.rotation import Rotation
from moby_log.local.driver import Local as LocalLog
from moby_log.local.driver import rotation
from moby_log.none.driver import Nothing
from moby_supervisor.local import log_cache
from test_local import bundle, keeper, runtime, supervisor  # noqa: F401 - fixtures
from test_local_killed import COUNTS, WAITS, all_counted, ends, make, served  # noqa: F401 - fixtures
from test_local_logs import FLOOD, LINE, PATIENCE_S, children_of, eventually, logger_of, reading, said

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.supervisor import TaskConfig
from moby.errors import Invalid, Unsupported
from moby.testing.supervisor import read_all, readable

pytestmark = pytest.mark.slow


@pytest.fixture
def drivers():
    return {"sent": SentLines(), "local": LocalLog(), "lines": LinesDriver(), "none": Nothing()}


@pytest.fixture
def task(supervisor, bundle, tmp_path):
    """Runs a program, and returns where its log goes."""

    def task(script, driver="sent", **options):
        folder = tmp_path / "log"
        folder.mkdir(exist_ok=True)
        given = {name.replace("_", "-"): value for name, value in options.items()}
        log = LogConfig("a", folder, driver, given, labels={"l": "1"})
        supervisor.create(TaskConfig("a", bundle("sh", "-c", script), stdin=True, stdin_once=False, log=log))
        supervisor.start("a")
        return log

    return task


def logs(supervisor, log, **query):
    """What is kept of a log."""
    reader = supervisor.logs(log, LogQuery(**{"framed": False, **query}))
    try:
        return read_all(reader)
    finally:
        os.close(reader)


def ended(supervisor):
    descriptor = supervisor.exit_fd("a")
    assert readable(descriptor, PATIENCE_S)
    os.close(descriptor)


def reading_lines(descriptor, count):
    found = 0
    while found < count:
        assert readable(descriptor, PATIENCE_S)
        found += os.read(descriptor, 65536).count(b"\n")


def test_what_is_sent_elsewhere_is_read_here(supervisor, task):
    log = task("echo one; echo two >&2; read x; echo three; read x", labels="l", tag="t")
    eventually(lambda: logs(supervisor, log).count(b"\n") == 2)
    follower = supervisor.logs(log, LogQuery(follow=True, framed=False, tail=0))
    before_ns = time.time_ns()
    streams = supervisor.attach("a")
    os.write(streams.stdin, b"\n")
    reading(follower, b"three\n")
    os.write(streams.stdin, b"\n")
    assert read_all(follower) == b""
    for each in (follower, streams.stdin, streams.stdout, streams.stderr):
        os.close(each)
    supervisor.delete("a")
    assert sorted(said(log.folder).splitlines()) == [b"one", b"three", b"two"]
    assert sorted(logs(supervisor, log).splitlines()) == [b"one", b"three", b"two"]
    assert logs(supervisor, log, stdout=False) == b"two\n"
    assert logs(supervisor, log, tail=1) == b"three\n"
    assert logs(supervisor, log, since_ns=before_ns) == b"three\n"
    assert logs(supervisor, log, until_ns=before_ns, stderr=False) == b"one\n"
    assert logs(supervisor, log, details=True, tail=1) == b"l=1,tag=t three\n"


def test_who_follows_gets_what_has_no_end(supervisor, task):
    for mode in ("blocking", "non-blocking"):
        log = task("read x; printf end", mode=mode)
        follower = supervisor.logs(log, LogQuery(follow=True, framed=False, tail=0))
        streams = supervisor.attach("a")
        os.write(streams.stdin, b"\n")
        assert read_all(follower) == b"end"
        for each in (follower, streams.stdin, streams.stdout, streams.stderr):
            os.close(each)
        supervisor.delete("a")


def test_what_has_no_end_is_read_of_any_log_once_the_end_is_told(supervisor, task):
    log = task("printf end", "local", mode="non-blocking")
    ended(supervisor)
    assert logs(supervisor, log) == b"end"


def test_a_later_task_s_log_goes_on(supervisor, task):
    for _ in range(2):
        log = task("echo one")
        ended(supervisor)
        supervisor.delete("a")
    assert logs(supervisor, log) == b"one\none\n"


def test_what_never_ran_has_nothing_to_read(supervisor, tmp_path):
    log = LogConfig("a", tmp_path, "sent")
    assert logs(supervisor, log) == logs(supervisor, log, follow=True) == b""


def test_nothing_is_kept_where_that_is_not_wanted(supervisor, task):
    for driver, options in (("sent", {"cache_disabled": "1"}), ("none", {}), ("none", {"cache_disabled": "0"})):
        log = task("echo one", driver, **options)
        ended(supervisor)
        for query in (LogQuery(), LogQuery(follow=True)):
            with pytest.raises(Unsupported, match=r"^configured logging driver does not support reading"):
                supervisor.logs(log, query)
        supervisor.delete("a")
        assert not [each for each in log.folder.iterdir() if each.name != "lines"]


def test_nothing_is_kept_of_what_can_be_read(supervisor, task, drivers):
    drivers["sent"].readable = True
    log = task("echo one")
    ended(supervisor)
    assert logs(supervisor, log) == b"one\n"
    assert [each.name for each in log.folder.iterdir()] == ["lines"]


@pytest.mark.parametrize("name", ["sent", "lines"])
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("cache-disabled", "maybe", "^invalid value for option cache-disabled: maybe"),
        ("cache-max-size", "much", "^the log's cache: invalid value for max-size: much"),
        ("cache-max-file", "-1", "^the log's cache: max-file must not be negative$"),
        ("cache-max-file", "1", "^the log's cache: compression cannot be enabled when max file count is 1$"),
        ("cache-compress", "perhaps", "^the log's cache: invalid boolean value for compress"),
        ("cache-other", "1", "unknown log opt 'cache-other'"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(supervisor, name, option, value, words):
    with pytest.raises(Invalid, match=words):
        supervisor.check_log(name, {option: value})


def test_options_that_are_taken(supervisor):
    for options in (
        {"cache-disabled": ""}, {"cache-disabled": "False", "cache-max-size": "1m"}, {"cache-disabled": "T"},
        {"cache-max-file": "1", "cache-compress": "false"}, {"cache-max-file": "3", "mode": "non-blocking"},
    ):  # fmt: skip
        for name in ("sent", "lines", "local"):
            supervisor.check_log(name, options)
    supervisor.check_log("none", {"cache-disabled": "maybe", "cache-max-size": "much"})


class TestWithoutLocal:
    """Where the engine has no driver that could keep it."""

    @pytest.fixture
    def drivers(self):
        return {"sent": SentLines()}

    def test_nothing_is_kept(self, supervisor, task):
        supervisor.check_log("sent", {"cache-disabled": "true"})
        with pytest.raises(Invalid, match="'cache-max-size' is of no use: this engine has no log driver 'local'"):
            supervisor.check_log("sent", {"cache-max-size": "1m", "cache-disabled": "false"})
        log = task("echo one")
        ended(supervisor)
        with pytest.raises(Unsupported, match="does not support reading"):
            supervisor.logs(log, LogQuery())


def test_what_is_kept_is_bounded(supervisor, task):
    log = task(FLOOD, cache_max_size="64k", cache_max_file="3", cache_compress="false")
    ended(supervisor)
    supervisor.delete("a")
    files = sorted(each for each in log.folder.rglob("container.log*"))
    assert [each.name for each in files] == ["container.log", "container.log.1", "container.log.2"]
    assert sum(each.stat().st_size for each in files) < 3 * (64 << 10) + (128 << 10)  # a block more each
    kept = logs(supervisor, log).splitlines()
    assert kept == [LINE] * (len(kept) - 1) + [b"end"]
    assert len(kept) < 40001
    assert said(log.folder).count(b"\n") == 40001


def test_how_much_is_kept_by_default(tmp_path):
    found = log_cache.kept(LocalLog(), SentLines(), LogConfig("a", tmp_path, "sent", {"slow": "1", "mode": "blocking"}))
    assert rotation(found.config.options) == Rotation(20 << 20, 5, compress=True)


def test_a_slow_sink_keeps_nothing_back_in_non_blocking_mode(supervisor, task, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    script = f"while read x; do i=0; while [ $i -lt 500 ]; do echo '{LINE.decode()}'; i=$((i+1)); done; done"
    log = task(script, slow="1", mode="non-blocking", max_buffer_size="64k")
    streams = supervisor.attach("a")
    for step in range(1, 8):  # so that it is never too fast for what is kept
        os.write(streams.stdin, b"\n")
        reading_lines(streams.stdout, 500)
        eventually(lambda step=step: logs(supervisor, log) == (LINE + b"\n") * 500 * step)
    for each in (streams.stdin, streams.stdout, streams.stderr):
        os.close(each)
    dropped = supervisor.state("a").dropped_records
    assert dropped > 0
    (log.folder / "waiting").unlink()
    supervisor.kill("a", signal.SIGKILL)
    ended(supervisor)
    supervisor.delete("a")
    lines = said(log.folder).splitlines()
    assert set(lines) == {LINE}
    assert len(lines) + dropped == 3500


def test_a_slow_sink_holds_up_a_container_in_blocking_mode(supervisor, task, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    log = task(FLOOD, slow="1")
    descriptor = supervisor.exit_fd("a")
    assert not readable(descriptor, 0.5)
    assert logs(supervisor, log).startswith(LINE)
    (log.folder / "waiting").unlink()
    assert readable(descriptor, PATIENCE_S)
    os.close(descriptor)
    eventually(lambda: logs(supervisor, log) == (LINE + b"\n") * 40000 + b"end\n")
    state = supervisor.state("a")
    assert (state.lost_bytes, state.dropped_records) == (0, 0)


def test_what_is_kept_is_read_while_a_deletion_waits_for_the_sink(supervisor, task, tmp_path):
    (tmp_path / "log").mkdir()
    (tmp_path / "log/waiting").touch()
    log = task("echo one", slow="1")
    ended(supervisor)
    with ThreadPoolExecutor() as threads:
        deletion = threads.submit(supervisor.delete, "a")
        time.sleep(0.2)
        assert logs(supervisor, log) == logs(supervisor, log, follow=True) == b"one\n"
        exit_fd = supervisor.exit_fd("a")
        assert readable(exit_fd, 0)
        os.close(exit_fd)
        assert not deletion.done()
        (log.folder / "waiting").unlink()
    assert said(log.folder) == b"one\n"


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_what_a_sink_refuses_is_kept_and_counted(supervisor, task, mode):
    log = task("read x; echo lost; read x; echo kept", fail="1", mode=mode)
    (log.folder / "failing").touch()
    streams = supervisor.attach("a")
    os.write(streams.stdin, b"\n")
    eventually(lambda: supervisor.state("a").lost_bytes == 5)
    (log.folder / "failing").unlink()
    os.write(streams.stdin, b"\n")
    assert read_all(streams.stdout) == b"lost\nkept\n"
    for each in (streams.stdin, streams.stdout, streams.stderr):
        os.close(each)
    ended(supervisor)
    assert logs(supervisor, log) == b"lost\nkept\n"
    assert said(log.folder) == b"kept\n"
    assert supervisor.state("a").lost_bytes == 5


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
@pytest.mark.parametrize("method", ["_Writer.write", "Local.open"])
def test_what_cannot_be_kept_is_sent_and_counted(supervisor, task, monkeypatch, method, mode):
    def fails(*arguments):
        raise OSError(28, "the disk is full")

    monkeypatch.setattr(f"moby_log.local.driver.{method}", fails)
    log = task("echo one", mode=mode)
    ended(supervisor)
    assert (said(log.folder), logs(supervisor, log)) == (b"one\n", b"")
    assert supervisor.state("a").lost_bytes == 4


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_a_logger_that_is_killed_goes_on_with_both(supervisor, task, tmp_path, mode):
    log = task("while read x; do echo $x; done", mode=mode)
    streams = supervisor.attach("a")
    os.write(streams.stdin, b"one\n")
    eventually(lambda: said(log.folder) == logs(supervisor, log) == b"one\n")
    (first,) = logger_of(tmp_path)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: [each for each in logger_of(tmp_path) if each != first])
    os.write(streams.stdin, b"two\n")
    eventually(lambda: said(log.folder) == logs(supervisor, log) == b"one\ntwo\n")
    assert supervisor.state("a").lost_bytes == 0
    for each in (streams.stdin, streams.stdout, streams.stderr):
        os.close(each)


@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
@pytest.mark.parametrize("which", [["supervisor"], ["keeper"], ["keeper", "supervisor"]], ids="-".join)
def test_what_is_kept_is_whole_whoever_is_killed(served, make, mode, which):
    folder = make("a", COUNTS, driver="sent", log_options={"mode": mode})
    log = LogConfig("a", folder, "sent")
    eventually(lambda: logs(served.supervisor, log).count(b"\n") > 50)
    served.kill(*which)
    before = logs(served.supervisor, log).count(b"\n")
    eventually(lambda: logs(served.supervisor, log).count(b"\n") > before + 50)
    served.supervisor.kill("a", signal.SIGTERM)
    state = ends(served, "a", 7)
    kept = logs(served.supervisor, log)
    all_counted(kept, state.lost_bytes)
    assert kept == said(folder)


def test_a_killed_supervisor_loses_nothing_that_waits_for_a_slow_sink(served, make):
    folder = make("a", WAITS, driver="sent", log_options={"mode": "non-blocking", "slow": "1"}, start=False)
    (folder / "waiting").touch()
    served.supervisor.start("a")
    eventually(lambda: logs(served.supervisor, LogConfig("a", folder, "sent")) == b"ready\n")
    served.kill("supervisor")
    (folder / "waiting").unlink()
    eventually(lambda: said(folder) == b"ready\n")
    assert served.supervisor.state("a").lost_bytes == 0


def zombies():
    found = set()
    for each in children_of(os.getpid()):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                found.add(each)
    return found


@pytest.mark.parametrize(("driver", "prefix"), [("sent", "cache_"), ("local", "")])
@pytest.mark.parametrize("mode", ["blocking", "non-blocking"])
def test_who_compressed_what_was_rotated_is_reaped(supervisor, task, driver, prefix, mode):
    before = zombies()  # of other tests

    def rotated():
        """Whether anything was, which depends on how much a mode that doesn't wait throws away."""
        log = task(FLOOD, driver, mode=mode, **{f"{prefix}max_size": "64k"})
        ended(supervisor)
        supervisor.delete("a")
        return log if list(log.folder.rglob("container.log.*.gz")) else None

    for _ in range(2):
        log = eventually(rotated)
    eventually(lambda: not list(log.folder.rglob("*.part")))

    def reaped():
        task(":", "local")  # since the supervisor itself reaps when there is another log
        supervisor.delete("a", force=True)
        time.sleep(0.1)
        return not zombies() - before

    eventually(reaped)
