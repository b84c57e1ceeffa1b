"""Verbs of a container's life."""

from collections.abc import Sequence

from moby_containers.command.client import Client, query
from moby_containers.command.verb import Parser, complain, each, say

__all__ = ["kill", "pause", "rename", "restart", "rm", "stop", "unpause", "wait"]


def _names(parser: Parser) -> None:
    parser.add_argument("names", nargs="+", metavar="CONTAINER")


def _ending(parser: Parser) -> None:
    parser.add_argument("-t", "--time", "--timeout", dest="time", type=int, default=None, metavar="SECONDS")
    parser.add_argument("-s", "--signal", default="", metavar="SIGNAL")
    _names(parser)


def stop(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Stop containers."""
    _ending(parser)
    asked = parser.parse_args(arguments)
    more = query(t=None if asked.time is None else str(asked.time), signal=asked.signal)
    return each(asked.names, lambda name: client.post(f"/containers/{name}/stop{more}"))


def restart(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Stop and start containers."""
    _ending(parser)
    asked = parser.parse_args(arguments)
    more = query(t=None if asked.time is None else str(asked.time), signal=asked.signal)
    return each(asked.names, lambda name: client.post(f"/containers/{name}/restart{more}"))


def kill(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Send a signal to containers."""
    parser.add_argument("-s", "--signal", default="", metavar="SIGNAL")
    _names(parser)
    asked = parser.parse_args(arguments)
    return each(asked.names, lambda name: client.post(f"/containers/{name}/kill{query(signal=asked.signal)}"))


def rm(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Remove containers."""
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("-v", "--volumes", action="store_true")
    parser.add_argument("-l", "--link", action="store_true")
    _names(parser)
    asked = parser.parse_args(arguments)
    more = query(force=asked.force, v=asked.volumes, link=asked.link)
    return each(asked.names, lambda name: client.delete(f"/containers/{name}{more}"), may_be_absent=asked.force)


def pause(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Freeze containers."""
    _names(parser)
    return each(parser.parse_args(arguments).names, lambda name: client.post(f"/containers/{name}/pause"))


def unpause(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Thaw containers."""
    _names(parser)
    return each(parser.parse_args(arguments).names, lambda name: client.post(f"/containers/{name}/unpause"))


def rename(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Give a container another name."""
    parser.add_argument("name", metavar="CONTAINER")
    parser.add_argument("new", metavar="NEW_NAME")
    asked = parser.parse_args(arguments)
    failed = each(
        [asked.name], lambda name: client.post(f"/containers/{name}/rename{query(name=asked.new)}"), quiet=True
    )
    if failed:
        complain(f"Error: failed to rename container named {asked.name}")
    return failed


def wait(client: Client, parser: Parser, arguments: Sequence[str]) -> int:
    """Wait for containers, and print their exit codes."""
    _names(parser)
    asked = parser.parse_args(arguments)
    return each(asked.names, lambda name: say(str(client.post(f"/containers/{name}/wait")["StatusCode"])), quiet=True)
