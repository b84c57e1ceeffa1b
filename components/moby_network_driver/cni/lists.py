"""Lists of plugins, as administrators write them (CNI specification, section 1)."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moby.errors import HostUnfit, Invalid, NotFound
from moby.values import frozen

__all__ = ["PluginList", "found", "read"]

_VERSIONS = ("0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")
_WITH_CHECK, _WITH_GC = _VERSIONS.index("0.4.0"), _VERSIONS.index("1.1.0")
_ENDINGS = (".conflist", ".conf", ".json")
_MOST_BYTES = 1 << 20
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


@frozen
class PluginList:
    """A network, by the plugins that make it, in their order."""

    name: str
    version: str
    plugins: Sequence[Mapping[str, Any]]
    checks: bool = True
    """Whether plugins may be asked if all is still as they made it."""
    collects: bool = False
    """Whether plugins may be told what is still there, so that they remove the rest."""

    def of_capability(self, name: str) -> Sequence[Mapping[str, Any]]:
        """Return the plugins that take a value which is known only when a container comes."""
        return [each for each in self.plugins if each.get("capabilities", {}).get(name) is True]


def read(document: Any, where: str) -> PluginList:
    """Read a list, or the only plugin of one; Invalid says what is wrong with it."""

    def wrong(what: str) -> Invalid:
        return Invalid(f"{where}: {what}", hint="see the CNI specification, section 1")

    if not isinstance(document, dict) or not _is_name(document.get("name")):
        raise wrong("a network has a name")
    version = document.get("cniVersion")
    if version not in _VERSIONS:
        raise wrong(f"its cniVersion is {version!r}, not one of {', '.join(_VERSIONS)}")
    plugins = document.get("plugins") if "plugins" in document else [document]
    if not isinstance(plugins, list) or not plugins:
        raise wrong("its plugins are no list")
    for each in plugins:
        if not isinstance(each, dict) or not _is_name(each.get("type")):
            raise wrong("a plugin has a type, which is the name of its program")
        capabilities = each.get("capabilities", {})
        if not isinstance(capabilities, dict) or not all(isinstance(value, bool) for value in capabilities.values()):
            raise wrong(f"the capabilities of its plugin {each['type']} are no map of truth values")
    number = _VERSIONS.index(version)
    return PluginList(
        document["name"],
        version,
        plugins,
        number >= _WITH_CHECK and document.get("disableCheck") not in (True, "true"),
        number >= _WITH_GC and document.get("disableGC") not in (True, "true"),
    )


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def found(folder: Path, name: str) -> PluginList:
    """Return the list of a name in a folder; NotFound where there is none, HostUnfit where it can't be read."""
    try:
        files = sorted(each for each in folder.iterdir() if each.suffix in _ENDINGS) if folder.is_dir() else []
        documents = [(each, _document(each)) for each in files]
    except OSError as error:
        raise HostUnfit(f"{error.filename} can't be read: {error.strerror}") from error
    names = []
    for path, document in documents:
        there = document.get("name") if isinstance(document, dict) else None
        if there == name:
            return read(document, str(path))
        names.append(str(there))
    hint = f"there are {', '.join(names)}" if names else "write one, or name its folder by the option `lists`"
    raise NotFound(f"no network configuration list named {name!r} in {folder}", hint=hint)


def _document(path: Path) -> Any:
    """Return what a file says; None where it is no JSON, which is somebody else's worry."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES)
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return None
