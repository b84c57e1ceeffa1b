"""The same suite, with the supervisor in a process of its own, as engines have it."""

import os
import tempfile
from pathlib import Path

import pytest
from moby_supervisor.local import FEATURES
from serving import Served, eventually

from moby.contracts.log_driver import LogConfig, LogQuery
from moby.contracts.supervisor import TaskConfig
from moby.testing.bundles import Bundles, config
from moby.testing.supervisor import read_all, readable
from moby.testing.supervisor_whole import WholeSupervisorSuite

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served():
    with tempfile.TemporaryDirectory(prefix="moby-test-") as folder:
        served = Served(Path(folder) / "root")
        served.begin()
        yield served
        served.close()
        assert "bug" not in served.log()


class TestServed(WholeSupervisorSuite):
    offers = frozenset(FEATURES)

    @pytest.fixture
    def supervisor(self, served):
        return served.supervisor

    @pytest.fixture
    def bundle(self, tmp_path, rootfs):
        bundles = Bundles(tmp_path / "bundles", rootfs)
        names = (str(number) for number in range(1000))

        def bundle(*arguments, terminal=False):
            return bundles.make(next(names), config(arguments, rootless=os.geteuid() != 0, terminal=terminal))

        return bundle

    def process(self, script):
        return config(["sh", "-c", script])["process"]


def test_it_is_well_under_its_keeper(served):
    """What is well says so; the keeper is its parent."""
    assert served.supervisor.health() == ""
    parent = int(Path(f"/proc/{served.pid()}/stat").read_text().rpartition(")")[2].split()[1])
    assert parent == served.keeper()


def test_nothing_stays_open_in_it(served, tmp_path, rootfs):
    """Descriptors and what is on disk are as before, whatever was run."""
    bundles = Bundles(tmp_path / "bundles", rootfs)
    run = served.around.roots.run

    def once(number, driver, terminal):
        log = tmp_path / f"log-{number}"
        log.mkdir()
        data = config(["sh", "-c", "echo out; exit 1"], rootless=os.geteuid() != 0, terminal=terminal)
        where = LogConfig("a", log, driver)
        served.supervisor.create(
            TaskConfig("a", bundles.make(f"b{number}", data), log=where, terminal=terminal, stdin=True)
        )
        streams, ended = served.supervisor.attach("a"), served.supervisor.exit_fd("a")
        served.supervisor.start("a")
        assert readable(ended)
        assert read_all(streams.stdout).split() == [b"out"]
        reader = served.supervisor.logs(where, LogQuery(framed=False))
        assert read_all(reader).split() == [b"out"]
        for each in {streams.stdin, streams.stdout, streams.stderr, ended, reader} - {-1}:
            os.close(each)
        served.supervisor.delete("a")

    def open_in(pid):
        return len([*Path(f"/proc/{pid}/fd").iterdir()])

    variants = [("lines", False), ("waiting", False), ("lines", True)]
    for number, (driver, terminal) in enumerate(variants):
        once(number, driver, terminal)
    before = open_in(served.pid()), open_in(served.keeper())
    for number, (driver, terminal) in enumerate(variants * 3, len(variants)):
        once(number, driver, terminal)
    pids = served.pid(), served.keeper()
    eventually(lambda: all(open_in(pid) <= most for pid, most in zip(pids, before, strict=True)), "some are left open")
    assert [*(run / "supervisor/local/tasks").iterdir()] == []
