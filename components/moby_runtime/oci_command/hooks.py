"""The hooks that run in the runtime's own namespaces (config.md, POSIX-platform hooks)."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from moby.contracts.types import TaskStatus

__all__ = ["run", "state"]


def state(container_id: str, status: TaskStatus, pid: int, bundle: str, annotations: Mapping[str, str]) -> bytes:
    """Return what a hook reads (runtime.md, state)."""
    found: dict[str, Any] = {"ociVersion": "1.2.0", "id": container_id, "status": str(status), "bundle": bundle}
    if status is not TaskStatus.STOPPED:
        found["pid"] = pid
    return json.dumps({**found, "annotations": dict(annotations)}).encode()


def run(hooks: Iterable[Mapping[str, Any]], told: bytes) -> Iterator[tuple[int, str]]:
    """Run hooks one after another, and yield the index of each that fails, with why."""
    for index, each in enumerate(hooks):
        path = str(each["path"])
        environment = dict(item.partition("=")[::2] for item in each.get("env") or ())
        try:
            done = subprocess.run(
                list(each.get("args") or [path]),
                executable=path,
                env=environment,
                input=told,
                capture_output=True,
                timeout=each.get("timeout"),
                check=False,
                start_new_session=True,
            )
        except OSError as error:
            yield index, error.strerror or str(error)
        except subprocess.TimeoutExpired:
            yield index, f"it took longer than its timeout of {each['timeout']} s"
        else:
            if done.returncode:
                said = (done.stderr + done.stdout)[-2048:].decode(errors="replace").strip()
                yield index, f"exit code {done.returncode}{f': {said}' if said else ''}"
