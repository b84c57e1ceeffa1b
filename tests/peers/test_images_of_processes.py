"""Podman and containerd's own client have our runtime write containers into images, and make them of these again."""

import re

import pytest
from peers.binaries import need
from peers.engines import choices

COUNTING = "i=0; while :; do i=$((i+1)); echo at $i; sleep 0.05; done"


def last(text):
    """Return the last number that a counting container has told, 0 where it hasn't yet."""
    found = re.findall(r"^at (\d+)$", text, re.MULTILINE)
    return int(found[-1]) if found else 0


@pytest.fixture(autouse=True)
def with_criu(tidy, engine):
    need("criu", "criu")
    yield
    engine.sandbox.run("rm", "-f", "/run/criu.kdat")  # what CRIU has found out of the kernel


@pytest.mark.parametrize("engine", choices("podman")[:1], indirect=True, scope="module")
class TestPodman:
    def counted(self, engine, name, above):
        """Wait until a container has told a number above one, and return it."""
        while (number := last(engine.out("logs", name))) <= above:
            assert engine.inspect(name, ".State.Status") == "running"
        return number

    @pytest.mark.parametrize("network", ["host", "none"])
    def test_a_container_goes_on(self, engine, network):
        name = engine.out("run", "-d", f"--network={network}", "localhost/box", "sh", "-c", COUNTING)
        self.counted(engine, name, 3)
        engine("container", "checkpoint", name)
        assert engine.inspect(name, ".State.Status") == "exited"
        stopped = last(engine.out("logs", name))
        engine("container", "restore", name)
        self.counted(engine, name, stopped)
        assert engine.inspect(name, ".State.Restored") is True

    def test_one_that_is_left_running(self, engine):
        name = engine.out("run", "-d", "--network=host", "localhost/box", "sh", "-c", COUNTING)
        before = self.counted(engine, name, 3)
        engine("container", "checkpoint", "--leave-running", name)
        self.counted(engine, name, before + 3)
