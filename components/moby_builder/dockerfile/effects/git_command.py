"""The host's git, told to run nothing of what it fetches, and to read no configuration but what is given here."""

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from attrs import field, frozen

from moby.contracts.builder import BuildFailed
from moby.errors import HostUnfit
from moby_builder.dockerfile.solver.effects import Watch

__all__ = ["Git"]

_PROTOCOLS = "http:https:ssh:git"
_SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "init.defaultBranch": "main",
    "protocol.file.allow": "never",
    "protocol.ext.allow": "never",
    "advice.detachedHead": "false",
    "submodule.recurse": "false",
    "gc.auto": "0",
}
_MOST_TOLD = 2000


@frozen
class Git:
    """Runs git for one source. `settings` may be secret: they aren't seen in the list of processes."""

    watch: Watch
    home: Path
    """A folder that it may write to."""
    settings: Mapping[str, str] = field(factory=dict)
    agent: str = ""
    """Path of the socket of an ssh agent."""

    def __call__(self, *arguments: str, folder: Path | None = None, check: bool = True, local: bool = False) -> str:
        """Return what a command of git prints; BuildFailed where it fails, empty text instead unless `check`.

        With `local` it may fetch from this host's own folders, and from nowhere else.
        """
        command = shutil.which("git")
        if command is None:
            raise HostUnfit("this host can't fetch git repositories", hint="install the package git")
        self.watch.cancel.check()
        process = subprocess.Popen(
            [command, *arguments], cwd=folder or self.home, env=self._environment(local), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True, umask=0o022,
        )  # fmt: skip
        back = self.watch.cancel.add(lambda: _kill(process))
        try:
            errors = _Errors(process, self.watch if check else None)
            assert process.stdout is not None
            out = process.stdout.read().decode("utf-8", "surrogateescape")
            code = process.wait()
            told = errors.text()
        finally:
            back()
            _kill(process)
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self.watch.cancel.check()
        if code == 0:
            return out
        if check:
            raise BuildFailed(f"git {arguments[0]} failed: git stderr:\n{told}\n: exit status {code}")
        return ""

    def _environment(self, local: bool) -> dict[str, str]:
        settings = {**_SETTINGS, **self.settings, **({"protocol.file.allow": "always"} if local else {})}
        known = self.home / "known_hosts"
        ssh = f"ssh -F {os.devnull} -o BatchMode=yes -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={known}"
        environment = {
            "PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.home), "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true", "GIT_ALLOW_PROTOCOL": "file" if local else _PROTOCOLS, "GIT_SSH_COMMAND": ssh,
            "GIT_CONFIG_COUNT": str(len(settings)),
        }  # fmt: skip
        for number, (key, value) in enumerate(settings.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
            if name in os.environ:
                environment[name] = os.environ[name]
        return environment | ({"SSH_AUTH_SOCK": self.agent} if self.agent else {})


class _Errors:
    """Passes on what a process says where somebody wants it, and keeps the end of it."""

    def __init__(self, process: "subprocess.Popen[bytes]", watch: Watch | None) -> None:
        self._said = b""
        self._thread = threading.Thread(target=self._read, args=(process, watch), name="git", daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return the last of what it said."""
        self._thread.join()
        return self._said.decode("utf-8", "replace").strip()

    def _read(self, process: "subprocess.Popen[bytes]", watch: Watch | None) -> None:
        assert process.stderr is not None
        while data := process.stderr.read1(65536):  # type: ignore[attr-defined]
            if watch is not None:
                watch.log(2, data)
            self._said = (self._said + data)[-_MOST_TOLD:]


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a process, with those that it has started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
