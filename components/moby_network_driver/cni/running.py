"""How plugins are run (CNI specification, sections 2 and 3)."""

import json
import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from moby.errors import HostUnfit
from moby.values import field, frozen
from moby_network_driver.cni.lists import PluginList
from moby_network_driver.cni.results import Result, refusal, result_of

__all__ = ["Call", "Programs"]


@frozen
class Call:
    """For whom plugins are run."""

    container_id: str
    interface: str
    namespace: str = ""
    """Path of the container's network namespace; empty where that has gone."""
    args: str = ""
    """CNI_ARGS."""
    values: Mapping[str, Any] = field(factory=dict)
    """By capability, what plugins with that are given."""


@frozen
class Programs:
    """The plugins' programs, in folders of the host's."""

    folders: Sequence[str]
    timeout_s: float = 60

    def need(self, plugins: PluginList) -> None:
        """Refuse a list of which a program isn't there; HostUnfit."""
        for each in plugins.plugins:
            self._path(str(each["type"]))

    def _path(self, name: str) -> Path:
        for each in self.folders:
            path = Path(each, name)
            if os.access(path, os.X_OK) and path.is_file():
                return path
        where = ", ".join(self.folders)
        raise HostUnfit(
            f"this host has no CNI plugin {name} in {where}",
            hint="install it (Debian: containernetworking-plugins), or name its folder by the option `programs`",
        )

    def add_one(self, plugins: PluginList, plugin: Mapping[str, Any], call: Call, before: Result) -> Result:
        """Make what one plugin makes of a container's endpoint; it is told what those before it made."""
        answer = self._run("ADD", plugins, plugin, call, _told(before))
        return result_of(answer, str(plugin["type"]), call.interface)

    def delete_one(self, plugins: PluginList, plugin: Mapping[str, Any], call: Call, result: Result) -> None:
        """Undo what one plugin made."""
        self._run("DEL", plugins, plugin, call, _told(result))

    def check(self, plugins: PluginList, call: Call, result: Result) -> None:
        """Have each plugin look whether all is as it made it."""
        for each in plugins.plugins:
            self._run("CHECK", plugins, each, call, _told(result))

    def status(self, plugins: PluginList) -> None:
        """Have each plugin say whether it can make anything."""
        for each in plugins.plugins:
            self._run("STATUS", plugins, each, Call("", ""), {})

    def collect(self, plugins: PluginList, kept: Sequence[Call]) -> None:
        """Have each plugin remove what it made for others than these."""
        valid = [{"containerID": each.container_id, "ifname": each.interface} for each in kept]
        for each in plugins.plugins:
            self._run("GC", plugins, each, Call("", ""), {"cni.dev/valid-attachments": valid})

    def _run(
        self, command: str, plugins: PluginList, plugin: Mapping[str, Any], call: Call, more: Mapping[str, Any]
    ) -> bytes:
        """Run one plugin for one command; HostUnfit with what it says where it fails."""
        name = str(plugin["type"])
        asked = {key: value for key, value in plugin.items() if key != "capabilities"}
        asked |= {"cniVersion": plugins.version, "name": plugins.name, **more}
        given = {key: value for key, value in call.values.items() if plugin.get("capabilities", {}).get(key)}
        asked |= {"runtimeConfig": given} if given else {}
        environment = {
            "PATH": os.environ.get("PATH", os.defpath), "CNI_COMMAND": command, "CNI_PATH": ":".join(self.folders),
            "CNI_CONTAINERID": call.container_id, "CNI_IFNAME": call.interface, "CNI_NETNS": call.namespace,
            "CNI_ARGS": call.args,
        }  # fmt: skip
        environment = {key: value for key, value in environment.items() if value or command not in ("STATUS", "GC")}
        code, answer, errors = self._ended(self._path(name), json.dumps(asked).encode(), environment)
        if code:
            raise HostUnfit(f"CNI plugin {name} failed at {command}: {refusal(answer, errors, code)}")
        return answer

    def _ended(self, path: Path, asked: bytes, environment: Mapping[str, str]) -> tuple[int, bytes, bytes]:
        import subprocess  # which an engine without such networks never needs

        try:
            process = subprocess.Popen(
                [path], env=dict(environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise HostUnfit(f"CNI plugin {path} can't be run: {error.strerror}") from error
        try:
            answer, errors = process.communicate(asked, self.timeout_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise HostUnfit(
                f"CNI plugin {path.name} took more than {self.timeout_s:g} s",
                hint="see what it waits for, or raise the option `timeout_s`",
            ) from None
        return process.returncode, answer, errors


def _told(before: Result) -> Mapping[str, Any]:
    """Return what a plugin is told of those before it; nothing where it is the first."""
    return {"prevResult": before.document} if before.document.keys() > {"cniVersion"} else {}
