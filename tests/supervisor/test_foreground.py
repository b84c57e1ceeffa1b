import os
import signal
from pathlib import Path

import pytest
from ambient import ListLog, RealClock
from engine import place
from moby_supervisor.foreground.tasks import Foreground

from moby.contracts.supervisor import TaskConfig
from moby.testing.bundles import Bundles, config
from moby.testing.supervisor_whole import WholeSupervisorSuite


class TestForeground(WholeSupervisorSuite):
    @pytest.fixture
    def supervisor(self, forking, tmp_path):
        with Foreground({"forking": forking}, tmp_path / "run", RealClock(), ListLog()) as supervisor:
            yield supervisor

    @pytest.fixture
    def bundle(self, bundles):
        return bundles


class TestForegroundOnNative(WholeSupervisorSuite):
    """The same, with containers that are."""

    @pytest.fixture
    def supervisor(self, tmp_path):
        from moby_runtime.native.runtime import Native

        runtimes = {"native": Native(place(tmp_path, "native"))}
        with Foreground(runtimes, tmp_path / "run", RealClock(), ListLog()) as supervisor:
            yield supervisor

    @pytest.fixture
    def bundle(self, tmp_path, rootfs):
        bundles = Bundles(tmp_path / "bundles", rootfs)
        names = (str(number) for number in range(1000))

        def bundle(*arguments, terminal=False):
            return bundles.make(next(names), config(arguments, rootless=os.geteuid() != 0, terminal=terminal))

        return bundle

    def process(self, script):
        return config(["sh", "-c", script])["process"]

    def test_a_container_is_deleted_with_what_was_started_in_it(self, supervisor, bundle):
        """Its first process ends only once all others of its PID namespace are reaped."""
        self.make(supervisor, bundle, "sleep 1000")
        supervisor.start("a")
        supervisor.exec("a", "b", self.process("exec sleep 1000"), TaskConfig("b", Path()))
        assert supervisor.delete("a", force=True).code == 128 + signal.SIGKILL
        assert supervisor.state("b").exit.code == 128 + signal.SIGKILL
        supervisor.delete("b")
