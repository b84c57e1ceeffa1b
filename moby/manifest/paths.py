"""Paths of values in an assembly: `components.runtime.runc.config.binary`; names that hold dots stand in quotes."""

import re

__all__ = ["join", "split"]

_SEGMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^."]+)')
_SIMPLE = re.compile(r"[^.\"\\]+")


def join(*names: str) -> str:
    """Return the path of these names."""
    return ".".join(
        name if _SIMPLE.fullmatch(name) else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for name in names
    )


def split(path: str) -> tuple[str, ...] | None:
    """Return the names of a path; None if it isn't one."""
    names: list[str] = []
    at = 0
    while True:
        found = _SEGMENT.match(path, at)
        if not found:
            return None
        names.append(re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL) if found[1] is not None else found[2])
        at = found.end()
        if at == len(path):
            return tuple(names)
        if path[at] != ".":
            return None
        at += 1
