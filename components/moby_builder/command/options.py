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
    "--cpuset-mems": "the memory nodes (NUMA) that RUN may use",
    "--cgroup-parent": "parent cgroup of RUN",
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
    ("--platform",): "target platforms, separated by commas",
    ("-o", "--output"): "FOLDER, -, or type=local|tar|oci|docker|image|registry|cacheonly,dest=...",
    ("--cache-from",): "NAME, or type=registry,ref=NAME or type=local,src=FOLDER",
    ("--cache-to",): "type=inline, type=registry,ref=NAME or type=local,dest=FOLDER; mode=max",
    ("--ulimit",): "NAME=SOFT[:HARD] of RUN",
    ("--build-context",): "NAME=FOLDER, URL, docker-image://... or oci-layout://...",
    ("--allow",): "network.host or security.insecure",
    ("--attest",): "type=sbom or type=provenance, with attributes",
    ("--no-cache-filter",): "stages for which the cache isn't used",
}
_FLAGS: Mapping[tuple[str, ...], str] = {
    ("--no-cache",): "don't use the cache",
    ("--pull",): "always try to pull newer base images",
    ("--load",): "load the result into the engine's images (the default)",
    ("--push",): "push the result to the registry of each name",
    ("-q", "--quiet"): "print only the image's id",
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
    parser.add_argument(
        "--progress", choices=("auto", "plain", "tty", "quiet"), default="auto", help="how progress is shown"
    )
    parser.add_argument("--shm-size", type=size, default=0, help="size of /dev/shm in RUN, as in 64m")
    parser.add_argument("-m", "--memory", type=size, default=0, help="memory limit of each RUN")
    parser.add_argument(
        "--memory-swap", type=swap, default=0, help="limit of memory and swap together; -1 for unlimited swap"
    )
    parser.add_argument(
        "-c", "--cpu-shares", type=int, default=0, help="CPU weight of RUN, relative to the default of 1024"
    )
    parser.add_argument("--cpu-quota", type=int, default=0, help="microseconds of CPU time for RUN in each period")
    parser.add_argument("--cpu-period", type=int, default=0, help="length of a period in microseconds; default: 100000")
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
