"""Our engine in a sandbox, where the docker command finds it in dockerd's own place; and dockerd, in another."""

import contextlib
import shutil
import sys
from pathlib import Path

from attrs import define
from peers.binaries import need
from peers.engines import Docker
from peers.sandbox import Sandbox

ROOT = "/var/lib/docker/engine"
SOCKET = "/run/docker.sock"


@define
class Moby(Docker):
    """The distribution `docker`, serving."""

    name = "moby"
    distribution: Path = Path()
    """The pyz, as it was assembled."""

    def open(self, image):
        # Copied to where it lies on a file system of the sandbox's, and nobody else's.
        shutil.copy(self.distribution, self.sandbox.seen("/var/lib/docker/docker.pyz"))
        super().open(image)

    def verb(self, *args, **options):
        """Run one of the distribution's own commands."""
        return self.sandbox.run(*self.argv(*args), **options)

    def argv(self, *args):
        """Return the words of one of the distribution's own commands."""
        return [sys.executable, "/var/lib/docker/docker.pyz", "--root", ROOT, *args]

    def daemon(self):
        return self.argv("serve", "--host", f"unix://{SOCKET}")

    def again(self):
        self.sandbox.run("kill", str(self.pid()))
        self._daemon.wait(60)
        self._begin()

    def pid(self):
        """Return the engine's process id inside."""
        (found,) = [pid for pid, words in self.sandbox.processes().items() if " serve --host " in words]
        return found


@contextlib.contextmanager
def _opened(kind, folder, image, **more):
    need("docker", "docker")
    (folder / "memory").mkdir(parents=True)
    sandbox = Sandbox(folder / "memory")
    sandbox.open()
    engine = kind(sandbox, "runc", folder / "daemon.log", **more)
    try:
        engine.open(image)
        yield engine
    finally:
        sandbox.close()
        engine.close()


def opened_moby(folder, image, distribution):
    """Lend our engine, from that pyz, with an image loaded."""
    return _opened(Moby, folder, image, distribution=distribution)


def opened_docker(folder, image):
    """Lend Debian's dockerd, with an image loaded."""
    need("dockerd", "docker")
    return _opened(Docker, folder, image)
