"""Options of a bind that are for what is mounted below it too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bwrap_runtime import bundle as bundles_module
from bwrap_runtime.translation import invocation

RUN = """
import os, sys
from pathlib import Path
from moby.contracts.types import Stdio
from quiet import Quiet
from bwrap_runtime.runtime import Bwrap
runtime = Bwrap(Path(sys.argv[1]), binary="", strict=False, log=Quiet())
process = runtime.create("one", Path(sys.argv[2]), Stdio(0, 1, 2))
runtime.start("one")
os.waitid(os.P_PIDFD, process.exit_fd, os.WEXITED)
runtime.delete("one", force=True)
"""


@pytest.mark.parametrize(
    ("options", "how"),
    [
        pytest.param(["rro"], "--ro-bind", id="read-only"),
        pytest.param(["ro", "rro"], "--ro-bind", id="both"),
        pytest.param(["rnosuid", "rnodev"], "--bind", id="others"),
    ],
)
def test_how_it_is_bound(bundles, data, options, how):
    config = data()
    config["mounts"].append({"destination": "/s", "source": "/etc", "options": ["rbind", *options]})
    given = list(invocation(bundles_module.read(bundles.make("one", config))).options)
    assert given[given.index("/s") - 2 : given.index("/s")] == [how, "/etc"]


def test_sys_of_the_host(bundles, data):
    config = data()
    options = ["rbind", "rnosuid", "rnoexec", "rnodev", "rro"]
    config["mounts"].append({"destination": "/sys", "source": "/sys", "options": options})
    given = list(invocation(bundles_module.read(bundles.make("one", config))).options)
    assert given[given.index("/sys") - 1] == "--ro-bind"


def test_what_is_mounted_below_is_read_only_too(bundles, data, tmp_path):
    if os.geteuid():
        pytest.skip("only root may mount; run by root this is covered")
    below = tmp_path / "shared/below"
    below.mkdir(parents=True)
    config = data(
        "sh", "-c", "for i in /s /s/below; do touch $i/x 2>/dev/null && echo $i is writable; done; echo tried"
    )
    config["mounts"].append({"destination": "/s", "source": str(below.parent), "options": ["rbind", "rro"]})
    bundle = bundles.make("one", config, shared=False)  # its root gets a folder /s
    program = [sys.executable, "-c", RUN, str(tmp_path / "run"), str(bundle)]
    mounting = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0" && exec "$@"', str(below)]
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])
    done = subprocess.run(
        [*mounting, *program], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("tried\n", "")
