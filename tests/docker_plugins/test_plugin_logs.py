"""The part `log-driver/plugin`, with a plugin that speaks docker's protocol and nothing else."""

import json
import os
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from docker_plugins import plugin_server
from docker_plugins.plugin_server import Server
from moby_log.plugin import driver as drivers
from moby_log.plugin.driver import PluginLogs, entries
from peers.sandbox import until

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.errors import Corrupt, HostUnfit, Unsupported
from moby.host.docker_plugins import Plugin
from moby.testing.log_driver import LogDriverSuite


@pytest.fixture
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plugin")
    with Server(folder / "kept.sock", folder) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def driver(server):
    folder = server.calls.parent
    return PluginLogs(Plugin("kept", "LogDriver", [folder], patience_s=0.2), folder / "run")


@pytest.fixture(scope="module")
def process(tmp_path_factory):
    """Where a plugin is that is a process of its own, so that what it has open isn't ours."""
    folder = tmp_path_factory.mktemp("process")
    words = [sys.executable, str(Path(plugin_server.__file__)), str(folder / "kept.sock"), str(folder)]
    with subprocess.Popen(words) as process:
        yield folder
        process.terminate()


class TestPluginLogs(LogDriverSuite):
    @pytest.fixture
    def driver(self, process):
        part = PluginLogs(Plugin("kept", "LogDriver", [process]), process / "run")
        until(lambda: part.readable, "the plugin")
        return part

    @pytest.fixture
    def configure(self, tmp_path):
        """Containers that no other test has had: the plugin keeps all logs."""
        return lambda **more: LogConfig(secrets.token_hex(32), tmp_path, name="box", **more)

    def test_unknown_options(self, driver, configure):
        """Which options there are is the plugin's to say."""
        driver.check({"mode": "non-blocking", "no-such-option": "1"})

    test_common_options_that_are_wrong = test_unknown_options

    def test_a_full_disk(self, driver, configure):
        """Is the plugin's; one that has gone is as a sink that is gone."""
        writer = driver.open(configure())
        driver.plugin.call("StopLogging", File=str(writer._path))
        with pytest.raises(OSError):
            writer.write(1, 1, b"lost\n")
        writer.close()


def config(tmp_path, **options):
    return LogConfig("c" * 64, tmp_path, options=options)


def test_refusals_are_in_the_plugins_words(driver, tmp_path):
    driver.check({"refuse": "1", "anything": "else"})
    with pytest.raises(HostUnfit, match=r"doesn't take the log: .*refused, as it was asked for"):
        driver.open(config(tmp_path, refuse="1"))
    assert list((driver.folder / "pipes").iterdir()) == []


def test_a_plugin_that_opens_nothing(driver, server, tmp_path, monkeypatch):
    monkeypatch.setattr(drivers, "_OPEN_S", 0.05)
    server.parts["LogDriver"].StartLogging = lambda given: {}
    with pytest.raises(HostUnfit, match="doesn't open the pipe"):
        driver.open(config(tmp_path))


def test_what_a_killed_writer_left(driver, server, tmp_path):
    """The plugin is to be through with it before the next one begins."""
    killed = driver.open(config(tmp_path))
    killed.write(1, 1, b"before\n")
    os.close(killed._fd)
    writer = driver.open(config(tmp_path))
    writer.write(1, 2, b"after\n")
    writer.close()
    assert b"".join(driver.read(config(tmp_path), LogQuery(framed=False), -1)) == b"before\nafter\n"
    called = [json.loads(each)[0] for each in server.calls.read_text().splitlines()]
    assert [each for each in called if each.endswith("Logging")] == [
        "LogDriver.StartLogging", "LogDriver.StopLogging", "LogDriver.StartLogging", "LogDriver.StopLogging",
    ]  # fmt: skip


def test_one_that_cannot_be_read(server, tmp_path):
    server.parts["LogDriver"].Capabilities = lambda given: {"Cap": {}}
    folder = server.calls.parent
    part = PluginLogs(Plugin("kept", "LogDriver", [folder], patience_s=0.2), folder / "run")
    assert not part.readable
    with pytest.raises(Unsupported):
        list(part.read(config(tmp_path), LogQuery(), -1))


def test_records_that_are_none():
    with pytest.raises(Corrupt, match="a record of 4294967295 bytes"):
        list(entries(iter([b"\xff\xff\xff\xff"])))
    assert list(entries(iter([b"\0\0", b"\0\2\x12"]))) == []


def test_lines_that_come_with_their_ends(driver, server, tmp_path):
    record = drivers.encode(drivers.Entry("stderr", 7, b"line\n"))
    server.parts["LogDriver"].stream = lambda given: iter([len(record).to_bytes(4, "big") + record])
    found = b"".join(driver.read(config(tmp_path), LogQuery(), -1))
    assert found == b"\2\0\0\0\0\0\0\5line\n"
