"""Distributions that tests install by hand in a folder of their own."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.component import Facts
from moby.registry import Broken, Catalog, facts_file

PART = """
from collections.abc import Iterable

from attrs import frozen

from moby.component import Component
from moby.contracts.runtime import Runtime
from moby.hookspecs import hookimpl


@frozen
class Config:
    binary: str = "x"


def make(config: Config) -> Runtime:
    \"\"\"A part of a test.\"\"\"


@hookimpl
def moby_components() -> Iterable[Component]:
    return [Component(name={name!r}, factory=make, contract={contract})]
"""


def part(name: str, *, contract: int = 0, before: str = "") -> str:
    """Return the source of a plugin module with one runtime."""
    return before + PART.replace("{name!r}", repr(name)).replace("{contract}", str(contract))


@frozen
class Site:
    """A folder on the import path."""

    folder: Path

    def install(
        self,
        name: str,
        files: Mapping[str, str],
        *,
        entries: Mapping[str, str],
        version: str = "1.0",
        facts: str | tuple[Facts, ...] | None = None,
        editable: bool = False,
        record: bool = True,
    ) -> Path:
        """Install a distribution from its files, and return its dist-info folder."""
        info = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        metadata = {
            f"{info.name}/METADATA": f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n\nName: no header\n",
            f"{info.name}/entry_points.txt": "[console_scripts]\nx = y:z\n\n[moby.components]\n"
            + "".join(f"{key} = {module}\n" for key, module in entries.items()),
        }
        if facts is not None:
            text = facts if isinstance(facts, str) else facts_file.text_of(facts)
            metadata[f"{info.name}/{facts_file.IN_DIST_INFO}"] = text
        if editable:
            metadata[f"{info.name}/direct_url.json"] = json.dumps({"url": "file:///x", "dir_info": {"editable": True}})
        lines = []
        for path, text in {**files, **metadata}.items():
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
            lines.append(f"{path},sha256={digest},{len(text)}\n")
        if record:
            (info / "RECORD").write_text("".join([*lines, f"{info.name}/RECORD,,\n"]))
        return info

    def part(self, name: str, **settings: Any) -> Path:
        """Install a distribution `name` with the package `name`, whose plugin module has the runtime `name`."""
        package = name.replace("-", "_")
        files = {f"{package}/__init__.py": "", f"{package}/plugin.py": part(name)}
        files.update(settings.pop("files", {}))
        entries = settings.pop("entries", {f"runtime.{name}": f"{package}.plugin"})
        return self.install(name, files, entries=entries, **settings)


def reasons(catalog: Catalog, distribution: str) -> list[str]:
    """Return why parts of a distribution are left out."""
    return [_said(each) for each in catalog.broken if each.distribution == distribution]


def _said(broken: Broken) -> str:
    return f"{broken.module}: {broken.reason}" if broken.module else broken.reason
