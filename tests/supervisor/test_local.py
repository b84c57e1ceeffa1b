import os

import pytest
from ambient import ListLog, RealClock
from engine import place
from moby_runtime.native.runtime import Native
from moby_runtime.oci_command.runtime import OciCommand
from moby_runtime.runc import RUNC
from moby_supervisor.local import FEATURES
from moby_supervisor.local.local import Local
from peers import binaries

from moby.testing.bundles import Bundles, config
from moby.testing.holding import SameProcess
from moby.testing.supervisor_whole import WholeSupervisorSuite


@pytest.fixture
def keeper():
    keeper = SameProcess()
    yield keeper
    keeper.close()


@pytest.fixture
def runtime(tmp_path):
    return Native(place(tmp_path, "native"))


@pytest.fixture
def supervisor(tmp_path, keeper, runtime, drivers):
    log = ListLog()
    with Local({"only": runtime}, drivers, keeper, place(tmp_path, "supervisor"), RealClock(), log) as supervisor:
        yield supervisor
        for each in supervisor.list():
            supervisor.delete(each.id, force=True)
    assert [each for each in log.lines if each[0] == "error"] == []
    assert keeper.copies == {}


@pytest.fixture
def bundle(tmp_path, rootfs):
    bundles = Bundles(tmp_path / "bundles", rootfs)
    names = (str(number) for number in range(1000))

    def bundle(*arguments, terminal=False):
        return bundles.make(next(names), config(arguments, rootless=os.geteuid() != 0, terminal=terminal))

    return bundle


class TestLocal(WholeSupervisorSuite):
    offers = frozenset(FEATURES)

    @pytest.fixture
    def supervisor(self, supervisor):
        return supervisor

    @pytest.fixture
    def bundle(self, bundle):
        return bundle

    def process(self, script):
        return config(["sh", "-c", script])["process"]


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="runc as an ordinary user is tried with the runtimes; runs as root")
class TestLocalOnRunc(TestLocal):
    """The same, where each call of the runtime is a command."""

    @pytest.fixture
    def runtime(self, tmp_path):
        return OciCommand(place(tmp_path, "runc"), RUNC, str(binaries.need("runc", "runc")))
