"""The command line of `build` (docker buildx build)."""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["Parser", "build_parser", "given"]

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([bkmgt]?)(?:i?b)?", re.IGNORECASE)
_UNITS = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

_TEXTS: Mapping[str, str] = {
    "--target": "the stage to build",
    "--network": "of RUN: default, none, host, or a network's name",
    "--iidfile": "file to write the image's id to",
    "--cpuset-cpus": "the processors that RUN may use: 0-2,7",
    "--cpuset-mems": "the nodes of memory that RUN may use",
    "--cgroup-parent": "parent of the groups of RUN",
    "--call": "build, check, outline or targets; with `,format=json` as JSON",
    "--sbom": "attest what is in the image: true, false or attributes",
    "--provenance": "attest how it was built: true, false, mode=max ...",
}
_LISTS: Mapping[tuple[str, ...], str] = {
    ("-t", "--tag"): "name of the image",
    ("--build-arg",): "NAME=VALUE, or NAME to pass a variable on",
    ("--label",): "NAME=VALUE of the image",
    ("--annotation",): "NAME=VALUE of its manifest",
    ("--add-host",): "NAME:ADDRESS in RUN's /etc/hosts",
    ("--secret",): "id=NAME[,src=FILE|,env=VARIABLE]",
    ("--ssh",): "default, or NAME[=SOCKET|KEY,...]: an agent, or keys for one",
    ("--platform",): "platforms, with commas",
    ("-o", "--output"): "FOLDER, -, or type=local|tar|oci|docker|image|registry|cacheonly,dest=...",
    ("--cache-from",): "NAME, or type=registry,ref=NAME or type=local,src=FOLDER",
    ("--cache-to",): "type=inline, type=registry,ref=NAME or type=local,dest=FOLDER; mode=max",
    ("--ulimit",): "NAME=SOFT[:HARD] of RUN",
    ("--build-context",): "NAME=FOLDER, URL, docker-image://... or oci-layout://...",
    ("--allow",): "network.host or security.insecure",
    ("--attest",): "type=sbom or type=provenance, with attributes",
    ("--no-cache-filter",): "stages that aren't taken from the cache",
}
_FLAGS: Mapping[tuple[str, ...], str] = {
    ("--no-cache",): "build all steps anew",
    ("--pull",): "look for newer images of the tags",
    ("--load",): "into the engine's images, which is the default",
    ("--push",): "to the image registry of each name",
    ("-q", "--quiet"): "print the image's id alone",
    ("--check",): "check the Dockerfile, and build nothing",
    ("--explain",): "say why steps weren't found in the cache",
}


class Parser(argparse.ArgumentParser):
    """A command line; wrong usage ends with 2."""

    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"{Path(sys.argv[0]).name or 'engine'} {verb}", add_help=False, allow_abbrev=False)
        self.add_argument("--help", action="help", help="show this text")

    def error(self, message: str) -> Any:
        """Say what is wrong and how it is used; the options are told elsewhere."""
        self.exit(2, f"usage: {self.prog} [OPTIONS] ...\n{self.prog}: {message}\nSee '{self.prog} --help'.\n")


def build_parser() -> Parser:
    """Return the command line of `build`."""
    parser = Parser("build")
    parser.add_argument("-f", "--file", default="", help="the Dockerfile; - for standard input")
    parser.add_argument("--progress", choices=("auto", "plain", "tty", "quiet"), default="auto", help="how it is shown")
    parser.add_argument("--shm-size", type=size, default=0, help="of RUN's /dev/shm: 64m")
    parser.add_argument("-m", "--memory", type=size, default=0, help="the most that each RUN may use")
    parser.add_argument("--memory-swap", type=swap, default=0, help="the same with swap; -1 is no limit of swap")
    parser.add_argument("-c", "--cpu-shares", type=int, default=0, help="of 1024, RUN's part of busy processors")
    parser.add_argument("--cpu-quota", type=int, default=0, help="microseconds of processors for RUN, each period")
    parser.add_argument("--cpu-period", type=int, default=0, help="microseconds; 100000 where it isn't said")
    for name, text in _TEXTS.items():
        parser.add_argument(name, default="", help=text)
    for names, text in _LISTS.items():
        parser.add_argument(*names, action="append", default=[], help=text)
    for names, text in _FLAGS.items():
        parser.add_argument(*names, action="store_true", help=text)
    parser.add_argument("context", metavar="PATH|URL|-")
    return parser


def given(asked: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Return which of some options were given, as they are written."""
    return [f"--{each.replace('_', '-')}" for each in names if getattr(asked, each)]


def swap(text: str) -> int:
    """Return bytes, or -1 for no limit."""
    return -1 if text == "-1" else size(text)


def size(text: str) -> int:
    """Return bytes, given a size such as 64m, in units of 1024."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError(f"invalid size: {text!r}")
    return int(float(match[1]) * _UNITS[match[2].lower()])
