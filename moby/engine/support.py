"""The verb `support`: an archive for a bug report, of what may be shown to others."""

import io
import json
import os
import re
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moby.engine.redaction import HIDDEN, redacted
from moby.errors import HostUnfit, MobyError
from moby.plan import Plan, dump
from moby.surroundings import Roots

if TYPE_CHECKING:
    from moby.engine.call import Call

__all__ = ["support"]

TAIL = 256 << 10
"""Bytes of each log."""
SECRET = re.compile(r"passw|pwd|secret|token|credential|auth(?!or(?!iz))|private|api_?key|^key$", re.IGNORECASE)


def support(call: "Call") -> int:
    """Write `NAME-support-TIME.tar.gz`, or the file of `-o`, and say where."""
    import argparse

    parser = argparse.ArgumentParser(prog=f"{call.plan.name} support", allow_abbrev=False)
    parser.add_argument("-o", "--output", type=Path, default=None)
    output = parser.parse_args(call.arguments).output
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = output or Path(f"{call.plan.name}-support-{stamp}.tar.gz")
    files = {
        "versions.json": _versions(call),
        "plan.json": _plan(call.plan),
        "parts.json": _parts(call),
        "host.json": _host(),
        "checks.json": _checks(call.plan),
        **_texts(call),
    }
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise HostUnfit(f"can't write {path}: {error.strerror}", hint="name another file with -o FILE") from error
    with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else json.dumps(content, indent=1).encode()
            entry = tarfile.TarInfo(f"{call.plan.name}-support/{name}")
            entry.size, entry.mtime, entry.mode = len(data), int(time.time()), 0o600
            archive.addfile(entry, io.BytesIO(data))
    sys.stdout.write(f"{path}\n")
    return 0


def _versions(call: "Call") -> dict[str, Any]:
    return {
        "name": call.plan.name,
        "framework": call.lock.get("framework", ""),
        "python": sys.version,
        "components": {each.key: f"{each.facts.id} {each.facts.version}" for each in call.plan.instances},
    }


def _plan(plan: Plan) -> Any:
    data = dump(plan)
    for instance in data["instances"]:
        instance["config"] = _hidden(instance["config"])
    return data


def _hidden(value: Any, name: str = "") -> Any:
    """Return options without those whose names say that they are secret."""
    if isinstance(value, dict):
        return {key: _hidden(each, key) for key, each in value.items()}
    if SECRET.search(name) and value not in (None, "", False, True):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [_hidden(each) for each in value]
    return redacted(value) if isinstance(value, str) else value


def _parts(call: "Call") -> Any:
    """Return what runs, as far as it can be asked."""
    roots = call.roots
    found: dict[str, Any] = {"roots": [str(roots.state), str(roots.run), str(roots.cache)], "parts": []}
    if _is_kept(roots):
        from moby.served.launching import Launcher

        try:
            kept = Launcher(roots.run, linger_s=0).parts()
            found["parts"] = [{"key": p.key, "pid": p.pid, "failures": p.failures, "held": p.held} for p in kept]
        except (MobyError, OSError) as error:
            found["error"] = str(error)
    return found


def _is_kept(roots: Roots) -> bool:
    """Return whether there is a keeper's folder; HostUnfit where who calls may not look."""
    folder = roots.run / "keeper"
    try:
        folder.stat()
        next(folder.iterdir(), None)
    except FileNotFoundError:
        return False
    except OSError as error:
        hint = "do it as the user that started this engine, who alone may see what it logs"
        raise HostUnfit(f"can't look into {folder}: {error.strerror}", hint=hint) from error
    return True


def _host() -> dict[str, Any]:
    kernel = os.uname()
    facts = {"kernel": " ".join((kernel.sysname, kernel.release, kernel.version, kernel.machine)), "uid": os.geteuid()}
    for name in ("/etc/os-release", "/proc/self/cgroup", "/proc/meminfo", "/proc/loadavg", "/proc/self/limits"):
        try:
            facts[name] = Path(name).read_text("utf-8", "replace")[:8192]
        except OSError as error:
            facts[name] = f"can't be read: {error.strerror}"
    return facts


def _checks(plan: Plan) -> Any:
    from moby.needs import checks

    return checks(plan)


def _texts(call: "Call") -> dict[str, str]:
    """Return the ends of logs, and the last state dumps."""
    run = call.roots.run
    paths = [*sorted((run / "keeper").glob("log*")), *sorted((run / "dumps").glob("*.json"))[-2:]]
    found = {}
    for path in paths:
        try:
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL))
                found[f"{path.parent.name}/{path.name}"] = redacted(file.read().decode("utf-8", "replace"))
        except OSError:
            continue
    journal = _journal(f"moby-{call.plan.name}.service")
    return {**found, "journal.txt": journal} if journal else found


def _journal(unit: str) -> str:
    """Return the end of what the service has logged; empty where there is no journal."""
    import subprocess

    command = ["journalctl", "--no-pager", "--quiet", "--lines=2000", f"--unit={unit}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20, errors="replace")
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return redacted(done.stdout)
