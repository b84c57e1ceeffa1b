import pytest
from containers_engine import Engine

from moby.contracts.containers import LogChoice
from moby.contracts.log_driver import LogQuery
from moby.errors import NotFound, Unsupported
from moby.testing.containers import ContainersSuite, World


@pytest.mark.slow
class TestOnLocal(ContainersSuite):
    """The service with the supervisor `local` in its process."""

    @pytest.fixture
    def world(self, engine):
        return World(engine.containers, engine.events)


@pytest.mark.slow
class TestOnServed(ContainersSuite):
    """The same with the supervisor in a process of its own, under a keeper."""

    @pytest.fixture(scope="class")
    @staticmethod
    def served(tmp_path_factory, rootfs):
        with Engine(tmp_path_factory.mktemp("served"), rootfs, "served") as engine:
            yield engine

    @pytest.fixture
    def world(self, served):
        return World(served.containers, served.events)


def test_nothing_is_logged_as_an_error(engine):
    assert engine.run("exit 3", auto_remove=True)[0] == 3
    assert engine.log.lines == []


class TestOnForeground:
    """A supervisor that keeps no journal and no log: the service waits for each task itself."""

    @pytest.fixture
    def world(self, tmp_path, rootfs):
        with Engine(tmp_path, rootfs, "foreground") as engine:
            yield World(engine.containers, engine.events)

    @pytest.mark.parametrize(
        "test", ["run", "runs_again", "states", "exec_detached", "auto_remove", "on_failure", "stop_by_force"]
    )
    def test_promise(self, world, test):
        getattr(ContainersSuite(), f"test_{test}")(world)

    def test_there_is_no_log(self, world):
        made = ContainersSuite().make(world, ":")
        with pytest.raises(Unsupported, match="configured logging driver does not support reading"):
            world.containers.logs(made, LogQuery())
        with pytest.raises(NotFound, match="no log driver named 'json-file'"):
            ContainersSuite().make(world, ":", log=LogChoice("json-file"))
