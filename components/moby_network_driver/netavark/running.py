"""How netavark is run."""

import json
import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.errors import HostUnfit
from moby.values import frozen
from moby_network_driver.netavark.calls import Call

__all__ = ["Program", "refusal"]

_MOST_TOLD = 1000
_WITHOUT_RULES_OF_PLACES = ("nftables", "none")
"""Firewalls of netavark's with which an endpoint without ports has none."""


@frozen
class Program:
    """The program, and where it keeps what it made of the firewall."""

    path: str
    folder: Path
    firewall: str
    timeout_s: float

    def need(self) -> None:
        """Refuse a host that hasn't got it; HostUnfit."""
        if not (os.access(self.path, os.X_OK) and Path(self.path).is_file()):
            hint = "install it (Debian: netavark), or name it by the option `binary`"
            raise HostUnfit(f"this host has no netavark at {self.path}", hint=hint)

    def set_up(self, call: Call, namespace: str) -> None:
        """Make an endpoint; nothing is left if it fails."""
        self._run("setup", call, namespace)

    def tear_down(self, call: Call, namespace: str) -> None:
        """Undo an endpoint."""
        self._run("teardown", call, namespace)

    def makes_nothing_of(self, call: Call) -> bool:
        """Whether an endpoint has no rules of its own, but those alone that it shares with others on its network."""
        return not call.ports and self.firewall in _WITHOUT_RULES_OF_PLACES

    def forget(self, call: Call) -> None:
        """Remove what it keeps of an endpoint's rules, by which it would make them anew after somebody flushed all."""
        (self.folder / "firewall" / "ports" / f"{call.network['id']}_{call.container_id}").unlink(missing_ok=True)

    def _run(self, command: str, call: Call, namespace: str) -> None:
        self.need()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        words = [self.path, "--config", str(self.folder), "--firewall-driver", self.firewall, command, namespace]
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise HostUnfit(f"netavark at {self.path} can't be run: {error.strerror}") from error
        try:
            answer, errors = process.communicate(json.dumps(call.document()).encode(), self.timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            hint = "see what it waits for, or raise the option `timeout_s`"
            raise HostUnfit(f"netavark took more than {self.timeout_s:g} s for {command}", hint=hint) from None
        if process.returncode:
            raise HostUnfit(f"netavark failed at {command}: {refusal(answer, errors, process.returncode)}")


def refusal(answer: bytes, errors: bytes, code: int) -> str:
    """Return what it says of a failure: JSON with one text, or whatever it wrote."""
    with suppress(ValueError, RecursionError):
        document: Any = json.loads(answer)
        if isinstance(document, dict) and document.get("error"):
            return str(document["error"])[:_MOST_TOLD]
    said = (errors or answer)[:_MOST_TOLD].decode(errors="replace").strip()
    return said or f"it ended with {code}"
