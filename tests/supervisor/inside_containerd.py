"""What is tried inside a sandbox, where containerd may run; test_containerd.py runs this file there."""


import pytest
from ambient import ListLog, RealClock
from engine import place
from holding import LinesDriver
from moby_supervisor.local import FEATURES
from moby_supervisor.local.containerd.supervisor import Containerd

from moby.testing.bundles import Bundles, config
from moby.testing.holding import SameProcess
from moby.testing.supervisor_whole import WholeSupervisorSuite

BINARIES = {"runc": "runc"}


@pytest.fixture
def keeper():
    keeper = SameProcess()
    yield keeper
    keeper.close()


@pytest.fixture
def log():
    return ListLog()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("c")


@pytest.fixture
def supervisor(home, keeper, log):
    drivers = {"lines": LinesDriver(), "waiting": LinesDriver(waits=True)}
    with Containerd(BINARIES, drivers, keeper, place(home, "s"), RealClock(), log) as supervisor:
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
        return bundles.make(next(names), config(arguments, terminal=terminal))

    return bundle


class TestContainerd(WholeSupervisorSuite):
    offers = frozenset(FEATURES)

    @pytest.fixture
    def supervisor(self, supervisor):
        return supervisor

    @pytest.fixture
    def bundle(self, bundle):
        return bundle

    def process(self, script):
        return config(["sh", "-c", script])["process"]
