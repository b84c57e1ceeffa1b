"""journald: against a systemd-journald of its own, in a mount namespace; its files are seen through /proc."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from moby_log.journald import reading
from moby_log.journald.driver import Journald
from moby_log.journald.entries import Entries, Export, field_name, run_of
from moby_log.journald.plugin import Config, make
from moby_log.records.lines import Batch

from moby.contracts.log_driver import STDERR, STDOUT, LogConfig, LogQuery
from moby.errors import Corrupt, HostUnfit
from moby.testing.log_driver import LogDriverSuite
from moby.testing.logs import BASE_NS, SECOND_NS, said, texts, write

PATIENCE_S = 60
JOURNALD = Path("/usr/lib/systemd/systemd-journald")
SETTINGS = """[Journal]
Storage=volatile
ReadKMsg=no
Audit=no
RateLimitIntervalSec=0
ForwardToSyslog=no
ForwardToConsole=no
ForwardToWall=no
LineMax=1M
"""
INSIDE = """set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/log/journal
mount --bind /dev/null /dev/kmsg
mount --bind "$1" /etc/systemd/journald.conf
exec /usr/lib/systemd/systemd-journald
"""


def until(condition):
    limit = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < limit, "it didn't come"
        time.sleep(0.005)
    return found


class Journal:
    def __init__(self, folder):
        (folder / "journald.conf").write_text(SETTINGS)
        self.process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", INSIDE, "sh", folder / "journald.conf"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.run = Path("/proc", str(self.process.pid), "root", "run")
        self.socket = self.run / "systemd/journal/socket"
        until(self.ready)

    def ready(self):
        assert self.process.poll() is None, self.process.stdout.read()
        return self.socket.exists() and list((self.run / "log/journal").rglob("*.journal"))

    def settle(self):
        """Wait until all that was sent is in the files (systemd-journald.service(8), SIGRTMIN+1)."""
        mark = self.run / "systemd/journal/synced"
        before = mark.read_text() if mark.exists() else ""  # when it was, as finely as it goes
        self.process.send_signal(signal.SIGRTMIN + 1)
        until(lambda: mark.exists() and mark.read_text() != before)

    def close(self):
        self.process.terminate()
        self.process.communicate(timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def journal(tmp_path_factory):
    if os.geteuid() or not JOURNALD.exists() or not shutil.which("journalctl"):
        pytest.skip("this needs root, and Debian's package systemd")
    found = Journal(tmp_path_factory.mktemp("journald"))
    yield found
    found.close()


class Settled(Journald):
    """Reads what was sent before, which journald by itself does a moment later."""

    def __init__(self, journal):
        super().__init__(str(journal.socket), str(journal.run / "log/journal"))
        self.journal = journal

    def read(self, config, query, ended):
        self.journal.settle()
        return super().read(config, query, ended)


@pytest.fixture
def driver(journal):
    return Settled(journal)


COUNT = iter(range(1, 10**6))


@pytest.fixture
def configure(tmp_path):
    def make(**more):
        return LogConfig(f"{next(COUNT):064x}", tmp_path, name="box", **more)

    return make


class TestJournaldSuite(LogDriverSuite):
    @pytest.fixture
    def driver(self, driver):
        return driver

    @pytest.fixture
    def configure(self, configure):
        return configure

    def test_details(self, driver, configure):
        """The names are the journal's: capitals, digits and underscores."""
        config = configure(
            labels={"com.re": "2"}, environment=("a=1=2",), options={"labels-regex": "re$", "env": "a"}
        )  # fmt: skip
        write(driver, config, [(STDOUT, b"l\n")])
        assert texts(driver, config, details=True) == [b"A=1%3D2,COM_RE=2 l\n"]

    @pytest.mark.slow
    def test_follow(self, driver, configure):
        """journalctl tells of an entry some tenths of a second after it has come."""
        super().test_follow(driver, configure)

    def test_a_full_disk(self, driver):
        """journald makes room by itself; the writer never sees it."""

    def test_killed_writers(self, driver, configure):
        """What was sent is there."""
        config = configure()
        left = driver.open(config)
        left.write(STDOUT, BASE_NS, b"1\n2\n")
        write(driver, config, [(STDOUT, b"3\n")])
        assert texts(driver, config) == [b"1\n", b"2\n", b"3\n"]
        left.close()


