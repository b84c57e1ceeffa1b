"""Our engine in a sandbox, where the docker command finds it in dockerd's own place; and dockerd, in another."""

import contextlib
import shutil
import sys
import time
from pathlib import Path

from attrs import define
from peers.binaries import need
from peers.engines import Docker
from peers.sandbox import Sandbox

ROOT = "/var/lib/docker/engine"
SOCKET = "/run/docker.sock"
LEFT_S = 60


@define
class Moby(Docker):
    """The distribution `docker`, serving."""

    name = "moby"
    distribution: Path = Path()
    """The pyz, as it was assembled."""
    nothing: tuple[str, ...] = ()
    """What there was before the engine."""

    def open(self, image):
        self.nothing = self._all()
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

    def check_gone(self):
        """See that its containers leave nothing, and that `down --purge` leaves nothing of the engine itself."""
        self.remove_all()
        self._check(self.left, "its containers")
        self.verb("down", "--purge")
        self._check(lambda: [each for each in self._all() if each not in self.nothing], "the engine")
        self._check(
            lambda: [each for each in self.nothing if each not in self._all()], "what was there before it, gone"
        )

    def _check(self, look, whose):
        limit = time.monotonic() + LEFT_S
        while (left := look()) and time.monotonic() < limit:
            time.sleep(0.05)  # until the kernel has taken down what has just ended
        running = "; ".join(self.sandbox.processes().values())
        assert not left, f"left of {whose}: {', '.join(left)}; there run: {running}"

    def _all(self):
        """Return all that an engine can leave behind."""
        root = self.sandbox.seen(ROOT)
        files = [f"file {each.relative_to(root)} of the root" for each in root.rglob("*")]
        found = [*self.sandbox.trace().elements(), *self.sandbox.network(), *files]
        # The sandbox's own programs, which were in the way of the root's controllers, are in that one still.
        return tuple(sorted(each for each in found if not each.endswith(":moby-init")))

    def pid(self):
        """Return the engine's process id inside."""
        return self.sandbox.pid(" serve --host ")


@contextlib.contextmanager
def opened(kind, folder, image, hidden=(), **more):
    need("docker", "docker")
    (folder / "memory").mkdir(parents=True)
    sandbox = Sandbox(folder / "memory", hidden)
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
    return opened(Moby, folder, image, distribution=distribution)


class Bridged(Docker):
    """Debian's dockerd with its bridge; its ports are published by proxies alone, for want of iptables."""

    def daemon(self):
        return [each for each in super().daemon() if each != "--bridge=none"]


def opened_docker(folder, image):
    """Lend Debian's dockerd, with an image loaded."""
    need("dockerd", "docker")
    return opened(Bridged, folder, image)
