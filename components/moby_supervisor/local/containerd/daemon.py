"""A containerd of the engine's own: started where nobody answers, and ended once no container is left."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from attrs import frozen

from moby.contracts.ambient import Log, Place
from moby.errors import HostUnfit, Invalid, Unavailable
from moby.grpc.client import Client
from moby.host import processes, programs

__all__ = ["Daemon"]

_CONFIG = """\
version = 2
root = "{root}"
state = "{state}"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.internal.v1.tracing",
  "io.containerd.tracing.processor.v1.otlp", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.blockfile", "io.containerd.nri.v1.nri"]
[grpc]
address = "{address}"
[debug]
level = "warn"
"""
_SHIMS = Path("/run/containerd")
"""Where shims have their sockets, whatever their containerd is told."""
_LONGEST_ADDRESS = 90
"""Of a Unix socket's 107 bytes; containerd adds some."""
_START_S = 60.0
_STEP_S = 0.01
_END_S = 20.0


@frozen
class Daemon:
    """One containerd, known by its pid and start time in the run folder, whoever started it."""

    client: Client
    binary: str
    place: Place
    log: Log

    @staticmethod
    def address(place: Place) -> str:
        """Return where the engine's own containerd listens; Invalid where that is too long a path for a socket."""
        found = str(place.run / "containerd.sock")
        if len(found) > _LONGEST_ADDRESS:
            raise Invalid(
                f"{found} is too long a path for containerd's socket", hint="use a shorter --root, or set `address`"
            )
        return found

    def begin(self) -> int:
        """See that it runs, and answers; return a pidfd of it. HostUnfit where the program isn't there."""
        pidfd = self.ensure()
        deadline = time.monotonic() + _START_S
        while not self.client.answers():
            if processes.wait_ended(pidfd, _STEP_S):
                os.close(pidfd)
                raise Unavailable(f"containerd ends as soon as it is started: {self._last_words()}")
            if time.monotonic() > deadline:
                os.close(pidfd)
                raise Unavailable(f"containerd doesn't answer at {self.client.address}", hint=f"see {self._log_file}")
        return pidfd

    def ensure(self) -> int:
        """As `begin`, and it may answer only later."""
        pidfd = self._running()
        return pidfd if pidfd >= 0 else self._started()

    def end(self) -> None:
        """End it, and remove what it keeps; nothing where it doesn't run."""
        pidfd = self._running()
        if pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                processes.send_signal(pidfd, signal.SIGTERM)
            if not processes.wait_ended(pidfd, _END_S):
                with contextlib.suppress(ProcessLookupError):
                    processes.send_signal(pidfd, signal.SIGKILL)
                processes.wait_ended(pidfd, _END_S)
            processes.reap(pidfd)
            os.close(pidfd)
        for each in ("shims", "containerd.pid", "containerd.toml", "containerd.sock", "containerd.sock.ttrpc"):
            path = self.place.run / each
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        for each in ("s", ""):
            with contextlib.suppress(OSError):  # there is something of another's
                (_SHIMS / each).rmdir()

    @property
    def _log_file(self) -> Path:
        return self.place.run / "containerd.log"

    def _started(self) -> int:
        binary = programs.find(self.binary)
        if binary is None:
            raise HostUnfit(f"there is no program {self.binary!r}", hint="install containerd, or set `binary`")
        run, address = self.place.run, self.client.address
        config = run / "containerd.toml"
        config.write_text(
            _CONFIG.format(root=self.place.state / "containerd", state=run / "shims", address=address),
            encoding="utf-8",
        )
        with self._log_file.open("ab") as out:
            started = subprocess.Popen(
                [binary, "--config", str(config)], stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                start_new_session=True, cwd="/",
            )  # fmt: skip
        pidfd = os.pidfd_open(started.pid)
        started.returncode = 0  # it is waited for by its pidfd, if this process is still its parent then
        stat = processes.process_stat(started.pid)
        ticks = stat.start_ticks if stat else 0
        (run / "containerd.pid").write_text(f"{started.pid} {ticks}", encoding="ascii")
        self.log.info("started containerd", pid=started.pid, address=address)
        return pidfd

    def _running(self) -> int:
        """Return a pidfd of the one that was started for this engine; -1 where there is none any more."""
        try:
            pid, ticks = map(int, (self.place.run / "containerd.pid").read_text(encoding="ascii").split())
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return -1
        stat = processes.process_stat(pid)
        if stat is None or stat.start_ticks != ticks or stat.ended:
            os.close(pidfd)
            return -1
        return pidfd

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            return self._log_file.read_text(encoding="utf-8", errors="replace")[-500:].strip()
        return "it says nothing"