def test_fields(driver, journal, configure):
    config = configure(image="busybox", labels={"l": "v"}, options={"labels": "l", "tag": "{{.Name}}"})
    write(driver, config, [(STDOUT, b"out\n"), (STDERR, b"x" * 16384 + b"y\n")])
    journal.settle()
    found = subprocess.run(
        ["journalctl", "-D", journal.run / "log/journal", "-o", "json", f"CONTAINER_ID_FULL={config.container_id}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    import json

    out, first, last = (json.loads(line) for line in found.splitlines())
    assert out["MESSAGE"] == "out"
    wanted = {
        "PRIORITY": "6", "CONTAINER_ID": config.container_id[:12], "CONTAINER_NAME": "box", "CONTAINER_TAG": "box",
        "SYSLOG_IDENTIFIER": "box", "IMAGE_NAME": "busybox", "L": "v", "CONTAINER_LOG_ORDINAL": "1",
        "SYSLOG_TIMESTAMP": "2023-11-14T22:13:20Z",
    }  # fmt: skip
    assert {name: out[name] for name in wanted} == wanted
    assert (first["PRIORITY"], first["CONTAINER_PARTIAL_MESSAGE"], first["CONTAINER_PARTIAL_LAST"]) == (
        "3", "true", "false",
    )  # fmt: skip
    assert "CONTAINER_PARTIAL_MESSAGE" not in last
    assert (last["MESSAGE"], last["CONTAINER_PARTIAL_ORDINAL"], last["CONTAINER_PARTIAL_LAST"]) == ("y", "2", "true")
    assert first["CONTAINER_PARTIAL_ID"] == last["CONTAINER_PARTIAL_ID"]


def test_entries_too_long_for_a_datagram(driver, configure):
    config = configure(labels={"long": "v" * 400_000}, options={"labels": "long"})
    write(driver, config, [(STDOUT, b"hello\n")])
    assert said(driver, config) == [(STDOUT, b"hello\n")]
    (text,) = texts(driver, config, details=True)
    assert len(text) > 400_000


def test_bytes_that_are_no_text(driver, configure):
    config = configure()
    write(driver, config, [(STDOUT, bytes(range(10)) + bytes(range(11, 256)) + b"\n")])
    assert texts(driver, config) == [bytes(range(10)) + bytes(range(11, 256)) + b"\n"]


def test_a_journal_that_restarts(tmp_path, configure):
    if os.geteuid() or not JOURNALD.exists():
        pytest.skip("this needs root, and Debian's package systemd")
    import socket

    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as first:
        first.bind(path)
        writer = Journald(path, "").open(configure())
        writer.write(STDOUT, BASE_NS, b"1\n")
        assert b"MESSAGE=1\n" in first.recv(10000)
    with pytest.raises(OSError, match="refused"):
        writer.write(STDOUT, BASE_NS, b"lost\n")
    Path(path).unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as second:
        second.bind(path)
        writer.write(STDOUT, BASE_NS, b"2\n")
        assert b"MESSAGE=2\n" in second.recv(10000)
        writer.close()


def test_without_a_journal(configure, monkeypatch, tmp_path):
    made = make(Config(socket=str(tmp_path / "none"), directory=str(tmp_path)))
    with pytest.raises(HostUnfit, match="journald is not enabled on this host"):
        made.open(configure())
    (tmp_path / "bad.journal").write_bytes(b"junk")
    monkeypatch.setattr(reading, "_COMMAND", "no-such-journalctl")
    with pytest.raises(HostUnfit, match="journalctl is not there"):
        list(made.read(configure(), LogQuery(), -1))


def test_what_journalctl_says(configure, monkeypatch, tmp_path):
    (tmp_path / "fails").write_text("#!/bin/sh\necho 'it broke' >&2; exit 1\n")
    (tmp_path / "fails").chmod(0o755)
    monkeypatch.setattr(reading, "_COMMAND", str(tmp_path / "fails"))
    with pytest.raises(Corrupt, match="the journal can't be read: it broke"):
        list(Journald("", "").read(configure(), LogQuery(), -1))


def test_field_names():
    assert [field_name(each) for each in ("com.Re-1", "__x", "\u00e9a", "_")] == ["COM_RE_1", "X", "A", ""]


def exported(data, size):
    export = Export()
    return [dict(each) for at in range(0, len(data), size) for each in export.feed(data[at : at + size])]


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_exports_in_pieces(size):
    data = b"A=1\nMESSAGE\n" + (5).to_bytes(8, "little") + b"a\nb=c\nB=\n\nA=2\nMESSAGE=x\n\n"
    assert exported(data, size) == [{"A": b"1", "MESSAGE": b"a\nb=c", "B": b""}, {"A": b"2", "MESSAGE": b"x"}]


def test_exports_that_are_none():
    with pytest.raises(Corrupt, match="field of"):
        exported(b"A\n" + (1 << 40).to_bytes(8, "little") + b"x", 10_000)
    with pytest.raises(Corrupt, match="without an end"):
        exported(b"A=" + b"x" * (20 << 20), 1 << 20)


def test_entries_of_others():
    assert run_of({"A": b"1"}) is None
    run = run_of({"MESSAGE": b"m", "PRIORITY": b"4", "__REALTIME_TIMESTAMP": b"17"})
    assert (run.stream, run.time_ns, run.lines) == (0, 17000, [b"m"])
    assert run_of({"MESSAGE": b"m", "__REALTIME_TIMESTAMP": b"x"}).time_ns == 0


def test_newlines_inside_fields(tmp_path):
    config = LogConfig("a" * 64, tmp_path, labels={"l": "a\nb"}, options={"labels": "l"})
    entry = Entries(config).entry(Batch(STDOUT, BASE_NS + SECOND_NS, b"x\n"), b"x")
    assert b"\nL\n" + (3).to_bytes(8, "little") + b"a\nb\n" in entry
    assert re.search(rb"(?m)^MESSAGE=x$", entry)
