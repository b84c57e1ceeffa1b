"""The options of `run` and `create` (docker-run(1)) that describe a container."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moby_containers.command.values import duration, size

__all__ = ["add"]

_TEXTS: Sequence[Sequence[str]] = (
    ("--name",), ("-w", "--workdir"), ("-u", "--user"), ("-h", "--hostname"), ("--domainname",),
    ("--cpuset-cpus",), ("--cpuset-mems",), ("--stop-signal",), ("--runtime",), ("--log-driver",), ("--pid",),
    ("--ipc",), ("--uts",), ("--userns",), ("--cgroupns",), ("--cgroup-parent",), ("--platform",), ("--health-cmd",),
    ("--health-http",), ("--health-tcp",), ("--volume-driver",), ("--ip",), ("--ip6",), ("--mac-address",),
    ("--cidfile",),
)  # fmt: skip
_LISTS = (
    ("-e", "--env"), ("--env-file",), ("-v", "--volume"), ("--mount",), ("--tmpfs",), ("--volumes-from",),
    ("-l", "--label"), ("-p", "--publish"), ("--expose",), ("--cap-add",), ("--cap-drop",), ("--security-opt",),
    ("--group-add",), ("--device",), ("--ulimit",), ("--sysctl",), ("--add-host",), ("--dns",), ("--dns-search",),
    ("--dns-option",), ("--log-opt",), ("--annotation",), ("--storage-opt",), ("--network-alias",),
    ("--network", "--net"), ("--link",), ("--link-local-ip",),
)  # fmt: skip
_FLAGS = (
    ("-i", "--interactive"), ("-t", "--tty"), ("--rm",), ("-P", "--publish-all"), ("--oom-kill-disable",),
    ("--read-only",), ("--privileged",), ("--no-healthcheck",),
)  # fmt: skip
_NUMBERS: Mapping[Callable[[str], Any], Sequence[tuple[str, ...]]] = {
    size: (("-m", "--memory"), ("--memory-reservation",), ("--memory-swap",), ("--shm-size",)),
    duration: (("--health-interval",), ("--health-timeout",), ("--health-start-period",), ("--health-start-interval",)),
    float: (("--cpus",),),
    int: (
        ("-c", "--cpu-shares"), ("--cpu-period",), ("--cpu-quota",), ("--pids-limit",), ("--blkio-weight",),
        ("--oom-score-adj",), ("--health-retries",),
    ),
}  # fmt: skip


def add(parser: argparse.ArgumentParser) -> None:
    """Add what describes a container."""
    for names in _TEXTS:
        parser.add_argument(*names, default="")
    for names in _LISTS:
        parser.add_argument(*names, action="append", default=[])
    for names in _FLAGS:
        parser.add_argument(*names, action="store_true")
    for kind, kinds_names in _NUMBERS.items():
        for names in kinds_names:
            parser.add_argument(*names, type=kind, default=0)
    parser.add_argument("--init", action="store_true", default=None)
    parser.add_argument("--entrypoint", default=None)
    parser.add_argument("--restart", default="no")
    parser.add_argument("--stop-timeout", type=int, default=None)
    parser.add_argument("image", metavar="IMAGE")
    command = parser.add_argument("command", metavar="COMMAND", nargs=argparse.REMAINDER)
    command.required = False  # Python 3.11 else says that it is, where there is no image
