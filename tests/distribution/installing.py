"""Distributions and components that tests make up."""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from moby.component import Facts
from moby.plan import Instance, Plan


@frozen
class Site:
    """A folder on the import path."""

    folder: Path

    def install(
        self,
        name: str,
        files: Mapping[str, str | bytes],
        *,
        version: str = "1.0",
        requires: Iterable[str] = (),
        licence: str | None = "LICENSE",
        expression: str = "MIT",
        direct_url: Mapping[str, Any] | None = None,
        noise: bool = False,
        entries: Mapping[str, str] | None = None,
    ) -> Path:
        """Install a distribution, as pip does, and return its dist-info folder."""
        info = f"{name.replace('-', '_')}-{version}.dist-info"
        lines = [f"Requires-Dist: {each}\n" for each in requires]
        head = f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\nLicense-Expression: {expression}\n"
        everything: dict[str, str | bytes] = {**files, f"{info}/METADATA": head + "".join(lines)}
        if licence:
            everything[f"{info}/{licence}"] = f"The licence of {name}.\n"
        if entries:
            text = "".join(f"{key} = {module}\n" for key, module in entries.items())
            everything[f"{info}/entry_points.txt"] = f"[moby.components]\n{text}"
        if direct_url is not None:
            everything[f"{info}/direct_url.json"] = json.dumps(direct_url)
        if noise:
            everything |= {f"{info}/INSTALLER": "someone\n", f"{info}/REQUESTED": "", "../bin/tool": "#!/here/python\n"}
        rows = []
        for path, content in everything.items():
            data = content.encode() if isinstance(content, str) else content
            file = self.folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
            rows.append(f"{path},sha256={digest},{len(data)}\n")
        rows += [f"{path}c,,\n" for path in files if noise and path.endswith(".py")]
        (self.folder / info / "RECORD").write_text("".join([*rows, f"{info}/RECORD,,\n"]))
        return self.folder / info


def part(name: str, module: str, *, distribution: str = "parts 1.0", brings: tuple[str, ...] = ()) -> Instance:
    """Return an instance of a made-up component."""
    kind, _, own = name.partition("/")
    facts = Facts(name, kind, own, "1.0", 1, distribution, module, brings=brings)
    return Instance(kind, own, facts, reason="chosen at here.yaml:1:1")


def plan(*instances: Instance, name: str = "sample") -> Plan:
    return Plan(name, instances)
