"""The verb `run` with a runtime that makes neither namespaces nor mounts: it says what is missing, and runs."""

import os

import pytest
from ambient import ListLog, RealClock
from engine import OneImage, place
from moby_runtime.cgroup import FEATURES as CGROUP
from moby_runtime.chroot import FEATURES as CHROOT
from moby_runtime.jails.runtime import Jails
from moby_supervisor.foreground.tasks import Foreground
from moby_supervisor.run.command import Run

from moby.errors import Unsupported
from moby.host.processes import set_child_subreaper
from moby.testing.bundles import make_rootfs

FEATURES = {"chroot": CHROOT, "cgroup": CGROUP}
SHARED = "the container shares the host's processes, network, IPC and host name"
BARE = "/proc, /dev and /sys are what its image has"
UNLIMITED = "it may use every device that it has a node of, and of everything as much as there is"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root changes its root; run as root")


@pytest.fixture
def log():
    return ListLog()


@pytest.fixture
def run(request, tmp_path, log):
    make_rootfs(tmp_path / "rootfs")
    name = request.param
    runtime = Jails(place(tmp_path, "runtime"), name, FEATURES[name])
    set_child_subreaper()
    with Foreground({name: runtime}, tmp_path / "run", RealClock(), ListLog()) as supervisor:
        yield Run(OneImage(tmp_path / "rootfs"), supervisor, place(tmp_path, "command"), log)
    set_child_subreaper(False)


@pytest.mark.parametrize(
    ("run", "lost"), [("chroot", [SHARED, BARE, UNLIMITED]), ("cgroup", [SHARED, BARE])], indirect=["run"]
)
def test_what_is_missing_is_said(run, log, lost, capfd):
    assert run.run(["demo", "sh", "-c", "echo in; ls /; exit 3"]) == 3
    assert capfd.readouterr().out.split()[:2] == ["in", "bin"]
    said = [message.partition(": ")[2] for _, message, _ in log.lines if "isolates less" in message]
    assert said == lost


@pytest.mark.parametrize("run", ["cgroup"], indirect=True)
def test_limits_hold(run):
    script = "sleep 5 & sleep 5 & sleep 5 & wait"
    assert run.run(["--pids-limit", "2", "demo", "sh", "-c", script]) != 0


@pytest.mark.parametrize(
    ("run", "options", "named"),
    [
        pytest.param("chroot", ["-m", "64m"], r"linux\.resources", id="limits"),
        pytest.param("chroot", ["-v", "/etc:/etc"], "mounts", id="mounts"),
        pytest.param("chroot", ["--read-only"], r"root\.readonly", id="read-only"),
        pytest.param("cgroup", ["-v", "/etc:/etc"], "mounts", id="mounts-beside-limits"),
    ],
    indirect=["run"],
)
def test_what_was_asked_for_is_refused(run, options, named):
    with pytest.raises(Unsupported, match=named):
        run.run([*options, "demo", "true"])
