"""`builder du` and `builder prune`: what builds keep, by the engine's API."""

import json
import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from moby.errors import Invalid
from moby_builder.command.calling import Caller
from moby_builder.command.options import Parser, size
from moby_builder.command.telling import size as shown_size

__all__ = ["read", "run"]

_VERBS = ("du", "prune")
_ALL = "This will remove all build cache. Are you sure you want to continue?"
_DANGLING = "This will remove all dangling build cache. Are you sure you want to continue?"


def read(arguments: Sequence[str]) -> Namespace:
    """Return what was asked for, `verb` the verb below `builder`; SystemExit for wrong usage, and for help."""
    parser = Parser("builder")
    parser.add_argument("verb", choices=_VERBS)
    asked = parser.parse_args(arguments[:1])
    below = Parser(f"builder {asked.verb}")
    (_du_options if asked.verb == "du" else _prune_options)(below)
    return below.parse_args(arguments[1:], asked)


def run(caller: Caller, asked: Namespace) -> int:
    """Run one of the verbs below `builder`."""
    return (_du if asked.verb == "du" else _prune)(caller, asked)


def _du_options(parser: Parser) -> None:
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--format", choices=("table", "json"), default="table")


def _du(caller: Caller, asked: Namespace) -> int:
    entries = caller.ask("GET", "/system/df?type=build-cache").get("BuildCache") or []
    if asked.format == "json":
        _say(json.dumps(entries, indent=2))
        return 0
    for each in entries if asked.verbose else ():
        _say("\n".join(f"{name}:\t{each.get(name)}" for name in sorted(each)) + "\n")
    if not asked.verbose:
        _say(f"{'ID':<28}{'RECLAIMABLE':<14}{'SIZE':<12}LAST ACCESSED")
        for each in entries:
            free = str(not (each["InUse"] or each["Shared"])).lower()
            _say(f"{each['ID'][:26]:<28}{free:<14}{shown_size(each['Size']):<12}{(each['LastUsedAt'] or '')[:19]}")
    total = sum(each["Size"] for each in entries if not each["Shared"])
    free_bytes = sum(each["Size"] for each in entries if not (each["InUse"] or each["Shared"]))
    _say(f"Reclaimable:\t{shown_size(free_bytes)}\nTotal:\t\t{shown_size(total)}")
    return 0


def _prune_options(parser: Parser) -> None:
    parser.add_argument("-a", "--all", action="store_true", help="include internal records of the builder")
    parser.add_argument("-f", "--force", action="store_true", help="don't ask")
    parser.add_argument("--filter", action="append", default=[], help="until=24h, id=..., type=..., unused-for=...")
    for name in ("--keep-storage", "--reserved-space", "--max-used-space", "--min-free-space"):
        parser.add_argument(name, type=size, default=0)


def _prune(caller: Caller, asked: Namespace) -> int:
    query: dict[str, Any] = {"all": "1" if asked.all else "", "filters": _filters(asked.filter)}
    query["reserved-space"] = asked.reserved_space or asked.keep_storage
    query |= {"max-used-space": asked.max_used_space, "min-free-space": asked.min_free_space}
    if not (asked.force or _confirmed(_ALL if asked.all else _DANGLING)):
        return 0
    given = {key: value for key, value in query.items() if value}
    found = caller.ask("POST", f"/build/prune?{urlencode(given)}")
    for each in found["CachesDeleted"] or ():
        _say(each)
    _say(f"Total:\t{shown_size(found['SpaceReclaimed'])}")
    return 0


def _filters(given: Sequence[str]) -> str:
    found: dict[str, list[str]] = {}
    for each in given:
        match = re.fullmatch(r"([a-z-]+)(?:=(.+))?", each)
        if match is None:
            raise Invalid(f"invalid filter {each!r}", hint="as until=24h")
        found.setdefault(match[1], []).append(match[2] or "true")
    return json.dumps(found) if found else ""


def _confirmed(question: str) -> bool:
    sys.stdout.write(f"WARNING! {question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() == "y"


def _say(text: str) -> None:
    print(text)  # noqa: T201  # a command's output
