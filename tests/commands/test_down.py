"""The verb `down` of a distribution with containers, and what own verbs find after it."""

import pytest
from clients.engine import opened_moby
from peers.box import NAME, archive
from peers.sandbox import until

pytestmark = pytest.mark.long

TRAPS = "trap 'echo told; exit 3' TERM; echo up; while :; do sleep 0.1; done"


@pytest.fixture
def engine(tmp_path, docker_pyz):
    """Our engine, serving, in a sandbox."""
    with opened_moby(tmp_path / "engine", archive(tmp_path / "image.tar", tmp_path / "rootfs"), docker_pyz) as found:
        yield found


def test_containers_end_as_docker_stop_has_it(engine):
    """And are started again by the next engine that serves, not by a verb that looks."""

    def shown():
        out = engine.verb("ps", "-a", "--format", "{{.Names}} {{.Status}}").stdout
        return sorted(" ".join(each.split()[:3]).removesuffix(" Less") for each in out.splitlines())

    engine("run", "-d", "--name", "kept", "--restart", "always", "--network", "none", NAME, "sh", "-c", TRAPS)
    engine("run", "-d", "--name", "deaf", "--network", "none", NAME, "sleep", "1000")
    until(lambda: engine.out("logs", "kept") == "up", "the trap")
    engine.verb("down", "--timeout", "1")
    assert shown() == ["deaf Exited (137)", "kept Exited (3)"]
    assert engine.verb("logs", "kept").stdout == "up\ntold\n"
    assert shown() == ["deaf Exited (137)", "kept Exited (3)"]
    assert not [each for each in engine.sandbox.processes().values() if "told" in each]
    engine._daemon.wait(60)
    engine._begin()
    until(lambda: engine.out("ps", "--format", "{{.Names}}") == "kept", "its start by the engine that serves")
    until(lambda: engine.out("logs", "kept") == "up\ntold\nup", "the trap")
    engine.verb("down", "--purge")
