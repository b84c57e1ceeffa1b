"""Files of tests that are run inside a sandbox, and what they start there."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from peers.sandbox import TEMPORARY, Sandbox

from moby.grpc.client import Client

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = """
version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
[grpc]
address = "{folder}/sock"
"""


def try_inside(folder, file):
    """Run a file's tests inside a sandbox; fail, and say what they said, where one does."""
    sandbox = Sandbox(folder)
    sandbox.open()
    try:
        words = f"{sys.executable} -m pytest -q -p no:cacheprovider --tb=short --basetemp={TEMPORARY}/t {file}"
        done = sandbox.run("sh", "-c", f"cd {CHECKOUT} && exec {words}", check=False, timeout=280)
    finally:
        sandbox.close()
    print(done.stdout[-20000:])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-5000:]


@contextmanager
def containerd(folder):
    """Have Debian's containerd run, with all that is its own in a folder; yield its address."""
    (folder / "config.toml").write_text(CONFIG.format(folder=folder))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(["containerd", "--config", str(folder / "config.toml")], stdout=log, stderr=log)
    client = Client(str(folder / "sock"), "moby")
    limit = time.monotonic() + 60
    while not client.answers():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < limit, (folder / "log").read_text()
        time.sleep(0.01)
    yield str(folder / "sock")
    process.terminate()
    process.wait(60)
