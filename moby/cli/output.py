"""What the command line prints: tables for a person at a terminal, plain tab-separated lines in a pipe, JSON."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from moby.errors import HostUnfit

if TYPE_CHECKING:
    from moby.errors import Problem

__all__ = ["emit_json", "problem", "progress", "table", "write"]


def emit_json(data: Any) -> None:
    """Print data as JSON on standard output, stable from run to run and in any locale."""
    click.echo(json.dumps(data, indent=2, sort_keys=True))


def problem(found: "Problem") -> dict[str, Any]:
    """Return a problem as JSON carries it."""
    where = found.where
    return {
        "message": found.message,
        "where": {"source": where.source, "line": where.line, "column": where.column} if where else None,
        "because": list(found.because),
        "fixes": list(found.fixes),
        "conflict": list(found.conflict),
    }


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows aligned under headers; in a pipe without headers, a tab between cells."""
    cells = [[_printable(str(cell)) for cell in row] for row in rows]
    if not _is_terminal(sys.stdout):
        for row in cells:
            click.echo("\t".join(row))
        return
    lines = [[header.upper() for header in headers], *cells]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headers))]
    for line in lines:
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("   ".join(padded).rstrip())


def write(path: str, text: str) -> None:
    """Write a result to a file, or to standard output where the path is `-`; HostUnfit where that can't be."""
    if path == "-":
        click.echo(text, nl=False)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise HostUnfit(f"can't write {path}: {error.strerror}", hint="name another file with -o") from error


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a person at a terminal what is being done, on a line that goes when it is done."""
    stream = sys.stderr
    if not _is_terminal(stream) or os.environ.get("TERM", "dumb") == "dumb":
        yield lambda step: None
        return

    def show(step: str) -> None:
        stream.write(f"\r\x1b[K{step} ...")
        stream.flush()

    try:
        yield show
    finally:
        stream.write("\r\x1b[K")
        stream.flush()


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads this; a stream that was closed before the start is None."""
    return stream is not None and stream.isatty()


def _printable(cell: str) -> str:
    """Keep a cell on its line and in its column, whatever a plugin's summary holds."""
    return "".join(each if each.isprintable() else " " for each in cell)
