"""Verbs that change a container or make an image of it: update, commit."""

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from moby.errors import Invalid
from moby.oci import reference as references
from moby_containers.command.client import Client, query
from moby_containers.command.values import restart, size
from moby_containers.command.verb import Parser, each, say

__all__ = ["commit", "update"]

_NUMBERS: Mapping[str, tuple[str, ...]] = {
    "BlkioWeight": ("--blkio-weight",), "CpuPeriod": ("--cpu-period",), "CpuQuota": ("--cpu-quota",),
    "CpuRealtimePeriod": ("--cpu-rt-period",), "CpuRealtimeRuntime": ("--cpu-rt-runtime",),
    "CpuShares": ("-c", "--cpu-shares"), "PidsLimit": ("--pids-limit",),
}  # fmt: skip
_SIZES: Mapping[str, tuple[str, ...]] = {
    "Memory": ("-m", "--memory"), "MemoryReservation": ("--memory-reservation",), "MemorySwap": ("--memory-swap",),
}  # fmt: skip
_TEXTS: Mapping[str, tuple[str, ...]] = {"CpusetCpus": ("--cpuset-cpus",), "CpusetMems": ("--cpuset-mems",)}


def update(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Change limits and the restart policy of containers, also of those that run."""
    for options, kind in ((_NUMBERS, int), (_SIZES, size), (_TEXTS, str)):
        for field, names in options.items():
            parser.add_argument(*names, dest=field, type=kind, default=None)
    parser.add_argument("--cpus", type=float, default=None)
    parser.add_argument("--restart", default=None)
    parser.add_argument("names", nargs="+", metavar="CONTAINER")
    body = _changes(parser.parse_args(arguments), parser)
    warnings: list[str] = []

    def change(name: str) -> None:
        warnings.extend(client.post(f"/containers/{name}/update", body)["Warnings"] or ())

    failed = each(parser.parse_args(arguments).names, change)
    if warnings:
        say("\n".join(warnings))
    return failed


def _changes(asked: argparse.Namespace, parser: Parser) -> dict[str, Any]:
    """Return the body that changes what was given, and nothing else."""
    given: dict[str, Any] = {key: value for key, value in vars(asked).items() if value is not None}
    del given["names"]
    if not given:
        raise Invalid("you must provide one or more flags when using this command")
    if "cpus" in given:
        given["NanoCpus"] = round(given.pop("cpus") * 1e9)
    if "restart" in given:
        given["RestartPolicy"] = restart(given.pop("restart"))
    return given


def commit(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Make an image of a container, and print its id."""
    parser.add_argument("-a", "--author", default="")
    parser.add_argument("-c", "--change", action="append", default=[])
    parser.add_argument("-m", "--message", default="")
    parser.add_argument("-p", "--pause", action="store_true", default=True)
    parser.add_argument("--no-pause", dest="pause", action="store_false")
    parser.add_argument("name", metavar="CONTAINER")
    parser.add_argument("image", nargs="?", default="", metavar="REPOSITORY[:TAG]")
    asked = parser.parse_args(
        [{"--pause=false": "--no-pause", "--pause=true": "-p"}.get(word, word) for word in arguments]
    )
    repository = tag = ""
    if asked.image:
        reference = references.parse(asked.image)
        if reference.digest is not None:
            raise Invalid("refusing to create a tag with a digest reference")
        repository, tag = references.familiar_name(reference), reference.tag
    more = query(
        container=asked.name, repo=repository, tag=tag, comment=asked.message, author=asked.author,
        pause="1" if asked.pause else "0",
    )  # fmt: skip
    changes = "".join(f"&{query(changes=text)[1:]}" for text in asked.change)
    say(client.post(f"/commit{more}{changes}", {})["Id"])
    return 0
