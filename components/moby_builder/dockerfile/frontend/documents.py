"""Answers to requests for something else than an image, written as BuildKit does."""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from moby.contracts.builder import Range

__all__ = ["encoded", "excerpt", "filled", "location", "rendered", "table"]

_RULE = "-" * 20


def rendered(document: Any, text: str, version: str = "1.0.0") -> dict[str, bytes]:
    """Return an answer in both its forms."""
    data = json.dumps(document, indent=2, ensure_ascii=False).encode()
    return {"result.json": data, "result.txt": text.encode(), "version": version.encode()}


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values without those that say nothing."""
    return {name: value for name, value in values.items() if value}


def encoded(source: str) -> str:
    """Return a file's text as documents carry it."""
    return base64.b64encode(source.encode()).decode()


def location(ranges: Sequence[Range]) -> dict[str, Any]:
    """Return where something is."""
    return filled({"ranges": [{"start": {"line": each.first}, "end": {"line": each.last}} for each in ranges]})


def table(rows: Sequence[Sequence[str]], gap: int) -> str:
    """Return rows with their cells below each other; the last of a row ends where it ends."""
    widths = [max(map(len, column)) + gap for column in list(zip(*rows, strict=True))[:-1]]
    lines = ("".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) + row[-1] for row in rows)
    return "".join(f"{line}\n" for line in lines)


def excerpt(file: str, source: str, ranges: Sequence[Range]) -> str:
    """Return the lines of a file that are meant, marked, with some around them."""
    lines = source.split("\n")
    first, last = min(each.first for each in ranges), max(each.last for each in ranges)
    start, end = first, min(last, len(lines))
    wanted, shown = (4 if start == end else 2), 0
    while shown < wanted:
        if start > 1:
            start, shown = start - 1, shown + 1
        if end != len(lines):
            end, shown = end + 1, shown + 1
        shown += 1
    text = f"{file}:{first}\n{_RULE}\n"
    for number in range(start, end + 1):
        mark = ">>>" if any(each.first <= number <= max(each.first, each.last) for each in ranges) else "   "
        text += f" {number:3} | {mark} {lines[number - 1]}\n"
    return text + _RULE + "\n"
