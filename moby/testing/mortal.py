"""Containers of tests that end with the process that tests, also where that is killed."""

import json
from pathlib import Path
from typing import Any

from moby.contracts.runtime import DIE_WITH_PARENT, Process, Runtime
from moby.contracts.types import Stdio

__all__ = ["Mortal"]


class Mortal:
    """A runtime that asks another one, which knows DIE_WITH_PARENT, to bind each container to who makes it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def create(self, container_id: str, bundle: Path, stdio: Stdio) -> Process:
        """Make a container, whose bundle says so from now on."""
        path = bundle / "config.json"
        spec = json.loads(path.read_bytes())
        spec["annotations"] = {**(spec.get("annotations") or {}), DIE_WITH_PARENT: "true"}
        path.write_text(json.dumps(spec), encoding="utf-8")
        return self._runtime.create(container_id, bundle, stdio)
