"""What inspection found, kept in the user's cache folder for as long as the inspected files stay the same."""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from moby import component, contracts, hookspecs, options
from moby.registry.inspection import Finding
from moby.registry.installed import Distribution

__all__ = ["Cache", "default_folder", "fingerprint"]

_FORMAT = 1


def default_folder() -> Path | None:
    """Return the folder in the user's XDG cache folder; None for a user without a home."""
    try:
        base = os.environ.get("XDG_CACHE_HOME", "")
        return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "moby" / "facts"  # noqa: PTH117
    except RuntimeError:
        return None


def fingerprint(distribution: Distribution, path: Sequence[str]) -> str:
    """Return a hash of what decides a distribution's facts; empty where that can't be told without an import.

    That is its RECORD, which holds the hash of every file; where it is editable or has none, path, size and time of
    every file in its plugins' packages. Besides, the framework that reads the facts, and its entry points.
    """
    tokens = [str(_FORMAT), sys.version, _framework(), distribution.label]
    tokens += [f"{each.name}={each.module}" for each in distribution.entries]
    record = b"" if distribution.editable else distribution.record()
    if record:
        tokens.append(hashlib.sha256(record).hexdigest())
    else:
        for name in sorted({each.module.partition(".")[0] for each in distribution.entries}):
            tree = _tree_of(name, path)
            if not tree:
                return ""
            tokens.append(tree)
    return hashlib.sha256("\0".join(tokens).encode()).hexdigest()


def _framework() -> str:
    """Return the state of the files that decide what facts a declaration comes to."""
    modules = (each.__file__ for each in (component, hookspecs, options))
    files = [*filter(None, modules), str(Path(__file__).with_name("plugin_module.py"))]
    return "\n".join([_stamp(os.stat(each), each) for each in files] + [_tree(each) for each in contracts.__path__])  # noqa: PTH116


def _tree_of(name: str, path: Sequence[str]) -> str:
    """Return the state of a top-level package or module, wherever it lies on the import path."""
    found = []
    for folder in filter(None, path):
        package = os.path.join(folder, name)  # noqa: PTH118
        if os.path.isdir(package):  # noqa: PTH112
            found.append(_tree(package))
        else:
            with suppress(OSError):
                found.append(_stamp(os.stat(f"{package}.py"), f"{package}.py"))  # noqa: PTH116
    return "\n".join(found)


def _tree(folder: str) -> str:
    """Return path, size and time of every file below a folder, bytecode aside."""
    lines = []
    waiting = [folder]
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for each in entries:
                if each.is_dir():
                    if each.name != "__pycache__":
                        waiting.append(each.path)
                elif not each.name.endswith(".pyc"):
                    lines.append(_stamp(each.stat(), each.path))
    return "\n".join(sorted(lines))


def _stamp(status: os.stat_result, path: str) -> str:
    return f"{path} {status.st_size} {status.st_mtime_ns}"


class Cache:
    """Findings by distribution, one file each; without a folder that can be written it holds nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def get(self, distribution: Distribution, key: str) -> tuple[Finding, ...] | None:
        """Return what was found for the same key, or None; a file that others may have written isn't believed."""
        file = self._file(distribution)
        if file is None or not key:
            return None
        try:
            with open(file, "rb") as stream:  # noqa: PTH123
                if os.fstat(stream.fileno()).st_uid != os.geteuid():
                    return None
                data = json.load(stream)
            if data["key"] != key or data["places"] != _places(data["places"]):
                return None
            return tuple(Finding(each["module"], tuple(each["facts"]), each["error"]) for each in data["findings"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def put(self, distribution: Distribution, key: str, findings: Iterable[Finding], path: Sequence[str]) -> None:
        """Keep what was found, whole or not at all.

        An error is kept until anything is installed or removed beside it, which may mend it; a passing one isn't.
        """
        file, kept = self._file(distribution), list(findings)
        if file is None or not key or not all(each.lasting for each in kept):
            return
        import tempfile  # reading, the usual case, doesn't pay for it

        places = _places(dict.fromkeys(filter(None, path))) if any(each.error for each in kept) else {}
        listed = [{"module": each.module, "facts": list(each.facts), "error": each.error} for each in kept]
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, draft = tempfile.mkstemp(dir=file.parent)
            try:
                with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123
                    json.dump({"key": key, "places": places, "findings": listed}, stream)
                os.replace(draft, file)  # noqa: PTH105
            except OSError:
                os.unlink(draft)  # noqa: PTH108
                raise

    def _file(self, distribution: Distribution) -> Path | None:
        if self._folder is None:
            return None
        place = hashlib.sha256(f"{sys.prefix}\0{distribution.info.parent}".encode()).hexdigest()[:12]
        return self._folder / f"{distribution.name}-{place}.json"


def _places(folders: Iterable[str]) -> dict[str, int]:
    """Return when each folder last changed."""
    found = {}
    for folder in folders:
        try:
            found[folder] = os.stat(folder).st_mtime_ns  # noqa: PTH116
        except OSError:
            found[folder] = 0
    return found
