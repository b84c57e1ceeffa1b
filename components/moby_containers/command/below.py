"""What verbs with verbs below them share: which one is meant, how lists are shown, and how a prune asks and tells."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from moby_containers.command import template, words
from moby_containers.command.verb import Parser, say

__all__ = ["below", "confirmed", "labels", "listed", "listing", "pruned", "pruning"]


def below(parser: Parser, arguments: Sequence[str], verbs: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Return the verb below and what follows it; wrong usage where it is none."""
    usage = f"usage: {parser.prog} {{{','.join(sorted(verbs))}}} ...\n"
    if not arguments or arguments[0] in ("--help", "-h"):
        (sys.stdout if arguments else sys.stderr).write(usage)
        parser.exit(0 if arguments else 2)
    if arguments[0] not in verbs:
        parser.exit(2, f"{usage}{parser.prog}: {arguments[0]!r} is none of them\n")
    parser.prog = f"{parser.prog} {arguments[0]}"
    return arguments[0], arguments[1:]


def listing(parser: Parser, arguments: Sequence[str]) -> Any:
    """Read the command line of a list."""
    parser.add_argument("-f", "--filter", action="append", default=[])
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--no-trunc", action="store_true")
    parser.add_argument("--format", default="")
    return parser.parse_args(arguments)


def listed(rows: Sequence[Mapping[str, Any]], asked: Any, columns: Mapping[str, str], key: str) -> int:
    """Print a list as it was asked for: as a table, by a template, or what one is known by alone."""
    for line in [row[key] for row in rows] if asked.quiet else template.shown(rows, asked.format, columns):
        say(line)
    return 0


def labels(found: Mapping[str, Any]) -> str:
    """Return labels as a list shows them."""
    return ",".join(f"{key}={value}" for key, value in sorted((found.get("Labels") or {}).items()))


def pruning(parser: Parser, arguments: Sequence[str], warning: str, **more: Any) -> Any:
    """Read the command line of a prune, and ask; None is no."""
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("--filter", action="append", default=[])
    if more.get("all"):
        parser.add_argument("-a", "--all", action="store_true")
    asked = parser.parse_args(arguments)
    return asked if asked.force or confirmed(warning) else None


def confirmed(warning: str) -> bool:
    """Ask whether to go on."""
    sys.stdout.write(f"{warning}\nAre you sure you want to continue? [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "y"


def pruned(title: str, names: Sequence[str] | None, reclaimed: int | None) -> None:
    """Print what a prune removed, and what that gave back."""
    if names:
        say("\n".join([title, *names, ""]))
    say(f"Total reclaimed space: {words.size(reclaimed or 0, 4)}")
