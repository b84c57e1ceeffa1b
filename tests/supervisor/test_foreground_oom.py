"""An exit says whether the kernel killed something inside for want of memory."""

import os
import select

import pytest
from ambient import ListLog, RealClock
from engine import place
from moby_runtime.native.runtime import Native
from moby_supervisor.foreground.tasks import Foreground

from moby.contracts.runtime import RuntimeFeature
from moby.contracts.supervisor import TaskConfig
from moby.errors import Conflict, HostUnfit
from moby.testing.bundles import Bundles, config

FILL = "while :; do echo 0123456789abcdef0123456789abcdef0123456789abcdef; done > /tmp/much"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user has no group of memory here; runs as root"),
]


@pytest.fixture
def runtime(tmp_path):
    return Native(place(tmp_path, "native"))


@pytest.fixture
def run(tmp_path, rootfs, runtime):
    bundles = Bundles(tmp_path / "bundles", rootfs)

    def run(script, limit=16 * 2**20):
        data = config(["sh", "-c", script])
        data["linux"]["resources"] = {"memory": {"limit": limit}}
        with Foreground({"native": runtime}, tmp_path / "run", RealClock(), ListLog()) as supervisor:
            supervisor.create(TaskConfig("a", bundles.make("a", data)))
            watched = supervisor.exit_fd("a")
            supervisor.start("a")
            assert select.select([watched], [], [], 60)[0], "it must end"
            os.close(watched)
            supervisor.state("a")
            return supervisor.delete("a")

    return run


@pytest.mark.parametrize(
    ("script", "code", "killed"),
    [
        pytest.param(FILL, 137, True, id="itself"),
        pytest.param(
            "sh -c 'x=0123456789abcdef; while :; do x=$x$x; done'; exit 0", 0, True, id="a-child-of-one-that-goes-on"
        ),
        pytest.param("sh -c 'kill -9 $$'; exit $?", 137, False, id="by-a-signal"),
        pytest.param("exit 3", 3, False, id="by-itself"),
    ],
)
def test_an_exit_tells_of_oom_kills(run, script, code, killed):
    ended = run(script)
    assert (ended.code, ended.oom_killed) == (code, killed)


@pytest.mark.parametrize("error", [HostUnfit("no memory"), Conflict("stopped")])
def test_where_nobody_can_tell_nothing_is_told(run, runtime, monkeypatch, error):
    def refuse(container_id):
        raise error

    monkeypatch.setattr(runtime, "watch_oom", refuse)
    assert not run(FILL).oom_killed


def test_figures_that_are_gone_tell_nothing(run, runtime, monkeypatch):
    def refuse(container_id):
        raise Conflict("gone")

    monkeypatch.setattr(runtime, "stats", refuse)
    assert not run(FILL).oom_killed


@pytest.mark.parametrize("lacking", [RuntimeFeature.OOM, RuntimeFeature.STATS])
def test_a_runtime_that_cannot_tell_is_not_asked(run, runtime, monkeypatch, lacking):
    monkeypatch.setattr(runtime, "features", runtime.features - {lacking})
    monkeypatch.setattr(runtime, "watch_oom", None)
    assert not run(FILL).oom_killed
